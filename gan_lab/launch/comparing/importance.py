"""Which hyperparameters mattered: shares of the variance of the results, with their limits.

On a full grid the variance splits exactly into one part for each key and a rest (interactions and
chance). Otherwise results are ranked, numbers are sorted into bins, and each key is judged alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from gan_lab.launch.comparing.statistics import Array, chance, explained, ranks

LEAST_ROWS = 4
MOST_KEYS = 10  # with more, as between recipes, no key can be told from the others
BIN = 3  # runs that a bin of a numeric key holds at least
MOST_BINS = 4


@dataclass(frozen=True)
class Share:
    """A key's share of the variance, and how often chance alone gives as much."""

    key: str
    share: float
    p: float


@dataclass(frozen=True)
class Importance:
    """`rest` is what no key explains alone; None where keys may share what they explain."""

    method: str
    rows: int
    shares: list[Share]
    rest: float | None
    noise: float | None  # the part of the seeds in it, where rows were repeated

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def importance(
    settings: Sequence[Mapping[str, Any]], values: Sequence[Sequence[float]], lower: bool = True
) -> Importance | None:
    """Judge every key of `settings`, one mapping a row; an empty list of values is a lost row.

    None where that would be guessing: one key or too many, too few rows, or no variance.
    """
    keys = list(settings[0]) if settings else []
    if not 2 <= len(keys) <= MOST_KEYS or len(settings) < LEAST_ROWS:
        return None
    if is_grid(settings) and all(len(v) for v in values):
        return on_grid(keys, settings, values)
    return by_ranks(keys, settings, values, lower)


def is_grid(settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every combination of the levels is there once."""
    given = [tuple(str(value) for value in row.values()) for row in settings]
    levels = [sorted(set(column)) for column in zip(*given, strict=True)]
    return sorted(given) == sorted(product(*levels))


def on_grid(
    keys: Sequence[str], settings: Sequence[Mapping[str, Any]], values: Sequence[Sequence[float]]
) -> Importance | None:
    """Main effects of a functional analysis of variance, which on a grid are exact and add up."""
    logarithmic = all(value > 0 for row in values for value in row)
    scaled = [np.log10(row) if logarithmic else np.asarray(row, float) for row in values]
    means = np.array([row.mean() for row in scaled])
    if means.var() <= 1e-18:
        return None
    shares = [share(key, [row[key] for row in settings], means) for key in keys]
    scale = "logarithms of the values" if logarithmic else "values"
    return Importance(
        f"analysis of variance of the {scale} on the full grid: main effects",
        len(settings),
        sorted(shares, key=lambda found: -found.share),
        1 - sum(found.share for found in shares),
        noise(scaled, means),
    )


def share(key: str, levels: Sequence[object], values: Array) -> Share:
    found = explained(levels, values)
    return Share(key, found, chance(lambda dealt: explained(levels, dealt), values))


def noise(scaled: Sequence[Array], means: Array) -> float | None:
    """Share of the variance of the rows' means that the spread of the seeds accounts for."""
    repeated = [row.var(ddof=1) / len(row) for row in scaled if len(row) > 1]
    if len(repeated) < len(scaled):
        return None
    return float(min(1.0, np.mean(repeated) / means.var(ddof=1)))


def by_ranks(
    keys: Sequence[str],
    settings: Sequence[Mapping[str, Any]],
    values: Sequence[Sequence[float]],
    lower: bool,
) -> Importance | None:
    """Each key alone: variance of the ranks between bins, less what chance gives that many bins."""
    worst = np.inf if lower else -np.inf
    results = ranks([float(np.mean(row)) if len(row) else worst for row in values])
    if results.var() == 0:
        return None
    shares = []
    for key in keys:
        levels = binned([row[key] for row in settings])
        found = share(key, levels, results)
        groups = len(set(map(str, levels)))
        shares.append(Share(key, adjusted(found.share, len(results), groups), found.p))
    return Importance(
        "variance of the ranks between bins of each key alone, adjusted for chance",
        len(settings),
        sorted(shares, key=lambda found: -found.share),
        None,
        None,
    )


def adjusted(eta_squared: float, rows: int, groups: int) -> float:
    """Epsilon squared (Kelley 1935): eta squared without its bias, from 0 up."""
    if rows <= groups:
        return 0.0
    return max(0.0, 1 - (1 - eta_squared) * (rows - 1) / (rows - groups))


def binned(levels: Sequence[Any]) -> list[Any]:
    """Numbers of many values in bins of equal counts, so that a best value inside is seen, too."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in levels)
    bins = min(MOST_BINS, len(levels) // BIN)
    if not numeric or len(set(levels)) <= max(bins, 2):
        return list(levels)
    edges = np.quantile(np.asarray(levels, float), np.linspace(0, 1, max(bins, 2) + 1)[1:-1])
    return np.searchsorted(edges, np.asarray(levels, float)).tolist()
