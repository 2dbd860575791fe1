"""Every wrong input of tests/errors_table.py: one message, the right status, nothing written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import errors_run
from tests.conftest import sampled
from tests.errors_files import Place
from tests.errors_run import DOCUMENT
from tests.errors_table import CASES, PROGRAMS, Case

DOCUMENTED = DOCUMENT.read_text().splitlines()
REMEDY = re.compile(  # what to do, or what is allowed
    r"\b(give|set|use|must|choose|install|replace|leave|put|delete|repair|start|add|say|make|quote"
    r"|change|it takes|one of|did you mean|see|allowed|as in|lists|may grow|has to be"
    r"|with a GAN|is not (a|DD))\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run, its images and its data, shared by all cases: none may change them."""
    return errors_run.make_place(tmp_path_factory.mktemp("errors"))


def names_what_is_wrong(case: Case, message: str) -> bool:
    """Whether it holds a key or a value that is given, or where nothing is, what is missing."""
    if not case.given or "= is missing" in message:
        return "missing" in message or "give" in message
    words = {word for text in case.given.split() for word in text.lstrip("+").split("=")}
    inner = {part for word in words for part in re.split(r"[./\[\]{},:]", word) if len(part) > 2}
    files = {"x.ckpt", "x.npz", "config", "last.ckpt"} if case.make else set()
    other_side = case.wrong == "combination" and re.search(r"[\w.]+=\S", message)
    return bool(other_side) or any(word in message for word in words | inner | files)


@pytest.mark.parametrize("case", sampled(CASES, 40), ids=lambda case: case.name)
def test_wrong_input(case: Case, base: Place, tmp_path: Path) -> None:
    outcome, place, untouched = errors_run.run_case(case, base, tmp_path / "here")
    assert outcome.status == case.status, outcome.text
    assert outcome.text.startswith("error: ")
    assert len(re.findall(r"^error: ", outcome.text, re.MULTILINE)) == 1
    assert "Traceback" not in outcome.text
    assert untouched
    message = errors_run.plain(outcome.text, place)
    for part in case.says:
        assert part in message
    assert names_what_is_wrong(case, message)
    assert REMEDY.search(message), "it says not what to do"
    # The document holds what is really said. Libraries word their part differently elsewhere.
    if errors_run.same_libraries():
        assert errors_run.row(case, message) in DOCUMENTED, (
            "outdated: run python -m tests.errors_run"
        )


def test_the_document_has_these_cases_and_no_others() -> None:
    rows = [line for line in DOCUMENTED if re.match(r"\| (?!wrong \||---)", line)]
    assert len(rows) == len(CASES)
    assert f"{len(CASES)} wrong inputs" in DOCUMENT.read_text()
    for program in PROGRAMS:
        assert f"## {program}" in DOCUMENTED


def test_there_are_many_kinds_of_wrong_input() -> None:
    assert len(CASES) >= 150
    assert {case.program for case in CASES} == set(PROGRAMS)
    kinds = {case.wrong.split(":")[0] for case in CASES}
    assert kinds >= {"setting", "combination", "class", "folder", "data", "checkpoint", "package"}


BY_COMMAND = ["networks=foo", "data.batch_size=0", "resume=HERE/nowhere"]


@pytest.mark.slow
@pytest.mark.parametrize("given", BY_COMMAND)
def test_a_command_says_the_same(given: str, base: Place, tmp_path: Path) -> None:
    """In a process of its own, where no test catches what is printed."""
    case = next(case for case in CASES if case.program == "train" and case.given == given)
    outcome, place, _ = errors_run.run_case(case, base, tmp_path / "here")
    command = [sys.executable, "-m", "gan_lab.train", *errors_run.arguments(case, place)]
    done = subprocess.run(command, cwd=place.here, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr, done.stdout) == (2, outcome.text, "")
