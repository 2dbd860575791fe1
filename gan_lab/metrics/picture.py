"""One page about a set of generated images: samples, closest pairs, classes, all metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gan_lab.data.images import make_grid
from gan_lab.data.points import draw_points

matplotlib.use("agg")
GENERATED, REAL = "#c44e52", "#4c72b0"


def draw_report(path: Path, images: Tensor, train: Tensor, result: Mapping[str, Any]) -> None:
    """Draw the result of `evaluate_images(..., details=True)`; images are uint8 [N, C, H, W]."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    draw_samples(axes[0, 0], images)
    if "closest" in result["details"]:
        draw_pairs(axes[0, 1], images, train, result["details"])
    else:
        axes[0, 1].set_axis_off()
    if "classes" in result["details"]:
        draw_classes(axes[1, 0], result["details"]["classes"])
    else:
        axes[1, 0].set_axis_off()
    draw_metrics(axes[1, 1], result["metrics"])
    card = result["card"]
    figure.suptitle(
        f"{card['num_fake']:,} images against {card['num_real']:,} {card['split']} images of "
        f"{card['data']}"
    )
    figure.savefig(path, dpi=90)


def draw_mode_report(path: Path, samples: Tensor, train: Tensor, result: Mapping[str, Any]) -> None:
    """Draw the result of `evaluate_modes`: samples beside the metrics."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    if samples.ndim == 2:
        show(left, draw_points(samples, train))
        left.set_title("samples over the density of the training points")
    else:
        draw_samples(left, samples)
    draw_metrics(right, result["metrics"])
    card = result["card"]
    figure.suptitle(f"{card['num_fake']:,} samples against the modes of {card['data']}")
    figure.savefig(path, dpi=90)


def draw_samples(axes: Axes, images: Tensor) -> None:
    show(axes, make_grid(images[:64], columns=8))
    axes.set_title("the first samples, not selected")


def draw_pairs(axes: Axes, images: Tensor, train: Tensor, details: Mapping[str, Any]) -> None:
    """The generated images closest to a training image in features, each above that image."""
    pairs = details["closest"]["features"]
    rows = []
    for start in (0, 10):
        rows.append(images[pairs["samples"][start : start + 10]])
        rows.append(train[pairs["train"][start : start + 10]])
    rows = [row for row in rows if len(row)]
    grids = [make_grid(row, columns=10) for row in rows]
    show(axes, np.concatenate(grids))
    axes.set_title("closest pairs: generated above, training image below")


def draw_classes(axes: Axes, classes: Mapping[str, list[int]]) -> None:
    places = np.arange(len(classes["real"]))
    for offset, (side, colour) in ((-0.2, ("generated", GENERATED)), (0.2, ("real", REAL))):
        counts = np.asarray(classes[side], dtype=float)
        axes.bar(places + offset, counts / max(counts.sum(), 1), 0.4, color=colour, label=side)
    axes.set_xticks(places)
    axes.set_ylabel("share")
    axes.set_title("classes, as the feature network sees them")
    axes.legend()


def draw_metrics(axes: Axes, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Where each value lies between its floor (0, real images) and its ceiling (1, useless)."""
    names = list(metrics)[::-1]
    for place, name in enumerate(names):
        entry = metrics[name]
        span = entry["ceiling"] - entry["floor"]
        share = (entry["value"] - entry["floor"]) / span if span else 0.0
        share = min(max(share, -0.1), 1.1)
        axes.barh(place, share, color=GENERATED)
        axes.text(max(share, 0) + 0.02, place, f"{entry['value']:.3g}", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(-0.15, 1.25)
    axes.set_xticks([0, 1], ["floor: real", "ceiling"])
    axes.set_title("each metric between its floor and its ceiling")


def show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
