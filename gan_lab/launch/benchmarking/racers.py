"""The racers of the speedrun, each run in a process of its own: experiments and the tutorial."""

import hashlib
import importlib.util
import itertools
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.launch import assemble, hardware
from gan_lab.launch.benchmarking.costs import device
from gan_lab.launch.benchmarking.results import Figures
from gan_lab.launch.benchmarking.trials import Judge, compose, fit, for_seconds, without_end
from gan_lab.launch.entry import CONF
from gan_lab.training.measures import Diverged

TUTORIAL = CONF.parent / "benchmarks" / "tutorial.py"
WARMUP = 20  # steps that a rate leaves out
DEFAULT = "dcgan_mnist"


def tutorial() -> Any:
    """The module benchmarks/tutorial.py, which is no part of an installed package."""
    if not TUTORIAL.is_file():
        raise UserError(
            "the tutorial-style loop (benchmarks/tutorial.py) is only in a checkout; run the "
            "benchmark there, or leave it out by speedrun.tutorial=[] speedrun.mark_at=[]"
        )
    spec = importlib.util.spec_from_file_location("tutorial", TUTORIAL)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tutorial_hash() -> str:
    return hashlib.sha256(TUTORIAL.read_bytes()).hexdigest()[:16]


class FromNormal(nn.Module):
    """Feed uniform latents to the tutorial's generator where normal ones come in: z -> 2 F(z) - 1.

    F is the normal distribution function, so that one sampler serves every racer.
    """

    num_classes = 0

    def __init__(self, generator: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.generator = generator
        self.latent_dim = latent_dim

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(2 * torch.special.ndtr(latents) - 1)


class Logits(nn.Module):
    """The tutorial's discriminator without its sigmoid, as our losses want it."""

    def __init__(self, discriminator: Any) -> None:
        super().__init__()
        self.layers = discriminator.layers

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(images).squeeze(1)


def race(
    name: str, seconds: float, seed: int, judged: dict[str, Any], overrides: list[str]
) -> Figures:
    """Train an experiment for so many seconds, then measure its averaged generator."""
    config = compose(name, *overrides, f"seed={seed}", *for_seconds(seconds))
    try:
        trial = fit(config)
    except Diverged:
        return {"budget": seconds, "seconds": seconds, "images": 0, "fid": None}
    fid = Judge(trial.data, **judged)(trial.module.generator_ema)
    images = trial.module.images_seen
    return {"budget": seconds, "seconds": trial.seconds, "images": images, "fid": fid}


def race_tutorial(
    times: list[float], seed: int, judged: dict[str, Any], overrides: list[str]
) -> Figures:
    """One run of the tutorial's loop, its generator as it was at each of these seconds."""
    module = tutorial()
    hardware.forget_nvml()  # a tutorial's process has no Lightning in it that slows its optimizers
    data = assemble.build_data(compose(DEFAULT, *overrides))
    data.prepare_data()
    torch.manual_seed(seed)
    networks = module.Generator().to(device()), module.Discriminator().to(device())
    generator, steps = networks[0], module.steps(*networks, data.images("train")[0])
    kept = snapshots(steps, generator, times)
    judge, judged_as = Judge(data, **judged), FromNormal(generator, module.LATENT_DIM)
    points = []
    for point, weights in kept:
        generator.load_state_dict(weights)
        points.append({**point, "fid": judge(judged_as)})
    return {"points": points}


def snapshots(
    steps: Iterator[int], generator: nn.Module, times: Sequence[float]
) -> list[tuple[Figures, dict[str, Tensor]]]:
    """Train through `times`, in seconds of steps alone; what was seen then, and the weights.

    Nothing is measured on the way: an evaluation between two steps would empty the caches that
    the next one finds full in a run that no one watches.
    """
    seconds, images, kept = 0.0, 0, []
    for target in times:
        while seconds < target:
            start = time.monotonic()
            images += next(steps)
            seconds += time.monotonic() - start
        weights = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
        kept.append(({"budget": target, "seconds": seconds, "images": images}, weights))
    return kept


def rates(steps: int, seed: int, overrides: list[str]) -> Figures:
    """Images per second of the tutorial's networks at its batch, by its loop and by gan_lab."""
    module = tutorial()
    hardware.forget_nvml()
    batch_size = [f"data.batch_size={module.BATCH_SIZE}", "penalty=none", f"seed={seed}"]
    config = compose(DEFAULT, *overrides, *batch_size, *without_end())
    data = assemble.build_data(config)
    data.prepare_data()
    theirs = module.Generator().to(device()), module.Discriminator().to(device())
    loop = module.steps(*theirs, data.images("train")[0])
    for _ in itertools.islice(loop, WARMUP):
        pass
    start = time.monotonic()
    seen = sum(itertools.islice(loop, steps))
    rate = seen / (time.monotonic() - start)
    networks = FromNormal(module.Generator(), module.LATENT_DIM), Logits(module.Discriminator())
    last = [network.to(memory_format=torch.channels_last) for network in networks]
    trial = fit(config, WARMUP + steps, (last[0], last[1]), WARMUP)
    return {"gan_lab": module.BATCH_SIZE / trial.seconds_per_step(WARMUP), "tutorial": rate}
