"""Axes that are read at once: logarithmic where it helps, numbers rather than powers."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from gan_lab.launch.comparing.contrast import figure
from gan_lab.launch.comparing.landscape import is_from_zero, is_logarithmic
from gan_lab.launch.comparing.rows import show

FEW_LEVELS = 7
WIDE = 300.0  # largest over smallest from which ticks at powers of ten are enough


def scale(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Logarithmic axes where numbers span much; ticks at the levels of x where these are few.

    A setting may be infinite, as a bound that never holds; no axis reaches there.
    """
    xs, ys = ([value for value in values if math.isfinite(value)] for values in (xs, ys))
    levels = sorted(set(xs))
    for setter, axis, values in (
        (axes.set_xscale, axes.xaxis, xs),
        (axes.set_yscale, axes.yaxis, ys),
    ):
        if is_logarithmic(values):
            setter("log")
            log_ticks(axis, values)
        elif is_from_zero(values):
            setter("symlog", linthresh=least_above_zero(values))
            ticks_at(axis, decades_from_zero(values))
    if len(levels) <= FEW_LEVELS:
        ticks_at(axes.xaxis, levels)


def least_above_zero(values: Sequence[float]) -> float:
    return min(value for value in values if value > 0)


def decades_from_zero(values: Sequence[float]) -> list[float]:
    """0 and the powers of ten among the values; where these are few, their ends.

    >>> decades_from_zero([0.0, 2e-4, 2e-2]), decades_from_zero([0.0, 2.0, 18.0])
    ([0.0, 0.001, 0.01], [0.0, 2.0, 18.0])
    """
    least, most = least_above_zero(values), max(values)
    exponents = range(math.ceil(math.log10(least)), math.floor(math.log10(most)) + 1)
    decades = [float(f"1e{exponent}") for exponent in exponents]
    return [0.0, *(decades if len(decades) > 1 else (least, most))]


def ticks_at(axis: Axis, levels: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(list(levels)))
    say_ticks(axis)


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """At powers of ten, and between them where there are few."""
    wide = max(values) / min(values) > WIDE
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    say_ticks(axis)


def say_ticks(axis: Axis) -> None:
    """As 1e-4 rather than as a power."""
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: show(float(value)))
    axis.set_minor_formatter(NullFormatter())


def thousands(value: float) -> str:
    """10000 -> 10 k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def clip(text: str, most: int = 38) -> str:
    """Short enough for a chart, and free of what matplotlib would read as formulas."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$").lstrip("_")


def value_text(value: float) -> str:
    return figure(value, 3 if value < 1000 else 2)
