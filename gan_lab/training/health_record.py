"""health.json: how the verdicts on a run changed, and how a change is told."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_lab.training.verdicts import Diagnosis


class HealthRecord:
    """The list of changes in the run folder: images seen, verdict, findings.

    Args:
        path: where it is kept.
        images_seen: from where a resumed run goes on; later entries are dropped.
    """

    def __init__(self, path: Path, images_seen: int) -> None:
        self.path = path
        known = read_record(path) if images_seen else []
        self.changes = [entry for entry in known if entry["images_seen"] <= images_seen]
        if len(self.changes) < len(known):
            self.write()

    def update(self, images_seen: int, diagnosis: Diagnosis) -> bool:
        """Note the diagnosis if its names are not those of the last one; say whether so."""
        entry = {"images_seen": images_seen, **diagnosis.as_dict()}
        if self.changes and told(self.changes[-1]) == told(entry):
            return False
        self.changes.append(entry)
        self.write()
        return True

    def write(self) -> None:
        partial = self.path.with_name(f".{self.path.name}")
        try:
            partial.write_text(json.dumps(self.changes, indent=2) + "\n")
            partial.replace(self.path)
        except OSError as error:
            print(f"warning: cannot write {self.path}: {error.strerror}", file=sys.stderr)


def told(entry: dict[str, Any]) -> list[str]:
    return [entry["verdict"], *(finding["name"] for finding in entry["findings"])]


def read_record(path: Path) -> list[dict[str, Any]]:
    """The changes so far; empty where there is no readable record."""
    try:
        return list(json.loads(path.read_text()))
    except (OSError, ValueError):
        return []


def say(diagnosis: Diagnosis, images_seen: int) -> None:
    for line in diagnosis.lines():
        print(f"health at {images_seen:,} images: {line}", file=sys.stderr, flush=True)


def log_text(loggers: Iterable[Any], diagnosis: Diagnosis, images_seen: int) -> None:
    """To the loggers that take text (TensorBoard)."""
    for logger in loggers:
        if hasattr(logger, "log_verdict"):
            logger.log_verdict("\n\n".join(diagnosis.lines()), images_seen)
