"""Deep convolutional GAN (Radford, Metz and Chintala 2016), for 28x28 and every 4 * 2**k.

What differs from the paper, and why:
- `width` 32 instead of 128 filters: a quarter of the cost hardly shows on digits.
- 4x4 instead of 5x5 kernels: they divide by the stride, which avoids checkerboard patterns.
- a 3x3 convolution after the last transposed one makes the pixels, with filters at full size.
- the discriminator's normalisation is an option: without batch norm, gradient penalties are sound.
- weights start from N(0, `init_std`); the paper's 0.02 suits batch norm on both sides, and None
  (the default of the layers) suits a discriminator without.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.conditioning import (
    ConditionalBatchNorm,
    CriticConditioning,
    CriticInputs,
    GeneratorConditioning,
    LabelledSequential,
    LatentInputs,
    Projection,
    batch_norm,
)
from gan_lab.networks.layers import (
    MAX_WIDTH,
    check_sizes,
    normalise,
    stage_widths,
    stages,
    std_layers,
)

Norm = Literal["batch", "none"]


class Generator(nn.Module):
    """Project and reshape, then double the resolution by transposed convolutions.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving of the resolution doubles them up to 512.
        init_std: standard deviation of the initial weights; None leaves torch's own.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" beside the latents, or "batch_norm" in every layer.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    memory_format = torch.channels_last  # of what goes into the layers

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        width: int = 32,
        init_std: float | None = None,
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
        self.project = nn.Linear(self.inputs.size, widths[0] * base * base, bias=False)
        layers: list[nn.Module] = [batch_norm(widths[0], normed_classes), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                batch_norm(outputs, normed_classes),
                nn.ReLU(),
            ]
        layers += [nn.Conv2d(widths[-1], image_shape[0], 3, padding=1), nn.Tanh()]
        self.layers = LabelledSequential(*layers)
        initialise(self, init_std)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        inputs = self.inputs(latents, labels)
        start = self.project(inputs).unflatten(1, self.start)  # [N, Z] -> [N, C0, base, base]
        return self.layers(start.contiguous(memory_format=self.memory_format), labels)


class Discriminator(nn.Module):
    """Strided convolutions down to 4x4, then one logit.

    Args:
        image_shape: (channels, size, size) of the images.
        width: filters after the first convolution; each halving doubles them up to 512.
        norm: "batch" as in the paper (all but the first layer), or "none".
        init_std: standard deviation of the initial weights; None leaves torch's own.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        spectral_norm: divide every weight by its largest singular value.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 32,
        norm: Norm = "none",
        init_std: float | None = None,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        spectral_norm: bool = False,
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        stages(image_shape)
        check_sizes(1, width)
        self.inputs = CriticInputs(image_shape, num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        mixes = norm == "batch" or minibatch_std or packing > 1
        self.solitary = not mixes and not spectral_norm  # judges each image by itself
        layers, channels = halvings(self.inputs.channels, image_shape[1], width, norm)
        layers += [*std_layers(minibatch_std), nn.Flatten()]
        self.num_features = (channels + bool(minibatch_std)) * 16
        self.layers = nn.Sequential(*layers, nn.Linear(self.num_features, 1))
        self.projection = Projection(self.num_features, num_classes, conditioning)
        initialise(self, init_std)
        if spectral_norm:
            normalise(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers[:-1](self.inputs(images, labels))  # [N, C, H, W] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.layers[-1](features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def halvings(inputs: int, size: int, outputs: int, norm: Norm) -> tuple[list[nn.Module], int]:
    """Strided convolutions from `inputs` channels to 4x4, and how many channels come out."""
    layers: list[nn.Module] = []
    while size > 4:
        normed = norm == "batch" and bool(layers)
        kernel = 3 if size % 2 else 4  # 28 -> 14 -> 7 -> 4
        layers += [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1)]
        layers += [nn.BatchNorm2d(outputs)] if normed else []
        layers += [nn.LeakyReLU(0.2)]
        inputs, size, outputs = outputs, (size + 1) // 2, min(outputs * 2, MAX_WIDTH)
    return layers, inputs


def initialise(network: nn.Module, std: float | None) -> None:
    """N(0, std) for weights, N(1, std) for batch norm's scales (Radford et al. 2016, sec. 3)."""
    if std is None:
        return
    if std <= 0:
        raise UserError(f"init_std={std} must be positive, or null for the layers' own default")
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, ConditionalBatchNorm):
            nn.init.normal_(module.gain.weight, 1.0, std)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, std)
