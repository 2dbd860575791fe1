"""Keep the averaged generator at set moments of a run, so that its curve can be measured later."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from gan_lab import RunError, UserError
from gan_lab.training import storage
from gan_lab.training.budget import local_progress
from gan_lab.training.callbacks.checkpoints import Checkpoints
from gan_lab.training.checkpoint import FORMAT_VERSION, save
from gan_lab.training.module import GAN

FOLDER = "snapshots"


class Snapshots(Callback):
    """Save the averaged generator after shares of the budget, and after numbers of images.

    Measuring then takes nothing of the run's time, whatever is measured. A file is
    `snapshots/share_0.25.ckpt` or `snapshots/images_50000.ckpt`; `generate` and `evaluate` take it
    as `checkpoint=`, but no run goes on from it. Its progress has the images and seconds so far.

    Args:
        shares: of the budget, above 0 and below 1; the end of a run is its last.ckpt.
        images: seen so far, rounded up to whole batches.
    """

    def __init__(self, shares: Sequence[float] = (), images: Sequence[int] = ()) -> None:
        if not all(0 < share < 1 for share in shares):
            raise UserError(
                f"callbacks.snapshots.shares={list(shares)} must be above 0 and below 1; "
                "the end of a run is its last.ckpt"
            )
        if not all(count > 0 for count in images):
            raise UserError(f"callbacks.snapshots.images={list(images)} must be above 0")
        self.shares = sorted(set(shares))
        self.images = sorted(set(images))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.folder = Path(trainer.default_root_dir) / FOLDER
        seen = pl_module.images_seen
        share = local_progress(trainer, seen) if seen else 0.0
        # What a resumed run has passed was saved then. What lies ahead a killed session may have
        # saved, from a state that is not to be had again.
        self.due_shares = [s for s in self.shares if s > share]
        self.due_images = [count for count in self.images if count > seen]
        if trainer.is_global_zero:
            for name in (*map(share_name, self.due_shares), *map(images_name, self.due_images)):
                (self.folder / f"{name}.ckpt").unlink(missing_ok=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if not trainer.is_global_zero:
            return
        while self.due_images and pl_module.images_seen >= self.due_images[0]:
            self.keep(trainer, pl_module, images_name(self.due_images.pop(0)))
        if not self.due_shares:
            return
        share = local_progress(trainer, pl_module.images_seen)
        while self.due_shares and share >= self.due_shares[0]:
            self.keep(trainer, pl_module, share_name(self.due_shares.pop(0)))

    def keep(self, trainer: Trainer, module: GAN, name: str) -> None:
        """Write one file; a disk that refuses costs the snapshot, not the run."""
        path = self.folder / f"{name}.ckpt"
        progress = {"images_seen": module.images_seen, "seconds": module.stopwatch.total()}
        try:
            save(
                {
                    "format_version": FORMAT_VERSION,
                    "config": config_of(trainer),
                    "progress": progress,
                    "state_dict": {
                        f"generator_ema.{key}": value
                        for key, value in module.generator_ema.state_dict().items()
                    },
                },
                path,
            )
        except (OSError, RunError) as error:
            storage.lost(path, error)
        else:
            storage.written(path)


def share_name(share: float) -> str:
    return f"share_{share:g}"


def images_name(count: int) -> str:
    return f"images_{count}"


def config_of(trainer: Trainer) -> dict[str, Any]:
    """The config that the run's checkpoints carry."""
    callbacks: list[LightningModule | Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((c.config for c in callbacks if isinstance(c, Checkpoints)), {})
