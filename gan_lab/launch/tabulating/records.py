"""Which runs of a table are there: made by the table's recipe, placed alike, and measured."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.entry import compose_run
from gan_lab.launch.jobs import has_begun
from gan_lab.launch.messages import flatten
from gan_lab.launch.runs import read_result
from gan_lab.launch.tabulating.measuring import read_measured
from gan_lab.launch.tabulating.plan import Job, Plan

PLACEMENT = "placement.json"  # in a run's folder: how many runs were trained at once, and threads
# What makes a recipe. Budget, callbacks and seed stand in the overrides.
PARTS = [
    "n_critic",
    "clip",
    "ema",
    "data",
    "networks",
    "conditioning",
    "objective",
    "penalty",
    "augment",
    "optimizer",
    "schedule",
]
ELSEWHERE = ("root", "seed", "resident_limit", "fused")  # what leaves the mathematics as it is


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
    """Refuse a folder whose run was made by other overrides, or by a recipe that has changed."""
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(job.folder / "overrides.yaml"))
        command = given["command"]
        made = facts(OmegaConf.load(job.folder / "config.yaml"))
    except Exception as error:
        raise UserError(
            f"{job.folder} cannot be read ({error}); move it away, or give another output="
        ) from error
    other = {text for text in command if not text.startswith(("hydra.", "trusted="))}
    other ^= set(job.overrides)
    if not other:
        now = recipe_facts(tuple(text for text in job.overrides if not text.startswith("seed=")))
        # A key that the run does not have was added to gan_lab since, and changed no recipe.
        other = {
            f"{key}: {value}, now {now.get(key, 'absent')}"
            for key, value in made.items()
            if now.get(key, ...) != value
        }
    if other:
        raise UserError(
            f"{job.folder} holds a run of other settings ({', '.join(sorted(other))}); give "
            "another output=, or move the folder away"
        )


@lru_cache(maxsize=64)
def recipe_facts(overrides: tuple[str, ...]) -> dict[str, object]:
    return facts(compose_run("train", list(overrides))[0])


def facts(config: Any) -> dict[str, object]:
    """Dotted key -> value of what makes a recipe."""
    whole: Any = OmegaConf.to_container(config, resolve=True)
    flat = flatten({name: whole[name] for name in PARTS if name in whole})
    return {key: value for key, value in flat.items() if key.split(".")[-1] not in ELSEWHERE}
