"""Axes that are read at once: logarithmic where it helps, numbers rather than powers."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from gan_lab.launch.comparing.contrast import figure
from gan_lab.launch.comparing.landscape import is_logarithmic
from gan_lab.launch.comparing.rows import show

FEW_LEVELS = 7
WIDE = 300.0  # largest over smallest from which ticks at powers of ten are enough


def scale(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Logarithmic axes where numbers span much; ticks at the levels of x where these are few."""
    levels = sorted(set(xs))
    if is_logarithmic(xs):
        axes.set_xscale("log")
        log_ticks(axes.xaxis, xs)
    if is_logarithmic(ys):
        axes.set_yscale("log")
        log_ticks(axes.yaxis, ys)
    if len(levels) <= FEW_LEVELS:
        ticks_at(axes.xaxis, levels)


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
