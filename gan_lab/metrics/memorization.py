"""Does the generator copy its training set? Tests on distances to the nearest training image.

None of them separates copying from bad samples alone (Stein et al. 2023): read each beside its
value for real test images, and look at the closest pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.neighbours import nearest

QUANTILES = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9)


class Pairs(NamedTuple):
    """The samples nearest to training data, closest first."""

    distances: Tensor  # [K]
    samples: Tensor  # [K] rows of the samples
    train: Tensor  # [K] rows of the training set


def closest_pairs(distances: Tensor, rows: Tensor, count: int = 20) -> Pairs:
    """The `count` closest of all pairs, from each sample's distance [M] and training row [M].

    >>> pairs = closest_pairs(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([7, 8, 9]), count=2)
    >>> pairs.samples.tolist(), pairs.train.tolist()
    ([1, 2], [8, 9])
    """
    values, samples = distances.topk(min(count, len(distances)), largest=False)
    return Pairs(values, samples, rows[samples])


def distance_quantiles(distances: Tensor) -> dict[float, float]:
    """Level -> quantile of distances [M]; those of copies lie far below those of test images.

    >>> distance_quantiles(torch.arange(11.0))[0.5]
    5.0
    """
    values = distances.double().quantile(torch.tensor(QUANTILES, dtype=torch.float64))
    return dict(zip(QUANTILES, values.tolist(), strict=True))


def near_copies(fake: Tensor, test: Tensor, level: float = 0.01) -> Tensor:
    """Flags [M] of fakes nearer to the training set than the nearest `level` of test images.

    Takes distances to the training set, of fakes [M] and of test images [N]. Of a generator that
    does not copy, a share of `level` is flagged; one copy in a hundred doubles that.

    >>> near_copies(torch.tensor([0.0, 2.0]), torch.arange(1.0, 6.0), level=0.25).tolist()
    [1.0, 0.0]
    """
    return (fake.double() < test.double().quantile(level)).double()


def authentic(distances: Tensor, rows: Tensor, train: Tensor) -> Tensor:
    """Flags [M] of samples farther from their nearest training point than that one's own nearest.

    Alaa et al. 2022 in the form of Stein et al. 2023: `rows` [M] and `distances` [M] lead to the
    training points [N, F], and the spacing is among these. The mean is far from 1 for real test
    images as well, and lower for copies.

    >>> train = torch.tensor([[0.0], [1.0], [10.0]])
    >>> authentic(torch.tensor([0.5, 2.0]), torch.tensor([0, 1]), train).tolist()
    [0.0, 1.0]
    """
    used, places = rows.unique(return_inverse=True)
    spacing, _ = nearest(train[used], train, exclude=used)
    return (spacing[places, 0] < distances).double()


def mann_whitney_z(x: Tensor, y: Tensor) -> float:
    """Standard score of the number of pairs with x > y: below 0 where x [M] tends to be smaller.

    >>> round(mann_whitney_z(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])), 4)
    -1.5492
    """
    x, y = x.double().contiguous(), y.double().sort().values
    below, up_to = torch.searchsorted(y, x), torch.searchsorted(y, x, right=True)
    wins = (below + up_to).sum().item() / 2  # a tie counts half
    m, n = len(x), len(y)
    return (wins - m * n / 2) / (m * n * (m + n + 1) / 12) ** 0.5


def c_t(fake: Tensor, test: Tensor, fake_cells: Tensor, test_cells: Tensor) -> float:
    """Data-copying test of Meehan et al. 2020: below 0 copying, above 0 under-fitting.

    Mean over cells of the standard score of fakes' against test images' distances to the training
    set [M], [N], weighted by the cells' share of test images; cells with at most 20 fakes are left
    out. Distances are to the whole training set; cells only group the samples.

    Raises:
        UserError: where no cell has more than 20 fakes and a test image.

    >>> test, cells = torch.arange(50.0), torch.zeros(50, dtype=torch.long)
    >>> c_t(test, test, cells, cells), c_t(test - 20, test, cells, cells) < -3
    (0.0, True)
    """
    total, weight = 0.0, 0
    for cell in test_cells.unique():
        ours, theirs = fake[fake_cells == cell], test[test_cells == cell]
        if len(ours) > 20:
            total += len(theirs) * mann_whitney_z(ours, theirs)
            weight += len(theirs)
    if weight == 0:
        raise UserError(
            f"C_T needs a cell with more than 20 generated samples; {len(fake)} samples in "
            f"{len(test_cells.unique())} cells are too few: generate more, or use fewer cells"
        )
    return total / weight


def kmeans(points: Tensor, num_cells: int = 50, iterations: int = 20, seed: int = 0) -> Tensor:
    """Centres [K, F] of points [N, F] by Lloyd's algorithm from randomly chosen points."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(points), generator=generator)[:num_cells]
    centres = points[chosen].clone()
    for _ in range(iterations):
        cells = assign(points, centres)
        counts = torch.bincount(cells, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, cells, points)
        # An empty cell keeps its centre.
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres


def assign(points: Tensor, centres: Tensor) -> Tensor:
    """Index [N] of the centre nearest to each point."""
    return nearest(points, centres)[1][:, 0]
