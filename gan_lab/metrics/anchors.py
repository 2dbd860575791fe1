"""Comparisons of known outcome, between which every value is read.

A floor is what a perfect generator scores: real images that are not in the comparison. A ceiling
is what a useless one scores: noise, or for the tests of memorization plain copies.
"""

import math
from functools import cached_property, partial

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gan_lab import UserError
from gan_lab.data.seeds import mix
from gan_lab.metrics.measures import MEASURES, MEMORIZATION, Comparison
from gan_lab.metrics.reals import Neighbours, RealSide
from gan_lab.metrics.storage import Tensors


class Anchors:
    """Each comparison is made when first needed, as most of them come from the cache.

    They are of as many images as were generated: "floor" and "ceiling", and of the metrics of
    fidelity also "blurred", real images blurred with a standard deviation of a 28th of their width.
    """

    def __init__(self, real: RealSide, num_fake: int):
        self.real = real
        self.num_fake = num_fake
        self.random = torch.Generator().manual_seed(mix(0))
        order = torch.randperm(len(real.reals.train), generator=self.random)
        self.rows = order[:num_fake]  # fewer where there are fewer training images

    def values(self, name: str) -> dict[str, float]:
        """Kind of anchor -> value of one metric, from the cache where it is there."""
        key = self.real.key(
            metric=name,
            num_fake=self.num_fake,
            images=self.real.reals.reference_hash,
            train=self.real.reals.train_hash,
        )
        found = self.real.cache.get("anchors", key, partial(self.measure, name))
        return {kind: value.item() for kind, value in found.items()}

    def measure(self, name: str) -> Tensors:
        """Kind of anchor -> value of one metric, float64."""
        if name in MEMORIZATION:
            kinds = {"floor": "unseen", "ceiling": "train"}
        else:
            kinds = {"floor": "train", "ceiling": "noise", "blurred": "blurred"}
        return {
            kind: torch.tensor(value_or_inf(name, getattr(self, which)), dtype=torch.float64)
            for kind, which in kinds.items()
        }

    @cached_property
    def train(self) -> Comparison:
        return Comparison(self.real.train.rows(self.rows), self.real, replicates=0)

    @cached_property
    def noise(self) -> Comparison:
        shape = self._train_images.shape
        return self._of(torch.randint(256, shape, generator=self.random, dtype=torch.uint8))

    @cached_property
    def blurred(self) -> Comparison:
        sigma = self._train_images.shape[-1] / 28
        size = 2 * round(3 * sigma) + 1
        parts = [gaussian_blur(part, [size, size], sigma) for part in self._train_images.split(500)]
        return self._of(torch.cat(parts))

    @cached_property
    def unseen(self) -> Comparison:
        """One half of the held-out images against the other, at random."""
        reference, neighbours = self.real.reference, self.real.neighbours
        order = torch.randperm(len(reference.images), generator=self.random)
        ours, theirs = order.tensor_split(2)
        these = Comparison(reference.rows(ours), self.real, replicates=0)
        these.neighbours = Neighbours(*(part[ours] for part in neighbours))
        these.reference = reference.rows(theirs)
        these.reference_neighbours = Neighbours(*(part[theirs] for part in neighbours))
        return these

    @property
    def _train_images(self) -> Tensor:
        return self.real.reals.train[self.rows]

    def _of(self, images: Tensor) -> Comparison:
        return Comparison(self.real.sample(images), self.real, replicates=0)


def value_or_inf(name: str, these: Comparison) -> float:
    """Noise may show classes that the data do not have: its divergence is infinite, no error."""
    try:
        return MEASURES[name](these).value
    except UserError:
        if name != "class_kl":
            raise
        return math.inf
