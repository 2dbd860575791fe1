"""When checkpoints are written, and how a run ends in good order on a signal."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from gan_lab import UserError
from gan_lab.training import storage
from gan_lab.training.checkpoint import FORMAT_VERSION
from gan_lab.training.distributed import any_rank, may_ask
from gan_lab.training.tensorboard import event_files

# The images at which a callback acted last, and at which it acts next.
MARKS = ("written_at", "measured_at", "probed_at", "due")


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
        self.synced_at = time.time()  # by the clock that dates files
        self.saved_images = -1
        self.marks: dict[str, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir)
        self.path = self.folder / "checkpoints" / "last.ckpt"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore_marks(trainer)  # after all others: Lightning calls checkpoints last
        self.saved_at = time.monotonic()
        if trainer.ckpt_path is not None and Path(trainer.ckpt_path).name == self.path.name:
            self.saved_images = cast(int, pl_module.images_seen)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        overdue = self.minutes is not None and time.monotonic() - self.saved_at > 60 * self.minutes
        asked = self.minutes is not None and may_ask(trainer) and any_rank(trainer, overdue)
        # A run that stops within an epoch is saved here: later, the epoch would count as complete.
        # After its last batch it is complete, and saved as such.
        if (trainer.should_stop or asked) and not trainer.is_last_batch:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save unless this very state is saved; all ranks come here together."""
        images = cast(int, trainer.lightning_module.images_seen)
        failed = any_rank(trainer, self.failure is not None)
        if images == self.saved_images and not failed:
            return
        if all_finite(trainer.lightning_module):  # never replace the last good one by a bad one
            if trainer.is_global_zero:
                self.sync_records()
            trainer.save_checkpoint(self.path)
        self.saved_at, self.saved_images = time.monotonic(), images

    @property
    def failure(self) -> str | None:
        """Why the newest state is not saved; None where it is."""
        return storage.failing.get(str(self.path))

    def sync_records(self) -> None:
        """Let nothing that the checkpoint counts as written be lost by a power failure."""
        now = time.time()
        storage.sync(path for path in self.records() if changed_since(path, self.synced_at - 10))
        self.synced_at = now

    def records(self) -> Iterator[Path]:
        yield self.folder / "metrics.csv"
        yield from (self.folder / name for name in event_files(self.folder))
        yield from (self.folder / "samples").glob("images_*.png")
        yield from (self.folder / "samples", self.folder)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["config"] = self.config
        checkpoint["event_files"] = event_files(self.folder)
        checkpoint["marks"] = {
            f"{type(callback).__name__}.{mark}": getattr(callback, mark)
            for callback, mark in marked_callbacks(trainer)
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.marks = checkpoint.get("marks", {})

    def restore_marks(self, trainer: Trainer) -> None:
        """What was done must not be done again at the end, and what is overdue must be done."""
        for callback, mark in marked_callbacks(trainer):
            if (name := f"{type(callback).__name__}.{mark}") in self.marks:
                setattr(callback, mark, self.marks[name])


def marked_callbacks(trainer: Trainer) -> Iterator[tuple[Callback, str]]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        yield from ((callback, mark) for mark in MARKS if hasattr(callback, mark))


def changed_since(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime >= moment
    except OSError:
        return False


def all_finite(module: LightningModule) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters())


class Signals(Callback):
    """SIGINT and SIGTERM end the run after the current step; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None  # by this rank
        self.stopping = False  # agreed by all of them

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning's own handler broadcasts, and hangs where the ranks are not at the same place.
        connector: Any = trainer._signal_connector
        connector._sigterm_notifier_fn = self.note

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.note)  # Lightning puts the old ones back at the end

    def note(self, number: int, frame: Any) -> None:
        if self.received == number == signal.SIGINT:
            os.write(2, b"interrupted at once\n")
            os._exit(130)  # an exception would wait for the other ranks and for open files
        self.received = number

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if may_ask(trainer):
            self.agree(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last chance to stop: what follows at the end is done by all ranks or by none."""
        self.agree(trainer)

    def agree(self, trainer: Trainer) -> None:
        if any_rank(trainer, self.received is not None):
            self.stopping = True
            self.received = self.received or signal.SIGTERM
            trainer.should_stop = True
            trainer.fit_loop.min_epochs = 0  # or Lightning would go on to trainer.min_epochs

    @property
    def status(self) -> int:
        """The exit status of an interrupted run: 143 (SIGTERM) or 130 (SIGINT, also too early)."""
        return 128 + (self.received or signal.SIGINT)


def stopped_by_signal(trainer: Trainer) -> bool:
    """Whether the run was interrupted and may go on later: nothing final is due then."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(c.stopping for c in callbacks if isinstance(c, Signals))
