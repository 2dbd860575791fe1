"""Runs that differ in nothing but the seed are one row; what tells the rows apart is its name."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_lab.launch.comparing.records import Record
from gan_lab.launch.comparing.statistics import Summary, summarise
from gan_lab.launch.loggers import CENTRAL
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER

# What cannot change a result: chance, names, places, and what only watches.
FREE = {"seed", "name", "resume", "data.seed", "data.root", "data.source.root"}
FREE |= {"data.source.cache", "data.resident_limit", "trainer.default_root_dir"}
FREE |= {"trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.profiler"}
FREE |= {"trainer.log_every_n_steps"}
WATCHES = ("progress", "samples", "checkpoints", "health", "projector", "phase_portrait")
WATCHING = ("logger.", *(f"callbacks.{name}." for name in WATCHES))
UNTOLD = ("hydra", "seed", "name", "resume", "logger", "data.root", "trainer.enable_progress_bar")
LOST = ("diverged", "failed")
ABSENT = "none"  # of a setting that only other rows have
NAMED_BY_KEYS = 4  # with more that differ, the command says it more briefly


@dataclass
class Row:
    """One setting with its runs; `counted` are those whose values make its mean."""

    records: list[Record]
    counted: list[Record]
    varied: dict[str, Any]  # key -> value, for the keys in which rows differ
    also: Mapping[str, list[str]]  # key -> others that always have the same value as it has
    label: str = ""
    place: int | None = None  # from 1; None where nothing can be ranked

    @property
    def tag(self) -> str:
        """What it is called in a chart, whose title has the names of the keys."""
        few = 0 < len(self.varied) <= NAMED_BY_KEYS
        words = ", ".join(map(show, self.varied.values())) if few else self.label
        return words if self.place is None else f"{self.place}: {words}"

    @property
    def lost(self) -> list[Record]:
        return [record for record in self.records if record.status in LOST]

    @property
    def best(self) -> Summary | None:
        return summarise(self.values("best"))

    @property
    def last(self) -> Summary | None:
        return summarise(self.values("last"))

    def values(self, by: str) -> list[float]:
        """`best` or `last` of the runs that count, where it is a number."""
        found = [getattr(record, by) for record in self.counted]
        return [value for value in found if value is not None]

    @property
    def representative(self) -> Record:
        """The run that shows what the row is: the best of those that count."""
        lower = self.records[0].monitor in LOWER_IS_BETTER
        known = [record for record in self.counted or self.records if record.best is not None]
        if not known:
            return self.records[0]
        return (min if lower else max)(known, key=lambda record: record.best or 0.0)


def rows_of(records: Sequence[Record], by: str = "best") -> list[Row]:
    """Group by settings, rank, name. Values are those of finished runs, one a seed.

    Rows that lost a run to divergence or an error come after those that lost none.
    """
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(identity(record.settings), []).append(record)
    keys = varying([family[0].settings for family in families.values()])
    rows = [row_of(family, keys) for family in families.values()]
    lower = any(record.monitor in LOWER_IS_BETTER for record in records)
    rows.sort(key=lambda row: order(row, by, lower))
    place = 0
    for row in rows:
        if row.values(by):
            row.place = place = place + 1
    name(rows)
    return rows


def order(row: Row, by: str, lower: bool) -> tuple[bool, bool, float]:
    summary = summarise(row.values(by))
    if summary is None:
        return True, bool(row.lost), 0.0
    return False, bool(row.lost), summary.mean if lower else -summary.mean


def row_of(family: list[Record], keys: Mapping[str, list[str]]) -> Row:
    settings = family[0].settings
    varied = {key: settings.get(key, ABSENT) for key in keys}
    return Row(family, counted(family), varied, {key: same for key, same in keys.items() if same})


def counted(family: Sequence[Record]) -> list[Record]:
    """The finished runs with a value, one of each seed.

    Where a study has repeated a trial, its repetitions alone: the trial was chosen for its value,
    so that this is too good.
    """
    done = [r for r in family if r.status == "finished" and r.best is not None]
    done = [r for r in done if r.finalist] or done
    return list({json.dumps(r.seed, default=str): r for r in reversed(done)}.values())[::-1]


def telling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that can change a result."""
    return {k: v for k, v in settings.items() if k not in FREE and not k.startswith(WATCHING)}


def identity(settings: Mapping[str, Any]) -> str:
    return json.dumps(telling(settings), sort_keys=True, default=str)


def varying(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The keys whose values differ, each with those that always have the same value as it has."""
    told = [telling(given) for given in settings]
    keys = {key: None for given in told for key in given}
    columns: dict[str, list[str]] = {}
    for key in sorted(keys, key=lambda key: (rank(key), key.count("."))):
        column = [json.dumps(given.get(key, ABSENT), default=str) for given in told]
        if len(set(column)) > 1:
            columns.setdefault("\n".join(column), []).append(key)
    return {same[0]: same[1:] for same in columns.values()}


def rank(key: str) -> int:
    """The settings that usually tell runs apart come first."""
    return CENTRAL.index(key) if key in CENTRAL else len(CENTRAL)


def name(rows: Sequence[Row]) -> None:
    """Label each row by what varies; where that is much, by its command, then by its folder."""
    for row, words in zip(rows, commands(rows), strict=True):
        few = len(row.varied) <= NAMED_BY_KEYS
        row.label = told(row.varied) if few else words
        row.label = row.label or str(row.records[0].settings.get("name", "run"))
    counts = Counter(row.label for row in rows)
    for row in rows:
        if counts[row.label] > 1:
            row.label = f"{row.label} ({row.records[0].folder.name})"


def told(varied: Mapping[str, Any]) -> str:
    names = brief(varied)
    return ", ".join(f"{names[key]}={show(value)}" for key, value in varied.items())


def commands(rows: Sequence[Row]) -> list[str]:
    """The overrides of each row that not all rows have."""
    given = [[o for o in row.records[0].command if is_told(o)] for row in rows]
    common = set.intersection(*map(set, given)) if given else set()
    return [" ".join(o for o in overrides if o not in common) for overrides in given]


def is_told(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return not any(key == part or key.startswith((f"{part}.", f"{part}/")) for part in UNTOLD)


def brief(keys: Iterable[str]) -> dict[str, str]:
    """Each key with its last two parts, where these tell it from the others.

    A class is named by where it stands: `objective`, not `objective._target_`.
    """
    whole = {key: key.removesuffix("._target_") for key in keys}
    short = {key: ".".join(name.split(".")[-2:]) for key, name in whole.items()}
    counts = Counter(short.values())
    return {key: name if counts[name] == 1 else whole[key] for key, name in short.items()}


def show(value: Any) -> str:
    """A setting in few characters."""
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.2e}".partition("e")  # none in inf
        small = 0 < abs(value) < 0.01
        return f"{float(mantissa):g}e{int(exponent)}" if small else f"{value:g}"
    if isinstance(value, str) and value.startswith(("gan_lab.", "torch.")):
        return value.rpartition(".")[2]
    return value if isinstance(value, str) else json.dumps(value, default=str)
