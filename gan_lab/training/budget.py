"""How far a run is: images and time against what it was given."""

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.trainer.states import RunningStage


def timer_of(trainer: Trainer) -> Timer | None:
    """Lightning's own timer, there when `trainer.max_time` is given."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return next((c for c in callbacks if isinstance(c, Timer)), None)


def total_images(trainer: Trainer) -> int | None:
    """The budget in images over all ranks; None where only time bounds the run."""
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return None
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    images_per_batch = datamodule.batch_size * trainer.world_size
    return trainer.max_epochs * int(trainer.num_training_batches) * images_per_batch


def time_left(trainer: Trainer) -> float | None:
    """Seconds left of `trainer.max_time`; None where time does not bound the run."""
    timer = timer_of(trainer)
    return timer.time_remaining(RunningStage.TRAINING) if timer else None


def time_share(trainer: Trainer) -> float:
    """Share of `trainer.max_time` used, over all sessions of the run; 0 without such a budget."""
    timer, left = timer_of(trainer), time_left(trainer)
    if timer is None or left is None:
        return 0.0
    elapsed = timer.time_elapsed(RunningStage.TRAINING)
    return elapsed / max(elapsed + left, 1e-9)


def local_progress(trainer: Trainer, images_seen: int) -> float:
    """The larger of the share of images and the share of time, in [0, 1], by this rank's clock."""
    images = total_images(trainer)
    share = images_seen / images if images else 0.0
    return min(1.0, max(share, time_share(trainer)))


def progress(trainer: Trainer, images_seen: int) -> float:
    """The same by rank 0's clock, so that all ranks use the same learning rate."""
    share = local_progress(trainer, images_seen)
    if trainer.world_size == 1 or timer_of(trainer) is None:
        return share
    return float(trainer.strategy.broadcast(share))
