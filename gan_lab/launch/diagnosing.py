"""The doctor's visit: from a run folder to verdicts, their JSON and one page of evidence."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import RunError, UserError
from gan_lab.launch.drawing import check_place
from gan_lab.launch.messages import flatten
from gan_lab.launch.runs import read_result, require_run, write_text
from gan_lab.training.diagnosis import diagnose
from gan_lab.training.health_record import read_record
from gan_lab.training.history import History
from gan_lab.training.rows import read_rows
from gan_lab.training.verdicts import Diagnosis


@dataclass
class Examination:
    """What a run folder tells."""

    folder: Path
    status: str  # of result.json, or "running or killed"
    history: History
    diagnosis: Diagnosis
    changes: list[dict[str, Any]]  # of the verdicts while it was trained

    def as_dict(self) -> dict[str, Any]:
        images = int(self.history.rows[-1]["images_seen"]) if self.history.rows else 0
        return {
            **self.diagnosis.as_dict(),
            "run": str(self.folder),
            "status": self.status,
            "images_seen": images,
            "changes": self.changes,
        }


def check(config: DictConfig) -> None:
    """Refuse what can be seen to be wrong before anything is read."""
    if config.run is None:
        raise UserError("run= is missing; give the folder of a run that train made")
    output = Path(config.output)
    if output.suffix != ".json":
        raise UserError(f"output={output} must be named FILE.json")
    check_place(output)


def examine(folder: Path) -> Examination:
    """Read what the run has logged and judge it as its own monitor does.

    Raises:
        UserError: where the folder holds no run, or one that was trained without the monitor.
    """
    require_run(folder, "run")
    settings = read_settings(folder)
    history = History.of(read_rows(folder / "metrics.csv"))
    result = read_result(folder)
    status = result.get("status", "running or killed")
    broken = broken_measures(history) if status == "diverged" else None
    if not history.probes and broken is None and "callbacks.health._target_" not in settings:
        raise UserError(
            f"run={folder} was trained without the health monitor; train with callbacks.health, "
            "which callbacks=default contains"
        )
    diagnosis = diagnose(history, settings, broken)
    return Examination(folder, status, history, diagnosis, read_record(folder / "health.json"))


def read_settings(folder: Path) -> dict[str, Any]:
    try:
        return flatten(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))
    except Exception as error:
        raise UserError(f"run={folder}: its config.yaml cannot be read: {error}") from error


def broken_measures(history: History) -> str:
    """What is not a number in the last rows of a run that diverged."""
    rows = history.rows[-3:]
    names = {name for row in rows for name, value in row.items() if not math.isfinite(value)}
    images = int(rows[-1]["images_seen"]) if rows else 0
    return f"diverged after {images} images: {', '.join(sorted(names)) or 'weights'} not finite"


def text(examination: Examination) -> str:
    """The verdicts, a line each."""
    head = f"{examination.folder}: {examination.status}"
    if examination.history.rows:
        head += f", {int(examination.history.rows[-1]['images_seen']):,} images seen"
    return "\n".join([head, *examination.diagnosis.lines()])


def write(output: Path, examination: Examination) -> None:
    """FILE.json with the verdicts and FILE.png with the evidence.

    Raises:
        RunError: where they cannot be written.
    """
    from gan_lab.launch.evidence import draw

    partial = output.with_name(f".{output.stem}.{os.getpid()}.png")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, json.dumps(examination.as_dict(), indent=2) + "\n")
        draw(partial, examination.history, examination.diagnosis, examination.folder)
        partial.replace(output.with_suffix(".png"))
    except OSError as error:
        raise RunError(f"cannot write {output}: {error}") from error
