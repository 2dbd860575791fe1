"""A map over two keys: coloured cells with their values where they are a grid, else points."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize

from gan_lab.launch.comparing.charts import Theme
from gan_lab.launch.comparing.landscape import Spot, Table, is_logarithmic, table
from gan_lab.launch.comparing.rows import show
from gan_lab.launch.comparing.ticks import clip, scale, value_text


def over(
    axes: Axes, theme: Theme, places: Sequence[Spot], names: tuple[str, str, str], lower: bool
) -> None:
    """`names`: of the two keys and of the value. A good value is bright, whichever way it lies."""
    found = table(places, lower)
    colours = colormaps["viridis_r" if lower else "viridis"]
    if found is None:
        scatter(axes, theme, places, names[2], colours)
    else:
        cells(axes, theme, found, colours)
    axes.set_xlabel(clip(names[0]))
    axes.set_ylabel(clip(names[1]))


def norm_of(values: Sequence[float]) -> Normalize:
    known = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    kind = LogNorm if is_logarithmic(known) else Normalize
    return kind(min(known), max(known))


def cells(axes: Axes, theme: Theme, found: Table, colours: Colormap) -> None:
    """Of one size, whatever lies between their levels: 0, 1e-4 and 1e-2 are all to be read."""
    norm = norm_of(found.values.ravel().tolist())
    axes.pcolormesh(found.values, cmap=colours, norm=norm)
    for setter, levels in ((axes.set_xticks, found.xs), (axes.set_yticks, found.ys)):
        setter([place + 0.5 for place in range(len(levels))], [show(level) for level in levels])
    for row, column in np.ndindex(found.values.shape):
        value = float(found.values[row, column])
        known = bool(np.isfinite(value))
        said = value_text(value) if known else "lost" if (row, column) in found.lost else ""
        ink = contrasting(colours(norm(value))) if known else theme.alarm
        place = column + 0.5, row + 0.5
        axes.text(*place, said, ha="center", va="center", color=ink, fontsize=9)


def contrasting(colour: tuple[float, ...]) -> str:
    """Black on bright cells, white on dark ones."""
    red, green, blue = colour[:3]
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"


def scatter(axes: Axes, theme: Theme, places: Sequence[Spot], name: str, colours: Colormap) -> None:
    known = [(spot.x, spot.y, spot.value) for spot in places if spot.value is not None]
    if known:
        xs, ys, values = zip(*known, strict=True)
        drawn = axes.scatter(
            xs, ys, c=values, cmap=colours, norm=norm_of(values), edgecolor=theme.faint, s=50
        )
        bar = axes.figure.colorbar(drawn, ax=axes)
        bar.set_label(clip(name), color=theme.ink)
        bar.ax.yaxis.set_major_formatter(lambda value, _: show(float(value)))
        bar.ax.tick_params(which="both", colors=theme.ink, labelsize=8)
    lost = [(spot.x, spot.y) for spot in places if spot.lost]
    if lost:
        axes.plot(*zip(*lost, strict=True), "x", color=theme.alarm, label="diverged or failed")
        axes.legend(fontsize=8)
    scale(axes, [spot.x for spot in places], [spot.y for spot in places])
