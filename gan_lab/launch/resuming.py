"""Where a resumed run goes on, and what has to give way to that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab import UserError
from gan_lab.launch.runs import Run, is_first_rank
from gan_lab.training import checkpoint, tensorboard
from gan_lab.training.module import GAN

LIGHTNINGS = {"epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers"}
COUNTS = ("images_seen", "discriminator_updates", "generator_updates")


@dataclass
class Start:
    """Where a resumed run goes on."""

    path: Path
    images_seen: int
    event_files: dict[str, int] | None  # None for a checkpoint that does not know them


def where_to_go_on(run: Run, module: GAN) -> Start | None:
    """The newest whole checkpoint, chosen once no other process writes; None for image 0.

    Raises:
        UserError: where none can be read, or the one that can is not of this run.
    """
    run.lock.take()
    found = checkpoint.newest(run.folder / "checkpoints", tell=is_first_rank())
    if found is None:
        return None
    path, content = found
    if (reason := misfit(content, module)) is not None:
        raise UserError(
            f"resume={run.folder}: {path} does not fit its config: {reason}; put the run's own "
            "checkpoint there, or start a new run"
        )
    return Start(path, content["progress"]["images_seen"], content.get("event_files"))


def misfit(content: dict[str, Any], module: GAN) -> str | None:
    """What a checkpoint has that this module cannot go on from; None where it has nothing such."""
    return misfit_of_counts(content) or misfit_of_weights(content["state_dict"], module)


def misfit_of_counts(content: dict[str, Any]) -> str | None:
    progress, clock = content["progress"], content.get("clock")
    if not isinstance(progress, dict) or not all(is_count(progress.get(key)) for key in COUNTS):
        return f"its progress must hold {', '.join(COUNTS)} as whole numbers from 0"
    recent = progress.get("recent")
    if not isinstance(recent, dict) or not all(is_number(value) for value in recent.values()):
        return "its progress must hold the last losses, as numbers"
    if not isinstance(clock, dict) or not is_number(clock.get("seconds")):
        return "its clock must hold seconds"
    if lacking := sorted(LIGHTNINGS - content.keys()):
        return f"it must hold {', '.join(lacking)}, too"
    files = content.get("event_files", {})
    if not isinstance(files, dict) or not all(is_count(size) for size in files.values()):
        return "its event_files must hold names with their sizes"
    return None


def misfit_of_weights(weights: Any, module: GAN) -> str | None:
    if not isinstance(weights, dict):
        return "its state_dict must hold weights"
    own = module.state_dict()
    for key in [*own, *(key for key in weights if key not in own)]:
        has, needs = (shape_of(state.get(key)) for state in (weights, own))
        if has != needs:
            return f"{key} has {has} in it, where the config makes {needs}"
    return None


def shape_of(weight: Any) -> str:
    return f"shape {list(weight.shape)}" if isinstance(weight, Tensor) else "no weights"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def tidy(run: Run, start: Start | None) -> None:
    """Remove what a killed session left beyond the checkpoint that this one starts from."""
    if not run.resumed:
        return
    known = start.event_files if start else {}
    if known is not None:
        tensorboard.rewind(run.folder, known)
    last = run.folder / "checkpoints" / "last.ckpt"
    if start and start.path != last and last.exists():
        last.replace(checkpoint.set_aside(last))  # or it would become the previous one
