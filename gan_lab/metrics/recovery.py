"""Can the generator draw images that it has seen better than images that it has not?

Latent recovery (Webster et al. 2019): search the latent of each target, compare the errors.
"""

import math
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab.data.images import to_float
from gan_lab.data.seeds import mix


def recover(
    generator: Callable[..., Tensor],
    targets: Tensor,
    latent_dim: int,
    steps: int = 200,
    restarts: int = 3,
    lr: float = 0.05,
    seed: int = 0,
    batch_size: int = 250,
    labels: Tensor | None = None,
) -> Tensor:
    """Smallest mean squared error [N] that Adam finds over latents, for uint8 targets [N, C, H, W].

    The generator maps latents [N, Z], and the targets' `labels` [N] where these are given, to
    images in [-1, 1] on the CPU; it must be in evaluation mode, so that images do not depend on
    their neighbours. Restart r of target i starts at the same latent whatever the batch size.
    """
    given = [(part,) for part in labels.split(batch_size)] if labels is not None else repeat(())
    errors = torch.full((restarts, len(targets)), math.inf)
    for restart in range(restarts):
        random = torch.Generator().manual_seed(mix(seed, restart))
        starts = torch.randn(len(targets), latent_dim, generator=random)
        parts = zip(starts.split(batch_size), targets.split(batch_size), given, strict=False)
        found = [
            _descend(generator, known, start, to_float(part), steps, lr)
            for start, part, known in parts
        ]
        errors[restart] = torch.cat(found)
    return errors.amin(0)


def _descend(
    generator: Callable[..., Tensor],
    known: tuple[Tensor, ...],
    start: Tensor,
    target: Tensor,
    steps: int,
    lr: float,
) -> Tensor:
    latents = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], lr)
    best = torch.full((len(target),), math.inf)
    with torch.enable_grad():
        for _ in range(steps):
            errors = (generator(latents, *known) - target).square().flatten(1).mean(1)
            best = torch.minimum(best, errors.detach())
            # grad instead of backward: the generator's own gradients stay untouched
            (latents.grad,) = torch.autograd.grad(errors.sum(), latents)
            optimizer.step()
    return best


class Gap(NamedTuple):
    """Relative gap of the medians, and how likely errors this different are by chance."""

    gap: float
    p_value: float


def recovery_gap(train_errors: Tensor, test_errors: Tensor) -> Gap:
    """(median test - median train) / median test, with a two-sample Kolmogorov-Smirnov test.

    Webster et al. flag a generator where the gap exceeds 0.1 and p lies below 0.01.

    >>> recovery_gap(torch.full((50,), 1.0), torch.full((50,), 2.0)).gap
    0.5
    """
    train, test = train_errors.double().median(), test_errors.double().median()
    p_value = kolmogorov_smirnov(train_errors, test_errors)[1]
    return Gap(((test - train) / test).item(), p_value)


def kolmogorov_smirnov(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Largest gap between two empirical distributions, and its p-value (asymptotic, Stephens 1970).

    >>> statistic, p_value = kolmogorov_smirnov(torch.arange(100.0), torch.arange(100.0) + 50)
    >>> statistic, p_value < 1e-10
    (0.5, True)
    """
    x, y = x.double().sort().values, y.double().sort().values
    places = torch.cat([x, y])
    below_x = torch.searchsorted(x, places, right=True).double() / len(x)
    below_y = torch.searchsorted(y, places, right=True).double() / len(y)
    statistic = (below_x - below_y).abs().max().item()
    root = math.sqrt(len(x) * len(y) / (len(x) + len(y)))
    scaled = statistic * (root + 0.12 + 0.11 / root)
    if scaled < 0.2:  # the series below converges too slowly there, and the p-value is 1
        return statistic, 1.0
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)]
    return statistic, min(1.0, max(0.0, 2 * sum(terms)))
