"""The real side of every comparison: images, their features and distances, kept on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.metrics.card import PROTOCOL
from gan_lab.metrics.features import ImageFeatures
from gan_lab.metrics.memorization import kmeans
from gan_lab.metrics.neighbours import nearest, nearest_bytes
from gan_lab.metrics.storage import Cache, Tensors, content_hash


class Sample(NamedTuple):
    """Images uint8 [N, C, H, W], their features [N, F] and logits [N, K]."""

    images: Tensor
    features: Tensor
    logits: Tensor

    @property
    def classes(self) -> Tensor:  # [N]
        """What the network takes the images for: one judge for reals and fakes alike."""
        return self.logits.argmax(1)

    def rows(self, rows: Tensor | slice) -> "Sample":
        """A part of it."""
        return Sample(*(part[rows] for part in self))


class Neighbours(NamedTuple):
    """Distance [N] to the nearest training image, and its row [N]."""

    distances: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Reals:
    """Images that a generator learnt from, and others of `split` that it is compared with."""

    name: str
    split: str
    train: Tensor
    reference: Tensor
    reference_labels: Tensor | None = None  # [N], where the data have labels

    @classmethod
    def of(cls, data: ImageData, split: str = "test") -> "Reals":
        """Compare with `test` to report, and with `validation` to choose."""
        reference, labels = data.images(split)
        known = labels if data.num_classes else None
        return cls(data.source.name, split, data.images("train")[0], reference, known)

    def __post_init__(self) -> None:
        least = min(len(self.train), len(self.reference))
        if least < 10:
            raise UserError(
                f"there are {len(self.train)} training and {len(self.reference)} {self.split} "
                "images; the metrics need at least 10 of each"
            )

    @cached_property
    def train_hash(self) -> str:
        return content_hash(self.train)

    @cached_property
    def reference_hash(self) -> str:
        return content_hash(self.reference)


class RealSide:
    """What the metrics need of the reals, each computed when first asked for.

    The cache's keys name the images by content and the extractor by hash, so they cannot go stale.
    """

    def __init__(self, reals: Reals, extractor: ImageFeatures, cache: Cache):
        self.reals = reals
        self.extractor = extractor
        self.cache = cache

    def sample(self, images: Tensor) -> Sample:
        """Features of any images; not cached."""
        return Sample(images, *self.extractor.features(images))

    @cached_property
    def reference(self) -> Sample:
        return self._sample(self.reals.reference, self.reals.reference_hash)

    @cached_property
    def train(self) -> Sample:
        return self._sample(self.reals.train, self.reals.train_hash)

    @cached_property
    def neighbours(self) -> Neighbours:
        """Of the reference, in features."""
        return self._neighbours("features", lambda: self.nearest(self.reference))

    @cached_property
    def pixel_neighbours(self) -> Neighbours:
        """Of the reference, in pixels."""
        return self._neighbours("pixels", lambda: self.nearest_pixels(self.reals.reference))

    @cached_property
    def cells(self) -> Tensor:
        """Centres of the cells of the C_T test; small training sets get fewer."""
        return kmeans(self.train.features, num_cells=max(1, min(50, len(self.reals.train) // 100)))

    def nearest(self, sample: Sample) -> Neighbours:
        """Nearest training images in features."""
        return _first(nearest(sample.features, self.train.features))

    def nearest_pixels(self, images: Tensor) -> Neighbours:
        """Nearest training images in pixels: Euclidean distance of images in [0, 1]."""
        distances, rows = nearest_bytes(images.flatten(1), self.reals.train.flatten(1))
        return Neighbours(distances / 255, rows)

    def key(self, **more: object) -> dict[str, object]:
        """What cached values depend on whatever they are."""
        return {
            "extractor": self.extractor.identity,
            "device": self.extractor.device.type,
            "torch": str(torch.__version__),
            "protocol": PROTOCOL,
            **more,
        }

    def _sample(self, images: Tensor, images_hash: str) -> Sample:
        def compute() -> Tensors:
            features, logits = self.extractor.features(images)
            return {"features": features, "logits": logits}

        found = self.cache.get("features", self.key(images=images_hash), compute)
        return Sample(images, found["features"], found["logits"])

    def _neighbours(self, space: str, compute: Callable[[], Neighbours]) -> Neighbours:
        key = self.key(space=space, images=self.reals.reference_hash, train=self.reals.train_hash)
        return Neighbours(**self.cache.get("neighbours", key, lambda: compute()._asdict()))


def _first(found: tuple[Tensor, Tensor]) -> Neighbours:
    distances, rows = found
    return Neighbours(distances[:, 0], rows[:, 0])
