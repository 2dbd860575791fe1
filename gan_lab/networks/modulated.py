"""Convolutions that a style steers (Karras et al. 2020), for style.py."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.networks.equalised import Linear, activate, double


class ModulatedConv2d(nn.Module):
    """A convolution whose weight is scaled for each sample by its style (sec. 2.2, eqs. 1 and 3).

    [N, inputs, H, W], w [N, W] -> [N, outputs, H, W]. What scales an input channel of the weight
    scales the input instead, and what normalises an output channel of it scales the output: the
    results are the same, without a weight for each sample.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the window.
        style_dim: size W of a style.
        demodulate: give each output channel a variance of 1, for inputs that have it.
        upsample: double the resolution after the convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_dim: int,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = Linear(style_dim, inputs, bias=1.0)
        self.scale = prod(self.weight.shape[1:]) ** -0.5
        self.demodulate, self.upsample = demodulate, upsample

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = self.style(w), self.weight * self.scale
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], weight, padding=weight.shape[2] // 2)
        if self.demodulate:
            power = F.linear(style.square(), weight.square().sum((2, 3)))  # [N, outputs]
            x = x * (power + 1e-8).rsqrt().to(x.dtype)[:, :, None, None]
        return double(x) if self.upsample else x


class StyledLayer(nn.Module):
    """A modulated convolution, noise, a bias and a leaky ReLU: [N, C, H, W], w [N, W] -> x.

    Noise is drawn anew in training; in evaluation it is the same for all images.
    """

    noise: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, style_dim: int, upsample: bool = False
    ) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, style_dim, upsample=upsample)
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.convolution(x, w)
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        return activate(x + (self.strength * noise).to(x.dtype) + self.bias.to(x.dtype))
