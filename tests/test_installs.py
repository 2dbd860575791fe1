"""A checkout, an editable install and a wheel run every program; each in an environment of its own.

The heavy packages are borrowed from the environment that runs the tests, so this takes seconds.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import tiny

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(path.stem for path in (ROOT / "gan_lab").glob("[a-z]*.py"))
BIN = "Scripts" if os.name == "nt" else "bin"
KINDS = ["checkout", "editable", "wheel"]
Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.timeout(1800)


def script(program: str) -> str:
    return f"gan-{program.replace('_', '-')}"


def test_every_room_is_packaged() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {path.parent for path in (ROOT / "gan_lab").rglob("__init__.py")}
    assert set(listed) == {".".join(r.relative_to(ROOT).parts) for r in rooms} | {"gan_lab.conf"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("networks=", "networks=dcgan"), ("optimizer.generator.l", "optimizer.generator.lr=")],
)
def test_the_shell_completes(typed: str, offered: str) -> None:
    line = f"gan-train {typed}"
    done = subprocess.run(
        [sys.executable, "-m", "gan_lab.train", "-sc", "query=bash"],
        env=os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert offered in done.stdout.split(), done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp("source") / "gan_lab"
    for folder in ("gan_lab", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, copy)
    return copy


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def isolation() -> list[str]:
    """Build with the setuptools that is here, or let pip fetch one where it is too old."""
    try:
        recent = int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        recent = False
    return ["--no-build-isolation"] if recent else []


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", *isolation(), "-w", str(folder), str(source))
    return next(folder.glob("*.whl"))


def make_environment(folder: Path) -> Path:
    """An empty environment that sees the packages of this one; return its Python."""
    venv.create(folder, with_pip=False)
    python = folder / BIN / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", purelib], capture_output=True, text=True, check=True)
    # A path that is added so runs no .pth files of its own: an editable gan_lab stays behind.
    (Path(own.stdout.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program of one kind of install; from another folder, where it is installed."""
    kind, source = request.param, request.getfixturevalue("source")
    python = make_environment(tmp_path_factory.mktemp(kind) / "env")
    if kind != "checkout":
        what = [str(request.getfixturevalue("wheel"))] if kind == "wheel" else ["-e", str(source)]
        build = [] if kind == "wheel" else isolation()
        into = ["--python", str(python), "install", "--quiet", "--no-deps", "--ignore-installed"]
        pip(*into, *build, *what)
    place = source if kind == "checkout" else tmp_path_factory.mktemp("elsewhere")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", f"gan_lab.{program}"]
        if kind != "checkout" and program in PROGRAMS:
            command = [str(python.parent / script(program))]
        if program == "-c":
            command = [str(python), "-c"]
        return subprocess.run(
            [*command, *arguments],
            cwd=place,
            env=kept | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=900,  # the first import of torch from a cold disk takes minutes
        )

    here = Path(call("-c", "import gan_lab; print(gan_lab.__file__)").stdout.strip())
    assert here.is_relative_to(python.parents[1] if kind == "wheel" else source)
    return call


@pytest.mark.slow
def test_the_wheel_holds_all_files(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gan_lab").rglob("*.py")}
    conf = {f"gan_lab/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    weights = (ROOT / "gan_lab" / "metrics" / "weights").iterdir()
    files = code | conf | {path.relative_to(ROOT).as_posix() for path in weights}
    assert files == {name for name in inside if ".dist-info/" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_starts(run: Run, program: str) -> None:
    helped = run(program, "--help")
    assert helped.returncode == 0, helped.stderr
    assert f"python -m gan_lab.{program}" in helped.stdout
    printed = run(program, "--cfg", "job")
    assert printed.returncode == 0, printed.stderr


@pytest.mark.slow
def test_a_run_and_its_images(run: Run, tmp_path: Path) -> None:
    trained = run("train", f"hydra.run.dir={tmp_path / 'run'}", *tiny("trainer.max_epochs=1"))
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    drawn = run("generate", f"checkpoint={tmp_path / 'run'}", f"output={tmp_path / 'x.npz'}")
    assert drawn.returncode == 0, drawn.stderr
    assert np.load(tmp_path / "x.npz")["images"].shape == (64, 28, 28, 1)
