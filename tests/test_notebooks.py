"""The course: every notebook runs in seconds on made-up data, and carries its pictures."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MAX_BYTES = 1_000_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def test_it_is_committed_with_pictures_and_without_errors(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert path.stat().st_size < MAX_BYTES


def test_it_was_run_with_the_full_budget(path: Path) -> None:
    text = path.read_text()
    assert "GAN_LAB_NOTEBOOK_BUDGET" in text
    assert "data=fake " not in "".join(
        line
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", [])
        for line in output.get("text", [])
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_it_runs_with_a_tiny_budget(path: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_LAB_NOTEBOOK_BUDGET", "tiny")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # The kernel starts elsewhere, so that what a notebook writes does not stay.
    root = str(path.parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    pictures = [
        o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    assert pictures
