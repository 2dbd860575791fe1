"""Which charts a group and a study get, and the last grids of samples."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from gan_lab.launch.comparing import charts, heat
from gan_lab.launch.comparing.charts import Chart, Theme, chart
from gan_lab.launch.comparing.curves import Band, band
from gan_lab.launch.comparing.landscape import numeric_keys, pairs, spots
from gan_lab.launch.comparing.records import last_grid
from gan_lab.launch.comparing.report import Group
from gan_lab.launch.comparing.rows import NAMED_BY_KEYS, Row, brief
from gan_lab.launch.comparing.studies import Study, pareto

GRID_PIXELS = 480


def group_charts(group: Group, by: str) -> list[Chart]:
    """Curves, the landscape, importance; whatever there is nothing to draw for is left out."""
    return [*curve_charts(group), *landscape_charts(group, by), *importance_charts(group)]


def curve_charts(group: Group) -> list[Chart]:
    shown = group.rows[: charts.MOST_LINES]
    left = len(group.rows) - len(shown)
    found = []
    for axis, unit in (("images", "images seen"), ("seconds", "seconds of training")):
        bands = [(row.tag, b) for row in shown if (b := band_of(row, group.metric, axis))]
        if not any(len(b.x) > 1 for _, b in bands):
            continue
        says = "Mean over seeds, bands of one standard deviation, in the order of the table"
        says += f"; {left} further rows are left out." if left > 0 else "."
        title = f"{group.metric} over {'images' if axis == 'images' else 'time'}"
        keys = list(shown[0].varied)
        named = ", ".join(brief(keys).values()) if len(keys) <= NAMED_BY_KEYS else ""
        draw = drawing_of_lines(bands, (unit, group.metric, named))
        found.append(chart(f"over_{axis}", title, says, draw))
    return found


def band_of(row: Row, metric: str, axis: str) -> Band | None:
    """Over the runs that count, or over all where none does."""
    curves = [record.curve(f"val/{metric}") for record in row.counted or row.records]
    return band([(getattr(curve, axis), curve.values) for curve in curves])


def drawing_of_lines(
    bands: Sequence[tuple[str, Band]], names: tuple[str, str, str]
) -> charts.Drawing:
    def draw(axes: Axes, theme: Theme) -> None:
        charts.lines(axes, theme, bands, names)

    return draw


def landscape_charts(group: Group, by: str) -> list[Chart]:
    """Along each numeric key, and over pairs of them, the most important first.

    Not between recipes that differ in much: there a chart of one key would tell of all others.
    """
    if len(group.rows[0].varied) > NAMED_BY_KEYS:
        return []
    order = [share.key for share in group.importance.shares] if group.importance else []
    keys = numeric_keys(group.rows)
    keys.sort(key=lambda key: order.index(key) if key in order else len(order))
    found = [chart_along(group, key, by, alone=len(keys) == 1) for key in keys]
    return found + [chart_over(group, pair, by) for pair in pairs(keys)]


def chart_along(group: Group, key: str, by: str, alone: bool) -> Chart:
    places = spots(group.rows, key, None, by)
    name = brief(group.rows[0].varied)[key]

    def draw(axes: Axes, theme: Theme) -> None:
        charts.along(axes, theme, places, name, group.metric, group.lower)

    says = "Each point is a row, its bar one standard deviation over seeds"
    joined = not alone and len({spot.x for spot in places}) <= charts.JOINED
    says += f"; the line joins the best for each {name}." if joined else "."
    return chart(f"along_{name}", f"{group.metric} against {name}", says, draw)


def chart_over(group: Group, keys: tuple[str, str], by: str) -> Chart:
    names = brief(group.rows[0].varied)
    first, second = (names[key] for key in keys)
    places = spots(group.rows, *keys, by)

    def draw(axes: Axes, theme: Theme) -> None:
        heat.over(axes, theme, places, (first, second, group.metric), group.lower)

    says = "Bright is good. Where other keys vary as well, a cell shows the best over them."
    title = f"{group.metric} over {first} and {second}"
    return chart(f"over_{first}_{second}", title, says, draw)


def importance_charts(group: Group) -> list[Chart]:
    if group.importance is None:
        return []
    names = brief(group.rows[0].varied)
    shares = [(names[share.key], share.share) for share in group.importance.shares]
    if group.importance.rest is not None:
        shares.append(("rest", group.importance.rest))

    def draw(axes: Axes, theme: Theme) -> None:
        charts.bars(axes, theme, shares)

    says = f"By {group.importance.method}, over {group.importance.rows} rows."
    return [chart("importance", f"What mattered for {group.metric}", says, draw)]


def study_charts(study: Study) -> list[Chart]:
    """The Pareto front of a study with two objectives."""
    if len(study.metrics) != 2:
        return []
    done = [trial.values for trial in study.trials if trial.state == "complete"]
    points = [(v[0], v[1]) for v in done if len(v) == 2 and v[0] is not None and v[1] is not None]
    if not points:
        return []
    best, names = pareto(points, study.directions), (study.metrics[0], study.metrics[1])

    def draw(axes: Axes, theme: Theme) -> None:
        charts.front(axes, theme, points, best, names)

    says = f"{len(best)} of {len(points)} trials are beaten by none in both objectives at once."
    return [chart("pareto", f"{names[0]} and {names[1]}: {study.name}", says, draw)]


class Grid(NamedTuple):
    """The last samples of a row's best run."""

    label: str
    images_seen: int
    png: bytes


def grids(rows: Sequence[Row], most: int) -> list[Grid]:
    """In the order of the table; runs without a readable picture are passed over."""
    found = []
    for row in rows[:most]:
        last = last_grid(row.representative.folder)
        if last is None:
            continue
        try:
            png = reduced(np.asarray(Image.open(last[0]).convert("RGB")))
        except (OSError, ValueError, SyntaxError):  # what Pillow raises of damaged files
            continue
        found.append(Grid(row.label, last[1], png))
    return found


def reduced(pixels: np.ndarray) -> bytes:
    """A picture of its own, not a foreign file's bytes, and no larger than it will be shown."""
    image = Image.fromarray(pixels)
    image.thumbnail((GRID_PIXELS, GRID_PIXELS))
    buffer = io.BytesIO()
    grey = bool((np.ptp(pixels, axis=2) == 0).all())
    (image.convert("L") if grey else image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
