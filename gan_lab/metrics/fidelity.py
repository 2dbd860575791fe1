"""How close the generated distribution is to the real one: FID, KID and Inception Score.

All functions take feature matrices [N, F] or logits [N, K] and compute in float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab import UserError


class Moments(NamedTuple):
    """Mean [F] and covariance [F, F] of a feature matrix, float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Mean and covariance of features [N, F]; integer `weights` [N] count repeated rows."""
    features = _at_least(features, 2, "features").double()
    if weights is None:
        weights = features.new_ones(len(features))
    weights = weights.double()
    total = weights.sum()
    mean = weights @ features / total
    centred = features - mean
    return Moments(mean, (centred * weights[:, None]).T @ centred / (total - 1))


def frechet_distance(real: Moments, fake: Moments) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2) (Dowson & Landau 1982).

    Both roots are of symmetric matrices, so covariances without full rank do no harm.

    >>> identity = torch.eye(2, dtype=torch.float64)
    >>> frechet_distance(Moments(torch.zeros(2), identity), Moments(torch.ones(2), 4 * identity))
    4.0
    """
    return distance_by_root(real, symmetric_root(real.covariance), fake)


def distance_by_root(real: Moments, root: Tensor, fake: Moments) -> float:
    """`frechet_distance`, where the root of the reals' covariance is known from before."""
    cross = torch.linalg.eigvalsh(root @ fake.covariance @ root).clamp_min(0).sqrt().sum()
    traces = real.covariance.trace() + fake.covariance.trace()
    return float((real.mean - fake.mean).square().sum() + traces - 2 * cross)


def fid(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of Gaussians fitted to two feature matrices (Heusel et al. 2017).

    Biased upwards with few samples: compare equal counts only, or use `fid_infinity`.

    >>> points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
    >>> round(fid(points, points + 3.0), 6)
    18.0
    """
    return frechet_distance(moments(real), moments(fake))


def symmetric_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def fid_per_class(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
) -> dict[int, float]:
    """FID within each real class; nan where a class has fewer than two generated samples.

    >>> real = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    >>> fake = torch.tensor([[1.0], [3.0], [10.0], [12.0]])
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> fid_per_class(real, labels, fake, labels)
    {0: 1.0, 1: 0.0}
    """
    values = {}
    for label in real_labels.unique().tolist():
        ours, theirs = fake[fake_labels == label], real[real_labels == label]
        enough = min(len(ours), len(theirs)) > 1
        values[int(label)] = fid(theirs, ours) if enough else math.nan
    return values


def fid_infinity(
    real: Tensor, fake: Tensor, seed: int = 0, num_points: int = 15, smallest: int | None = None
) -> float:
    """FID of infinitely many samples: the intercept of FID against 1/N (Chong & Forsyth 2020).

    Subsets of N equally spaced sizes from `smallest` (default: a tenth, at least 2 F) up to all
    are drawn without replacement from the fakes; `real` stays whole, as in the paper.

    >>> draw = torch.Generator().manual_seed(0)
    >>> real, fake = torch.randn(2, 4000, 8, generator=draw).unbind()
    >>> abs(fid_infinity(real, fake)) < fid(real, fake)
    True
    """
    smallest = smallest or smallest_subset(*fake.shape)
    if smallest >= len(fake):
        raise UserError(
            f"FID at infinity needs more than {smallest} generated samples of "
            f"{fake.shape[1]} features, got {len(fake)}: generate more"
        )
    sizes = torch.linspace(smallest, len(fake), num_points).round().long().tolist()
    generator = torch.Generator().manual_seed(seed)
    target, values = moments(real), []
    for size in sizes:
        rows = torch.randperm(len(fake), generator=generator)[:size]
        values.append(frechet_distance(target, moments(fake[rows])))
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64)
    design = torch.stack([torch.ones_like(inverse), inverse], dim=1)
    line = torch.linalg.lstsq(design, torch.tensor(values, dtype=torch.float64)[:, None])
    return float(line.solution[0, 0])


def smallest_subset(num_fake: int, num_features: int) -> int:
    """Of how many samples the smallest subset of `fid_infinity` is; it takes more than these."""
    return max(num_fake // 10, 2 * num_features)


def kid(
    real: Tensor, fake: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared MMD, kernel (x.y / F + 1)^3 (Binkowski et al. 2018).

    Returns its mean and standard deviation over random subsets; it may be negative.

    >>> draw = torch.Generator().manual_seed(0)
    >>> real, fake = torch.randn(2, 500, 4, generator=draw).unbind()
    >>> mean, deviation = kid(real, fake + 1, subsets=10, subset_size=100)
    >>> mean > 3 * deviation > 0
    True
    """
    available = min(len(real), len(fake))
    if not 2 <= subset_size <= available:
        raise UserError(f"KID's subset_size is {subset_size}; it must lie in [2, {available}]")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        ours = torch.randperm(len(real), generator=generator)[:subset_size]
        theirs = torch.randperm(len(fake), generator=generator)[:subset_size]
        values.append(_mmd(real[ours].double(), fake[theirs].double()))
    estimates = torch.stack(values)
    return estimates.mean().item(), estimates.std(correction=0).item()


def _mmd(x: Tensor, y: Tensor) -> Tensor:
    size = len(x)
    within = _kernel_sum(x, x) - _kernel_trace(x) + _kernel_sum(y, y) - _kernel_trace(y)
    return within / (size * (size - 1)) - 2 * _kernel_sum(x, y) / size**2


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """Sum of the kernel over all pairs, by blocks that stay in the processor's cache."""
    parts = []
    for rows in (x / x.shape[1]).split(64):
        base = (rows @ y.T).add_(1).flatten()
        parts.append(torch.dot(base.square(), base))
    return torch.stack(parts).sum()


def _kernel_trace(x: Tensor) -> Tensor:
    return (x.square().mean(1) + 1).pow(3).sum()


def inception_score(logits: Tensor, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """exp(E KL(p(y|x) || p(y))), mean and deviation over splits (Salimans et al. 2016).

    Between 1 and the number of classes; says nothing of variety within a class.

    >>> inception_score(100 * torch.eye(4).repeat(5, 1), splits=1)
    (4.0, 0.0)
    """
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    parts = _at_least(logits, splits, "logits")[order].double().chunk(splits)
    values = torch.stack([_class_information(part.log_softmax(1)).exp() for part in parts])
    return values.mean().item(), values.std(correction=min(1, splits - 1)).item()


def _class_information(log_conditional: Tensor) -> Tensor:
    conditional = log_conditional.exp()
    marginal = conditional.mean(0, keepdim=True)
    # xlogy form: a class that never occurs has 0 log 0 = 0
    entropy = -torch.xlogy(marginal, marginal).sum()
    return entropy + (conditional * log_conditional).sum(1).mean()


def _at_least(values: Tensor, count: int, name: str) -> Tensor:
    if values.ndim != 2 or len(values) < count:
        raise UserError(f"{name} have shape {list(values.shape)}; at least [{count}, F] is needed")
    return values
