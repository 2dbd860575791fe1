"""From a source to batches on the training device: the one door through which images come."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.batches import ResidentBatches, batches_of_rank, check_batch_size
from gan_lab.data.images import resize, with_channels
from gan_lab.data.mapped import mapped_images
from gan_lab.data.sources import as_folder, check_root
from gan_lab.data.subsets import check_classes, check_subset, choose, renumber, subset_size


class Source(Protocol):
    """What a data set is: one class with these names, and one YAML file in conf/data/."""

    name: str
    channels: int
    num_classes: int  # 0: no labels, each is -1
    num_train: int  # images in the training split, known before any is read

    @property
    def key(self) -> str:
        """Everything that the images depend on: caches are named after it."""

    def check(self) -> None:
        """Raise UserError for wrong arguments, without reading images."""

    def prepare(self) -> None:
        """Fetch and verify files; called in one process per machine."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, C, H, W], labels int64 [N]."""


class ImageData(pl.LightningDataModule):
    """Serves one source in three parts: train, validation (the end of train), and test.

    Choose by validation and keep test for the report. `classes` concerns every part, `subset`
    the training part alone. Labels keep their numbers under `classes`, unless `num_classes` says
    that there are only as many as are listed: then they count from 0.
    """

    def __init__(
        self,
        source: Source,
        root: str | Path,
        image_size: int,
        channels: int,
        image_shape: Sequence[int],
        num_classes: int,
        batch_size: int,
        holdout: int,
        seed: int,
        classes: Sequence[int] | None = None,
        subset: float | int | None = None,
        resident_limit: int = 4_000_000_000,
    ):
        super().__init__()
        self.source = source
        self.root = root
        self.image_size = image_size
        self.channels = channels
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.holdout = holdout
        self.seed = seed
        self.classes = classes
        self.subset = subset
        self.resident_limit = resident_limit
        self._loaded: dict[str, tuple[Tensor, Tensor]] = {}
        self._parts: dict[str, tuple[Tensor, Tensor]] = {}

    def check(self) -> None:
        """Raise UserError for everything that is wrong without a look at the images."""
        check_root(self.root)
        check_integer("image_size", self.image_size, 1, 4096)
        check_integer("channels", self.channels, 1)
        check_integer("seed", self.seed, 0)
        check_integer("resident_limit", self.resident_limit, 0)
        self.source.check()
        self._check_shape()
        self._check_classes()
        check_integer("holdout", self.holdout, 0, self.source.num_train - 1)
        rest = self.source.num_train - self.holdout
        check_subset(self.subset, rest)
        check_integer("batch_size", self.batch_size, 1)
        check_batch_size(self.batch_size, subset_size(rest, self.subset))

    def _check_shape(self) -> None:
        expected = (self.channels, self.image_size, self.image_size)
        if self.image_shape != expected:
            raise UserError(
                f"data.image_shape={list(self.image_shape)} must follow from data.channels and "
                f"data.image_size, that is, be {list(expected)}; set those two"
            )
        if self.source.channels not in (1, self.channels) and self.channels != 1:
            raise UserError(
                f"data.channels={self.channels} cannot be made of the {self.source.channels} "
                f"channels of {self.source.name}; set it to 1 or {self.source.channels}"
            )

    def _check_classes(self) -> None:
        check_classes(self.classes, self.source.num_classes)
        allowed = {self.source.num_classes, len(self.classes or range(self.source.num_classes))}
        if self.num_classes not in allowed:
            raise UserError(
                f"data.num_classes={self.num_classes!r} must be "
                f"{' or '.join(map(str, sorted(allowed)))}: the classes of {self.source.name}"
                f"{', or as many as data.classes lists' if self.classes else ''}"
            )

    @property
    def num_train(self) -> int:
        """Images to train on; with `classes` the labels must be read to know it."""
        if self.classes is None:
            return subset_size(self.source.num_train - self.holdout, self.subset)
        return len(self.images("train")[1])

    def key(self, split: str) -> str:
        """Everything that `images(split)` depends on, for the names of caches."""
        size = [self.image_size, self.channels]
        choice: list[Any] = [*size, self.holdout, self.num_classes, self.classes]
        if split == "train":
            choice += [self.subset, self.seed if self.subset is not None else None]
        return json.dumps([self.source.key, split, *choice], default=list)

    def prepare_data(self) -> None:
        self.check()
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        self.images("train")

    def images(self, split: str) -> tuple[Tensor, Tensor]:
        """'train', 'validation' or 'test' -> uint8 [N, C, H, W], labels int64 [N], on the CPU."""
        if split not in self._parts:
            self._parts[split] = self._part(split)
        return self._parts[split]

    def _part(self, split: str) -> tuple[Tensor, Tensor]:
        if split == "validation" and self.holdout == 0:
            raise UserError("data.holdout=0 leaves no validation images; set it to 1 or more")
        images, labels = self._load("test" if split == "test" else "train")
        cut = len(labels) - self.holdout
        rows = {"train": slice(cut), "validation": slice(cut, None), "test": slice(None)}[split]
        images, labels = images[rows], labels[rows]
        subset = self.subset if split == "train" else None
        if self.classes is None and subset is None:
            return images, labels
        chosen = choose(labels, self.classes, subset, self.seed)
        images, labels = images[chosen], labels[chosen]
        if self.classes is not None and self.num_classes == len(self.classes):
            labels = renumber(labels, self.classes)
        return images, labels

    def _load(self, split: str) -> tuple[Tensor, Tensor]:
        """A split of the source in our shape; train serves two parts and is kept."""
        if split not in self._loaded:
            images, labels = self.source.load(split)
            self._loaded[split] = (self._shaped(images, split), labels)
        return self._loaded[split]

    def _shaped(self, images: Tensor, split: str) -> Tensor:
        shape = (len(images), self.channels, self.image_size, self.image_size)
        fits = math.prod(shape) <= self.resident_limit
        if images.shape != shape and fits:
            images = torch.cat([*self._chunks(images)])
        if images.shape == shape:
            # The batches' own order in memory, so that on the CPU both share one copy.
            return images.contiguous(memory_format=torch.channels_last)
        # Enlarged beyond the limit, it may not even fit the host's memory.
        cache = as_folder(self.root) / "mapped"
        key = f"{self.source.key} {split}"
        return mapped_images(cache, key, shape, lambda: self._chunks(images))

    def _chunks(self, images: Tensor) -> Iterator[Tensor]:
        for chunk in images.split(4096):
            yield with_channels(resize(chunk, self.image_size), self.channels)

    def train_dataloader(self) -> ResidentBatches:
        images, labels = self.images("train")
        fits = images.nbytes <= self.resident_limit
        return batches_of_rank(self.trainer, images, labels, self.batch_size, self.seed, fits)


def check_integer(key: str, value: object, low: int, high: int | None = None) -> None:
    """Raise UserError unless `value` is an integer from `low` to `high`."""
    if type(value) is int and low <= value and (high is None or value <= high):
        return
    allowed = f"at least {low}" if high is None else f"from {low} to {high}"
    raise UserError(f"data.{key}={value!r} must be a whole number {allowed}")
