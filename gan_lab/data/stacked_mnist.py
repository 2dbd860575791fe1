"""Stacked MNIST (Metz et al. 2017): three digits as red, green and blue, 1,000 known modes."""

from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.datamodule import check_integer
from gan_lab.data.mnist import MNIST
from gan_lab.data.seeds import mix


class StackedMNIST:
    """Random triples of MNIST's digits, fixed once as in PacGAN (Lin et al. 2018).

    The test set is of 26,000 triples of MNIST's own test digits.

    Args:
        root: where MNIST is found, or put once.
        num_images: triples in the training set.
        seed: of the triples.
    """

    name = "stacked_mnist"
    channels, num_classes = 3, 1000
    num_test = 26_000

    def __init__(self, root: str | Path, num_images: int = 128_000, seed: int = 0):
        self.num_train = num_images
        self.seed = seed
        self._digits = MNIST(root)

    @property
    def key(self) -> str:
        return f"{self.name}-{self.num_train}-{self.seed}"

    def check(self) -> None:
        """Raise UserError for wrong arguments."""
        check_integer("source.num_images", self.num_train, 1)
        check_integer("source.seed", self.seed, 0)

    def prepare(self) -> None:
        self._digits.prepare()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> uint8 [N, 3, 28, 28], int64 [N]: 100 red + 10 green + blue."""
        digits, classes = self._digits.load(split)
        count = self.num_train if split == "train" else self.num_test
        random = torch.Generator().manual_seed(mix(self.seed, ["train", "test"].index(split)))
        rows = torch.randint(len(digits), (count, 3), generator=random)
        # Filled channel by channel in the batches' own order: one copy of 301 MB, never two.
        pixels = torch.empty(count, *digits.shape[2:], 3, dtype=torch.uint8)
        for channel in range(3):
            pixels[..., channel] = digits[rows[:, channel], 0]
        labels = (classes[rows] * torch.tensor([100, 10, 1])).sum(1)
        return pixels.permute(0, 3, 1, 2), labels
