"""The modern baseline R3GAN (Huang et al. 2024): residual networks without normalisation.

Made for `objective=relativistic_paired` with penalties on real and fake images. For 28x28 and every
4 * 2**k. What differs from the paper, and why:
- `width` 16 at full resolution, doubled by each halving up to 512, and one block at each
  resolution, so that a CPU can train it; for CIFAR-10 the paper has 768 throughout, and two blocks.
- a tanh bounds the pixels, as all others here take them to lie in [-1, 1]; the paper has none.
- the 1x1 convolution that changes the width comes before up-sampling and after down-sampling: the
  results are the same, for a quarter of the work. Down-sampling by bilinear weights is average
  pooling.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.conditioning import (
    CriticConditioning,
    CriticInputs,
    GeneratorConditioning,
    LatentInputs,
    Projection,
    refuse_batch_norm,
)
from gan_lab.networks.layers import check_sizes, stage_widths, stages, std_layers

SLOPE = 0.2  # of the leaky ReLUs


class ResidualBlock(nn.Module):
    """x + 1x1(3x3(1x1(x))), of which the 3x3 is grouped and the widest: [N, C, H, W] -> the same.

    As in Fixup (Zhang et al. 2019) the last convolution starts at zero, so that the block is the
    identity, and the others are smaller by L^(-1/4), L being the number of blocks in the network.
    """

    def __init__(self, width: int, expansion: int, group_width: int, num_blocks: int) -> None:
        super().__init__()
        inner = width * expansion
        groups = inner // min(group_width, inner)
        if inner % groups or inner // groups > group_width:
            raise UserError(
                f"group_width={group_width} does not divide width * expansion = {inner}; use "
                "a width of 8, 16, 32, ..."
            )
        gain = nn.init.calculate_gain("leaky_relu", SLOPE) * num_blocks**-0.25
        self.layers = nn.Sequential(
            initialise(nn.Conv2d(width, inner, 1), gain),
            nn.LeakyReLU(SLOPE),
            initialise(nn.Conv2d(inner, inner, 3, padding=1, groups=groups), gain),
            nn.LeakyReLU(SLOPE),
            initialise(nn.Conv2d(inner, width, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Generator(nn.Module):
    """Weigh a learned basis by the latents, then double the resolution by residual blocks.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving of the resolution doubles them up to 512.
        blocks: residual blocks at each resolution.
        expansion: how many times wider a block is inside.
        group_width: channels that a 3x3 convolution mixes.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" puts the label beside the latents.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    memory_format = torch.channels_last  # of what goes into the layers

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        width: int = 16,
        blocks: int = 1,
        expansion: int = 2,
        group_width: int = 16,
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        check_sizes(latent_dim, width)
        check_blocks(blocks, expansion, group_width)
        refuse_batch_norm(conditioning, "r3gan")
        self.latent_dim = latent_dim
        self.inputs = LatentInputs(latent_dim, num_classes, conditioning, code)
        self.num_classes, self.code = self.inputs.num_classes, self.inputs.code
        widths = stage_widths(width, doublings)[::-1]
        shape = expansion, group_width, blocks * len(widths)
        self.weigh = initialise(nn.Linear(self.inputs.size, widths[0], bias=False))
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        layers: list[nn.Module] = [ResidualBlock(widths[0], *shape) for _ in range(blocks)]
        for inputs, outputs in pairwise(widths):
            layers += [*change_width(inputs, outputs), nn.Upsample(scale_factor=2, mode="bilinear")]
            layers += [ResidualBlock(outputs, *shape) for _ in range(blocks)]
        layers += [initialise(nn.Conv2d(widths[-1], image_shape[0], 1)), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        weights = self.weigh(self.inputs(latents, labels))  # [N, Z] -> [N, C0]
        start = weights[:, :, None, None] * self.basis.to(weights.dtype)  # [N, C0, base, base]
        return self.layers(start.contiguous(memory_format=self.memory_format))


class Discriminator(nn.Module):
    """Halve the resolution by residual blocks, weigh all places by a learned basis, one logit.

    Args:
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving of the resolution doubles them up to 512.
        blocks: residual blocks at each resolution.
        expansion: how many times wider a block is inside.
        group_width: channels that a 3x3 convolution mixes.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        spectral_norm: refused, as the blocks start from weights without a norm.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 16,
        blocks: int = 1,
        expansion: int = 2,
        group_width: int = 16,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        spectral_norm: bool = False,
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        check_sizes(1, width)
        check_blocks(blocks, expansion, group_width)
        if spectral_norm:
            raise UserError(
                "spectral_norm=true: the blocks of networks=r3gan start from zero, which has no "
                "norm; use spectral_norm=false with penalties, or networks=resnet"
            )
        self.inputs = CriticInputs(image_shape, num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        self.solitary = not (minibatch_std or packing > 1 or spectral_norm)  # each image by itself
        widths = stage_widths(width, doublings)
        shape = expansion, group_width, blocks * len(widths)
        layers: list[nn.Module] = [initialise(nn.Conv2d(self.inputs.channels, width, 1))]
        layers += [ResidualBlock(width, *shape) for _ in range(blocks)]
        for inputs, outputs in pairwise(widths):
            layers += [nn.AvgPool2d(2), *change_width(inputs, outputs)]
            layers += [ResidualBlock(outputs, *shape) for _ in range(blocks)]
        self.num_features = features = widths[-1] + bool(minibatch_std)
        basis = initialise(nn.Conv2d(features, features, base, groups=features, bias=False))
        self.layers = nn.Sequential(*layers, *std_layers(minibatch_std), basis, nn.Flatten())
        self.logit = initialise(nn.Linear(features, 1))
        self.projection = Projection(features, num_classes, conditioning)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.inputs(images, labels))  # [N, C, H, W] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.logit(features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def change_width(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1x1 convolution, where the widths differ."""
    return [initialise(nn.Conv2d(inputs, outputs, 1, bias=False))] if inputs != outputs else []


def initialise(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """N(0, gain^2 / inputs), which with gain 1 keeps the variance, and a bias of 0."""
    nn.init.normal_(layer.weight, 0.0, gain * prod(layer.weight.shape[1:]) ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def check_blocks(blocks: int, expansion: int, group_width: int) -> None:
    if min(blocks, expansion, group_width) < 1:
        raise UserError(
            f"blocks={blocks}, expansion={expansion} and group_width={group_width} must be at "
            "least 1"
        )
