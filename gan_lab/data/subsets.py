"""Which images of a split to use, for studies of scarce data."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.seeds import mix


def check_classes(classes: object, num_classes: int) -> None:
    """Raise UserError unless `classes` is None or distinct labels below `num_classes`."""
    if classes is None:
        return
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise UserError(f"data.classes={classes!r} must be a list of labels, such as [0,1]")
    valid = [label for label in classes if type(label) is int and 0 <= label < num_classes]
    if not classes or len(valid) != len(classes) or len({*valid}) != len(valid):
        allowed = f"from 0 to {num_classes - 1}" if num_classes else "none, for it has no labels"
        raise UserError(
            f"data.classes={list(classes)} must be distinct labels of the data set ({allowed})"
        )


def check_subset(subset: object, num_images: int) -> None:
    """Raise UserError unless `subset` is None, a share in (0, 1] or a count of images."""
    if subset is None:
        return
    is_count = type(subset) is int and 1 <= subset <= num_images
    is_share = type(subset) is float and 0 < subset <= 1
    if not (is_count or is_share):
        raise UserError(
            f"data.subset={subset!r} must be a share (above 0.0, up to 1.0) or a count of images "
            f"(from 1 to {num_images})"
        )


def subset_size(num_images: int, subset: float | int | None) -> int:
    """The number of images that `subset`, a share or a count, leaves."""
    if subset is None:
        return num_images
    if isinstance(subset, int):
        return min(subset, num_images)
    return max(1, round(subset * num_images))


def choose(
    labels: Tensor, classes: Sequence[int] | None, subset: float | int | None, seed: int
) -> Tensor:
    """The rows [K] of the images to use, ascending.

    A subset is drawn by a permutation of `seed` and holds equally many images of each class, as
    far as the classes reach; a smaller one is contained in every larger one of the same seed.
    """
    rows = torch.arange(len(labels))
    if classes is not None:
        rows = rows[torch.isin(labels, torch.tensor(list(classes)))]
    if subset is None:
        return rows
    random = torch.Generator().manual_seed(mix(seed, len(labels)))
    rows = rows[torch.randperm(len(rows), generator=random)]
    # Taking turns among the classes: first everyone's first image, then everyone's second, ...
    rows = rows[_turn(labels[rows]).argsort(stable=True)]
    return rows[: subset_size(len(rows), subset)].sort().values


def _turn(labels: Tensor) -> Tensor:
    """How many images of its own class come before each image, [N]."""
    order = labels.argsort(stable=True)
    _, counts = labels[order].unique_consecutive(return_counts=True)
    firsts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    turn = torch.empty_like(order)
    turn[order] = torch.arange(len(labels)) - firsts
    return turn


def renumber(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """The label `classes[k]` becomes k."""
    table = torch.full((max(classes) + 1,), -1)
    table[torch.tensor(list(classes))] = torch.arange(len(classes))
    return table[labels]
