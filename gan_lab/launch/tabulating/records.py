"""Which runs of a table are there: made by the table's overrides, placed alike, and measured."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.jobs import has_begun
from gan_lab.launch.runs import read_result
from gan_lab.launch.tabulating.measuring import read_measured
from gan_lab.launch.tabulating.plan import Job, Plan

PLACEMENT = "placement.json"  # in a run's folder: how many runs were trained at once, and threads


def is_done(job: Job, plan: Plan, placement: dict[str, int] | None = None) -> bool:
    """Whether nothing is left to do.

    Raises:
        UserError: where the folder holds a run of other settings, or of another placement.
    """
    if not has_begun(job.folder):
        return False
    require_same(job)
    known = read_placement(job.folder)
    if placement and known and known != placement:
        raise UserError(
            f"{job.folder} was trained with jobs={known['at_once']} threads={known['threads']}; "
            "runs of a table must have the same, so give that, or another output="
        )
    status = read_result(job.folder).get("status")
    return status == "diverged" or bool(status == "finished" and read_measured(job.folder, plan))


def read_placement(folder: Path) -> dict[str, int]:
    """Empty where nobody noted it."""
    try:
        return dict(json.loads((folder / PLACEMENT).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def require_same(job: Job) -> None:
    """Refuse a folder whose run was made by other overrides."""
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(job.folder / "overrides.yaml"))
        command = given["command"]
    except Exception as error:
        raise UserError(
            f"{job.folder} cannot be read ({error}); move it away, or give another output="
        ) from error
    made = {text for text in command if not text.startswith(("hydra.", "trusted="))}
    if made != set(job.overrides):
        raise UserError(
            f"{job.folder} holds a run of other settings ("
            f"{', '.join(sorted(made ^ set(job.overrides)))}); give another output=, or move the "
            "folder away"
        )
