"""What became of a training, as its study keeps it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_lab.launch.jobs import FINAL, TERMINATED, Job
from gan_lab.launch.runs import metric_name, read_result
from gan_lab.training.rows import read_rows

INTERRUPTED = (TERMINATED, 130)


@dataclass(frozen=True)
class Outcome:
    """State is one of Optuna's, or None where the training may go on later."""

    state: str | None
    values: list[float] | None = None
    reason: str = ""
    labels: tuple[str, ...] = ()


def judge(job: Job, status: int, objectives: Mapping[str, str], pruned: str | None) -> Outcome:
    """Read what a training that has ended left.

    Args:
        status: its exit status.
        pruned: why it was asked to end early, if it was.
    """
    result = read_result(job.folder)
    if status == 0:
        return scores(result, objectives)
    if pruned is not None and status in INTERRUPTED:
        return Outcome("PRUNED", reason=pruned)
    if result.get("status") == "diverged":
        return Outcome("PRUNED", reason=f"not a number: {job.reason()}")
    if status in (1, 2):
        return Outcome("FAIL", reason=job.reason() or f"exit status {status}")
    cause = "it was interrupted" if status in INTERRUPTED else f"exit status {status}"
    return Outcome(None, reason=cause)


def is_final(folder: Path) -> bool:
    """Whether the training there has ended, and another try would change nothing."""
    return read_result(folder).get("status") in FINAL


def images_seen(folder: Path) -> int:
    """How far the training there has come."""
    rows = read_rows(folder / "metrics.csv")
    told = [read_result(folder).get("images_seen"), *(row["images_seen"] for row in rows)]
    return max((int(float(seen)) for seen in told if seen is not None), default=0)


def scores(result: dict[str, Any], objectives: Mapping[str, str]) -> Outcome:
    values = [value_of(result, name) for name in objectives]
    lacking = [name for name, value in zip(objectives, values, strict=True) if value is None]
    if lacking:
        known = sorted({*numbers(result), *numbers(result.get("best") or {})})
        reason = f"result.json has no {lacking[0]}; it has {', '.join(known)}"
        return Outcome("FAIL", reason=reason)
    found = [value for value in values if value is not None]
    for name, value in zip(objectives, found, strict=True):
        if not math.isfinite(value):
            return Outcome("PRUNED", reason=f"{name} is not a number at the end")
    return Outcome("COMPLETE", found, labels=labels(result, objectives))


def value_of(result: Mapping[str, Any], name: str) -> float | None:
    """Of the best checkpoint, of the run, or the last value that was logged.

    What is not a number stands there as null; where nothing was measured, so does `metric`.
    """
    best, last = (result.get(part) or {} for part in ("best", "last"))
    own = {key: value for key, value in result.items() if best or value is not None}
    for place in (best, own, last):
        for key in (name, f"val/{name}"):
            value = place.get(key, "")
            if value is None:
                return math.nan
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
    return None


def labels(result: dict[str, Any], objectives: Iterable[str]) -> tuple[str, ...]:
    return tuple(metric_name(result) if name == "metric" else name for name in objectives)


def numbers(node: Mapping[str, Any]) -> list[str]:
    return [
        key for key, value in node.items() if isinstance(value, (int, float)) and value is not True
    ]
