"""Measure the averaged generator during training, and keep the best checkpoint by one metric."""

import json
import math
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from gan_lab import UserError
from gan_lab.metrics.features import find_weights, load_extractor
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.modes import KnownModes, known_modes
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache
from gan_lab.training.callbacks.checkpoints import stopped_by_signal
from gan_lab.training.measures import emit
from gan_lab.training.module import GAN
from gan_lab.training.sampling import generate_images

LOWER_IS_BETTER = {"fid", "fid_infinity", "kid", "class_kl", "near_copies", "mode_kl"}
EVALUATION_SEED = 2**31  # its latents are not those of the sample grids


class Evaluation(Callback):
    """Every `every` images and at the end, compare generated images with the validation part.

    Where the data's modes are known (points, stacked digits), these are counted, not `metrics`.
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
        self.metrics = metrics
        self.monitor = monitor
        self.num_images = num_images
        self.every = every
        self.real: RealSide | None = None
        self.known: KnownModes | None = None
        self.best: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.measured_at = -1  # on every rank, so that all of them ask or none

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        if trainer.is_global_zero:
            self.real = self.prepare(trainer.datamodule)  # type: ignore[attr-defined]

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
        self.best = record if 0 < record.get("images_seen", 0) <= images else {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if pl_module.images_seen >= self.due:
            self.due = (pl_module.images_seen // self.every + 1) * self.every
            self.evaluate(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.measured_at != pl_module.images_seen and not stopped_by_signal(trainer):
            self.evaluate(trainer, pl_module)

    def evaluate(self, trainer: Trainer, module: GAN) -> None:
        """Measure on rank 0, tell all ranks whether it is the best, save it if so."""
        better, self.measured_at = False, module.images_seen
        if self.real is not None or self.known is not None:
            values = self.measure(module)
            self.last = {"images_seen": module.images_seen, **values}
            better = not self.best or improves(self.monitor, self.last, self.best)
            emit(module, {f"val/{name}": value for name, value in values.items()})
        if trainer.strategy.broadcast(better):
            trainer.save_checkpoint(self.folder / "best.ckpt")
            self.best = self.last
            if trainer.is_global_zero:
                write_best(self.folder, self.best)

    def measure(self, module: GAN) -> dict[str, float]:
        """Metric -> value of the averaged generator against the validation part, or its modes."""
        images = generate_images(module.generator_ema, self.num_images, EVALUATION_SEED)
        if self.known is not None:
            return self.known.measure(images)
        assert self.real is not None
        these = Comparison(self.real.sample(images), self.real, replicates=0)
        return {name: MEASURES[name](these).value for name in self.metrics}


def improves(monitor: str, new: dict[str, Any], old: dict[str, Any]) -> bool:
    if monitor in LOWER_IS_BETTER:
        # KL is nan while no sample is near a mode; anything is better than that.
        return bool(new[monitor] < old[monitor] or math.isnan(old[monitor]))
    return bool(new[monitor] > old[monitor])


def read_best(folder: Path) -> dict[str, Any]:
    """What best.ckpt scored; empty where there is none yet."""
    try:
        return dict(json.loads((folder / "best.json").read_text()))
    except (OSError, ValueError):
        return {}


def write_best(folder: Path, record: dict[str, Any]) -> None:
    partial = folder / ".best.json"
    partial.write_text(json.dumps(record, indent=2) + "\n")
    partial.replace(folder / "best.json")
