"""Penalties on the critic: (critic, real, fake) -> [N], with labels and augmentation bound in."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_lab import UserError

Critic = Callable[[Tensor], Tensor]


class R1:
    """Penalise the critic's gradient on real data (Mescheder et al. 2018, eq. 9).

    gamma / 2 * ||grad D(x)||^2, summed over pixels. With `interval` k it is computed in every k-th
    step and weighs k times as much, "lazy regularisation" (Karras et al. 2020, sec. 3.1).
    """

    def __init__(self, gamma: float, interval: int = 1) -> None:
        if gamma < 0:
            raise UserError(f"penalty gamma={gamma} must not be negative; 0 switches it off")
        if interval < 1:
            raise UserError(f"penalty interval={interval} must be at least 1 (every step)")
        self.gamma = gamma
        self.interval = interval

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        real = real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
        return 0.5 * self.gamma * gradient.square().flatten(1).sum(1)
