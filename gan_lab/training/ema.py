"""Exponential moving average of the generator, by half-life in images (Karras et al. 2020)."""

import copy

import torch
from torch import nn

from gan_lab import UserError


class EMA:
    """Keeps `average` (a network of the same shape) behind `source`.

    beta = 0.5 ** (images / half-life); early on the half-life is `ramp` times the images seen, so
    that the average forgets the untrained start.

    Args:
        half_life: images after which a weight's share has halved; 0 makes the average a copy.
        ramp: bound on the half-life as a share of the images seen; None for no bound.
    """

    def __init__(self, half_life: float = 10_000, ramp: float | None = 0.05) -> None:
        if half_life < 0:
            raise UserError(f"ema.half_life={half_life} must be 0 (no averaging) or more images")
        if ramp is not None and ramp <= 0:
            raise UserError(f"ema.ramp={ramp} must be positive, or null for no ramp")
        self.half_life = half_life
        self.ramp = ramp

    def beta(self, images: int, images_seen: int) -> float:
        """The average's share after an update that used `images` of `images_seen` in all."""
        half_life = self.half_life
        if self.ramp is not None:
            half_life = min(half_life, self.ramp * images_seen)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, average: nn.Module, source: nn.Module, images: int, images_seen: int) -> None:
        weight = 1 - self.beta(images, images_seen)
        torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), weight)
        # Batch-norm statistics are already averages; averaging them again would lag behind.
        for mine, theirs in zip(average.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs)


def average_of(network: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode, to be kept by `EMA.update`."""
    return copy.deepcopy(network).eval().requires_grad_(False)
