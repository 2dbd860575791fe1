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
- labels are options, by conditional batch norm and projection as in Miyato and Koyama 2018.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.networks.conditioning import (
    CriticConditioning,
    CriticInputs,
    GeneratorConditioning,
    LabelledSequential,
    LatentInputs,
    Projection,
    batch_norm,
)
from gan_lab.networks.layers import check_sizes, normalise, stage_widths, stages, std_layers


class UpBlock(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, 2H, 2W] (fig. 8 of the paper, with upsampling)."""

    takes_labels = True

    def __init__(self, inputs: int, outputs: int, num_classes: int = 0) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2))
        self.residual = LabelledSequential(
            batch_norm(inputs, num_classes),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            batch_norm(outputs, num_classes),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.shortcut(x) + self.residual(x, labels)


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
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" beside the latents, or "batch_norm" in every block.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    memory_format = torch.channels_last  # of what goes into the layers

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        width: int = 16,
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        check_sizes(latent_dim, width)
        self.latent_dim = latent_dim
        self.inputs = LatentInputs(latent_dim, num_classes, conditioning, code)
        self.num_classes, self.code = self.inputs.num_classes, self.inputs.code
        normed_classes = num_classes if conditioning == "batch_norm" else 0
        widths = stage_widths(width, doublings)[::-1]
        self.start = (widths[0], base, base)
        self.project = nn.Linear(self.inputs.size, widths[0] * base * base)
        self.layers = LabelledSequential(
            *[UpBlock(inputs, outputs, normed_classes) for inputs, outputs in pairwise(widths)],
            batch_norm(widths[-1], normed_classes),
            nn.ReLU(),
            nn.Conv2d(widths[-1], image_shape[0], 3, padding=1),
            nn.Tanh(),
        )
        initialise(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        inputs = self.inputs(latents, labels)
        start = self.project(inputs).unflatten(1, self.start)  # [N, Z] -> [N, C0, base, base]
        return self.layers(start.contiguous(memory_format=self.memory_format), labels)


class Discriminator(nn.Module):
    """Halve the resolution by residual blocks, sum over all places, then one logit.

    Args:
        image_shape: (channels, size, size) of the images.
        width: filters after the first block; each halving doubles them up to 512.
        spectral_norm: divide every weight by its largest singular value, estimated by power
            iteration; off, a penalty such as R1 has to keep the discriminator smooth.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 16,
        spectral_norm: bool = True,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        _, doublings = stages(image_shape)
        check_sizes(1, width)
        self.inputs = CriticInputs(image_shape, num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        widths = stage_widths(width, doublings - 1)
        self.num_features = widths[-1] + bool(minibatch_std)
        self.layers = nn.Sequential(
            FirstBlock(self.inputs.channels, width),
            *[DownBlock(inputs, outputs) for inputs, outputs in pairwise(widths)],
            *std_layers(minibatch_std),
            LastBlock(self.num_features),
            nn.ReLU(),
        )
        self.logit = nn.Linear(self.num_features, 1)
        self.projection = Projection(self.num_features, num_classes, conditioning)
        initialise(self)
        if spectral_norm:
            normalise(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.inputs(images, labels)).sum((2, 3))  # [N, C, H, W] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.logit(features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def initialise(network: nn.Module) -> None:
    """Xavier's uniform weights, with gain sqrt(2) for 3x3 convolutions, as in the authors' code."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            gain = sqrt(2) if module.weight.shape[2:] == (3, 3) else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
