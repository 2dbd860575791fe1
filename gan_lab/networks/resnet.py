"""Residual networks with spectral normalisation, as in SNGAN (Miyato et al. 2018, appendix B.4).

For 28x28 and every 4 * 2**k. What differs from the paper, and why:
- `width` 16 at full resolution, doubled by each halving up to 512, so that a CPU can train it; the
  paper has 64 to 1024 for 128x128 images (its table 5), and 256 and 128 throughout for CIFAR-10.
- one residual block at the lowest resolution (4x4, or 7x7 for 28) ends the discriminator, as in
  table 5; the paper's CIFAR-10 network stops halving at 8x8 and has two.
- the up-block's 1x1 shortcut comes before the upsampling and the down-block's after the pooling:
  the results are the same, for a quarter of the work.
- no bias where batch norm follows at once and would remove it.
- the power iteration takes a step in each pass of the discriminator, not one in each update.
- no labels: neither conditional batch norm nor projection.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gan_lab.networks.layers import check_sizes, stage_widths, stages


class UpBlock(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, 2H, 2W] (fig. 8 of the paper, with upsampling)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2))
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


class FirstBlock(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H/2, W/2] on pixels: no activation before the first layer.

    The authors' code calls it the optimised block.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


class DownBlock(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, inputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


class LastBlock(nn.Module):
    """[N, channels, H, W] -> the same shape; the shortcut is the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class Generator(nn.Module):
    """Project and reshape, then double the resolution by residual blocks with batch norm.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving of the resolution doubles them up to 512.
    """

    num_classes = 0

    def __init__(self, latent_dim: int, image_shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        check_sizes(latent_dim, width)
        self.latent_dim = latent_dim
        widths = stage_widths(width, doublings)[::-1]
        self.start = (widths[0], base, base)
        self.project = nn.Linear(latent_dim, widths[0] * base * base)
        self.layers = nn.Sequential(
            *[UpBlock(inputs, outputs) for inputs, outputs in pairwise(widths)],
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            nn.Conv2d(widths[-1], image_shape[0], 3, padding=1),
            nn.Tanh(),
        )
        initialise(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        start = self.project(latents).unflatten(1, self.start)  # [N, Z] -> [N, C0, base, base]
        return self.layers(start.contiguous(memory_format=torch.channels_last))


class Discriminator(nn.Module):
    """Halve the resolution by residual blocks, sum over all places, then one logit.

    Args:
        image_shape: (channels, size, size) of the images.
        width: filters after the first block; each halving doubles them up to 512.
        spectral_norm: divide every weight by its largest singular value, estimated by power
            iteration; off, a penalty such as R1 has to keep the discriminator smooth.
    """

    def __init__(
        self, image_shape: Sequence[int], width: int = 16, spectral_norm: bool = True
    ) -> None:
        super().__init__()
        _, doublings = stages(image_shape)
        check_sizes(1, width)
        widths = stage_widths(width, doublings - 1)
        self.layers = nn.Sequential(
            FirstBlock(image_shape[0], width),
            *[DownBlock(inputs, outputs) for inputs, outputs in pairwise(widths)],
            LastBlock(widths[-1]),
            nn.ReLU(),
        )
        self.logit = nn.Linear(widths[-1], 1)
        initialise(self)
        if spectral_norm:
            normalise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        pooled = self.layers(images).sum((2, 3))  # [N, C, H, W] -> [N, F]
        return self.logit(pooled).squeeze(1)  # -> [N]


def initialise(network: nn.Module) -> None:
    """Xavier's uniform weights, with gain sqrt(2) for 3x3 convolutions, as in the authors' code."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            gain = sqrt(2) if module.weight.shape[2:] == (3, 3) else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def normalise(network: nn.Module) -> None:
    """Spectral norm for every layer with a weight, the last one included."""
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            parametrizations.spectral_norm(module)
