"""Multilayer perceptrons for points, the pair of PacGAN's 2-D experiments (Lin et al. 2018)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.mlp import check_widths, output_bounds


class Generator(nn.Module):
    """Latents through ReLU layers with batch norm to a point; a tanh bounds images only.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: shape of a sample, (2,) for points.
        hidden: width of each hidden layer.
    """

    num_classes = 0

    def __init__(
        self, latent_dim: int, image_shape: Sequence[int], hidden: Sequence[int] = (400,) * 4
    ) -> None:
        super().__init__()
        check_widths(latent_dim, hidden)
        self.latent_dim = latent_dim
        self.image_shape = tuple(image_shape)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([latent_dim, *hidden]):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        layers += [nn.Linear(hidden[-1], prod(image_shape))]
        self.layers = nn.Sequential(*layers, *output_bounds(image_shape))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(latents).unflatten(1, self.image_shape)  # [N, Z] -> [N, 2]


class Discriminator(nn.Module):
    """Points through maxout layers to one logit.

    Args:
        image_shape: shape of a sample, (2,) for points.
        hidden: width of each hidden layer.
        pieces: linear functions whose maximum a hidden unit is.
    """

    def __init__(
        self, image_shape: Sequence[int], hidden: Sequence[int] = (200,) * 3, pieces: int = 5
    ) -> None:
        super().__init__()
        check_widths(1, hidden)
        if pieces < 2:
            raise UserError(f"pieces={pieces} must be at least 2, or the network is linear")
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([prod(image_shape), *hidden]):
            layers += [nn.Linear(inputs, outputs * pieces), Maxout(pieces)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(images).squeeze(1)  # [N, 2] -> [N]


class Maxout(nn.Module):
    """The largest of every `pieces` units (Goodfellow et al. 2013): [N, F * pieces] -> [N, F]."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, units: Tensor) -> Tensor:
        return units.unflatten(1, (self.pieces, -1)).amax(1)
