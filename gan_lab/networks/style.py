"""A style-based pair after StyleGAN2 (Karras et al. 2020), for 28x28 and every 4 * 2**k.

Latents become styles w, which scale the channels of every convolution. What differs, and why:
- `width` 16 at full resolution, doubled by each halving up to `max_width`, and two layers of
  mapping, so that a CPU can train it; the paper has 512 channels below 64x64, and eight layers.
- a block's first convolution works before up-sampling (in the critic, its second after averaging),
  and the filter is bilinear; the paper's strided convolutions cost the same.
- a tanh bounds the pixels, as all others here take them to lie in [-1, 1]; the paper has none.
- no path length regularisation.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
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
from gan_lab.networks.equalised import Activation, Conv2d, Linear, activate, double, pixel_norm
from gan_lab.networks.layers import check_sizes, stage_widths, stages, std_layers
from gan_lab.networks.modulated import ModulatedConv2d, StyledLayer

MEMORY = 0.998  # of the average style, at each step


class Mapping(nn.Module):
    """Latents, code and label, scaled to a mean square of 1, through linear layers to w [N, W]."""

    def __init__(self, inputs: LatentInputs, style_dim: int, layers: int) -> None:
        super().__init__()
        self.inputs = inputs
        sizes = [inputs.size] + [style_dim] * layers
        # Styles learn a hundred times slower than the rest (Karras et al. 2019).
        self.layers = nn.ModuleList([Linear(a, b, rate=0.01) for a, b in pairwise(sizes)])

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        x = pixel_norm(self.inputs(latents, labels))  # [N, Z] -> [N, size]
        for layer in self.layers:
            x = activate(layer(x))
        return x  # [N, W]


class Generator(nn.Module):
    """Latents to styles, and a learned constant through layers that the styles steer.

    `synthesis(mapping(latents, labels))` is what evaluation computes; in training some images are
    made of two styles each. `truncate_w` draws styles towards the average one.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving doubles them up to `max_width`.
        max_width: the most filters, at the low resolutions.
        style_dim: size W of a style.
        mapping_layers: fully connected layers from latents to styles.
        mixing: share of the images, in training, whose later layers follow another style.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" puts the label beside the latents.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    w_mean: Tensor

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        width: int = 16,
        max_width: int = 128,
        style_dim: int = 128,
        mapping_layers: int = 2,
        mixing: float = 0.9,
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(latent_dim, width)
        check_style(max_width, style_dim, mapping_layers, mixing)
        refuse_batch_norm(conditioning, "style")
        self.latent_dim, self.mixing = latent_dim, mixing
        inputs = LatentInputs(latent_dim, num_classes, conditioning, code)
        self.num_classes, self.code = inputs.num_classes, inputs.code
        self.mapping = Mapping(inputs, style_dim, mapping_layers)
        self.synthesis = Synthesis(image_shape, width, max_width, style_dim)
        self.register_buffer("w_mean", torch.zeros(style_dim))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping(latents, labels)
        if not self.training:
            return self.synthesis(w)  # -> [N, C, H, W]
        with torch.no_grad():
            self.w_mean.lerp_(w.detach().mean(0).to(self.w_mean.dtype), 1 - MEMORY)
        return self.synthesis(self.mixed(w, latents, labels) if self.mixing else w)

    def mixed(self, w: Tensor, latents: Tensor, labels: Tensor | None) -> Tensor:
        """A style for each layer, w or, from a random layer on, another one: [N, layers, W]."""
        others = torch.randn_like(latents)
        if self.code is not None:  # which a critic's head is to recover from the image
            others = torch.cat([others[:, : -self.code.dim], latents[:, -self.code.dim :]], 1)
        layers = torch.arange(self.synthesis.num_layers, device=w.device)
        first = torch.randint(1, len(layers), (len(w), 1), device=w.device)
        swapped = (layers >= first) & (torch.rand(len(w), 1, device=w.device) < self.mixing)
        return torch.where(swapped[:, :, None], self.mapping(others, labels)[:, None], w[:, None])

    def truncate_w(self, w: Tensor, psi: float) -> Tensor:
        """Styles nearer to the average one by the factor psi (Karras et al. 2019, appendix B)."""
        return self.w_mean + psi * (w - self.w_mean)


class Synthesis(nn.Module):
    """Styles [N, W], or one for each layer [N, num_layers, W], to images [N, C, H, W]."""

    memory_format = torch.channels_last  # of what goes into the layers

    def __init__(
        self, image_shape: Sequence[int], width: int, max_width: int, style_dim: int
    ) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        widths = [min(w, max_width) for w in stage_widths(width, doublings)][::-1]
        self.constant = nn.Parameter(torch.randn(1, widths[0], base, base))
        layers = [StyledLayer(widths[0], widths[0], base, style_dim)]
        for stage, (inputs, outputs) in enumerate(pairwise(widths), 1):
            size = base << stage
            layers += [StyledLayer(inputs, outputs, size, style_dim, upsample=True)]
            layers += [StyledLayer(outputs, outputs, size, style_dim)]
        self.layers = nn.ModuleList(layers)
        pixels = [
            ModulatedConv2d(w, image_shape[0], 1, style_dim, demodulate=False) for w in widths
        ]
        self.pixels = nn.ModuleList(pixels)
        self.bias = nn.Parameter(torch.zeros(image_shape[0], 1, 1))
        self.num_layers = len(layers)

    def forward(self, w: Tensor) -> Tensor:
        styles = w.unbind(1) if w.ndim == 3 else (w,) * self.num_layers
        constant = self.constant.expand(len(w), -1, -1, -1)
        x = self.layers[0](constant.contiguous(memory_format=self.memory_format), styles[0])
        image = self.pixels[0](x, styles[0])
        for stage in range(1, len(self.pixels)):
            x = self.layers[2 * stage - 1](x, styles[2 * stage - 1])
            x = self.layers[2 * stage](x, styles[2 * stage])
            image = double(image) + self.pixels[stage](x, styles[2 * stage])
        return torch.tanh(image + self.bias)


class DownBlock(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H/2, W/2], the variance kept."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), Conv2d(inputs, outputs, 1, bias=False))
        self.residual = nn.Sequential(
            Conv2d(inputs, inputs, 3),
            Activation(),
            nn.AvgPool2d(2),
            Conv2d(inputs, outputs, 3),
            Activation(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.shortcut(x) + self.residual(x)) * sqrt(0.5)


class Discriminator(nn.Module):
    """Halve the resolution by residual blocks, compare with the batch, then one logit.

    Args:
        image_shape: (channels, size, size) of the images.
        width: filters at full resolution; each halving doubles them up to `max_width`.
        max_width: the most filters, at the low resolutions.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        spectral_norm: refused, as it would undo the equalised learning rate.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        width: int = 16,
        max_width: int = 128,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        spectral_norm: bool = False,
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        base, doublings = stages(image_shape)
        check_sizes(1, width)
        check_style(max_width)
        if spectral_norm:
            raise UserError(
                "spectral_norm=true would undo the equalised learning rate of networks=style; use "
                "spectral_norm=false with penalties, or networks=resnet"
            )
        self.inputs = CriticInputs(image_shape, num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        widths = [min(w, max_width) for w in stage_widths(width, doublings)]
        self.num_features = last = widths[-1]
        self.layers = nn.Sequential(
            Conv2d(self.inputs.channels, widths[0], 1),
            Activation(),
            *[DownBlock(inputs, outputs) for inputs, outputs in pairwise(widths)],
            *std_layers(minibatch_std),
            Conv2d(last + bool(minibatch_std), last, 3),
            Activation(),
            nn.Flatten(),
            Linear(last * base * base, last),
            Activation(),
        )
        self.logit = Linear(last, 1)
        self.projection = Projection(last, num_classes, conditioning)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.inputs(images, labels))  # [N, C, H, W] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.logit(features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def check_style(
    max_width: int, style_dim: int = 1, mapping_layers: int = 1, mixing: float = 0.0
) -> None:
    if min(max_width, style_dim, mapping_layers) < 1:
        raise UserError(
            f"max_width={max_width}, style_dim={style_dim} and mapping_layers={mapping_layers} "
            "must be at least 1"
        )
    if not 0 <= mixing <= 1:
        raise UserError(f"mixing={mixing} is a share of the images; it must lie in [0, 1]")
