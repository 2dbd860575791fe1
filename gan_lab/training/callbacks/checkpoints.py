"""When checkpoints are written, and how a run ends in good order on a signal."""

import signal
import threading
import time
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from gan_lab import UserError
from gan_lab.training.checkpoint import FORMAT_VERSION
from gan_lab.training.distributed import any_rank, may_ask


class Checkpoints(Checkpoint):
    """Save last.ckpt at the end of every epoch, every so many minutes, and where the run stops.

    Lightning's own ModelCheckpoint counts both optimizers' steps and, under manual optimization,
    never saves by time.

    Args:
        minutes: time between checkpoints within an epoch; null for none.
    """

    def __init__(self, minutes: float | None = 5.0) -> None:
        if minutes is not None and minutes <= 0:
            raise UserError(f"callbacks.checkpoints.minutes={minutes} must be positive, or null")
        self.minutes = minutes
        self.config: dict[str, Any] = {}
        self.saved_at = time.monotonic()
        self.saved_images = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.path = Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        overdue = self.minutes is not None and time.monotonic() - self.saved_at > 60 * self.minutes
        # A run that stops within an epoch is saved here: later, the epoch would count as complete.
        if trainer.should_stop or (
            self.minutes is not None and may_ask(trainer) and any_rank(trainer, overdue)
        ):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        images = cast(int, trainer.lightning_module.images_seen)
        if images == self.saved_images:
            return
        if all_finite(trainer.lightning_module):  # never replace the last good one by a bad one
            trainer.save_checkpoint(self.path)
        self.saved_at, self.saved_images = time.monotonic(), images

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["config"] = self.config


def all_finite(module: LightningModule) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters())


class Signals(Callback):
    """SIGINT and SIGTERM end the run after the current step; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.note)  # Lightning puts the old ones back at the end

    def note(self, number: int, frame: Any) -> None:
        if self.received == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if may_ask(trainer) and any_rank(trainer, self.received is not None):
            self.received = self.received or signal.SIGTERM
            trainer.should_stop = True
            trainer.fit_loop.min_epochs = 0  # or Lightning would go on to trainer.min_epochs

    @property
    def status(self) -> int:
        """The exit status: 0, 130 (SIGINT) or 143 (SIGTERM)."""
        return 0 if self.received is None else 128 + self.received


def stopped_by_signal(trainer: Trainer) -> bool:
    """Whether the run was interrupted and may go on later: nothing final is due then."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(c.received is not None for c in callbacks if isinstance(c, Signals))
