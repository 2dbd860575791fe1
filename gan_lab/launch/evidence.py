"""One page of evidence: the curves behind the verdicts, and the samples when they began."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gan_lab.training.history import History
from gan_lab.training.verdicts import Diagnosis

matplotlib.use("agg")
Curves = Sequence[tuple[str, str]]  # measure, label
COLOURS = ("#4c72b0", "#c44e52", "#55a868", "#8172b2")
PANELS: dict[str, Curves] = {
    "samples beside the data": (
        ("distance", "distance (0 alike, 1 apart)"),
        ("spread", "spread (1 as the data)"),
        ("duplicates", "near-duplicates"),
        ("effective_classes", "effective classes (1 as the data)"),
    ),
    "the critic": (
        ("critic_auc", "ranks real above fake (AUC)"),
        ("memorising", "ranks training above held-out (AUC)"),
        ("real_accuracy", "accuracy on held-out reals"),
        ("fake_accuracy", "accuracy on fakes"),
    ),
    "motion of fixed latents": (
        ("motion", "motion per 1,000 images"),
        ("swing", "share that changed class"),
        ("reversal", "cosine with the motion before"),
    ),
    "losses above equilibrium": (
        ("discriminator_excess", "discriminator"),
        ("generator_excess", "generator"),
    ),
}
NORMS = (("discriminator/gradient_norm", "discriminator"), ("generator/gradient_norm", "generator"))


def draw(path: Path, history: History, diagnosis: Diagnosis, folder: Path) -> None:
    """Write the page as a PNG; a band marks since when the gravest verdict holds."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplots(2, 3)
    since = diagnosis.findings[0].since if diagnosis.findings else None
    for place, (title, curves) in zip(axes.flat, PANELS.items(), strict=False):
        draw_curves(place, title, history, curves)
        mark(place, history, since)
    draw_norms(axes[1, 1], history)
    mark(axes[1, 1], history, since)
    draw_samples(axes[1, 2], folder, since)
    lines = [line for text in diagnosis.lines() for line in textwrap.wrap(text, 150)]
    figure.suptitle("\n".join(lines[:6]), fontsize=10, ha="left", x=0.01)
    figure.savefig(path, dpi=90)


def draw_curves(axes: Axes, title: str, history: History, curves: Curves) -> None:
    for (name, label), colour in zip(curves, COLOURS, strict=False):
        values = history[name] if history.probes else np.array([])
        known = np.isfinite(values)
        if known.any():
            axes.plot(history.images[known], values[known], ".-", color=colour, label=label)
    finish(axes, title)


def draw_norms(axes: Axes, history: History) -> None:
    for (name, label), colour in zip(NORMS, COLOURS, strict=False):
        images, values = history.logged(name)
        if len(values):
            axes.plot(images, np.where(values > 0, values, np.nan), color=colour, label=label)
    axes.set_yscale("log")
    finish(axes, "gradient norms")


def finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("images seen")
    axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 5))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, "nothing measured yet", ha="center", transform=axes.transAxes)


def mark(axes: Axes, history: History, since: int | None) -> None:
    if since is not None and history.rows:
        axes.axvspan(
            since, max(history.rows[-1]["images_seen"], since + 1), color="red", alpha=0.08
        )


def draw_samples(axes: Axes, folder: Path, since: int | None) -> None:
    """The grid that was drawn nearest to the moment, else the last one."""
    axes.set_axis_off()
    grids = {
        int(found[1]): path
        for path in (folder / "samples").glob("images_*.png")
        if (found := re.fullmatch(r"images_(\d+)", path.stem))
    }
    if not grids:
        axes.set_title("no samples yet")
        return
    images = max(grids) if since is None else min(grids, key=lambda seen: abs(seen - since))
    axes.imshow(np.asarray(Image.open(grids[images])), cmap="gray")
    axes.set_title(f"samples at {images:,} images")
