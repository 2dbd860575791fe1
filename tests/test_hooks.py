"""The checks before a commit, in a scratch repository."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
HOOKS = OmegaConf.load(ROOT / ".pre-commit-config.yaml").repos[0].hooks
TIDY = '"""Nothing."""\n\nNAME = "tidy"\n'


def notebook(counts: list[int | None], kind: str = "stream") -> str:
    """A notebook whose code cells were run with these counts."""
    output = {"output_type": kind, "name": "stdout", "text": ["x"]}
    cell = {"cell_type": "code", "metadata": {}, "source": ["1 + 1"], "outputs": [output]}
    cells = [{**cell, "id": f"cell{i}", "execution_count": n} for i, n in enumerate(counts)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with our hooks, installed as `make hooks` does it."""
    shutil.copytree(ROOT / ".githooks", tmp_path / ".githooks")
    for name in (".pre-commit-config.yaml", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / ".gitignore").write_text(".venv\n__pycache__\n")
    assert git(tmp_path, "init", "-q").returncode == 0
    done = subprocess.run(
        ["make", "-o", ".venv/.ready", "hooks"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def commit(repository: Path, name: str, content: str) -> subprocess.CompletedProcess[str]:
    (repository / name).write_text(content)
    git(repository, "add", name)
    return git(repository, "commit", "-q", "-m", "Try the hooks")


def test_the_hooks_are_local_and_fetch_nothing() -> None:
    assert {hook["language"] for hook in HOOKS} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in HOOKS)


@pytest.mark.parametrize(
    ("name", "content"), [("a.py", TIDY), ("a.ipynb", notebook([1])), ("a.txt", "x" * 1_000_000)]
)
def test_tidy_files_are_committed(repository: Path, name: str, content: str) -> None:
    done = commit(repository, name, content)
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(repository, "status", "--short", name).stdout == ""


BAD = {
    "lint": ("a.py", "import os\n" + TIDY, "F401"),
    "format": ("a.py", TIDY.replace('"tidy"', "'tidy'"), "this failed: format"),
    "not_run": ("a.ipynb", notebook([None]), "did not run once from top to bottom"),
    "out_of_order": ("a.ipynb", notebook([2, 1]), "did not run once from top to bottom"),
    "an_error": ("a.ipynb", notebook([1], "error"), "a cell ended with an error"),
    "no_notebook": ("a.ipynb", "{}", "no notebook of format 4"),
    "large": ("a.txt", "x" * 1_000_001, "1,000,001 bytes, more than 1,000,000"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.slow
def test_bad_files_are_not(case: str, repository: Path) -> None:
    name, content, message = BAD[case]
    done = commit(repository, name, content)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
    assert git(repository, "log").returncode != 0  # there is no commit yet


def test_what_is_not_staged_does_not_matter(repository: Path) -> None:
    (repository / "bad.py").write_text("import os\n")
    assert commit(repository, "a.py", TIDY).returncode == 0
