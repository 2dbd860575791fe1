"""The walk-through of docs/extending.md, done as it says in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```\n", re.DOTALL)
FILES = dict(BLOCK.findall(TEXT))
RUN = ["networks=tiny", "objective=squared_hinge", "data=stripes"]
SHORT = ["trainer.limit_train_batches=2", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the files of the walk-through, and nothing else changed."""
    folder = tmp_path_factory.mktemp("scratch")
    for name in ("gan_lab", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in FILES.items():
        assert not (folder / name).exists(), f"{name} is there already"
        (folder / name).write_text(content)
    return folder


def test_every_block_names_its_file() -> None:
    assert len(FILES) == len(re.findall(r"^```\w+$", TEXT, re.MULTILINE)) == 6


def test_each_addition_is_one_python_file_and_one_yaml() -> None:
    for room, group in (("networks", "networks"), ("objectives", "objective"), ("data", "data")):
        added = [name for name in FILES if Path(name).parts[1] in (room, group)]
        assert sorted(Path(name).suffix for name in added) == [".py", ".yaml"]


@pytest.mark.slow
def test_the_walk_through_trains(scratch: Path) -> None:
    command = [sys.executable, "-m", "gan_lab.train", *RUN, *SHORT, "hydra.run.dir=run"]
    environment = {**os.environ, "PYTHONPATH": str(scratch), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    config = (scratch / "run" / "config.yaml").read_text()
    for target in ("tiny.Generator", "tiny.Discriminator", "SquaredHinge", "Stripes"):
        assert target in config


def test_the_files_are_in_our_style(scratch: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(ROOT / "pyproject.toml"), *[n for n in FILES if n.endswith(".py")]]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *command, *settings], cwd=scratch, capture_output=True)
        assert done.returncode == 0, done.stdout.decode()
