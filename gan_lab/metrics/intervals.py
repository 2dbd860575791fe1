"""How far a value may be off: 95 % intervals over the generated images."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gan_lab.metrics.fidelity import distance_by_root, moments, symmetric_root

Interval = tuple[float, float]


def mean_interval(values: Tensor) -> Interval:
    """Of the mean of values [N], by its standard error.

    >>> [round(bound, 3) for bound in mean_interval(torch.tensor([0.0, 1.0]).repeat(50))]
    [0.402, 0.598]
    """
    values = values.double()
    return spread_interval(values.mean().item(), values.std().item(), len(values))


def spread_interval(mean: float, deviation: float, count: float) -> Interval:
    """Of a mean over `count` independent parts with this standard deviation."""
    half = 1.96 * deviation / count**0.5
    return mean - half, mean + half


def centred_interval(value: float, replicates: Sequence[float]) -> Interval:
    """Spread of bootstrap replicates, moved to the value.

    Resampling repeats images, which raises FID and KL once more by their bias; that shift says
    nothing about the value, and the plain percentiles would not even contain it.
    """
    draws = torch.tensor(replicates, dtype=torch.float64)
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    mean = draws.mean().item()
    return value + low - mean, value + high - mean


def resamples(size: int, replicates: int, seed: int) -> Iterator[Tensor]:
    """Rows [size] drawn with replacement, `replicates` times."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(replicates):
        yield torch.randint(size, (size,), generator=generator)


def fid_interval(
    real: Tensor, fake: Tensor, value: float, replicates: int = 100, seed: int = 0
) -> Interval:
    """Of FID, by weights instead of copies; the reals stay, as they are part of the protocol."""
    target, fake = moments(real), fake.double()
    root = symmetric_root(target.covariance)
    draws = []
    for rows in resamples(len(fake), replicates, seed):
        weights = torch.bincount(rows, minlength=len(fake))
        draws.append(distance_by_root(target, root, moments(fake, weights)))
    low, high = centred_interval(value, draws)
    return max(0.0, low), high
