"""Further tasks on the discriminator's features, in the terms of both players.

The discriminator's optimizer trains a head, with the features below it; in the generator's step the
head is frozen, and only the images can make its task easier.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab import UserError

Targets = tuple[Sequence[Tensor], Tensor]  # classes int64 [N] of each category, values [N, K]


class AuxiliaryClassifier(nn.Module):
    """Tell the class of real and of fake images: ACGAN (Odena, Olah and Shlens 2017, eq. 3).

    Both players want the class of a fake to be the one that was asked for. Features [N, F] and
    labels [N] in, cross-entropy [N] out, in nats.

    Args:
        num_features: size F of the discriminator's features.
        num_classes: classes of the data.
        weight: of the class loss beside the adversarial one; the paper has 1.
    """

    def __init__(self, num_features: int, num_classes: int, weight: float = 1.0) -> None:
        super().__init__()
        check_weights(weight=weight)
        if num_classes < 2:
            raise UserError(
                f"num_classes={num_classes}: a classifier needs labels of at least 2 classes; "
                "use conditioning=none, or data with labels"
            )
        self.classify = nn.Linear(num_features, num_classes)
        self.weight = weight

    def discriminator(self, real: Tensor, fake: Tensor, labels: Tensor, code: None) -> Tensor:
        return self.loss(real, labels) + self.loss(fake, labels)

    def generator(self, fake: Tensor, labels: Tensor, code: None) -> Tensor:
        return self.loss(fake, labels)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:  # [N, F] -> [N]
        logits = self.classify(features).float()
        return self.weight * F.cross_entropy(logits, labels, reduction="none")


class CodeRecovery(nn.Module):
    """Recover the latent code from the image: InfoGAN's Q (Chen et al. 2016, eq. 5 and 6).

    Minus log Q(c | G(z, c)), up to a constant: cross-entropy for each category, and half the
    squared error (a normal distribution of unit variance) for each continuous value, [N] in nats.
    Where the paper's Q shares the discriminator's layers and moves with the generator, ours moves
    with the discriminator, so that the layers that they share learn to see the code.

    Args:
        num_features: size F of the discriminator's features.
        categorical: number of classes of each category of the code.
        continuous: number of continuous values of the code.
        weight: of each category, lambda in eq. 6.
        weight_continuous: of each continuous value; the authors' code has 0.1 on MNIST.
        hidden: units of the layer between features and answer.
    """

    def __init__(
        self,
        num_features: int,
        categorical: Sequence[int] = (),
        continuous: int = 0,
        weight: float = 1.0,
        weight_continuous: float = 0.1,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        check_weights(weight=weight, weight_continuous=weight_continuous)
        if not categorical and not continuous:
            raise UserError(
                "the generator has no code to recover; use conditioning=infogan, or give "
                "conditioning.code={categorical: [10], continuous: 2}"
            )
        self.sizes = [*categorical, continuous]
        self.weight = weight
        self.weight_continuous = weight_continuous
        self.answer = nn.Sequential(
            nn.Linear(num_features, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, sum(self.sizes))
        )

    def discriminator(self, real: Tensor, fake: Tensor, labels: Tensor, code: Targets) -> Tensor:
        return self.loss(fake, code)

    def generator(self, fake: Tensor, labels: Tensor, code: Targets) -> Tensor:
        return self.loss(fake, code)

    def loss(self, features: Tensor, code: Targets) -> Tensor:  # [N, F] -> [N]
        classes, values = code
        *logits, guesses = self.answer(features).float().split(self.sizes, 1)
        total = 0.5 * self.weight_continuous * (guesses - values).square().sum(1)
        for one, wanted in zip(logits, classes, strict=True):
            total = total + self.weight * F.cross_entropy(one, wanted, reduction="none")
        return total

    @torch.no_grad()
    def recognise(self, features: Tensor) -> Targets:
        """The code that an image seems to have: likeliest classes and mean values."""
        *logits, guesses = self.answer(features).float().split(self.sizes, 1)
        return [one.argmax(1) for one in logits], guesses


def check_weights(**weights: float) -> None:
    for name, weight in weights.items():
        if weight < 0:
            raise UserError(f"{name}={weight} must not be negative; 0 switches it off")
