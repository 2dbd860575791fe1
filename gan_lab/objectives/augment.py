"""What the discriminator sees of an image; the same for real and fake, in both players' steps.

Images [N, C, H, W] in [-1, 1] in and out, each altered on its own, differentiable twice because
penalties run through it. The one whose strength follows the critic is in adaptive.py.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.objectives.warps import require_images, translate


class Identity(nn.Module):
    """No augmentation."""

    def forward(self, images: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        return images


class InstanceNoise(nn.Module):
    """Normal noise on all that the discriminator sees, images and points [N, 2] alike.

    It makes both distributions overlap (Sonderby et al. 2017; Arjovsky and Bottou 2017, sec. 3),
    and falls linearly from `std` to none. Its size is a function of the run's progress
    and nothing that has to be saved.

    Args:
        std: at the start, in the data's unit.
        until: share of the budget after which there is none.
    """

    def __init__(self, std: float = 0.1, until: float = 1.0) -> None:
        super().__init__()
        if std < 0:
            raise UserError(f"augment std={std} must not be negative; 0 switches it off")
        if not 0 < until <= 1:
            raise UserError(f"augment until={until} must lie in (0, 1], a share of the budget")
        self.std = self.current = std
        self.until = until

    def at(self, progress: float) -> None:
        self.current = self.std * max(0.0, 1 - progress / self.until)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.current * torch.randn_like(images) if self.current else images


class DiffAugment(nn.Module):
    """Alterations that let the generator's gradient through (Zhao et al. 2020).

    Args:
        policy: which ones, in this order. "color": brightness, saturation and contrast, of images
            with three channels only; "translation": by up to an eighth of the size; "cutout": a
            square of half the size is masked. What comes in, or is masked, is 0, a medium grey.
    """

    def __init__(
        self,
        policy: Sequence[Literal["color", "translation", "cutout"]] = (
            "color",
            "translation",
            "cutout",
        ),
    ) -> None:
        super().__init__()
        if unknown := set(policy) - set(STEPS):
            raise UserError(
                f"augment policy={list(policy)} names {', '.join(sorted(unknown))}; there are "
                f"{', '.join(STEPS)}"
            )
        self.policy = tuple(policy)

    def forward(self, images: Tensor) -> Tensor:
        require_images(images, "augment=diffaugment", "augment=instance_noise")
        for name in self.policy:
            images = STEPS[name](images)
        return images


def recolour(images: Tensor) -> Tensor:
    """Brightness +-0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    if images.shape[1] != 3:
        return images
    draws = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    brightness, saturation, contrast = draws.to(images.dtype)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    level = images.mean((1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


def shift(images: Tensor) -> Tensor:
    """Translate by up to an eighth of each side, whole pixels."""
    height, width = images.shape[-2:]
    down, right = whole(images, height), whole(images, width)
    return translate(images, down, right, reflected=False)


def whole(images: Tensor, size: int) -> Tensor:  # -> int64 [N], evenly within an eighth of the size
    farthest = round(size / 8)
    return torch.randint(-farthest, farthest + 1, (len(images),), device=images.device)


def cutout(images: Tensor) -> Tensor:
    """Mask a square of half the size, whose middle is anywhere in the image."""
    masked = []
    for size in images.shape[-2:]:
        side = max(round(size / 2), 1)
        middles = torch.randint(0, size + 1 - side % 2, (len(images), 1), device=images.device)
        places = torch.arange(size, device=images.device) - middles + side // 2  # in the square
        masked.append((places >= 0) & (places < side))
    rows, columns = masked
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": recolour,
    "translation": shift,
    "cutout": cutout,
}
