"""Label smoothing: targets other than 1 and 0, and what an output between them means."""

import math

import torch.nn.functional as F
from torch import Tensor

from gan_lab import UserError


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    """-target log D - (1 - target) log(1 - D), where D is the logits' sigmoid."""
    if target in (0.0, 1.0):
        return F.softplus(-logits if target else logits)
    return target * F.softplus(-logits) + (1 - target) * F.softplus(logits)


def unsmoothed(output: Tensor, real_target: float, fake_target: float) -> Tensor:
    """The share of reals that an output between both targets stands for."""
    return ((output - fake_target) / (real_target - fake_target)).clamp(0, 1)


def logit_between(real_target: float, fake_target: float) -> float:
    middle = (real_target + fake_target) / 2
    return math.log(middle) - math.log(1 - middle)


def check_targets(real_target: float, fake_target: float) -> tuple[float, float]:
    for name, target in (("real_target", real_target), ("fake_target", fake_target)):
        if not 0 <= target <= 1:
            raise UserError(f"{name}={target} must be a probability, between 0 and 1")
    return check_order(real_target, fake_target)


def check_order(real_target: float, fake_target: float) -> tuple[float, float]:
    if fake_target >= real_target:
        raise UserError(
            f"fake_target={fake_target} must lie below real_target={real_target}, or the "
            "discriminator learns nothing; 0 and 0.9 are usual"
        )
    return real_target, fake_target
