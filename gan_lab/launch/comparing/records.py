"""What run folders tell, read into plain data; nothing here ranks or draws."""

import csv
import json
import math
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.comparing.states import state
from gan_lab.launch.comparing.statistics import Array
from gan_lab.launch.messages import flatten
from gan_lab.launch.runs import MODE_METRICS, read_result
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER
from gan_lab.training.history import History
from gan_lab.training.rows import read_rows

INSIDE = ("checkpoints", "samples")  # folders of a run, which hold no further runs
GRID = re.compile(r"images_(\d+)")


class Curve(NamedTuple):
    """One logged scalar: images seen, seconds of training and value of each measurement."""

    images: Array
    seconds: Array
    values: Array


@dataclass(frozen=True)
class Record:
    """One run.

    `status` is result.json's, or `running`, `killed`, and in a study also `pruned`; `why` says
    more of one that did not finish.
    """

    folder: Path
    config: dict[str, Any]
    command: tuple[str, ...]  # overrides
    status: str
    why: str
    history: History
    result: dict[str, Any] = field(default_factory=dict)
    finalist: bool = False  # repeats a trial that a study has chosen

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config with dotted keys."""
        return flatten(self.config)

    @property
    def seed(self) -> Any:
        return self.settings.get("seed")

    @property
    def images(self) -> int:
        logged = self.history.rows[-1]["images_seen"] if self.history.rows else 0
        return int(number(self.result.get("images_seen")) or logged)

    @property
    def seconds(self) -> float | None:
        """Of training and of what is measured during it."""
        times = self.history.logged("seconds")[1]
        return number(self.result.get("seconds")) or (float(times[-1]) if len(times) else None)

    @cached_property
    def monitor(self) -> str | None:
        """The metric that decides which checkpoint is best; None where none was measured."""
        columns = {name for row in self.history.rows for name in row}
        names = [self.settings.get("callbacks.evaluation.monitor"), *MODE_METRICS]
        return next((name for name in names if f"val/{name}" in columns), None)

    def curve(self, name: str) -> Curve:
        """Any logged scalar; what is no number stays in it."""
        images, values = self.history.logged(name)
        known, times = self.history.logged("seconds")
        seconds = np.interp(images, known, times) if len(known) else np.full(len(images), np.nan)
        return Curve(images.astype(float), seconds, values.astype(float))

    @cached_property
    def decider(self) -> Array:
        """All values of the monitor."""
        return self.curve(f"val/{self.monitor}").values if self.monitor else np.array([])

    @property
    def best(self) -> float | None:
        known = self.decider[np.isfinite(self.decider)]
        if not len(known) or self.monitor is None:
            return None
        return float(known.min() if self.monitor in LOWER_IS_BETTER else known.max())

    @property
    def last(self) -> float | None:
        """None where nothing was measured, or no number in the end."""
        return number(self.decider[-1]) if len(self.decider) else None


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if math.isfinite(value) else None


def find_runs(place: Path) -> list[Path]:
    """The run folders at or below `place`, in order of their names."""
    found = []
    for folder, inner, files in os.walk(place):
        if "config.yaml" in files:
            found.append(Path(folder))
            inner.clear()
        inner[:] = sorted(name for name in inner if name[0] != "." and name not in INSIDE)
    return found


def read_run(folder: Path) -> Record:
    """Read what a run folder holds, however the run ended or goes on.

    Raises:
        UserError: where its config cannot be read.
    """
    config = read_config(folder)
    history, damage = read_history(folder)
    result = read_result(folder)
    result = result if isinstance(result, dict) else {}
    status, why = state(folder, result, history)
    return Record(
        folder, config, read_command(folder), status, damage or why, history, result=result
    )


def read_config(folder: Path) -> dict[str, Any]:
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        if not isinstance(config, dict) or not config:
            raise TypeError("it is not made of keys and values")
    except Exception as error:  # whatever YAML and OmegaConf raise
        raise UserError(
            f"runs: the config.yaml of {folder} cannot be read: {first_line(error)}; repair it, "
            "or leave the run out"
        ) from error
    return config


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def read_history(folder: Path) -> tuple[History, str]:
    """All logged scalars, and what is wrong with the file that holds them."""
    try:
        return History.of(read_rows(folder / "metrics.csv")), ""
    except (OSError, ValueError, KeyError, csv.Error) as error:
        return History(), f"metrics.csv cannot be read: {first_line(error)}"


def read_command(folder: Path) -> tuple[str, ...]:
    """The overrides that the run was started with; empty where nobody noted them."""
    try:
        noted: Any = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
        return tuple(str(override) for override in noted["command"])
    except Exception:  # whatever YAML and OmegaConf raise
        return ()


def last_grid(folder: Path) -> tuple[Path, int] | None:
    """The last grid of samples, and after how many images it was drawn."""
    grids = {
        int(found[1]): path
        for path in (folder / "samples").glob("images_*.png")
        if (found := GRID.fullmatch(path.stem))
    }
    return (grids[max(grids)], max(grids)) if grids else None


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """What `evaluate` has left in the run folder: {"metrics": .., "card": .., "file": ..}."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and all(
            isinstance(content.get(part), dict) for part in ("metrics", "card")
        ):
            found.append({**content, "file": str(path)})
    return found
