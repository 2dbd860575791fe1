"""Any folder of pictures as a data set."""

import functools
import os
from pathlib import Path

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.pictures import SUFFIXES, Recipe, decode_all, fingerprint
from gan_lab.data.sources import as_folder

Picture = tuple[Path, str]  # its file and the name of its class


class ImageFolder:
    """All pictures below `folder`, in an order that was shuffled once and for all.

    With sub-folders `train` and `test` those are the splits; otherwise the share `test` of the
    pictures is kept for the report. With `num_classes` above 0 each split must have exactly
    that many sub-folders, one per class, numbered by name; with 0 every label is -1.
    """

    name = "image_folder"

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        image_size: int,
        channels: int,
        num_classes: int,
        crop: int | None,
        test: float,
    ):
        self.folder = as_folder(folder)
        self.cache = as_folder(cache)
        self.channels = channels
        self.num_classes = num_classes
        self.recipe = Recipe(image_size, channels, crop)
        self.test = test

    @property
    def num_train(self) -> int:
        return len(self._splits["train"])

    @property
    def key(self) -> str:
        pictures = self._splits["train"] + self._splits["test"]
        files = fingerprint([path for path, _ in pictures], self.recipe)
        return f"image_folder-{self.num_classes}-{self.test}-{files}"

    def check(self) -> None:
        """Raise UserError for wrong arguments, a missing folder, or other classes than expected."""
        self.recipe.check()
        if type(self.test) not in (int, float) or not 0 <= self.test < 1:
            raise UserError(f"data.source.test={self.test!r} must be a share from 0 to below 1")
        if not self.num_train:
            raise UserError(
                f"{self.folder} holds no pictures ({' '.join(sorted(SUFFIXES))}); set "
                "data.source.folder to a folder that does"
            )
        if self.num_classes and (len(self._classes) != self.num_classes or "" in self._classes):
            found = ", ".join(name or "(the folder itself)" for name in self._classes[:20])
            raise UserError(
                f"data.num_classes={self.num_classes}, but the pictures in {self.folder} lie in "
                f"{len(self._classes)} sub-folders: {found}; set data.num_classes to the number "
                "of sub-folders, or to 0 to leave classes out"
            )

    def prepare(self) -> None:
        """Decode every picture, unless that was done before."""
        for split in ("train", "test"):
            if self._splits[split]:
                self._decode(split)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, C, H, W], memory-mapped, labels int64 [N]."""
        pictures = self._splits[split]
        if not pictures:
            raise UserError(f"{self.folder} has no {split} pictures; set data.source.test above 0")
        number = {name: label for label, name in enumerate(self._classes)}
        if self.num_classes == 0:
            number = dict.fromkeys(self._classes, -1)
        return self._decode(split), torch.tensor([number[name] for _, name in pictures])

    def _decode(self, split: str) -> Tensor:
        return decode_all([path for path, _ in self._splits[split]], self.recipe, self.cache)

    @functools.cached_property
    def _classes(self) -> list[str]:
        return sorted({name for split in self._splits.values() for _, name in split})

    @functools.cached_property
    def _splits(self) -> dict[str, list[Picture]]:
        parts = [self.folder / "train", self.folder / "test"]
        if all(part.is_dir() for part in parts):
            return {part.name: _pictures(part) for part in parts}
        pictures = _pictures(self.folder)
        # From the front: the validation part is cut off the other end.
        num_test = round(self.test * len(pictures))
        return {"train": pictures[num_test:], "test": pictures[:num_test]}


def _pictures(folder: Path) -> list[Picture]:
    """In a fixed random order, so that what is cut off either end contains every class."""
    if not folder.is_dir():
        raise UserError(f"data.source.folder={folder} is no folder; set it to a folder of pictures")
    paths = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0))
    return [(paths[i], _class(paths[i].relative_to(folder))) for i in order.tolist()]


def _class(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ""
