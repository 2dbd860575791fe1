"""Curves of several seeds as one band: mean and sample standard deviation where all of them are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gan_lab.launch.comparing.statistics import Array

Line = tuple[Array, Array]  # x ascending, y


class Band(NamedTuple):
    """Mean and standard deviation (zero of one curve) over `size` curves at each x."""

    x: Array
    mean: Array
    std: Array
    size: int


def band(lines: Sequence[Line], places: int = 200) -> Band | None:
    """Curves that were measured at different x, joined by straight lines between measurements.

    Only where all curves are: a mean over fewer and fewer would jump where one ends. None where
    there is no such place.
    """
    kept = [finite(*line) for line in lines]
    kept = [line for line in kept if len(line[0])]
    if not kept:
        return None
    start, end = max(x[0] for x, _ in kept), min(x[-1] for x, _ in kept)
    grid = np.unique(np.concatenate([x for x, _ in kept]))
    grid = grid[(grid >= start) & (grid <= end)]
    if not len(grid):
        return None
    if len(grid) > places:
        grid = grid[np.linspace(0, len(grid) - 1, places).round().astype(int)]
    values = np.stack([np.interp(grid, x, y) for x, y in kept])
    std = values.std(0, ddof=1) if len(kept) > 1 else np.zeros(len(grid))
    return Band(grid, values.mean(0), std, len(kept))


def finite(x: Array, y: Array) -> Line:
    """Without what is no number, and in order of x."""
    known = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[known], kind="stable")
    return x[known][order], y[known][order]
