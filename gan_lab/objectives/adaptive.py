"""Augmentation as strong as the critic is sure of its reals, ADA (Karras et al. 2020, "Training
generative adversarial networks with limited data").
"""

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.objectives.ranks import sum_over_ranks
from gan_lab.objectives.warps import require_images, resample


class Adaptive(nn.Module):
    """Every alteration befalls every image with probability p, on its own (app. B).

    p follows r = E[sign(D(x))] over `interval` steps: up by the logits on reals (of a packed critic
    fewer than images), over `speed`, where r is above `target`, and down below (sec. 3). r is over
    all ranks; p is 0 at first and is saved. Logits come from the loss's threshold up, so that their
    sign is the critic's decision.

    Of the paper's pipeline there are the horizontal flip (only where asked: digits have two sides),
    translation by whole pixels and by fractions, scaling of both sides and of one against the
    other, rotation before and after that by up to `rotation` degrees, and with three channels
    brightness, contrast, luma flip, hue and saturation. Not there: turns by 90 degrees, which make
    a 9 of a 6 (and rows and columns are moved each by a chance of its own), and filters and
    corruptions, which the paper itself leaves out in the end. Pixels are interpolated linearly,
    without the paper's low-pass filters.

    Args:
        target: of r, above which the critic counts as overfitting.
        speed: images over which p goes from 0 to 1.
        interval: steps between changes of p.
        flip: mirror half of the images that are chosen for it.
        rotation: largest angle; the paper's is 180.
    """

    level: Tensor
    tally: Tensor
    calls: Tensor

    def __init__(
        self,
        target: float = 0.6,
        speed: int = 500_000,
        interval: int = 4,
        flip: bool = False,
        rotation: float = 15.0,
    ) -> None:
        super().__init__()
        check_arguments(target, speed, interval, rotation)
        self.target = target
        self.speed = speed
        self.interval = interval
        self.flip = flip
        self.rotation = rotation
        # In images, since whole numbers are exact whatever the precision of the module.
        self.register_buffer("level", torch.zeros((), dtype=torch.long))  # p * speed
        self.register_buffer("tally", torch.zeros(2, dtype=torch.long))  # sum of signs, and images
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    @property
    def probability(self) -> Tensor:
        return self.level / self.speed

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Count the signs of one discriminator step's logits; change p where it is due."""
        signs = real_logits.sign().long()
        self.tally += sum_over_ranks(torch.stack([signs.sum(), torch.ones_like(signs).sum()]))
        self.calls += 1
        due = self.calls % self.interval == 0
        excess, images = self.tally[0] - self.target * self.tally[1], self.tally[1]
        step = (due * images * excess.sign()).long()
        self.level.copy_((self.level + step).clamp(0, self.speed))
        self.tally *= ~due

    def forward(self, images: Tensor) -> Tensor:
        require_images(images, "augment=ada", "augment=instance_noise")
        moved = resample(images, *self.places(images))
        return self.recolour(moved) if images.shape[1] == 3 else moved

    def places(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Where each pixel of the outcome comes from: rows and columns [N, H, W]."""
        count, _, height, width = images.shape
        p = self.probability
        halves = 1 - (1 - p).sqrt()  # for either of two rotations, so that p have any
        matrix = product(self.mirror(count, p), self.turn(count, halves))
        matrix = product(product(matrix, self.stretch(count, p)), self.turn(count, halves))
        centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
        y = torch.arange(height, device=images.device)[:, None] - centre_y
        x = torch.arange(width, device=images.device)[None] - centre_x
        (yy, yx), (xy, xx) = matrix[..., None, None].permute(1, 2, 0, 3, 4)
        down, right = self.shift(count, p, height), self.shift(count, p, width)
        return yy * y + yx * x + down + centre_y, xy * y + xx * x + right + centre_x

    def mirror(self, count: int, p: Tensor) -> Tensor:  # -> [N, 2, 2]
        one = torch.ones(count, device=p.device)
        half = torch.rand(count, device=p.device) < 0.5
        flipped = gated(p * self.flip, torch.where(half, -one, one), one)
        return diagonal(one, flipped)

    def stretch(self, count: int, p: Tensor) -> Tensor:
        """Uniform scaling, and one side longer by what the other is shorter."""
        one = torch.ones(count, device=p.device)
        uniform = gated(p, lognormal(count, 0.2, p.device), one)
        sided = gated(p, lognormal(count, 0.2, p.device), one)
        return diagonal(uniform / sided, uniform * sided)

    def turn(self, count: int, p: Tensor) -> Tensor:
        share = 2 * torch.rand(count, device=p.device) - 1
        angle = gated(p, torch.deg2rad(self.rotation * share), torch.zeros_like(share))
        return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)

    def shift(self, count: int, p: Tensor, size: int) -> Tensor:
        """Pixels to move by [N, 1, 1]: whole ones, uniform, and a fraction, normal."""
        zero = torch.zeros(count, device=p.device)
        whole = gated(p, ((torch.rand_like(zero) - 0.5) * size / 4).round(), zero)
        return (whole + gated(p, size / 8 * torch.randn_like(zero), zero))[:, None, None]

    def recolour(self, images: Tensor) -> Tensor:
        """The five alterations of colour, as one matrix on the three channels and a constant."""
        count, p = len(images), self.probability
        zero = torch.zeros(count, device=p.device)
        brightness = gated(p, 0.2 * torch.randn_like(zero), zero)
        contrast = gated(p, lognormal(count, 0.5, p.device), zero + 1)
        inverted = gated(p, torch.randint_like(zero, 2), zero)
        angle = gated(p, torch.pi * (2 * torch.rand_like(zero) - 1), zero)
        saturation = gated(p, lognormal(count, 1.0, p.device), zero + 1)
        unit = torch.eye(3, device=p.device)
        grey = torch.full_like(unit, 1 / 3)  # projects on the grey axis
        across = (unit.roll(1, 0) - unit.roll(-1, 0)) / 3**0.5  # turns around it by 90 degrees
        cos, sin, inverted, saturation = (
            v[:, None, None] for v in (angle.cos(), angle.sin(), inverted, saturation)
        )
        hue = cos * unit + (1 - cos) * grey + sin * across
        matrix = product(saturation * unit + (1 - saturation) * grey, hue)
        matrix = product(matrix, contrast[:, None, None] * (unit - 2 * inverted * grey))
        bright = images + brightness.to(images)[:, None, None, None]
        return (matrix.to(images)[..., None, None] * bright[:, None]).sum(2)


def gated(p: Tensor, altered: Tensor, neutral: Tensor) -> Tensor:
    """`altered` with probability p for each element [N], otherwise `neutral`."""
    return torch.where(torch.rand_like(altered) < p, altered, neutral)


def lognormal(count: int, std: float, device: torch.device) -> Tensor:
    """2 to the power of a normal number."""
    return torch.exp2(std * torch.randn(count, device=device))


def diagonal(first: Tensor, second: Tensor) -> Tensor:  # [N], [N] -> [N, 2, 2]
    return torch.diag_embed(torch.stack([first, second], 1))


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b for [N, K, K], which autocast would round to bfloat16."""
    return (a[:, :, :, None] * b[:, None]).sum(2)


def check_arguments(target: float, speed: int, interval: int, rotation: float) -> None:
    if not 0 <= target <= 1:
        raise UserError(f"augment target={target} must lie in [0, 1]; 0.6 is the paper's")
    if speed < 1:
        raise UserError(f"augment speed={speed} must be at least 1 image; 500000 is the paper's")
    if interval < 1:
        raise UserError(f"augment interval={interval} must be at least 1 (every step)")
    if not 0 <= rotation <= 180:
        raise UserError(f"augment rotation={rotation} must lie between 0 and 180 degrees")
