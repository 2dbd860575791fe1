"""What the benchmarks count, keep, bound and call a ratio; whole tasks: tests/test_benchmark.py."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from gan_lab.launch.benchmarking import (
    racers,
    results,
    trials,
)
from gan_lab.launch.benchmarking.costs import Traffic, cost_of, costs
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.results import Results
from tests.conftest import NARROW, TINY, tiny_config

FOREIGN = ("hydra", "omegaconf", "pytorch_lightning", "lightning_fabric", "torchmetrics")


STARTED = f"""
import runpy, sys
import torch
from gan_lab.data import mnist
class Few:
    def __init__(self, root): pass
    def prepare(self): pass
    def load(self, split): return torch.zeros(128, 1, 28, 28, dtype=torch.uint8), None
mnist.MNIST = Few
sys.argv = ["tutorial.py", "1"]
runpy.run_path({str(racers.TUTORIAL)!r}, run_name="__main__")
print("foreign:", sorted(name for name in {FOREIGN} if name in sys.modules))
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process: a fresh one takes seconds to import torch."""
    monkeypatch.setattr(results, "apart", lambda function, *arguments: function(*arguments))


@pytest.mark.parametrize(
    ("arguments", "meant"), [([], (100, 0)), (["1"], (1, 0)), (["2000", "2"], (2000, 2))]
)
def test_the_tutorial_loads_in_its_own_process(arguments: list[str], meant: Any) -> None:
    assert racers.tutorial().counts(arguments) == meant


@pytest.mark.slow
def test_the_tutorial_pays_for_no_imports_of_ours() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True)
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("first step at "), done.stderr
    assert last == "foreign: []"


def test_code_that_changes_is_measured_anew(here: None, tmp_path: Path, monkeypatch) -> None:
    code, folder = tmp_path / "code", tmp_path / "kept"
    (code / "deep").mkdir(parents=True)
    monkeypatch.setattr(results, "SOURCES", {code: "*.py"})
    kept, calls = Results(folder, None, []), []

    def count(overrides: list[str]) -> dict[str, int]:
        calls.append(overrides)
        return {"calls": len(calls)}

    def measured() -> int:
        return int(kept.get("a", {}, count)["calls"])

    assert measured() == measured() == 1
    (code / "deep" / "new.py").write_text("x = 1")
    assert measured() == 2
    (code / "deep" / "new.py").write_text("x = 2")
    assert measured() == 3
    (code / "notes.txt").write_text("of no consequence")
    assert measured() == 3


def test_code_and_settings_are_both_watched() -> None:
    for folder, pattern in results.SOURCES.items():
        assert len(list(folder.rglob(pattern))) > 50


def test_a_batch_costs_the_same_out_of_any_training_set() -> None:
    def traffic(images: int) -> float:
        loop = HandLoop(tiny_config(f"data.source.num_images={images}", "data.holdout=32"))
        loop.step()
        return cost_of(loop).bytes

    assert traffic(1600) == traffic(160)


ROWS = torch.tensor([3, 1, 4, 1, 5])


GATHERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "index_select": lambda source: source.index_select(0, ROWS),
    "index": lambda source: source[ROWS],
    "embedding": lambda source: F.embedding(ROWS, source),
}


@pytest.mark.parametrize("name", GATHERS)
def test_a_gather_moves_what_it_picks(name: str) -> None:
    with Traffic() as traffic:
        GATHERS[name](torch.zeros(1000, 8))
    made = 1000 * 8 * 4  # by zeros itself
    assert traffic.bytes - made == 2 * 5 * 8 * 4 + 5 * 8


@pytest.mark.parametrize(
    ("experiment", "networks"), [("r3gan_mnist", "r3gan"), ("stylegan_mnist", "style")]
)
def test_residual_and_style_networks_are_counted(experiment: str, networks: str) -> None:
    small = [o for o in TINY if "max_epochs" not in o]
    config = trials.compose(experiment, *small, *NARROW[networks], *trials.without_end())
    plain, whole = costs(HandLoop(config))
    assert whole.flops > plain.flops > 0
    assert whole.bytes > plain.bytes > 0
