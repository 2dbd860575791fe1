"""Penalties on the critic's logits: that they do not hang on trifles, nor run away."""

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.objectives.penalties import Critic, check_interval, check_weight
from gan_lab.objectives.ranks import sum_over_ranks
from gan_lab.objectives.warps import require_images, translate


class BalancedConsistency:
    """Judge an image as its shifted copy, reals and fakes alike, bCR (Zhao et al. 2021).

    lambda_real (D(x) - D(T(x)))^2 + lambda_fake (D(G(z)) - D(T(G(z))))^2, where T shifts by up to
    `pixels` in both directions, and what comes in is the image's reflection.

    Args:
        flip: mirror half of the copies, too; not for digits and letters, which have two sides.
    """

    def __init__(
        self,
        lambda_real: float = 10.0,
        lambda_fake: float = 10.0,
        pixels: int = 4,
        flip: bool = False,
        interval: int = 1,
    ) -> None:
        self.lambda_real = check_weight("lambda_real", lambda_real)
        self.lambda_fake = check_weight("lambda_fake", lambda_fake)
        if pixels < 0:
            raise UserError(f"penalty pixels={pixels} must be 0 (no shift) or more; 4 is usual")
        self.pixels = pixels
        self.flip = flip
        self.interval = check_interval(interval)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # -> [N]
        require_images(real, "penalty=balanced_consistency", "penalty=r1")
        of_real = (critic(real) - critic(self.transform(real))).square()
        of_fake = (critic(fake) - critic(self.transform(fake))).square()
        return self.lambda_real * of_real + self.lambda_fake * of_fake

    def transform(self, images: Tensor) -> Tensor:
        count, device = len(images), images.device
        down, right = torch.randint(-self.pixels, self.pixels + 1, (2, count), device=device)
        moved = translate(images, down, right, reflected=True)
        if not self.flip:
            return moved
        mirrored = torch.rand(count, 1, 1, 1, device=device) < 0.5
        return torch.where(mirrored, moved.flip(3), moved)


class LeCam(nn.Module):
    """Hold logits near the other kind's moving average (Tseng et al. 2021).

    weight ((D(x) - a_F)^2 + (D(G(z)) - a_R)^2), where a_R and a_F are averages of the logits on
    reals and fakes (over all ranks), saved in checkpoints. For few data, where a critic learns too
    much; it says nothing in its first calls.

    Args:
        decay: share of an average that is left of it after a call.
        start: calls that only average, since both averages say little at first.
    """

    of_logits = True
    interval = 1
    real_mean: Tensor
    fake_mean: Tensor
    calls: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99, start: int = 1000) -> None:
        super().__init__()
        self.weight = check_weight("weight", weight)
        if not 0 <= decay < 1:
            raise UserError(f"penalty decay={decay} must lie in [0, 1); 0.99 is the paper's")
        if start < 0:
            raise UserError(f"penalty start={start} must be 0 (at once) or more calls")
        self.decay = decay
        self.start = start
        self.register_buffer("real_mean", torch.zeros(()))
        self.register_buffer("fake_mean", torch.zeros(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:  # -> [N]
        apart = (real_logits - self.fake_mean).square() + (fake_logits - self.real_mean).square()
        active = self.calls >= self.start  # a tensor: asking for its value would wait
        self.average(real_logits, fake_logits)
        return self.weight * active * apart

    @torch.no_grad()
    def average(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        count = torch.ones_like(real_logits.mean())
        sums = sum_over_ranks(torch.stack([real_logits.mean(), fake_logits.mean(), count]))
        means = (sums[:2] / sums[2]).to(self.real_mean.dtype)
        decay = self.decay * (self.calls > 0)  # the first call has nothing to keep
        for average, mean in zip((self.real_mean, self.fake_mean), means, strict=True):
            average.copy_(decay * average + (1 - decay) * mean)
        self.calls += 1
