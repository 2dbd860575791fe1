"""Is what is generated plausible, and is all of the data generated? Neighbourhoods and modes."""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.neighbours import balls, radii


class Coverage(NamedTuple):
    """One value for each image, whose mean is the metric; float64."""

    precision: Tensor  # [M] fakes: 0 or 1
    recall: Tensor  # [N] reals: 0 or 1
    density: Tensor  # [M] fakes: 0 and above
    coverage: Tensor  # [N] reals: 0 or 1


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Fakes [M] within the real manifold, reals [N] within the fake one (Kynkäänniemi 2019).

    A manifold is the union of balls that reach to each sample's k-th nearest neighbour.

    >>> real, fake = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.5], [1.5], [8.0]])
    >>> [flags.tolist() for flags in precision_recall(real, fake, k=1)]
    [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    """
    _check_k(k, len(real), len(fake))
    around_fakes, _ = balls(real, radii(real, k), fake)
    around_reals, _ = balls(fake, radii(fake, k), real)
    return (around_fakes > 0).double(), (around_reals > 0).double()


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Real balls around each fake over k [M]; reals [N] whose ball holds a fake (Naeem 2020).

    The mean of the first, density, is 1 for a perfect generator; of the second about 1 - 2^-k.

    >>> real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [9.0]])
    >>> [values.tolist() for values in density_coverage(real, fake, k=1)]
    [[2.0, 0.0], [1.0, 1.0, 0.0]]
    """
    _check_k(k, len(real))
    around, inside = balls(real, radii(real, k), fake)
    return around / k, (inside > 0).double()


def coverage(real: Tensor, fake: Tensor) -> Coverage:
    """All four with the papers' k, image by image."""
    precision, recall = precision_recall(real, fake)
    density, covered = density_coverage(real, fake)
    return Coverage(precision, recall, density, covered)


def _check_k(k: int, *counts: int) -> None:
    if not 1 <= k < min(counts):
        raise UserError(
            f"k is {k}, but there are {min(counts)} samples: each needs k others; "
            "give more samples or a smaller k"
        )


def class_counts(classes: Tensor, num_classes: int) -> Tensor:
    """Histogram [K], float64, of integer classes [N]."""
    return torch.bincount(classes, minlength=num_classes).double()


def class_kl(fake_counts: Tensor, real_counts: Tensor) -> float:
    """KL(fake || real) of two class histograms [K], in nats; inf where reals lack a class.

    A perfect sampler of N images scores about (K - 1) / (2 N), not 0.

    >>> round(class_kl(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 3.0])), 4)
    0.6931
    """
    fake = fake_counts.double() / fake_counts.sum()
    real = real_counts.double() / real_counts.sum()
    return (torch.xlogy(fake, fake) - torch.xlogy(fake, real)).sum().item()


class Modes(NamedTuple):
    """Modes hit at least once, share of samples that hit one, KL(hits || uniform) in nats.

    `misses` makes one order of the first two, in which a mode outweighs any quality: the number of
    modes not found plus the share of samples that hit none, 0 at best.
    """

    found: int
    high_quality: float
    kl: float
    misses: float


def mixture_modes(points: Tensor, centres: Tensor, sigma: float) -> Modes:
    """Modes of a mixture of equal Gaussians: points [N, D] within 3 sigma of a centre [K, D].

    The protocol of VEEGAN and PacGAN (Lin et al. 2018); points farther off count for no mode, and
    the KL is nan where no point is near one.

    >>> centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> points = torch.tensor([[0.02, 0.0], [0.0, 0.01], [0.5, 0.0], [0.0, 0.0]])
    >>> modes = mixture_modes(points, centres, sigma=0.01)
    >>> modes.found, modes.high_quality, round(modes.kl, 4), modes.misses
    (1, 0.75, 0.6931, 1.25)
    """
    distance, mode = torch.cdist(points.double(), centres.double()).min(dim=1)
    return _modes(mode[distance < 3 * sigma], len(points), len(centres))


def stacked_modes(digits: Tensor, num_classes: int = 10) -> Modes:
    """Modes of stacked digits from the classes [N, 3] of the channels (Metz et al. 2017).

    Papers compare 26,000 samples, with which a perfect sampler's KL is about 0.019.

    >>> stacked_modes(torch.tensor([[0, 0, 7], [0, 0, 7], [9, 9, 9]])).found
    2
    """
    places = torch.tensor([num_classes**2, num_classes, 1])
    return _modes((digits * places).sum(1), len(digits), num_classes**3)


def _modes(hits: Tensor, num_samples: int, num_modes: int) -> Modes:
    counts = class_counts(hits, num_modes)
    kl = class_kl(counts, torch.ones(num_modes))
    found, high_quality = int((counts > 0).sum()), len(hits) / num_samples
    return Modes(found, high_quality, kl, misses=num_modes - found + 1 - high_quality)
