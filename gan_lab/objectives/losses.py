"""Adversarial losses, both players side by side; logits [N] in, losses [N] out, unreduced.

`probability` turns logits into what the discriminator believes, `threshold` is where it decides.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class NonSaturating:
    """Binary cross-entropy; the generator maximises log D(G(z)) (Goodfellow et al. 2014, sec. 3).

    In equilibrium the discriminator's loss is 2 log 2 = 1.386 and the generator's log 2 = 0.693.
    """

    relativistic = False
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(-real_logits) + F.softplus(fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.softplus(-fake_logits)

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


class Minimax:
    """The zero-sum game itself (Goodfellow et al. 2014, eq. 1).

    The generator minimises log(1 - D(G(z))), whose gradient vanishes where the discriminator wins.
    """

    relativistic = False
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(-real_logits) + F.softplus(fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -F.softplus(fake_logits)

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


class LeastSquares:
    """Targets 1 for real and 0 for fake on the raw output (Mao et al. 2017, eq. 9)."""

    relativistic = False
    threshold = 0.5

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return 0.5 * (real_logits - 1).square() + 0.5 * fake_logits.square()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_logits - 1).square()

    def probability(self, logits: Tensor) -> Tensor:
        return logits.clamp(0, 1)
