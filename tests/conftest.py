"""Tiny runs for all tests: synthetic data, narrow networks, one thread."""

import atexit
import copy
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Real data may be used where they are; what tests write goes elsewhere. Workers inherit both.
os.environ.setdefault(
    "GAN_LAB_REAL_DATA", os.environ.get("GAN_LAB_DATA", str(Path.home() / ".cache" / "gan_lab"))
)
os.environ["GAN_LAB_DATA"] = tempfile.mkdtemp(prefix="gan_lab_tests_")

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from gan_lab.generate import generate
from gan_lab.launch.entry import compose_run, guarded
from gan_lab.train import train

torch.set_num_threads(1)
atexit.register(shutil.rmtree, os.environ["GAN_LAB_DATA"], ignore_errors=True)
REAL_DATA = os.environ["GAN_LAB_REAL_DATA"]

TINY = [
    "data=fake",
    "data.source.num_images=160",
    "data.holdout=32",
    "data.batch_size=16",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
]
NARROW = {
    "dcgan": ["networks.generator.width=4", "networks.discriminator.width=4"],
    "r3gan": ["networks.generator.width=8", "networks.discriminator.width=8"],
    "style": ["networks.generator.width=4", "networks.discriminator.width=4"],
    "mlp": ["networks.generator.hidden=[16]", "networks.discriminator.hidden=[16]"],
}


def sampled(items: Iterable[Any], every: int) -> list[Any]:
    """Parameters of a long table: one in `every` is fast, the others wait for the slow tests."""
    return [
        pytest.param(item, marks=[pytest.mark.slow] if place % every else [])
        for place, item in enumerate(items)
    ]


def tiny(*overrides: str, networks: str = "dcgan") -> list[str]:
    """Overrides of a run that takes a second: 8 batches of 16 an epoch, 2 epochs."""
    return [*TINY, f"networks={networks}", *NARROW.get(networks, []), *overrides]


def tiny_config(*overrides: str, networks: str = "dcgan"):
    """A copy, as a test may change it: many ask for the same, and composing takes 0.1 s."""
    return copy.deepcopy(composed(*tiny(*overrides, networks=networks)))


@cache
def composed(*overrides: str):
    return compose_run("train", list(overrides))[0]


def run_train(folder: Path, *overrides: str) -> int:
    """Train in this process; return the exit status."""
    return guarded("train", train, [f"hydra.run.dir={folder}", *tiny(*overrides)])


def run_generate(*overrides: str) -> int:
    return guarded("generate", generate, list(overrides))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished tiny run, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert run_train(folder) == 0
    return folder


@pytest.fixture
def status_and_message(capsys: pytest.CaptureFixture) -> Callable:
    """Call a program and return its exit status and what it wrote to stderr."""

    def call(function: Callable[..., int], *arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = function(*arguments)
        return status, capsys.readouterr().err

    return call
