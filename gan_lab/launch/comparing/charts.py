"""The charts of the page, each drawn twice: for light and for dark surroundings."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gan_lab.launch.comparing.curves import Band
from gan_lab.launch.comparing.landscape import Spot, best_along, is_logarithmic
from gan_lab.launch.comparing.ticks import clip, log_ticks, scale, thousands

matplotlib.use("agg")
SIZE = (5.2, 3.7)  # inches, so that letters are legible on a narrow screen as well
MOST_LINES = 8
JOINED = 12  # levels of a key up to which a line joins the best at each
STYLES = ("-", "--", ":", "-.")


class Theme(NamedTuple):
    """Colours of one kind of surroundings."""

    face: str
    ink: str
    faint: str
    lines: tuple[str, ...]
    alarm: str


LIGHT = Theme(
    "#ffffff",
    "#24292f",
    "#d0d7de",
    ("#0969b8", "#c4450c", "#1a7f4e", "#8250c4", "#9a6700", "#0e7c86", "#bf3989", "#57606a"),
    "#c9252d",
)
DARK = Theme(
    "#161b22",
    "#e6edf3",
    "#3d444d",
    ("#58a6ff", "#ff9e5e", "#56d39b", "#c297ff", "#e3b341", "#4fd1d9", "#ff8cc6", "#a8b3bf"),
    "#ff7b72",
)


Drawing = Callable[[Axes, Theme], None]


class Chart(NamedTuple):
    """A picture in both themes, as the bytes of PNG files, and what it shows in words."""

    name: str
    title: str
    says: str
    light: bytes
    dark: bytes


def chart(name: str, title: str, says: str, draw: Drawing) -> Chart:
    light, dark = (render(draw, theme) for theme in (LIGHT, DARK))
    return Chart(name, title, says, light, dark)


def render(draw: Drawing, theme: Theme) -> bytes:
    drawn = Figure(figsize=SIZE, layout="constrained", facecolor=theme.face)
    axes = drawn.subplots()
    draw(axes, theme)
    dress(axes, theme)
    buffer = io.BytesIO()
    drawn.savefig(buffer, dpi=150, facecolor=theme.face, format="png")
    return small_png(Image.open(buffer).convert("RGB"))


def small_png(image: Image.Image) -> bytes:
    """With a palette a chart takes a third of the bytes."""
    buffer = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.face)
    axes.tick_params(which="both", colors=theme.ink, labelsize=9)
    axes.set_axisbelow(True)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(theme.ink)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_title().set_color(theme.ink)
        legend.get_frame().set(facecolor=theme.face, edgecolor=theme.faint, alpha=0.85)
        for words in legend.get_texts():
            words.set_color(theme.ink)


def lines(
    axes: Axes,
    theme: Theme,
    bands: Sequence[tuple[str, Band]],
    names: tuple[str, str, str],
) -> None:
    """One line a row, with a band of one standard deviation to either side.

    Args:
        names: of the x-axis, the y-axis and what the lines are told apart by.
    """
    values = [value for _, band in bands[:MOST_LINES] for value in band.mean]
    floor = min(values) / 4 if is_logarithmic(values) else -np.inf  # bands may reach below 0
    for place, (label, band) in enumerate(bands[:MOST_LINES]):
        colour, words = theme.lines[place % len(theme.lines)], clip(label)
        marker = "o" if len(band.x) < 12 else ""
        style = STYLES[place % len(STYLES)]
        axes.plot(band.x, band.mean, f"{marker}{style}", color=colour, label=words, markersize=4)
        if band.size > 1:
            low = np.maximum(band.mean - band.std, floor)
            axes.fill_between(band.x, low, band.mean + band.std, color=colour, alpha=0.2, lw=0)
    if is_logarithmic(values):
        axes.set_yscale("log")
        log_ticks(axes.yaxis, values)
    axes.set_xlabel(clip(names[0]))
    axes.set_ylabel(clip(names[1]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: thousands(value))
    axes.grid(color=theme.faint, alpha=0.5)
    axes.legend(fontsize=8, title=clip(names[2]) or None, title_fontsize=8)


def along(
    axes: Axes, theme: Theme, places: Sequence[Spot], x_name: str, y_name: str, lower: bool
) -> None:
    """Every row at its value of one key, and a line through the best at each value."""
    known = [spot for spot in places if spot.value is not None]
    values = [spot.value for spot in known if spot.value is not None]
    axes.errorbar(
        [spot.x for spot in known],
        values,
        yerr=[np.nan if spot.std is None else spot.std for spot in known],
        fmt="o",
        color=theme.lines[0],
        alpha=0.75,
        markersize=5,
        capsize=3,
    )
    xs, best = best_along(places, lower)
    if 1 < len(xs) <= JOINED:
        axes.plot(xs, best, "-", color=theme.lines[1], lw=1.5)
    scale(axes, [spot.x for spot in places], values)
    lost = [spot.x for spot in places if spot.lost]
    if lost:
        top = [0.97] * len(lost)
        across = axes.get_xaxis_transform()
        axes.plot(lost, top, "x", color=theme.alarm, transform=across, label="diverged or failed")
        axes.legend(fontsize=8)
    axes.set_xlabel(clip(x_name))
    axes.set_ylabel(clip(y_name))
    axes.grid(color=theme.faint, alpha=0.5)


def bars(axes: Axes, theme: Theme, shares: Sequence[tuple[str, float]]) -> None:
    """The most important key on top."""
    names, values = zip(*reversed(shares), strict=True)
    places = range(len(names))
    axes.barh(places, values, color=theme.lines[0], height=0.6)
    for place, value in enumerate(values):
        axes.text(value + 0.01, place, f"{value:.0%}", va="center", color=theme.ink, fontsize=9)
    axes.set_yticks(list(places), [clip(name, 24) for name in names])
    axes.set_xlim(0, max(1.0, max(values) * 1.15))
    axes.set_ylim(-0.6, max(len(names), 3) - 0.4)
    axes.set_xlabel("share of the variance")


def front(
    axes: Axes,
    theme: Theme,
    points: Sequence[tuple[float, float]],
    best: Sequence[int],
    names: tuple[str, str],
) -> None:
    """All trials, and those that no other beats in one objective without losing in the other."""
    chosen = sorted(points[i] for i in best)
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, "o", color=theme.lines[7], alpha=0.6, markersize=5, label="trials")
    axes.plot(*zip(*chosen, strict=True), "o-", color=theme.lines[1], label="Pareto front")
    scale(axes, xs, ys)
    axes.set_xlabel(clip(names[0]))
    axes.set_ylabel(clip(names[1]))
    axes.grid(color=theme.faint, alpha=0.5)
    axes.legend(fontsize=8)
