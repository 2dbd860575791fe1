"""Means over seeds, and whether two of them differ beyond their spread."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Values = Sequence[float] | Array
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


class Summary(NamedTuple):
    """Of so many values the mean and the sample standard deviation, which one value has not."""

    size: int
    mean: float
    std: float | None


def summarise(values: Values) -> Summary | None:
    """None of no values.

    >>> summarise([1.0, 3.0])
    Summary(size=2, mean=2.0, std=1.4142135623730951)
    """
    if not len(values):
        return None
    array = np.asarray(values, float)
    std = float(array.std(ddof=1)) if len(array) > 1 else None
    return Summary(len(array), float(array.mean()), std)


class Welch(NamedTuple):
    """mean(a) - mean(b), its interval, and the two-sided p of Welch's test (Welch 1947)."""

    difference: float
    low: float
    high: float
    t: float
    df: float
    p: float


def welch(a: Values, b: Values, level: float = 0.95) -> Welch | None:
    """Compare two means without taking their spreads for equal.

    None where there is no spread to compare with: fewer than two values, or none that differ.
    """
    one, two = summarise(a), summarise(b)
    if one is None or two is None or one.std is None or two.std is None:
        return None
    parts = one.std**2 / one.size, two.std**2 / two.size
    error = math.sqrt(sum(parts))
    if error == 0:
        return None
    df = sum(parts) ** 2 / (parts[0] ** 2 / (one.size - 1) + parts[1] ** 2 / (two.size - 1))
    difference = one.mean - two.mean
    half = error * quantile(1 - level, df)
    t = difference / error
    return Welch(difference, difference - half, difference + half, t, df, two_sided(t, df))


def two_sided(t: float, df: float) -> float:
    """Probability that Student's t is at least so far from 0.

    With t = sqrt(df) tan(x) the density is proportional to cos(x)^(df - 1).

    >>> round(two_sided(12.706, 1), 4), round(two_sided(2.776, 4), 4)
    (0.05, 0.05)
    """
    return min(1.0, _tail(math.atan(abs(t) / math.sqrt(df)), df) / _tail(0.0, df))


def _tail(start: float, df: float) -> float:
    """Integral of cos(x)^(df - 1) from `start` to where nothing is left of it."""
    end = min(math.pi / 2, start + 40 / math.sqrt(df))
    points = start + (NODES + 1) * (end - start) / 2
    heights = np.cos(points).clip(0) ** (df - 1)
    return float(WEIGHTS @ heights) * (end - start) / 2


def quantile(p: float, df: float) -> float:
    """The t beyond which Student's t is with probability p, to either side; by bisection."""
    low, high = 0.0, 1.0
    while two_sided(high, df) > p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, df) > p else (low, middle)
    return high


def ranks(values: Sequence[float]) -> Array:
    """1 for the smallest; equal values share the mean of their ranks.

    >>> ranks([10, 20, 10]).tolist()
    [1.5, 3.0, 1.5]
    """
    array = np.asarray(values, float)
    below = (array[:, None] > array).sum(1)
    equal = (array[:, None] == array).sum(1)
    return below + (equal + 1) / 2


def explained(levels: Sequence[object], values: Array) -> float:
    """Share of the variance of `values` that lies between the means of the levels (eta squared)."""
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0:
        return 0.0
    names = np.array([str(level) for level in levels])
    between = 0.0
    for name in np.unique(names):
        here = values[names == name]
        between += len(here) * float(here.mean() - values.mean()) ** 2
    return between / total


def chance(
    statistic: Callable[[Array], float], values: Array, draws: int = 1000, seed: int = 0
) -> float:
    """Probability of a statistic at least so large were the values dealt out at random."""
    random = np.random.default_rng(seed)
    found = statistic(values)
    shuffled = [statistic(random.permutation(values)) for _ in range(draws)]
    return (1 + sum(value >= found - 1e-12 for value in shuffled)) / (1 + draws)
