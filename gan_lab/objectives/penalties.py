"""Penalties on the critic: (critic, real, fake) -> [N], with labels and augmentation bound in.

Images [N, C, H, W] and points [N, 2] alike. Those on logits rather than gradients are in
consistency.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab import UserError

Critic = Callable[[Tensor], Tensor]


class R1:
    """Penalise the critic's gradient on real data (Mescheder et al. 2018, eq. 9).

    gamma / 2 * ||grad D(x)||^2, summed over pixels. With `interval` k it is computed in every k-th
    step and weighs k times as much, "lazy regularisation" (Karras et al. 2020, sec. 3.1).
    """

    def __init__(self, gamma: float, interval: int = 1) -> None:
        self.gamma = check_weight("gamma", gamma)
        self.interval = check_interval(interval)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        return 0.5 * self.gamma * gradient_of(critic, real).square().flatten(1).sum(1)


class R2:
    """Penalise the critic's gradient on generated data (Mescheder et al. 2018, eq. 10).

    gamma / 2 * ||grad D(G(z))||^2; with R1 and `objective=relativistic_paired` it makes the game
    converge locally (Huang et al. 2024).
    """

    def __init__(self, gamma: float, interval: int = 1) -> None:
        self.gamma = check_weight("gamma", gamma)
        self.interval = check_interval(interval)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        return 0.5 * self.gamma * gradient_of(critic, fake).square().flatten(1).sum(1)


class GradientPenalty:
    """Draw the gradient's norm to 1 between both kinds, WGAN-GP (Gulrajani et al. 2017, eq. 3).

    weight * (||grad D(a x + (1 - a) G(z))|| - 1)^2, with one a for each sample, uniform in [0, 1].
    A critic with batch norm has no gradient of its own for each sample: use one without.
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        self.weight = check_weight("weight", weight)
        self.interval = check_interval(interval)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        share = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
        between = share * real + (1 - share) * fake
        return self.weight * (norms(gradient_of(critic, between)) - 1).square()


class DRAGAN:
    """Draw the gradient's norm to 1 around the data (Kodali et al. 2017).

    weight * (||grad D(x + d)|| - 1)^2. Each value of d is uniform in +-`spread` / 2 standard
    deviations of all values of the batch, so that its size follows the data's unit, be they images
    or points. The paper writes normal noise of a fixed size instead, and its experiments add noise
    that is positive only; neither suits any unit, or keeps the data in the middle. Sums are not
    clipped to the images' range: where most pixels are black, that would cut off half the noise.
    """

    def __init__(self, weight: float = 10.0, spread: float = 1.0, interval: int = 1) -> None:
        self.weight = check_weight("weight", weight)
        self.spread = check_weight("spread", spread)
        self.interval = check_interval(interval)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        noise = self.spread * real.detach().std() * (torch.rand_like(real) - 0.5)
        return self.weight * (norms(gradient_of(critic, real + noise)) - 1).square()


class WeightClipping:
    """Keep every weight of the critic in [-bound, bound] (Arjovsky et al. 2017, algorithm 1).

    No term of the loss: `constrain` is called after each of the discriminator's updates.
    """

    def __init__(self, bound: float = 0.01) -> None:
        if bound <= 0:
            raise UserError(f"penalty bound={bound} must be positive; 0.01 is the paper's")
        self.bound = bound

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        weights: list[Tensor] = list(discriminator.parameters())
        torch._foreach_clamp_min_(weights, -self.bound)
        torch._foreach_clamp_max_(weights, self.bound)


def gradient_of(critic: Critic, images: Tensor) -> Tensor:
    """The critic's gradient at each of its samples, to be differentiated again.

    In the images' shape [N, ...]; of a critic that packs m images into a sample, [N // m, numbers].
    """
    images = images.detach().requires_grad_(True)
    logits = critic(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    if len(logits) == len(images):
        return gradient
    packing = len(images) // len(logits)
    return gradient[: packing * len(logits)].reshape(len(logits), -1)


def norms(gradients: Tensor) -> Tensor:  # [N, ...] -> [N]; the slope at 0 is 0, not NaN
    return gradients.flatten(1).norm(dim=1)


def check_weight(name: str, value: float) -> float:
    if value < 0:
        raise UserError(f"penalty {name}={value} must not be negative; 0 switches it off")
    return value


def check_interval(interval: int) -> int:
    if interval < 1:
        raise UserError(f"penalty interval={interval} must be at least 1 (every step)")
    return interval
