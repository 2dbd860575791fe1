"""Layers with an equalised learning rate (Karras et al. 2018, sec. 4.1), for style.py.

Weights are stored at a variance of 1 and scaled whenever they are used, so that steps of one size
change all layers alike.
"""

from math import sqrt

from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """[N, inputs] -> [N, outputs].

    Args:
        inputs: numbers in.
        outputs: numbers out.
        bias: its first value.
        rate: how much slower than other layers this one learns.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        self.rate = rate
        self.scale = rate / sqrt(inputs)
        nn.init.normal_(self.weight, 0.0, 1 / rate)
        nn.init.constant_(self.bias, bias / rate)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv2d(nn.Conv2d):
    """[N, inputs, H, W] -> [N, outputs, H, W] by an odd window, with zeros around the image."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.scale = self.weight[0].numel() ** -0.5
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class Activation(nn.Module):
    """Leaky ReLU with the gain that keeps the mean square of standard normal inputs (about)."""

    def forward(self, x: Tensor) -> Tensor:
        return activate(x)


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * sqrt(2)


def pixel_norm(x: Tensor) -> Tensor:
    """[N, F] with a mean square of 1 in each row."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def double(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W] by the bilinear filter."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")
