"""The table of a group: one column after another, each cell as text and as a key to sort by."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.comparing.contrast import figure, mean_and_spread
from gan_lab.launch.comparing.records import Record
from gan_lab.launch.comparing.report import Group, Report
from gan_lab.launch.comparing.rows import NAMED_BY_KEYS, Row, brief, show
from gan_lab.training.verdicts import Verdict


class Cell(NamedTuple):
    """What is shown, and what a sorted column goes by."""

    text: str
    key: float | str


class Column(NamedTuple):
    """A title, what it means, and the cell of each row."""

    title: str
    meaning: str
    cell: Callable[[Row], Cell]


def columns(group: Group, report: Report) -> list[Column]:
    """What a reader on a narrow screen needs comes first."""
    worst = float("inf") if group.lower else float("-inf")

    def measured(by: str) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            summary = row.best if by == "best" else row.last
            return Cell(mean_and_spread(summary) if summary else so_far(row, by), key_of(summary))

        return cell

    def key_of(summary: Any) -> float:
        return worst if summary is None else summary.mean

    return [
        Column("#", "place; none without a finished run", place),
        Column(f"best {group.metric}", "mean ± standard deviation over seeds", measured("best")),
        *names(group),
        Column("last", "the same at the end of the run", measured("last")),
        Column("seeds", "finished seeds that count", seeds),
        Column("images", "images seen", amount("images")),
        Column("seconds", "of training, with what is measured during it", amount("seconds")),
        Column("images/s", "images over seconds", rate),
        Column("parameters", "generator + discriminator", lambda row: parameters(row, report)),
        Column("doctor", "the gravest verdict of each run", lambda row: verdicts(row, report)),
        Column("state", "how the runs ended", states),
    ]


def names(group: Group) -> list[Column]:
    """A column for each key that varies, or where these are many, one for the label."""
    keys = list(group.rows[0].varied) if group.rows else []
    if not 0 < len(keys) <= NAMED_BY_KEYS or len({row.label for row in group.rows}) < 2:
        return [Column("run", "what differs", lambda row: Cell(row.label, row.label))]
    short = brief(keys)
    return [Column(short[key], key, setting(key)) for key in keys]


def setting(key: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = row.varied[key]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return Cell(show(value), float(value) if is_number else show(value))

    return cell


def place(row: Row) -> Cell:
    return Cell("" if row.place is None else str(row.place), row.place or float("inf"))


def so_far(row: Row, by: str) -> str:
    """The value of runs that have not finished: shown, never ranked."""
    known = [value for record in row.records if (value := getattr(record, by)) is not None]
    return f"({', '.join(map(figure, known[:3]))})" if known else "none"


def seeds(row: Row) -> Cell:
    count, total = len(row.counted), len(row.records)
    return Cell(str(count) if count == total else f"{count} of {total}", count)


def amount(name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = average(row, name)
        return Cell("none", 0.0) if value is None else Cell(f"{value:,.0f}", value)

    return cell


def average(row: Row, name: str) -> float | None:
    """Over the runs that count, or over all where none does."""
    values = [getattr(record, name) for record in row.counted or row.records]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def rate(row: Row) -> Cell:
    images, seconds = average(row, "images"), average(row, "seconds")
    if not images or not seconds:
        return Cell("none", 0.0)
    return Cell(f"{images / seconds:,.0f}", images / seconds)


def parameters(row: Row, report: Report) -> Cell:
    counts = report.parameters.get(row.records[0].folder)
    if counts is None:
        return Cell("unknown", 0.0)
    text = " + ".join(thousands(count) for count in counts.values())
    return Cell(text, float(sum(counts.values())))


def thousands(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def verdicts(row: Row, report: Report) -> Cell:
    found = Counter(verdict_of(record, report) for record in row.records)
    order = [*[verdict.value for verdict in Verdict], "not watched"]
    names = sorted(found, key=order.index)
    if len(names) == 1:
        return Cell(names[0], order.index(names[0]))
    text = ", ".join(f"{found[name]} {name}" for name in names)
    return Cell(text, order.index(names[0]))


def verdict_of(record: Record, report: Report) -> str:
    diagnosis = report.diagnoses.get(record.folder)
    return diagnosis.verdict.value if diagnosis else "not watched"


def states(row: Row) -> Cell:
    found = Counter(record.status for record in row.records)
    names = [n if len(found) == 1 else f"{count} {n}" for n, count in found.most_common()]
    return Cell(", ".join(names), ", ".join(names))


def text(group: Group, report: Report) -> str:
    """The leaderboard for a terminal."""
    shown = columns(group, report)
    rows: Sequence[Sequence[str]] = [[c.cell(row).text for c in shown] for row in group.rows]
    return table([column.title for column in shown], rows)
