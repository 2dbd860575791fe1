"""From what the user names (runs, folders of runs, studies) to records, and what is no record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.benchmarking.results import at_least
from gan_lab.launch.comparing.records import Record, find_runs, read_run
from gan_lab.launch.comparing.states import last_error
from gan_lab.launch.comparing.studies import Lost, Study, find_studies, read_study, study_runs
from gan_lab.launch.drawing import check_place
from gan_lab.launch.jobs import LOG
from gan_lab.launch.schema import conform

CHOICES = ("best", "last")
WANTED = "give run folders, a folder with runs below it (a multirun), or the folder of a study"


@dataclass
class Gathered:
    """All runs once each, the studies, and what could not be read as a run."""

    records: list[Record] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)


def check(config: DictConfig) -> list[Path]:
    """The places to read; refuse what can be seen to be wrong before anything is read."""
    given: Any = OmegaConf.to_container(config.runs) if OmegaConf.is_list(config.runs) else None
    if isinstance(config.runs, str):
        given = [config.runs]
    if not given:
        raise UserError(f"runs= is missing or empty; {WANTED}, as in 'runs=[A,B]'")
    if config.by not in CHOICES:
        raise UserError(f"by={config.by} must be one of {', '.join(CHOICES)}")
    at_least(config.samples, "samples", 0)
    output = Path(config.output)
    if output.suffix != ".html":
        raise UserError(f"output={output} must be named FILE.html")
    check_place(output)
    if output.is_dir() or (output.with_suffix("").exists() and not output.with_suffix("").is_dir()):
        raise UserError(
            f"output={output}: the pictures go into the folder {output.with_suffix('')} beside it, "
            "and one of the two is something else already; choose another name"
        )
    return [Path(text) for text in conform([str(entry) for entry in given], list[str], "runs")]


def gather(places: Sequence[Path]) -> Gathered:
    """Read everything that is named, each run once.

    Raises:
        UserError: where a place does not exist, holds no run, or nothing of all can be read.
    """
    found = Gathered()
    for place in places:
        add(place, found)
    once: dict[Path, Record] = {}
    for record in found.records:
        known = once.setdefault(record.folder.resolve(), record)
        if record.finalist and not known.finalist:
            once[record.folder.resolve()] = record
    found.records = list(once.values())
    if not found.records:
        told = "; ".join(f"{lost.name}: {lost.why}" for lost in found.lost[:3])
        raise UserError(
            f"runs={', '.join(map(str, places))}: no run can be read ({told}); {WANTED}"
        )
    return found


def add(place: Path, found: Gathered) -> None:
    if not place.is_dir():
        there = "is no folder" if place.exists() else "does not exist"
        raise UserError(f"runs: {place} {there}; {WANTED}")
    studies = find_studies(place)
    for folder in studies:
        add_study(folder, found, named=folder == place)
    folders = outside(studies, find_runs(place))
    unborn = [lost for lost in stillborn(place) if outside(studies, [Path(lost.name)])]
    found.lost += unborn
    if not folders and not unborn and not studies:
        raise UserError(f"runs: {place} holds no run that train made; {WANTED}")
    for folder in folders:
        try:
            found.records.append(read_run(folder))
        except UserError as error:
            found.lost.append(Lost(str(folder), "unreadable", str(error)))


def add_study(folder: Path, found: Gathered, named: bool) -> None:
    """Add a study once; one that cannot be read is refused where the user named it itself."""
    if any(known.folder.resolve() == folder.resolve() for known in found.studies):
        return
    try:
        study = read_study(folder)
    except UserError as error:
        if named:
            raise
        found.lost.append(Lost(str(folder), "unreadable", str(error)))
        return
    records, lost = study_runs(study)
    found.studies.append(study)
    found.records[:0] = records  # a study knows more of a run than the run's own folder does
    found.lost += lost


def outside(studies: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """The folders that lie in none of the studies, which say themselves what their runs are."""
    return [f for f in folders if not any(f.is_relative_to(study) for study in studies)]


def stillborn(place: Path) -> list[Lost]:
    """Jobs that ended before they were runs: a log without a config beside it."""
    logs = sorted(place.rglob(LOG))
    folders = [log.parent for log in logs if not (log.parent / "config.yaml").exists()]
    return [Lost(str(folder), "failed", last_error(folder) or "no run") for folder in folders]
