"""Pictures of a game of two parameters: its field, a path through it, where it should end."""

import io
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gan_lab.metrics.game import Game

FIELD, PATH, GOAL = "#9aa7bd", "#c44e52", "#000000"
FARTHEST = 1e6  # what lies beyond cannot be drawn


def draw_portrait(
    axes: Axes, game: Game, path: Tensor, arrows: int = 17, reach: float | None = None
) -> None:
    """Directions of the field as arrows, the path [T, 2] from its dot to its square, the goal.

    Args:
        arrows: along either axis.
        reach: from the goal to each side; None for what the path needs.
    """
    goal = game.equilibrium
    path = path[(path - goal).abs().amax(1) < FARTHEST]
    if reach is None:
        reach = 1.15 * max((path - goal).abs().max().item(), 1e-6) if len(path) else 1.0
    axis = torch.linspace(-reach, reach, arrows, dtype=torch.float64)
    grid = goal + torch.cartesian_prod(axis, axis)
    field = torch.stack([game.field(point).detach() for point in grid])
    # Directions alone: next to an equilibrium, lengths could not be seen.
    field = torch.nn.functional.normalize(field.nan_to_num())
    arrow: Any = {"color": FIELD, "pivot": "mid", "scale": 1.3 * arrows, "width": 0.09 / arrows}
    axes.quiver(*grid.T.numpy(), *field.T.numpy(), **arrow)
    axes.plot(*path.T.numpy(), color=PATH, linewidth=1)
    for place, marker in ((path[:1], "o"), (path[-1:], "s")):
        axes.plot(*place.T.numpy(), marker, color=PATH, markersize=4)
    theta, psi = goal.tolist()
    axes.plot(theta, psi, "*", color=GOAL, markersize=7)
    axes.set_xlim(theta - reach, theta + reach)
    axes.set_ylim(psi - reach, psi + reach)
    axes.set_box_aspect(1)


def portrait_picture(game: Game, path: Tensor, arrows: int, title: str) -> bytes:
    """A whole figure, as a PNG."""
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes = figure.subplots()
    draw_portrait(axes, game, path, arrows)
    axes.set_xlabel("theta, where the samples lie")
    axes.set_ylabel("psi, the critic's slope")
    axes.set_title(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
