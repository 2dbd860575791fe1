"""Type checks against signatures, names of jobs, help, and start-up that imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.errors import MissingConfigException

from gan_lab import UserError
from gan_lab.launch import messages
from gan_lab.launch.entry import CONF
from gan_lab.launch.resolvers import default_epochs, job_name, plain
from gan_lab.launch.runs import seconds, size
from gan_lab.launch.schema import conform, describe

PACKAGE = Path(__file__).parents[2] / "gan_lab"
PROGRAMS = sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, 1.0),
        (32, Any, 32),
        (1, int | float, 1),
        ([0, 0.99], tuple[float, float], [0.0, 0.99]),
        (None, float | None, None),
        ("batch", Literal["batch", "none"], "batch"),
        ([1, 2], list[int], [1, 2]),
    ],
)
def test_values_that_fit(value, hint, expected) -> None:
    result = conform(value, hint, "key")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (True, int, "key=True is not a whole number"),
        (1.5, int, "key=1.5 is not a whole number"),
        ("1", float | None, "key='1' is not a number or null"),
        (None, int, "key=None is not a whole number"),
        ("x", Literal["a", "b"], "key='x' is not one of a, b"),
        ([1], tuple[float, float], "is not a list of a number, a number"),
        (3, list[int], "key=3 is not a list of a whole number values"),
        (1, bool, "key=1 is not true or false"),
    ],
)
def test_values_that_do_not(value, hint, words: str) -> None:
    with pytest.raises(UserError) as caught:
        conform(value, hint, "key")
    assert words in str(caught.value)


def test_describe_leaves_out_what_cannot_be_typed() -> None:
    assert describe(float | Path) == "a number"


def test_job_names_say_what_varies_in_plain_letters() -> None:
    overrides = ["data=fake", "optimizer.generator.lr=1e-4", "+a.betas=[0.5, 0.9]"]
    assert job_name(overrides, ["optimizer.generator.lr"]) == "generator.lr_1e-4"
    assert job_name(overrides, ["data", "a.betas"]) == "data_fake-a.betas_0.5-0.9"
    assert job_name(overrides, []) == "job"
    assert job_name(["lr=0.00025"], ["lr"]) == "lr_2.5e-4"
    assert plain("x=(1, 2)/y") == "x-1-2-y"


def test_default_epochs_fall_away_beside_a_time() -> None:
    assert default_epochs(15, None) == 15
    assert default_epochs(15, "00:00:05:00") is None


def test_budgets() -> None:
    assert seconds("01:02:03:04") == 86400 + 2 * 3600 + 3 * 60 + 4
    assert size("00:00:05:00") == 300
    assert size(3) == 3
    assert size(None) == float("inf")


def test_a_missing_launcher_names_what_installs_it() -> None:
    error = MissingConfigException("", "hydra/launcher/joblib", ["basic"])
    assert messages.explain(error, CONF) == (
        "hydra/launcher=joblib is not an option; use one of: basic, or python -m pip "
        "install 'gan_lab[sweeps]'"
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_help_says_what_it_does_with_two_examples(program: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']; import gan_lab.{program} as p; p.main();"
        "heavy = {'torch', 'pytorch_lightning', 'torchvision', 'tensorboard'} & set(sys.modules);"
        "sys.exit(f'help imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"python -m gan_lab.{program}") >= 2


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_cfg_job_imports_nothing_heavy(program: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--cfg', 'job']; import gan_lab.{program} as p\n"
        "try: p.main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'pytorch_lightning', 'torchvision', 'tensorboard'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_installed_and_has_a_config(program: str) -> None:
    text = (PACKAGE.parent / "pyproject.toml").read_text()
    assert f'gan-{program.replace("_", "-")} = "gan_lab.{program}:main"' in text
    assert (CONF / f"{program}.yaml").is_file()


def test_programs_are_short() -> None:
    for program in PROGRAMS:
        functions = [
            node
            for node in ast.walk(ast.parse((PACKAGE / f"{program}.py").read_text()))
            if isinstance(node, ast.FunctionDef)
        ]
        assert max((f.end_lineno or 0) - f.lineno for f in functions) < 60
