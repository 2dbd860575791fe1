"""What the benchmarks count, keep, bound and call a ratio; whole tasks: tests/test_benchmark.py."""

import subprocess
import sys
from typing import Any

import pytest

from gan_lab.launch.benchmarking import (
    racers,
)

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
