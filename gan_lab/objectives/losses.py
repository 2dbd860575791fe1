"""Adversarial losses, both players side by side; logits [N] in, losses [N] out, unreduced.

`probability` turns logits into what the discriminator believes, `threshold` is where it decides.
Where `floating` is true only differences of logits mean something: both apply after `centred`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.objectives.smoothing import (
    check_order,
    check_targets,
    cross_entropy,
    logit_between,
    unsmoothed,
)


class NonSaturating:
    """Binary cross-entropy; the generator maximises log D(G(z)) (Goodfellow et al. 2014, sec. 3).

    In equilibrium the discriminator's loss is 2 log 2 = 1.386 and the generator's log 2 = 0.693.

    With other targets a and b than 1 and 0, label smoothing (Salimans et al. 2016, sec. 3.4), the
    equilibrium is at D = m = (a + b) / 2: the discriminator's loss is there 2 H(m) with
    H(m) = -m log m - (1 - m) log(1 - m), and the generator's -log m. A `fake_target` above 0 makes
    the discriminator hold on to fakes where there are no data (Goodfellow 2016, sec. 4.2).

    Args:
        real_target: probability of being real that the discriminator learns for reals.
        fake_target: the same for fakes. The generator's own target stays 1.
    """

    relativistic = False

    def __init__(self, real_target: float = 1.0, fake_target: float = 0.0) -> None:
        self.real_target, self.fake_target = check_targets(real_target, fake_target)
        self.threshold = logit_between(real_target, fake_target)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real = cross_entropy(real_logits, self.real_target)
        return real + cross_entropy(fake_logits, self.fake_target)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.softplus(-fake_logits)

    def probability(self, logits: Tensor) -> Tensor:
        return unsmoothed(torch.sigmoid(logits), self.real_target, self.fake_target)


class Minimax:
    """The zero-sum game itself (Goodfellow et al. 2014, eq. 1).

    The generator minimises log(1 - D(G(z))), whose gradient vanishes where the discriminator wins.
    In equilibrium its loss is -log 2; with smoothed targets a and b log(1 - m), m = (a + b) / 2.

    Args:
        real_target: probability of being real that the discriminator learns for reals.
        fake_target: the same for fakes. The generator's own loss does not change.
    """

    relativistic = False

    def __init__(self, real_target: float = 1.0, fake_target: float = 0.0) -> None:
        self.real_target, self.fake_target = check_targets(real_target, fake_target)
        self.threshold = logit_between(real_target, fake_target)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real = cross_entropy(real_logits, self.real_target)
        return real + cross_entropy(fake_logits, self.fake_target)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -F.softplus(fake_logits)

    def probability(self, logits: Tensor) -> Tensor:
        return unsmoothed(torch.sigmoid(logits), self.real_target, self.fake_target)


class LeastSquares:
    """Targets 1 for real and 0 for fake on the raw output (Mao et al. 2017, eq. 9).

    In equilibrium the discriminator's loss is (a - b)^2 / 4 and the generator's (a - b)^2 / 8 for
    targets a and b: 0.25 and 0.125.

    Args:
        real_target: of the discriminator for reals.
        fake_target: of the discriminator for fakes.
        generator_target: of the generator for its fakes, c in the paper; None: as for reals.
    """

    relativistic = False

    def __init__(
        self,
        real_target: float = 1.0,
        fake_target: float = 0.0,
        generator_target: float | None = None,
    ) -> None:
        self.real_target, self.fake_target = check_order(real_target, fake_target)
        self.generator_target = real_target if generator_target is None else generator_target
        self.threshold = (real_target + fake_target) / 2

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real = 0.5 * (real_logits - self.real_target).square()
        return real + 0.5 * (fake_logits - self.fake_target).square()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_logits - self.generator_target).square()

    def probability(self, logits: Tensor) -> Tensor:
        return unsmoothed(logits, self.real_target, self.fake_target)


class Hinge:
    """Logits beyond 1 and -1 cost nothing (Lim and Ye 2017; Miyato et al. 2018).

    In equilibrium the discriminator's loss is 2, at any logit between -1 and 1.
    """

    relativistic = False
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.relu(1 - real_logits) + F.relu(1 + fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits

    def probability(self, logits: Tensor) -> Tensor:
        return ((1 + logits) / 2).clamp(0, 1)


class Wasserstein:
    """Difference of means, for a critic that a penalty keeps Lipschitz (Arjovsky et al. 2017).

    Minus the discriminator's loss estimates the Wasserstein-1 distance times the Lipschitz bound;
    in equilibrium it is 0. Without `penalty=gradient_penalty` or `weight_clipping` it is unbounded.
    """

    relativistic = False
    floating = True
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits - real_logits

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits

    def probability(self, logits: Tensor) -> Tensor:
        """No belief, as the critic states none: rising from 0 to 1, 0.5 in the middle."""
        return torch.sigmoid(logits)


class RelativisticPaired:
    """Judge each fake against one real sample (Jolicoeur-Martineau 2018).

    In equilibrium both players' losses are log 2 = 0.693.
    """

    relativistic = True
    floating = True
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(fake_logits - real_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.softplus(needed(real_logits) - fake_logits)

    def probability(self, logits: Tensor) -> Tensor:
        """Of being more real than a sample in the middle between reals and fakes."""
        return torch.sigmoid(logits)


class RelativisticAverage:
    """Judge each sample against the other kind's mean (Jolicoeur-Martineau 2018).

    The mean is over the batch, and with several ranks over the rank's part of it. In equilibrium
    both players' losses are 2 log 2 = 1.386.
    """

    relativistic = True
    floating = True
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real_above = real_logits - fake_logits.mean()
        return F.softplus(-real_above) + F.softplus(fake_logits - real_logits.mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return self.discriminator(fake_logits, needed(real_logits))

    def probability(self, logits: Tensor) -> Tensor:
        """Of being more real than a sample in the middle between reals and fakes."""
        return torch.sigmoid(logits)


def centred(loss: Any, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The logits as `threshold` and `probability` take them.

    Where the loss leaves their level open (`floating`), 0 is the middle between both means.
    """
    if not getattr(loss, "floating", False):
        return real_logits, fake_logits
    middle = (real_logits.mean() + fake_logits.mean()) / 2
    return real_logits - middle, fake_logits - middle


def needed(real_logits: Tensor | None) -> Tensor:
    assert real_logits is not None, "a relativistic loss compares with reals in both steps"
    return real_logits
