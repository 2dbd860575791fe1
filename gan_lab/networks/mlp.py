"""The vanilla GAN's multilayer perceptrons (Goodfellow et al. 2014), for any image shape."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from gan_lab import UserError


class Generator(nn.Module):
    """Latents through leaky-ReLU layers to an image.

    The paper mixes ReLU and sigmoid units; leaky ReLU and tanh train faster and are used here.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, height, width) of the images.
        hidden: width of each hidden layer.
    """

    num_classes = 0

    def __init__(
        self, latent_dim: int, image_shape: Sequence[int], hidden: Sequence[int] = (256, 512, 1024)
    ) -> None:
        super().__init__()
        check_widths(latent_dim, hidden)
        self.latent_dim = latent_dim
        self.image_shape = tuple(image_shape)
        widths = [latent_dim, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(widths[-1], prod(image_shape))]
        self.layers = nn.Sequential(*layers, *output_bounds(image_shape))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(latents).unflatten(1, self.image_shape)  # [N, Z] -> [N, C, H, W]


class Discriminator(nn.Module):
    """Pixels through leaky-ReLU layers with dropout to one logit.

    Args:
        image_shape: (channels, height, width) of the images.
        hidden: width of each hidden layer.
        dropout: probability of dropping a hidden unit, as in the paper; 0 for none.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (1024, 512, 256),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_widths(1, hidden)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout} must lie in [0, 1)")
        widths = [prod(image_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(images).squeeze(1)  # [N, C, H, W] -> [N]


def output_bounds(image_shape: Sequence[int]) -> list[nn.Module]:
    """Images lie in [-1, 1]; points, of shape (2,), are in their own units."""
    return [nn.Tanh()] if len(image_shape) == 3 else []


def check_widths(latent_dim: int, hidden: Sequence[int]) -> None:
    if latent_dim < 1:
        raise UserError(f"latent_dim={latent_dim} must be at least 1")
    if not hidden or min(hidden) < 1:
        raise UserError(f"hidden={list(hidden)} must be a list of widths of at least 1")
