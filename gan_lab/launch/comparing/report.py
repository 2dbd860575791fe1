"""All that the page shows, as plain objects: groups of one protocol, their rows and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_lab.launch.comparing import cards
from gan_lab.launch.comparing.contrast import contrast, winner
from gan_lab.launch.comparing.gathering import Gathered
from gan_lab.launch.comparing.importance import Importance, importance
from gan_lab.launch.comparing.parameters import count_parameters
from gan_lab.launch.comparing.records import Record, read_evaluations
from gan_lab.launch.comparing.rows import Row, rows_of
from gan_lab.launch.comparing.statistics import Summary, summarise
from gan_lab.launch.comparing.studies import Lost, Study
from gan_lab.launch.diagnosing import broken_measures
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER
from gan_lab.training.diagnosis import diagnose
from gan_lab.training.verdicts import Diagnosis


@dataclass
class Group:
    """Runs that were measured alike: one leaderboard."""

    card: cards.Card
    rows: list[Row]
    contrast: dict[str, Any]
    importance: Importance | None

    @property
    def metric(self) -> str:
        return str(self.card["metric"])

    @property
    def lower(self) -> bool:
        return self.card["metric"] in LOWER_IS_BETTER

    @property
    def winner(self) -> Row | None:
        return winner(self.rows)


@dataclass
class Evaluations:
    """Results of `evaluate` with one protocol card: row's label -> metric -> summary.

    Where the runs of a row have files of several names, each name has a line of its own.
    """

    card: dict[str, Any]
    rows: dict[str, dict[str, Summary]]


@dataclass
class Report:
    """`refusal` names the fields in which the groups' protocols differ; None of one group."""

    by: str
    groups: list[Group]
    unmeasured: list[Record]
    refusal: str | None
    evaluations: list[Evaluations]
    diagnoses: dict[Path, Diagnosis]
    parameters: dict[Path, dict[str, int] | None]
    studies: list[Study]
    lost: list[Lost]

    @property
    def records(self) -> list[Record]:
        rows = [row for group in self.groups for row in group.rows]
        return [record for row in rows for record in row.records] + self.unmeasured


def report_of(found: Gathered, by: str = "best") -> Report:
    """Group, rank, judge."""
    groups, sizes, unmeasured = [], [], []
    for part in cards.group(found.records):
        known = [record for record in part if record.best is not None]
        if known:
            groups.append(group_of(part, cards.card_of(known[0]), by))
            sizes.append(len(part))
        else:
            unmeasured += part
    return Report(
        by,
        groups,
        unmeasured,
        cards.refusal([group.card for group in groups], sizes),
        evaluations_of(groups),
        {r.folder: d for r in found.records if (d := diagnosis_of(r)) is not None},
        parameters_of(groups),
        found.studies,
        found.lost,
    )


def group_of(records: Sequence[Record], card: cards.Card, by: str) -> Group:
    rows = rows_of(records, by)
    judged = [row for row in rows if row.values(by) or row.lost]
    lower = card["metric"] in LOWER_IS_BETTER
    weights = importance([row.varied for row in judged], [row.values(by) for row in judged], lower)
    return Group(card, rows, contrast(rows, by, lower), weights)


def diagnosis_of(record: Record) -> Diagnosis | None:
    """What the doctor says of the run; None where its monitor left nothing to judge by."""
    broken = broken_measures(record.history) if record.status == "diverged" else None
    if not record.history.probes and broken is None:
        return None
    try:
        return diagnose(record.history, record.settings, broken)
    except (TypeError, ValueError, KeyError, IndexError):
        return None  # a config written by hand may hold anything where a remedy looks for a number


def parameters_of(groups: Sequence[Group]) -> dict[Path, dict[str, int] | None]:
    """Of each row's first run; runs with the same networks are counted once."""
    counts: dict[str, dict[str, int] | None] = {}
    found = {}
    for record in (row.records[0] for group in groups for row in group.rows):
        key = repr(record.config.get("networks"))
        if key not in counts:
            counts[key] = count_parameters(record.config)
        found[record.folder] = counts[key]
    return found


def evaluations_of(groups: Sequence[Group]) -> list[Evaluations]:
    """What `evaluate` left in the folders of the runs that count, a table for each card."""
    results = [
        {**result, "label": row.label}
        for group in groups
        for row in group.rows
        for record in row.counted
        for result in read_evaluations(record.folder)
    ]
    return [
        Evaluations(part[0]["card"], summaries(part)) for part in cards.evaluation_groups(results)
    ]


def summaries(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Summary]]:
    """A line for each row and name of file: two files of one run are no two seeds."""
    files: dict[str, set[str]] = {}
    for result in results:
        files.setdefault(result["label"], set()).add(Path(result["file"]).name)
    collected: dict[str, dict[str, list[float]]] = {}
    for result in results:
        label = result["label"]
        line = f"{label} ({Path(result['file']).name})" if len(files[label]) > 1 else label
        row = collected.setdefault(line, {})
        for name, entry in result["metrics"].items():
            value = entry.get("value") if isinstance(entry, Mapping) else entry
            if isinstance(value, int | float):
                row.setdefault(name, []).append(float(value))
    return {
        label: {name: found for name, values in row.items() if (found := summarise(values))}
        for label, row in collected.items()
    }
