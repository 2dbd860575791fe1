"""Exact nearest neighbours and balls around points, by blocks so that memory stays bounded."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**22  # distances held at once: 16 MiB in float32
BYTES = 2**27  # of pixels held as floats at once
LONGEST = (2**31 - 1) // 255**2  # numbers in a vector whose squared distance fits into int32


def nearest(
    points: Tensor, base: Tensor, k: int = 1, exclude: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distances [M, k] (ascending) and rows of `base` [N, F] nearest to each of `points` [M, F].

    `exclude` [M] names one row of `base` that is no neighbour of each point: itself, say.
    """
    found = []
    for rows, squares in _blocks(points, base):
        if exclude is not None:
            squares.scatter_(1, exclude[rows, None], torch.inf)
        found.append(squares.topk(k, dim=1, largest=False).indices)
    indices = torch.cat(found)
    distances = _exact(points, base, indices)
    distances, order = distances.sort(dim=1)
    return distances, indices.gather(1, order)


def nearest_bytes(points: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [M] and row [M] of `base` nearest to each of `points`, both uint8 [*, F].

    In whole numbers where the processor multiplies them, and their squares fit: exact, and five
    times as fast as float32.

    >>> points, base = torch.tensor([[0, 255]]), torch.tensor([[0, 0], [3, 251]])
    >>> [found.tolist() for found in nearest_bytes(points.byte(), base.byte())]
    [[5.0], [1]]
    """
    points, size = _signed(points), max(1, BYTES // 4 // base.shape[1])
    least = torch.full((len(points),), torch.inf, dtype=torch.float64)
    rows = torch.zeros(len(points), dtype=torch.long)
    for start in range(0, len(base), size):
        found, where = _least(points, _signed(base[start : start + size]))
        rows = torch.where(found < least, where + start, rows)
        least = torch.minimum(found, least)
    return (least + _squares(points)).sqrt().float(), rows


def _least(points: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Least |y|^2 - 2 x.y of int8 vectors, float64 [M], and its row: |x|^2 orders nothing."""
    whole = _multiplies_bytes() and base.shape[1] <= LONGEST
    norms, right = _squares(base), (base if whole else base.float()).T
    norms = norms.int() if whole else norms
    found = []
    for block in points.split(max(1, BLOCK // len(base))):
        products = torch._int_mm(block, right) if whole else block.float() @ right
        found.append(torch.add(norms, products, alpha=-2).min(1))
    values, rows = zip(*found, strict=True)
    return torch.cat(values).double(), torch.cat(rows)


def _multiplies_bytes() -> bool:
    """Whether the processor does, as far as this torch can tell."""
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return known is not None and hasattr(torch, "_int_mm") and bool(known())


def _signed(pixels: Tensor) -> Tensor:
    """uint8 moved to int8, which leaves all differences as they are."""
    return (pixels.short() - 128).to(torch.int8)


def _squares(vectors: Tensor) -> Tensor:  # int8 [N, F] -> int64 [N]
    return torch.cat([part.int().square().sum(1) for part in vectors.split(4096)])


def radii(points: Tensor, k: int) -> Tensor:
    """Distance [N] of each point to its k-th nearest other point."""
    return nearest(points, points, k, exclude=torch.arange(len(points)))[0][:, -1]


def balls(centres: Tensor, radius: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of balls around each point [M], and of points in each ball [N]; float64.

    >>> centres, points = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.5], [1.5], [9.0]])
    >>> around, inside = balls(centres, torch.tensor([1.6, 2.0]), points)
    >>> around.tolist(), inside.tolist()
    ([1.0, 2.0, 0.0], [2.0, 1.0])
    """
    around, inside = [], torch.zeros(len(centres), dtype=torch.float64)
    limits = radius.square()
    for _, squares in _blocks(points, centres):
        # In place: ones and zeros in float32, which counts exactly up to 2**24 and sums fast.
        within = squares.le_(limits)
        around.append(within.sum(1).double())
        inside += within.sum(0)
    return torch.cat(around), inside


def _blocks(points: Tensor, base: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of a block of `points` to all of `base`, from |x|^2 - 2 x.y + |y|^2.

    All blocks share one buffer: new ones each time fragment the heap into gigabytes.
    """
    centre = base.mean(0)  # shorter vectors lose fewer digits in that difference
    points, base = points - centre, base - centre
    norms = base.square().sum(1)
    size = max(1, BLOCK // len(base))
    buffer = base.new_empty(size, len(base))
    for start in range(0, len(points), size):
        block = points[start : start + size]
        squares = torch.addmm(norms, block, base.T, alpha=-2, out=buffer[: len(block)])
        yield slice(start, start + size), squares.add_(block.square().sum(1, keepdim=True))


def _exact(points: Tensor, base: Tensor, indices: Tensor) -> Tensor:  # -> [M, k]
    """Distances from differences: a copy is at zero, whatever the matrix product rounded."""
    parts = zip(points.split(1024), indices.split(1024), strict=True)
    return torch.cat([(part[:, None] - base[rows]).norm(dim=2) for part, rows in parts])
