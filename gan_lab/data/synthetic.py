"""Images that cost nothing: for tests, and for a first look without any download."""

import math

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.seeds import mix


class Fake:
    """One bright blob per image, whose place tells the class; the same for the same arguments."""

    name = "fake"

    def __init__(
        self,
        num_images: int = 512,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        seed: int = 0,
    ):
        self.num_train = num_images
        self.channels = channels
        self.image_size = image_size
        self.num_classes = num_classes
        self.seed = seed

    @property
    def key(self) -> str:
        shape = f"{self.channels}x{self.image_size}"
        return f"fake-{self.num_train}-{shape}-{self.num_classes}-{self.seed}"

    def check(self) -> None:
        """Raise UserError for wrong arguments."""
        settings = {
            "data.source.num_images": (self.num_train, 1),
            "data.source.channels": (self.channels, 1),
            "data.source.image_size": (self.image_size, 1),
            "data.num_classes": (self.num_classes, 1),
            "data.source.seed": (self.seed, 0),
        }
        for key, (value, low) in settings.items():
            if type(value) is not int or value < low:
                raise UserError(f"{key}={value!r} must be a whole number, at least {low}")

    def prepare(self) -> None:
        """Nothing to fetch."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, C, H, W], labels int64 [N]."""
        random = torch.Generator().manual_seed(mix(self.seed, ["train", "test"].index(split)))
        labels = torch.arange(self.num_train) % self.num_classes
        jitter = 0.1 * torch.randn(self.num_train, 2, generator=random)
        tint = 0.5 + 0.5 * torch.rand(self.num_train, self.channels, 1, 1, generator=random)
        blobs = self._blobs(labels, jitter)
        return (255 * tint * blobs).to(torch.uint8), labels

    def _blobs(self, labels: Tensor, jitter: Tensor) -> Tensor:  # -> [N, 1, H, W] in [0, 1]
        angle = 2 * math.pi * labels / self.num_classes
        centre = 0.5 * torch.stack([angle.sin(), angle.cos()], 1) + jitter  # [N, 2] in [-1, 1]
        axis = torch.linspace(-1, 1, self.image_size)
        distance = (axis - centre[:, :, None]).square()  # [N, 2, size]: rows, columns
        # A Gaussian of two variables is the product of two of one variable.
        rows, columns = torch.exp(-distance / (2 * 0.2**2)).unbind(1)
        return (rows[:, :, None] * columns[:, None, :]).unsqueeze(1)
