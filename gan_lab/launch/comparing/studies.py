"""What a search left behind: study.json with its trials, and the runs that they were."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from gan_lab import UserError
from gan_lab.launch.comparing.records import Record, find_runs, first_line, number, read_run

NAME = "study.json"


@dataclass(frozen=True)
class Trial:
    """One set of parameters, tried once. `state`: complete, pruned, failed, running or waiting."""

    number: int
    state: str
    values: tuple[float | None, ...]  # one per objective; empty where it has none
    params: dict[str, Any]
    folder: Path | None
    reason: str
    seconds: float | None

    @property
    def is_here(self) -> bool:
        """Whether its run is on this machine; each of several that share a study keeps its own."""
        return self.folder is not None and bool(find_runs(self.folder))


@dataclass(frozen=True)
class Finalist:
    """Chosen parameters, repeated over seeds; mean and spread of each objective, where known."""

    params: dict[str, Any]
    mean: tuple[float | None, ...]
    std: tuple[float | None, ...]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Study:
    """A search with one objective or several.

    `search` is the command that goes on with it, `repeat` trains its best settings again; `best`
    is by what the study knows of all its trials, wherever these were run.
    """

    folder: Path
    name: str
    directions: tuple[str, ...]  # minimize or maximize, one per objective
    metrics: tuple[str, ...]
    trials: tuple[Trial, ...]
    finalists: tuple[Finalist, ...]
    search: str
    repeat: str
    best: Finalist | None = None  # a trial without repetitions, where there are none

    @property
    def elsewhere(self) -> list[Trial]:
        """Complete trials whose runs are not on this machine."""
        return [trial for trial in self.trials if trial.state == "complete" and not trial.is_here]


class Lost(NamedTuple):
    """What cannot be compared at all: its name, its state and why."""

    name: str
    status: str
    why: str


def find_studies(place: Path) -> list[Path]:
    """The folders of studies at or below `place`, in order of their names; none inside a run."""
    found = []
    for folder, inner, files in os.walk(place):
        if NAME in files:
            found.append(Path(folder))
        if NAME in files or "config.yaml" in files:
            inner.clear()
        inner[:] = sorted(name for name in inner if name[0] != ".")
    return found


def read_study(folder: Path) -> Study:
    """Read FOLDER/study.json.

    Raises:
        UserError: where it does not hold a study.
    """
    try:
        content = json.loads((folder / NAME).read_text())
        return Study(
            folder,
            name=str(content.get("name") or folder.name),
            directions=tuple(map(str, content.get("directions") or ["minimize"])),
            metrics=tuple(map(str, content.get("metrics") or ["value"])),
            trials=tuple(read_trial(folder, entry) for entry in content["trials"]),
            finalists=tuple(read_finalist(folder, f) for f in content.get("finalists") or ()),
            search=str(content.get("search") or ""),
            repeat=str(content.get("command") or ""),
            best=read_best(folder, content.get("best")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"runs: {folder / NAME} is no study ({first_line(error)}); give the folder that "
            "gan_lab.sweep wrote, or leave it out"
        ) from error


def read_trial(folder: Path, entry: dict[str, Any]) -> Trial:
    return Trial(
        number=int(entry["number"]),
        state=str(entry["state"]),
        values=tuple(number(value) for value in entry.get("values") or ()),
        params=dict(entry.get("params") or {}),
        folder=place(folder, entry.get("folder")),
        reason=str(entry.get("reason") or ""),
        seconds=number(entry.get("seconds")),
    )


def read_finalist(folder: Path, entry: dict[str, Any]) -> Finalist:
    return Finalist(
        params=dict(entry.get("params") or {}),
        mean=figures(entry.get("mean")),
        std=figures(entry.get("std")),
        folders=tuple(folder / text for text in entry.get("folders") or () if text),
    )


def read_best(folder: Path, entry: dict[str, Any] | None) -> Finalist | None:
    """A finalist as it is, a trial as one that was not repeated."""
    if not entry:
        return None
    return read_finalist(folder, {**entry, "mean": entry.get("mean", entry.get("values"))})


def figures(value: Any) -> tuple[float | None, ...]:
    """One figure for each objective, from a list, or of a single objective from a number."""
    return tuple(number(entry) for entry in (value if isinstance(value, list) else [value]))


def place(folder: Path, text: str | None) -> Path | None:
    return folder / text if text else None  # an absolute one stays as it is


def study_runs(study: Study) -> tuple[list[Record], list[Lost]]:
    """The runs of trials and finalists, and what has no run that could be read."""
    found, lost = [], []
    for trial in study.trials:
        name = f"{study.name}, trial {trial.number}"
        try:
            found.append(run_of(trial))
        except UserError as error:
            lost.append(Lost(name, *absent(trial, str(error))))
    for folder in (folder for finalist in study.finalists for folder in finalist.folders):
        try:
            found.append(replace(read_run(folder), finalist=True))
        except UserError as error:
            lost.append(Lost(str(folder), "missing", f"a finalist: {error}"))
    return found, lost


def absent(trial: Trial, why: str) -> tuple[str, str]:
    """State and reason of a trial whose run cannot be read."""
    if trial.state != "complete" or trial.is_here:
        return trial.state, trial.reason or why
    known = ", ".join("none" if value is None else f"{value:g}" for value in trial.values)
    return "elsewhere", f"its run is not on this machine; the study knows its values: {known}"


def run_of(trial: Trial) -> Record:
    """The trial's run with what the study knows of it.

    Raises:
        UserError: where there is none that can be read.
    """
    runs = find_runs(trial.folder) if trial.folder else []
    if not runs:
        raise UserError("its run folder is not there")
    record = read_run(runs[0])
    if trial.state == "pruned" and record.status != "diverged":
        return replace(record, status="pruned", why=trial.reason or "the study gave it up")
    if trial.state == "failed" and record.status != "diverged":
        return replace(record, status="failed", why=trial.reason or record.why)
    return record


def pareto(points: Sequence[tuple[float, ...]], directions: Sequence[str]) -> list[int]:
    """The points that no other one beats in one objective without being worse in another."""
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    signed = [[s * v for s, v in zip(signs, point, strict=True)] for point in points]
    return [i for i, one in enumerate(signed) if not any(beats(other, one) for other in signed)]


def beats(one: list[float], other: list[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other
