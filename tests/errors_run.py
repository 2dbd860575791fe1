"""Run the wrong inputs of tests/errors_table.py, and write down what is said about each.

`python -m tests.errors_run` writes docs/errors.md.
"""

import contextlib
import importlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from tests.errors_files import Place
from tests.errors_table import CASES, PROGRAMS, Case

DOCUMENT = Path(__file__).parents[1] / "docs" / "errors.md"


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what it wrote to stderr."""

    status: int
    text: str


def attempt(case: Case, place: Place) -> Outcome:
    """Run the case's program in this process as its `main` is run."""
    main = importlib.import_module(f"gan_lab.{case.program}").main
    errors = io.StringIO()
    with (
        missing(case.lacks),
        contextlib.chdir(place.here),
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        command(f"gan-{case.program}", *arguments(case, place)),
    ):
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return Outcome(status, errors.getvalue())


def arguments(case: Case, place: Place) -> list[str]:
    given = case.given
    for name in ("HERE", "RUN", "IMAGES", "ROOT"):
        given = given.replace(name, str(getattr(place, {"ROOT": "root"}.get(name, name.lower()))))
    own = given.split()
    if case.program != "train":
        return own
    keys = {argument.split("=")[0] for argument in own}
    tiny = ["trainer.max_epochs=2", "trainer.precision=32-true"]
    tiny += ["trainer.enable_progress_bar=false"]
    if "data" not in keys:
        tiny += ["data=fake", "data.source.num_images=160", "data.holdout=32", "data.batch_size=16"]
    if "resume" not in keys:
        tiny += [f"hydra.run.dir={place.here / 'run'}"]
    return own if "resume" in keys else [*(t for t in tiny if t.split("=")[0] not in keys), *own]


@contextlib.contextmanager
def command(*words: str) -> Iterator[None]:
    before, sys.argv = sys.argv, list(words)
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def missing(packages: tuple[str, ...]) -> Iterator[None]:
    """As if the packages were not installed."""
    before = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, every folder; but for locks, and folders that hold only one."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        inside = [child.name for child in path.iterdir()] if path.is_dir() else []
        if path.name != ".lock" and inside != [".lock"]:
            found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else None
    return found


def plain(text: str, place: Place) -> str:
    """A message without what differs from machine to machine."""
    for path, name in ((place.here, "HERE"), (place.run, "RUN"), (place.images, "IMAGES")):
        text = text.replace(str(path), name)
    return text.replace(str(place.root), "ROOT").removeprefix("error: ").strip()


def make_place(folder: Path) -> Place:
    """A finished run, its images, and data with an (untrained) feature network."""
    from gan_lab.launch import assemble
    from gan_lab.metrics.features import FeatureNet, find_weights, save_extractor
    from tests.conftest import run_generate, run_train, tiny_config

    root = folder / "root"
    torch.manual_seed(0)
    source = assemble.build_data(tiny_config(f"data.root={root}"))
    save_extractor(FeatureNet().eval(), find_weights(source), {"image_shape": [1, 28, 28]})
    with contextlib.redirect_stdout(io.StringIO()):
        assert run_train(folder / "finished", "callbacks.evaluation=null") == 0
        given = [f"checkpoint={folder / 'finished'}", f"output={folder / 'images.npz'}"]
        assert run_generate(*given, "num_images=40") == 0
    return Place(folder / "here", folder / "finished", folder / "images.npz", root)


def run_case(case: Case, base: Place, here: Path) -> tuple[Outcome, Place, bool]:
    """How it ended, where it ran, and whether all files are as before."""
    place = Place(here, base.run, base.images, base.root)
    here.mkdir(parents=True)
    if case.make is not None:
        case.make(place)
    before = tree(here), tree(base.run), tree(base.root)
    outcome = attempt(case, place)
    return outcome, place, before == (tree(here), tree(base.run), tree(base.root))


HEAD = """# What is said about wrong input

{count} wrong inputs. Made by `python -m tests.errors_run`, which runs every line and writes what
it got; `tests/test_errors.py` holds the programs to it: the exit status, one message, no traceback,
no file written or changed (but for `.lock` files, which keep two processes apart). HERE is the
folder of the case, RUN a finished run, IMAGES the images that it generated, ROOT a folder for data.

Made with {libraries}.
"""


def libraries() -> str:
    """Those whose words are in some of the messages."""
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "hydra-core", "numpy")]
    return ", ".join([f"Python {sys.version_info[0]}.{sys.version_info[1]}", *versions])


def same_libraries() -> bool:
    return f"Made with {libraries()}." in DOCUMENT.read_text()


def document(messages: dict[str, str]) -> str:
    """docs/errors.md from the messages, by the cases' names."""
    lines = [HEAD.format(count=len(CASES), libraries=libraries())]
    for program in PROGRAMS:
        lines += [f"## {program}", "", "| wrong | given | status and message |", "|---|---|---|"]
        for case in (case for case in CASES if case.program == program):
            lines.append(row(case, messages[case.name]))
        lines.append("")
    return "\n".join(lines)


def row(case: Case, message: str) -> str:
    cells = [case.wrong, f"`{case.given}`" if case.given else "nothing", message]
    escaped = [cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells]
    return f"| {escaped[0]} | {escaped[1]} | {case.status}: {escaped[2]} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = make_place(Path(folder) / "base")
        messages = {}
        for number, case in enumerate(CASES):
            here = Path(folder) / str(number)
            outcome, place, same = run_case(case, base, here)
            messages[case.name] = plain(outcome.text, place)
            faulty = outcome.status != case.status or not same
            if faulty or not all(part in messages[case.name] for part in case.says):
                print(f"FAULT {case.name}\n  {outcome.status} {same} {messages[case.name]}")
            shutil.rmtree(here)
    DOCUMENT.write_text(document(messages))
    print(f"wrote {DOCUMENT}: {len(messages)} wrong inputs")


if __name__ == "__main__":
    main()
