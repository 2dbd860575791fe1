"""Players of one parameter each, the Dirac-GAN (Mescheder et al. 2018, definition 2.1).

All that the generator makes lies at theta; the critic is a line through 0 of slope psi.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.conditioning import CriticConditioning, GeneratorConditioning


class Generator(nn.Module):
    """The same sample for every latent: theta in each of its places.

    Args:
        image_shape: shape of a sample, (1,) for points on a line.
        start: theta at the beginning.
        conditioning: "none" alone.
    """

    num_classes = 0
    latent_dim = 1
    code = None

    def __init__(
        self,
        image_shape: Sequence[int],
        start: float = 1.0,
        conditioning: GeneratorConditioning = "none",
    ) -> None:
        super().__init__()
        check_unconditional(conditioning)
        if prod(image_shape) < 1:
            raise UserError(f"image_shape={list(image_shape)} must have at least one place")
        self.image_shape = tuple(image_shape)
        self.theta = nn.Parameter(torch.tensor(float(start)))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(latents), *self.image_shape)  # [N, 1] -> [N, 1]


class Discriminator(nn.Module):
    """psi times the sample, of an image its mean.

    Args:
        start: psi at the beginning.
        offset: a constant that is added, so that psi = 0 decides nothing: the threshold of the
            loss, 0 for all but least squares (0.5).
        conditioning: "none" alone.
    """

    num_classes = 0
    packing = 1
    num_features = 1
    offset: Tensor

    def __init__(
        self, start: float = 1.0, offset: float = 0.0, conditioning: CriticConditioning = "none"
    ) -> None:
        super().__init__()
        check_unconditional(conditioning)
        self.psi = nn.Parameter(torch.tensor(float(start)))
        # No parameter: what moves or clips weights must leave it.
        self.register_buffer("offset", torch.tensor(float(offset)))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)  # [N, 1] -> [N]

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1).mean(1, keepdim=True)  # -> [N, 1]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.psi * features.squeeze(1) + self.offset


def check_unconditional(conditioning: str) -> None:
    if conditioning != "none":
        raise UserError(
            f"conditioning={conditioning}: players of one parameter know no labels; use "
            "conditioning=none, or another of networks="
        )
