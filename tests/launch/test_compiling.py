"""Compiled players: the same game, the same files, and a word where nothing can be compiled."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch._dynamo.utils import counters

from gan_lab import UserError
from gan_lab.launch import compiling
from gan_lab.objectives.losses import NonSaturating
from gan_lab.objectives.objective import Objective
from gan_lab.training import checkpoint
from tests.conftest import run_generate, run_train, tiny, tiny_config
from tests.test_train import assert_same_runs, resume, state_of, steps_of, stop_at

COMPILER = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"no {COMPILER}, which torch.compile needs on a CPU"
)
RECIPE = ["trainer.log_every_n_steps=1", "penalty.r1.interval=2", "trainer.accelerator=cpu"]


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing compiled before counts, and nothing compiled here is left."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where these tests keep compiled code, and compile alike tensors only once."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield folder


def losses(folder: Path) -> list[list[float]]:
    names = ("discriminator/loss", "discriminator/r1", "generator/loss")
    return [[float(row[name]) for name in names] for row in steps_of(folder)]


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("mode", ["true", "reduce-overhead"])
def test_a_compiled_run_plays_the_same_game(mode: str, fresh, cache, tmp_path: Path) -> None:
    eager, compiled = tmp_path / "eager", tmp_path / "compiled"
    assert run_train(eager, *RECIPE) == 0
    assert counters["stats"]["unique_graphs"] == 0
    assert run_train(compiled, *RECIPE, f"compile={mode}") == 0
    # What is tried, the generator, the discriminator in both players' steps; and nothing twice.
    assert counters["stats"]["unique_graphs"] == 4
    assert not counters["graph_break"]
    found, expected = losses(compiled), losses(eager)
    assert len(found) == 16
    assert found == [[pytest.approx(v, rel=1e-3, abs=1e-5) for v in row] for row in expected]
    assert state_of(compiled)["state_dict"].keys() == state_of(eager)["state_dict"].keys()


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_compiled_run_is_resumed_and_sampled(fresh, cache, tmp_path: Path, monkeypatch) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_train(whole, *RECIPE, "compile=true") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 48)
        assert run_train(parts, *RECIPE, "compile=true") == 143
    torch._dynamo.reset()  # as in another process
    counters.clear()
    assert resume(parts) == 0
    assert counters["stats"]["unique_graphs"] == 4
    assert_same_runs(whole, parts)
    counters.clear()
    output = tmp_path / "images.npz"
    assert run_generate(f"checkpoint={parts}", f"output={output}", "num_images=4") == 0
    assert counters["stats"]["unique_graphs"] == 0


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_critic_with_spectral_norm_stays_as_it_is(fresh, cache, tmp_path: Path, capsys) -> None:
    """Compiled, its second pass would change what the backward pass of the first one needs."""
    spectral = ["networks.discriminator.spectral_norm=true", "penalty=none", "objective=hinge"]
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=3"]
    assert run_train(tmp_path / "run", *spectral, *short, "compile=true") == 0
    assert "compile: the discriminator stays as it is" in capsys.readouterr().err
    assert counters["stats"]["unique_graphs"] == 2


NEWER = ("compile", "memory_format")  # settings that came later than the first runs


@pytest.mark.slow
def test_runs_made_before_there_were_these_settings_go_on(
    finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = OmegaConf.load(run / "config.yaml")
    assert isinstance(config, DictConfig)
    for key in NEWER:
        config.pop(key, None)
    for player in ("generator", "discriminator"):
        config.optimizer[player].fused = True
    OmegaConf.save(config, run / "config.yaml")
    assert resume(run, "trainer.max_epochs=3") == 0
    assert state_of(run)["progress"]["images_seen"] == 384
    assert not set(NEWER) & set(checkpoint.load(run / "checkpoints" / "last.ckpt")["config"])


class Square(nn.Module):
    """D(x) = w x^2 of one pixel."""

    solitary = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.weight * images.flatten(1).square().sum(1)


def test_a_critic_is_never_compiled(fresh) -> None:
    """So that a penalty can differentiate twice: d/dw of (d/dx w x^2)^2 is 8 w x^2."""
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    network = Square()
    network.compile(backend=backend)
    images = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
    logits = Objective(NonSaturating(), {}, nn.Identity()).critic(network, None)(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert not seen
    assert network.weight.grad == 8 * 3 * 4
    network(images.detach())
    assert len(seen) == 1  # it is compiled, for all others


@pytest.mark.parametrize(
    ("flags", "device"),
    [
        (["trainer.accelerator=cpu"], "cpu"),
        (["trainer.accelerator=gpu"], "cuda"),
        (["trainer.accelerator=gpu", "trainer.devices=[1,3]"], "cuda:1"),
    ],
)
def test_the_compiler_is_tried_where_the_run_will_be(flags: list[str], device: str) -> None:
    assert compiling.first_device(tiny_config(*flags).trainer) == device


def test_where_nothing_can_be_compiled_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_, **__):
        raise RuntimeError("\nNo working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(UserError) as told:
        compiling.require_compiler(True, "cpu")
    assert str(told.value) == (
        "compile=true: torch cannot compile for cpu here: No working C++ compiler found; install "
        "a C++ compiler and Python's headers, or use compile=false"
    )
    with pytest.raises(UserError, match=r"^compile=max-autotune: .* for cuda here: .* triton"):
        compiling.require_compiler("max-autotune", "cuda")


@pytest.mark.slow
def test_without_a_compiler_nothing_is_written(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={run}", *tiny("compile=true")]
    own = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    environment = {**os.environ, **own, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: compile=true: torch cannot compile for cpu here")
    assert not run.exists()
