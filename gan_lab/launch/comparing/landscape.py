"""Where in the space of the settings results are good: along one key, and over two."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from gan_lab.launch.comparing.rows import Row
from gan_lab.launch.comparing.statistics import Array, summarise

MOST_LEVELS = 10  # of each key, in a map with values in its cells
SPREAD = 8.0  # largest over smallest from which an axis is logarithmic


class Spot(NamedTuple):
    """One row: where it is, its value (None for one that has none), spread over its seeds."""

    x: float
    y: float
    value: float | None
    std: float | None
    label: str
    lost: bool


def numeric_keys(rows: Sequence[Row]) -> list[str]:
    """Keys in which rows differ and that are numbers in all of them."""
    keys = list(rows[0].varied) if rows else []
    return [key for key in keys if all(is_number(row.varied[key]) for row in rows)]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def spots(rows: Sequence[Row], key: str, other: str | None, by: str) -> list[Spot]:
    """All rows along `key`, and over `other` where it is given."""
    found = []
    for row in rows:
        summary = summarise(row.values(by))
        x, y = float(row.varied[key]), float(row.varied[other]) if other else 0.0
        value, std = (summary.mean, summary.std) if summary else (None, None)
        found.append(Spot(x, y, value, std, row.label, value is None and bool(row.lost)))
    return found


def pairs(keys: Sequence[str], most: int = 3) -> list[tuple[str, str]]:
    """The pairs of the first keys."""
    return list(combinations(keys[:3], 2))[:most]


def is_logarithmic(levels: Sequence[float]) -> bool:
    known = [level for level in levels if np.isfinite(level)]
    return bool(known) and min(known) > 0 and max(known) / min(known) >= SPREAD


def is_from_zero(levels: Sequence[float]) -> bool:
    """Whether they span much above a zero, as rates do where one of them is frozen."""
    known = [level for level in levels if np.isfinite(level)]
    return bool(known) and min(known) == 0 and is_logarithmic([v for v in known if v > 0])


def best_along(places: Sequence[Spot], lower: bool) -> tuple[Array, Array]:
    """The best value at each level of x: what is left of the other keys once they are tuned."""
    levels: dict[float, float] = {}
    for spot in places:
        if spot.value is not None:
            known = levels.get(spot.x, spot.value)
            levels[spot.x] = min(known, spot.value) if lower else max(known, spot.value)
    xs = sorted(levels)
    return np.array(xs), np.array([levels[x] for x in xs])


class Table(NamedTuple):
    """Levels of two keys, the best value in each cell (NaN without), and cells of lost runs."""

    xs: list[float]
    ys: list[float]
    values: Array  # [len(ys), len(xs)]
    lost: list[tuple[int, int]]


def table(places: Sequence[Spot], lower: bool) -> Table | None:
    """None where the settings are no grid, or one with too many levels to read."""
    xs, ys = sorted({s.x for s in places}), sorted({s.y for s in places})
    cells = {(ys.index(s.y), xs.index(s.x)) for s in places}
    small = 2 <= len(xs) <= MOST_LEVELS and 2 <= len(ys) <= MOST_LEVELS
    if not small or 2 * len(cells) < len(xs) * len(ys):
        return None
    values = np.full((len(ys), len(xs)), np.nan)
    for spot in places:
        if spot.value is not None:
            cell = ys.index(spot.y), xs.index(spot.x)
            known = spot.value if np.isnan(values[cell]) else values[cell]
            values[cell] = min(known, spot.value) if lower else max(known, spot.value)
    gone = {(ys.index(s.y), xs.index(s.x)) for s in places if s.lost}
    return Table(xs, ys, values, [cell for cell in sorted(gone) if np.isnan(values[cell])])
