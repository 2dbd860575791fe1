"""Trainings that are timed: by gan_lab as it is, and the judge that both sides share."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning import Callback
from torch import nn

from gan_lab.data.datamodule import ImageData
from gan_lab.launch import assemble
from gan_lab.launch.benchmarking.handloop import synchronize
from gan_lab.launch.compiling import compile_players
from gan_lab.launch.entry import compose_run
from gan_lab.launch.fit import prepare, quiet_lightning
from gan_lab.launch.trainer import build_trainer
from gan_lab.metrics.features import find_weights, load_extractor
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache
from gan_lab.training.callbacks.crowding import Crowding
from gan_lab.training.callbacks.evaluation import EVALUATION_SEED
from gan_lab.training.callbacks.metrics_csv import MetricsCSV
from gan_lab.training.ema import average_of
from gan_lab.training.loop import WholeFitLoop
from gan_lab.training.module import GAN
from gan_lab.training.sampling import generate_images, labels_like

# What watches the training every so many thousand images is no part of a step.
WATCHING = ["samples", "evaluation", "health"]
QUIET = ["trainer.enable_progress_bar=false", *(f"++callbacks.{name}=null" for name in WATCHING)]


class Clock(Callback):
    """When training began, and the end of every batch, by a clock that never goes back.

    After `steps` batches, where given, the training ends. A GPU works on after a batch has been
    issued, so it is waited for where steps are counted: after the first `warmup`, after the last.
    """

    def __init__(self, steps: int | None = None, warmup: int | None = None) -> None:
        self.steps = steps
        self.awaited = (warmup, steps)
        self.ends: list[float] = []

    def on_train_start(self, *_: Any) -> None:
        self.start = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if len(self.ends) + 1 in self.awaited:
            synchronize(module.device)
        self.ends.append(time.monotonic())
        if len(self.ends) == self.steps:
            trainer.should_stop = True


class FirstStep(Callback):
    """Say when the first batch was done, for whoever started the process to compare."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        print(f"first step at {time.time():.3f}", flush=True)
        trainer.should_stop = True


@dataclass
class Trial:
    """A finished training: its module and the ends of its steps, in seconds from the start."""

    module: GAN
    data: ImageData
    ends: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ends[-1]

    def seconds_per_step(self, warmup: int) -> float:
        return (self.ends[-1] - self.ends[warmup - 1]) / (len(self.ends) - warmup)


def compose(experiment: str, *overrides: str) -> DictConfig:
    """An experiment's config without sample grids, evaluations, health monitor and progress."""
    return compose_run("train", [f"experiment={experiment}", *QUIET, *overrides])[0]


def without_end() -> list[str]:
    """Overrides: no budget, for a training that `steps` ends."""
    return ["trainer.max_epochs=1000000", "trainer.max_time=null"]


def for_seconds(seconds: float) -> list[str]:
    milliseconds = round(1000 * seconds)
    return ["trainer.max_epochs=null", f"trainer.max_time={{milliseconds: {milliseconds}}}"]


def fit(
    config: DictConfig,
    steps: int | None = None,
    networks: tuple[nn.Module, nn.Module] | None = None,
    warmup: int | None = None,
) -> Trial:
    """Train as `gan_lab.train` does, with its loggers and checkpoints, in a folder that goes away.

    Left out: Signals, so that a measurement that is told to stop is lost instead of cut short; the
    files of a run folder that are written once; and what `compose` leaves out.

    The budget is the config's, or so many `steps`, of which the first `warmup` are to be left out;
    `networks` (generator, discriminator) take the place of the config's.
    """
    quiet_lightning()
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Clock(steps, warmup)
        module, data = assemble.build_module(config), assemble.build_data(config)
        if networks is not None:
            module.generator, module.discriminator = networks
            module.generator_ema = average_of(module.generator)
        compile_players(module, config)
        callbacks = [clock, MetricsCSV(), Crowding(), *assemble.build_callbacks(config)]
        writers = assemble.build_loggers(config, folder, None)
        trainer = build_trainer(config, folder, callbacks, logger=writers)
        trainer.fit_loop.__class__ = WholeFitLoop
        prepare(callbacks, config)
        trainer.fit(module, datamodule=data)
    return Trial(module, data, [end - clock.start for end in clock.ends])


class Judge:
    """FID of a generator in the features of the data's own network, the same for every racer.

    A conditional one draws labels in the shares that the training images have.
    """

    def __init__(self, data: ImageData, split: str, num_images: int) -> None:
        data.prepare_data()
        reals = Reals.of(data, split)
        cache = Cache(Path(data.root).expanduser() / "metrics")
        self.real = RealSide(reals, load_extractor(find_weights(data)), cache)
        self.num_images = num_images
        self.labels = labels_like(data.images("train")[1], num_images, EVALUATION_SEED)

    def __call__(self, generator: nn.Module) -> float:
        labels = self.labels if generator.num_classes else None
        images = generate_images(generator, self.num_images, EVALUATION_SEED, labels=labels)
        these = Comparison(self.real.sample(images), self.real, replicates=0)
        return MEASURES["fid"](these).value
