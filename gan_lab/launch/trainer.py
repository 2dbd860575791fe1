"""Lightning's Trainer from the flags of `trainer`; what a GAN cannot use is refused."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from gan_lab import UserError
from gan_lab.launch import hardware
from gan_lab.launch.runs import seconds
from gan_lab.launch.schema import conform_node
from gan_lab.training.checkpoint import AtomicCheckpointIO
from gan_lab.training.distributed import UnwrappedDDP

INSTEAD = {
    "gradient_clip_val": "clip.generator and clip.discriminator bound each player's gradient norm",
    "gradient_clip_algorithm": "clip.generator and clip.discriminator bound the norm",
    "accumulate_grad_batches": "a larger data.batch_size does the same",
    "max_steps": "trainer.max_epochs or trainer.max_time is the budget (a step counts twice here)",
    "min_steps": "trainer.min_epochs bounds a run from below",
    "barebones": "it would leave no checkpoint, sample or log; benchmarks/step.py measures a step",
    "default_root_dir": "hydra.run.dir=DIR names the run folder",
}
UNUSED: dict[str, Any] = {
    "gradient_clip_val": None,
    "accumulate_grad_batches": 1,
    "max_steps": -1,
    "barebones": False,
}
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def build_trainer(
    config: DictConfig, folder: Path, callbacks: list[Callback], **extra: Any
) -> Trainer:
    """A Trainer with every flag of `trainer`, our callbacks and our checkpoint files.

    Raises:
        UserError: where a flag is wrong, or asks for what this machine or a GAN cannot do.
    """
    hardware.spare_overhead()
    flags: Any = OmegaConf.to_container(config.trainer, resolve=True)
    check_flags(flags)
    if flags["precision"] == "auto" and len(config.data.image_shape) == 1:
        flags["precision"] = "32-true"  # points are too fine for bfloat16
    flags["precision"] = hardware.precision(flags["precision"], flags["accelerator"])
    flags = conform_node({"_target_": "pytorch_lightning.Trainer", **flags}, "trainer")
    del flags["_target_"]
    flags = instantiate(flags, _convert_="all")  # callbacks, plugins, profiler may be `_target_`s
    flags["strategy"] = choose_strategy(flags)
    flags["profiler"] = choose_profiler(flags["profiler"], folder)
    flags["callbacks"] = choose_callbacks(flags, callbacks + (flags["callbacks"] or []))
    # Without a checkpoint callback of ours, Lightning would add its own.
    flags["enable_checkpointing"] = any(isinstance(c, Checkpoint) for c in flags["callbacks"])
    flags["plugins"] = [AtomicCheckpointIO(folder), *(flags["plugins"] or [])]
    flags["default_root_dir"] = str(folder)
    try:
        trainer = Trainer(**{**flags, **extra})
        # fast_dev_run=N bounds global_step, which counts two a batch; N batches bound it anyway.
        trainer.fit_loop.epoch_loop.max_steps = -1
        return trainer
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def check_flags(flags: dict[str, Any]) -> None:
    """Refuse what Lightning refuses under manual optimization, and say what does it here."""
    for name, instead in INSTEAD.items():
        if flags.get(name) != UNUSED.get(name):
            raise UserError(f"trainer.{name}={flags[name]} does not work with a GAN: {instead}")
    for name in ("max_epochs", "log_every_n_steps", "limit_train_batches"):
        value = flags.get(name)
        if isinstance(value, (int, float)) and value <= 0:
            raise UserError(f"trainer.{name}={value} must be at least 1")
    if isinstance(flags.get("max_time"), (int, str)):
        seconds(str(flags["max_time"]))
    if isinstance(flags.get("max_time"), dict) and timedelta(**flags["max_time"]) <= timedelta():
        raise UserError(f"trainer.max_time={flags['max_time']} must be longer than 0 seconds")
    hardware.check_devices(flags)


def choose_strategy(flags: dict[str, Any]) -> Any:
    """Plain `ddp`, and `auto` on several devices, become our unwrapped DDP."""
    name = flags["strategy"]
    if name == "auto" and hardware.count_devices(flags) * flags["num_nodes"] > 1:
        name = "ddp"
    if isinstance(name, str) and name.startswith(("ddp_spawn", "ddp_fork", "ddp_notebook")):
        raise UserError(
            f"trainer.strategy={name} trains in processes whose results do not come back; use ddp"
        )
    return UnwrappedDDP() if name == "ddp" else name


def choose_profiler(name: Any, folder: Path) -> Any:
    """A profiler that reports into the run folder instead of a log that nobody sees."""
    return PROFILERS[name](folder, "profile") if name in PROFILERS else name


def choose_callbacks(flags: dict[str, Any], callbacks: list[Callback]) -> list[Callback]:
    """Leave out what a flag switches off: Lightning refuses the callback beside the flag."""
    if flags["enable_progress_bar"] is False:
        callbacks = [c for c in callbacks if not isinstance(c, ProgressBar)]
    if flags["enable_checkpointing"] is False:
        callbacks = [c for c in callbacks if not isinstance(c, Checkpoint)]
    return callbacks
