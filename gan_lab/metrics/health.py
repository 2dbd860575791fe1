"""What tells a healthy game from an ill one: pure measures on samples, features and logits.

None of them knows the loss: a Wasserstein critic is read as well as a classifier. Those that are
compared with limits have no unit, so that one limit serves every data set.
"""

from functools import cached_property

import torch
from torch import Tensor

MISREAD = 3  # reals of a class below which they may be errors of the network
PRESENT = 0.1  # of its share in the data, from which on a class counts as present
DUPLICATE_QUANTILE = 0.01  # of the real images' distances to their nearest neighbour


def energy_coefficient(fake: Tensor, real: Tensor) -> float:
    """How far two samples [N, F] and [M, F] are apart: 0 alike, 1 without any overlap.

    (2 E|X - Y| - E|X - X'| - E|Y - Y'|) / 2 E|X - Y|, the energy distance over its largest value
    (Szekely and Rizzo 2013, sec. 6), without the diagonal, so that it is nearly unbiased and may
    fall a little below 0. Unlike a Frechet distance it needs no covariance: a few hundred do.

    >>> energy_coefficient(torch.zeros(3, 2), torch.ones(4, 2))
    1.0
    """
    across = torch.cdist(fake.double(), real.double()).mean().item()
    if across == 0:
        return 0.0
    return 1 - (spread(fake) + spread(real)) / (2 * across)


def spread(points: Tensor) -> float:
    """Mean distance of two different points of [N, F].

    >>> spread(torch.tensor([[0.0], [1.0], [2.0]]))
    1.3333333333333333
    """
    count = len(points)
    if count < 2:
        return 0.0
    return torch.cdist(points.double(), points.double()).sum().item() / (count * (count - 1))


def neighbour_distances(points: Tensor) -> Tensor:
    """Distance [N] of each point of [N, F] to the nearest other one."""
    distances = torch.cdist(points.double(), points.double())
    return distances.fill_diagonal_(torch.inf).min(1).values


def effective_number(counts: Tensor) -> float:
    """exp(entropy) of counts [K]: as many equally frequent classes are as diverse.

    >>> round(effective_number(torch.tensor([5, 5, 0, 0])), 3)
    2.0
    """
    shares = counts.double() / counts.sum()
    return torch.special.entr(shares).sum().exp().item()


def auc(higher: Tensor, lower: Tensor) -> float:
    """Probability that a value of `higher` [N] exceeds one of `lower` [M]; ties count half.

    The area under the ROC curve, by the Mann-Whitney statistic.

    >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]))
    0.875
    """
    ordered = lower.double().sort().values
    below = torch.searchsorted(ordered, higher.double())
    up_to = torch.searchsorted(ordered, higher.double(), right=True)
    return (below + up_to).double().mean().item() / (2 * len(lower))


def total_variation(counts: Tensor, others: Tensor) -> float:
    """Half the sum of differences between two histograms' shares [K]: 0 alike, 1 disjoint.

    >>> total_variation(torch.tensor([5, 5]), torch.tensor([10, 0]))
    0.5
    """
    shares, other_shares = (c.double() / c.sum() for c in (counts, others))
    return 0.5 * (shares - other_shares).abs().sum().item()


class Reference:
    """Reals that generated samples are compared with.

    Args:
        features: [M, F].
        class_counts: how often each class occurs among them [K]; None where none are known.
    """

    def __init__(self, features: Tensor, class_counts: Tensor | None) -> None:
        self.features = features
        self.class_counts = class_counts

    @cached_property
    def spread(self) -> float:
        return max(spread(self.features), 1e-12)

    @cached_property
    def near(self) -> float:
        """Closer than this, two samples are near-duplicates."""
        return neighbour_distances(self.features).quantile(DUPLICATE_QUANTILE).item()


def diversity(features: Tensor, real: Reference) -> dict[str, float]:
    """How varied samples are beside the data; features [N, F].

    `distance`: energy coefficient. `spread`: mean pairwise distance over the data's.
    `duplicates`: share with a near-duplicate in the sample.
    """
    near = neighbour_distances(features) <= real.near
    return {
        "distance": energy_coefficient(features, real.features),
        "spread": spread(features) / real.spread,
        "duplicates": near.double().mean().item(),
    }


def class_balance(counts: Tensor, expected: Tensor) -> dict[str, float]:
    """Class counts [K] of samples beside those of reals [K].

    `classes` of `classes_expected`: those that occur at `PRESENT` of their share in the data or
    more. `effective_classes`: exp(entropy) over the data's, 1 where they are as even. A class that
    the network sees in fewer than `MISREAD` reals is not one of the data's.
    """
    shares, wanted = (c.double() / c.sum() for c in (counts, expected))
    there = expected >= MISREAD
    present = (counts > 0) & there & (shares >= PRESENT * wanted)
    return {
        "classes": int(present.sum()),
        "classes_expected": int(there.sum()),
        "effective_classes": effective_number(counts) / effective_number(expected),
    }


def motion(now: Tensor, before: Tensor, scale: float, images: int) -> float:
    """How far samples [K, D] of fixed latents moved in `images` training images, per thousand.

    In units of `scale`, the mean distance of two reals.
    """
    return (now - before).norm(dim=1).mean().item() / scale * 1000 / max(images, 1)


def reversal(step: Tensor, before: Tensor) -> float:
    """Mean cosine of two consecutive motions [K, D] of samples.

    1: straight on; 0: a random walk; -0.5: noise around a place; -1: to and fro.

    >>> reversal(torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 0.0]]))
    -1.0
    """
    return torch.nn.functional.cosine_similarity(step, before).mean().item()
