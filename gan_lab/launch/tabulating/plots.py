"""A table's pictures: the figure over time and over images, and precision against recall."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan_lab.launch.tabulating.plan import Plan

matplotlib.use("agg")
Figures = dict[str, Any]
AXES = {"seconds": "seconds of training", "images_seen": "images seen"}
PLANE = ("recall", "precision")
LINES = ("-", "--", ":")
MARKS = "osD"


class Style(NamedTuple):
    """How one recipe looks in every picture."""

    colour: Any
    line: str
    mark: str


def draw(plan: Plan, groups: dict[str, list[Figures]], folder: Path) -> list[Path]:
    """Write the pictures that the figures allow; return their paths."""
    curves = {name: [row for row in rows if row["curve"]] for name, rows in groups.items()}
    curves = {name: rows for name, rows in curves.items() if rows}
    styles = {name: style_of(place) for place, name in enumerate(plan.recipes)}
    drawn = [
        save(curve_figure(curves, plan.rank_by, styles), folder / f"{plan.name}_{plan.rank_by}.png")
    ]
    points = {name: rows for name, rows in curves.items() if metrics_of(rows) >= set(PLANE)}
    if points:
        figure = precision_recall_figure(points, styles)
        drawn.append(save(figure, folder / f"{plan.name}_precision_recall.png"))
    return drawn


def save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path


def metrics_of(rows: Sequence[Figures]) -> set[str]:
    return set(rows[0]["metrics"])


def style_of(place: int) -> Style:
    """Ten colours with three kinds of lines and marks: so many recipes can be told apart."""
    kind = place // 10 % len(LINES)
    return Style(matplotlib.colormaps["tab10"](place % 10), LINES[kind], MARKS[kind])


def curve_figure(curves: dict[str, list[Figures]], name: str, styles: dict[str, Style]) -> Figure:
    """The figure over time and over images, the geometric mean with the range of the seeds."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    order = sorted(curves, key=lambda n: np.mean([row["curve"][-1][name] for row in curves[n]]))
    for axes, key in zip(figure.subplots(1, 2, sharey=True), AXES, strict=True):
        for recipe in order:
            runs = [row["curve"] for row in curves[recipe]]
            draw_curve(axes, runs, key, name, styles[recipe], recipe)
        axes.set(xscale="log", yscale="log", xlabel=AXES[key])
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel(name)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def draw_curve(
    axes: Axes, runs: list[list[Figures]], key: str, name: str, style: Style, label: str
) -> None:
    """A recipe: its moments in order, each at the mean place of its seeds."""
    moments = [p["at"] for p in runs[0] if all(p["at"] in {q["at"] for q in r} for r in runs)]
    found = [[next(p for p in run if p["at"] == at) for at in moments] for run in runs]
    places = np.mean([[point[key] for point in run] for run in found], axis=0)
    values = np.array([[point[name] for point in run] for run in found])
    centre = np.exp(np.log(np.maximum(values, 1e-9)).mean(axis=0))
    axes.plot(places, centre, style.line, marker=".", color=style.colour, label=label)
    axes.fill_between(
        places, values.min(axis=0), values.max(axis=0), color=style.colour, alpha=0.15
    )


def precision_recall_figure(points: dict[str, list[Figures]], styles: dict[str, Style]) -> Figure:
    """Each recipe at the mean of its seeds with their range; real images where they stand."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots()
    for recipe, rows in points.items():
        pairs = np.array([[r["metrics"][m]["value"] for m in PLANE] for r in rows])
        centre = pairs.mean(axis=0)
        spread = np.abs(np.stack([pairs.min(axis=0), pairs.max(axis=0)]) - centre)
        axes.errorbar(
            centre[0],
            centre[1],
            xerr=spread[:, :1],
            yerr=spread[:, 1:],
            fmt=styles[recipe].mark,
            color=styles[recipe].colour,
            label=recipe,
        )
    real = [next(iter(points.values()))[0]["metrics"][m]["floor"] for m in PLANE]
    axes.plot(*real, "k*", markersize=14, label="real images")
    axes.set(xlabel="recall: how much of the real is reached", ylabel="precision: how real it is")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure
