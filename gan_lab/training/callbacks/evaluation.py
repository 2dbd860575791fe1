"""Measure the averaged generator during training, and keep the best checkpoint by one metric."""

import json
import math
import time
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.card import to_json
from gan_lab.metrics.features import FeatureNet, find_weights, load_extractor
from gan_lab.metrics.fidelity import smallest_subset
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.modes import KnownModes, known_modes
from gan_lab.metrics.protocol import CONFIRMED, confirm
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache, write_atomically
from gan_lab.training import storage
from gan_lab.training.callbacks.checkpoints import stopped_by_signal
from gan_lab.training.measures import emit
from gan_lab.training.module import GAN
from gan_lab.training.sampling import generate_images, labels_like

LOWER_IS_BETTER = {"fid", "fid_infinity", "kid", "class_kl", "near_copies", "mode_kl"}
LOWER_IS_BETTER |= {"mode_misses"}
EVALUATION_SEED = 2**31  # its latents are not those of the sample grids


class Evaluation(Callback):
    """Every `every` images and at the end, compare generated images with the validation part.

    Where the data's modes are known, these are counted, not `metrics`, and the monitor is
    `mode_misses` for points (modes not found plus the share of samples off all modes, so that a
    mode outweighs any quality) and `mode_kl` for stacked digits. The best value of the monitor is
    what `train` returns to a sweep and `result.json` calls `metric`; 0 is the best for either.
    Draws its latents from a generator of its own, so that a run trains the same with and without.

    Args:
        metrics: names of metrics (gan_lab.metrics.measures) to log as `val/NAME`.
        monitor: the one of them that decides what is best.
        num_images: generated images of one evaluation; FID falls with it, so keep it to compare.
        every: images seen between two evaluations; 250,000 cost a DCGAN less than 5 % of its time.
    """

    def __init__(
        self,
        metrics: list[str],
        monitor: str = "fid",
        num_images: int = 5_000,
        every: int = 250_000,
    ) -> None:
        unknown = sorted(set(metrics) - MEASURES.keys())
        if unknown:
            raise UserError(f"callbacks.evaluation.metrics={unknown} must be of {sorted(MEASURES)}")
        if monitor not in metrics:
            raise UserError(f"callbacks.evaluation.monitor={monitor} must be one of {metrics}")
        if num_images < 10 or every < 1:
            raise UserError(
                f"callbacks.evaluation: num_images={num_images} must be at least 10 and "
                f"every={every} at least 1"
            )
        least = smallest_subset(num_images, FeatureNet.num_features)
        if "fid_infinity" in metrics and num_images <= least:
            raise UserError(
                f"callbacks.evaluation.num_images={num_images} must be above {least} for "
                "fid_infinity; raise it, or leave fid_infinity out of callbacks.evaluation.metrics"
            )
        self.metrics = metrics
        self.monitor = monitor
        self.num_images = num_images
        self.every = every
        self.real: RealSide | None = None
        self.known: KnownModes | None = None
        self.best: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.measured_at = -1  # on every rank, so that all of them ask or none
        self.seconds = 0.0  # that evaluations have taken, their checkpoints included

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        if trainer.is_global_zero:
            self.real = self.prepare(trainer.datamodule)  # type: ignore[attr-defined]
            self.announce(trainer)

    def announce(self, trainer: Trainer) -> None:
        """Tell loggers that have a table of runs what will be measured, the monitor first."""
        known = self.known.names if self.known else self.metrics if self.real else ()
        names = [f"val/{name}" for name in dict.fromkeys([self.monitor, *known])] if known else []
        for logger in trainer.loggers:
            if hasattr(logger, "expect"):
                logger.expect(names)

    def prepare(self, data: Any) -> RealSide | None:
        """The validation images and the network that measures; None where it has to do without.

        That is said, unless the data's modes are known.
        """
        try:
            self.known = known_modes(data)
            if self.known is not None:
                self.monitor = self.known.monitor
                return None
            if data.holdout < 10:
                raise UserError(f"data.holdout={data.holdout} leaves too few validation images")
            extractor = load_extractor(find_weights(data))
        except UserError as error:
            print(f"not evaluated during training: {error}")
            return None
        cache = Path(data.root).expanduser() / "metrics"
        return RealSide(Reals.of(data, "validation"), extractor, Cache(cache))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        images = pl_module.images_seen
        self.due = (images // self.every + 1) * self.every
        record = read_best(self.folder)
        # What lies beyond our checkpoint will be measured again, with the same result.
        known = self.monitor in record and 0 < record.get("images_seen", 0) <= images
        self.best = record if known else {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if pl_module.images_seen >= self.due:
            self.due = (pl_module.images_seen // self.every + 1) * self.every
            self.evaluate(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.measured_at != pl_module.images_seen and not stopped_by_signal(trainer):
            self.evaluate(trainer, pl_module)

    def evaluate(self, trainer: Trainer, module: GAN) -> None:
        """Measure on rank 0, tell all ranks whether it is the best, save it if so."""
        better, self.measured_at, started = False, module.images_seen, time.monotonic()
        if self.real is not None or self.known is not None:
            values = self.measure(module)
            self.last = {"images_seen": module.images_seen, **values}
            better = not self.best or improves(self.monitor, self.last, self.best)
            emit(module, {f"val/{name}": value for name, value in values.items()})
        if trainer.strategy.broadcast(better):
            self.keep(trainer)
        self.seconds += time.monotonic() - started

    def keep(self, trainer: Trainer) -> None:
        """Save best.ckpt; where the disk refuses, the best so far is still the one before."""
        path = self.folder / "best.ckpt"
        trainer.save_checkpoint(path)
        if trainer.strategy.broadcast(str(path) not in storage.failing):
            self.best = self.last
            if trainer.is_global_zero:
                write_best(self.folder, self.best)

    def measure(self, module: GAN) -> dict[str, float]:
        """Metric -> value of the averaged generator against the validation part, or its modes.

        What cannot be computed of these very images is nan: it must not end a run.
        """
        labels = self.labels_for(module)
        images = generate_images(
            module.generator_ema, self.num_images, EVALUATION_SEED, labels=labels
        )
        if self.known is not None:
            return self.known.measure(images)
        assert self.real is not None
        these = Comparison(self.real.sample(images), self.real, replicates=0)
        values = {name: value_or_nan(name, these) for name in self.metrics}
        if labels is not None and "classes" in self.real.extractor.gives:
            values[CONFIRMED] = confirm(labels, these)["value"]
        return values

    def labels_for(self, module: GAN) -> Tensor | None:
        """Labels in the shares of the training data, for a generator that knows classes."""
        if not cast(int, module.generator.num_classes):
            return None
        train = module.trainer.datamodule.images("train")[1]  # type: ignore[attr-defined]
        return labels_like(train, self.num_images, EVALUATION_SEED)


def value_or_nan(name: str, these: Comparison) -> float:
    try:
        return MEASURES[name](these).value
    except UserError:
        return math.nan


def improves(monitor: str, new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether `new` is better than `old` by one metric; any number is better than nan."""
    value, bar = new[monitor], old[monitor]
    if math.isnan(value) or math.isnan(bar):
        return math.isnan(bar) and not math.isnan(value)
    return bool(value < bar if monitor in LOWER_IS_BETTER else value > bar)


def read_best(folder: Path) -> dict[str, Any]:
    """What best.ckpt scored; empty where there is none yet."""
    try:
        record = dict(json.loads((folder / "best.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}
    return {name: math.nan if value is None else value for name, value in record.items()}


def write_best(folder: Path, record: dict[str, Any]) -> None:
    """Keep what best.ckpt scored beside it; JSON has no nan, so that becomes null."""
    write_atomically(folder / "best.json", to_json(record).encode(), parents=False)
