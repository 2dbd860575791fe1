"""What a training step tells about itself, computed only in steps that are logged."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gan_lab import RunError
from gan_lab.objectives.losses import centred
from gan_lab.objectives.objective import Loss

if TYPE_CHECKING:
    from gan_lab.training.module import GAN


class Diverged(RunError):
    """A loss or a gradient is not a number any more."""


@torch.no_grad()
def of_logits(loss: Loss, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Belief, logits and accuracy of the discriminator on the batch it was just trained on."""
    level_real, level_fake = centred(loss, real.float(), fake.float())
    return {
        "discriminator/real": loss.probability(level_real).mean(),
        "discriminator/fake": loss.probability(level_fake).mean(),
        "discriminator/logit_real": real.float().mean(),
        "discriminator/logit_fake": fake.float().mean(),
        "discriminator/accuracy_real": (level_real > loss.threshold).float().mean(),
        "discriminator/accuracy_fake": (level_fake < loss.threshold).float().mean(),
    }


def of_gradients(name: str, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return {f"{name}/gradient_norm": nn.utils.get_total_norm(gradients)}


def publish(module: "GAN", measured: dict[str, Tensor]) -> None:
    """Move the measurements to the host at once, check them, hand them to loggers and callbacks.

    Raises:
        Diverged: where one of them is not finite.
    """
    values = torch.stack([value.float() for value in measured.values()]).tolist()
    row = dict(zip(measured, values, strict=True))
    for name, optimizer in zip(
        ("discriminator", "generator"), module.trainer.optimizers, strict=True
    ):
        row[f"{name}/lr"] = float(optimizer.param_groups[0]["lr"])
    row["generator/updates"] = module.generator_updates
    row |= module.stopwatch.read(module.images_seen)
    emit(module, row)
    require_finite(row, module.images_seen)


def require_finite(row: dict[str, float], images_seen: int) -> None:
    """Raise Diverged, naming what is not a number any more."""
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(
            f"diverged after {images_seen} images: {', '.join(broken)} not finite; "
            "try a smaller optimizer.discriminator.lr and optimizer.generator.lr, or penalty=r1 "
            "(with a critic without batch norm)"
        )


class Stopwatch:
    """Seconds of training over all sessions of a run, and images per second between readings."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of earlier sessions
        self.started: float | None = None

    def start(self, images_seen: int) -> None:
        self.started = self.read_at = time.monotonic()
        self.images = images_seen

    def total(self) -> float:
        return self.seconds + (time.monotonic() - self.started if self.started else 0.0)

    def read(self, images_seen: int) -> dict[str, float]:
        now = time.monotonic()
        rate = (images_seen - self.images) / max(now - self.read_at, 1e-9)
        self.read_at, self.images = now, images_seen
        return {"seconds": self.total(), "images_per_second": rate}


def emit(module: "GAN", row: dict[str, float]) -> None:
    """Hand a row of scalars, at the images seen so far, to loggers and listening callbacks."""
    for logger in module.trainer.loggers:
        logger.log_metrics(row, step=module.images_seen)
    for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "on_metrics"):
            callback.on_metrics(module.trainer, module, row)
