"""CelebA (Liu et al. 2015): aligned photographs of faces, where the user has its files."""

import functools
from pathlib import Path

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.formats import reading
from gan_lab.data.pictures import Recipe, decode_all, fingerprint
from gan_lab.data.sources import as_folder


class CelebA:
    """Reads root/celeba as torchvision lays it out: img_align_celeba/, list_eval_partition.txt.

    The official validation images are the last 19,867 of the training split here. Labels are -1.
    """

    name = "celeba"
    num_classes = 0

    def __init__(
        self, root: str | Path, cache: str | Path, image_size: int, channels: int, crop: int | None
    ):
        self.folder = as_folder(root) / "celeba"
        self.cache = as_folder(cache)
        self.channels = channels
        self.recipe = Recipe(image_size, channels, crop)

    @property
    def num_train(self) -> int:
        return len(self._splits["train"])

    @property
    def key(self) -> str:
        return f"celeba-{fingerprint(self._splits['train'] + self._splits['test'], self.recipe)}"

    def check(self) -> None:
        """Raise UserError for wrong arguments, and where the files are missing."""
        self.recipe.check()
        _ = self._splits

    def prepare(self) -> None:
        """Decode every picture, unless that was done before."""
        for paths in self._splits.values():
            decode_all(paths, self.recipe, self.cache)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, C, H, W], memory-mapped, labels int64 [N]."""
        paths = self._splits[split]
        return decode_all(paths, self.recipe, self.cache), torch.full((len(paths),), -1)

    @functools.cached_property
    def _splits(self) -> dict[str, list[Path]]:
        partition, images = self.folder / "list_eval_partition.txt", "img_align_celeba"
        if not partition.is_file() or not (self.folder / images).is_dir():
            raise UserError(
                f"CelebA cannot be fetched by a program; put list_eval_partition.txt and the "
                f"unpacked folder {images} into {self.folder}, or set data.root to the folder "
                "that contains celeba"
            )
        with reading(partition):
            # Each line is a name and 0, 1 or 2 for training, validation and test.
            rows = [line.split() for line in partition.read_text().splitlines() if line.strip()]
            parts = {part: [plain(name) for name, p in rows if p == part] for part in "012"}
            if not parts["0"] or not parts["2"]:
                raise ValueError("it lists no pictures for training, or none for the test")
        train, test = parts["0"] + parts["1"], parts["2"]
        return {
            "train": [self.folder / images / name for name in train],
            "test": [self.folder / images / name for name in test],
        }


def plain(name: str) -> str:
    """The name of a file in the folder; ValueError for a way out of it."""
    if Path(name).name != name:
        raise ValueError(f"it lists {name}, which is no plain file name")
    return name
