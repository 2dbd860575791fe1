"""EMNIST (Cohen et al. 2017): handwritten letters and digits, 28x28, in six splits."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.idx import IdxFile, IdxFiles, from_zip
from gan_lab.data.sources import as_folder

URL = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
MD5 = "58c8d27c78d21e728a6bc7b3cc06412e"


@dataclass(frozen=True)
class Split:
    """What the paper's table 2 says of a split; labels in the files begin at `first_label`."""

    num_train: int
    num_test: int
    num_classes: int
    first_label: int = 0


SPLITS = {
    "balanced": Split(112_800, 18_800, 47),
    "byclass": Split(697_932, 116_323, 62),
    "bymerge": Split(697_932, 116_323, 47),
    "digits": Split(240_000, 40_000, 10),
    "letters": Split(124_800, 20_800, 26, first_label=1),
    "mnist": Split(60_000, 10_000, 10),
}


class EMNIST:
    """One of `SPLITS`: "letters" merges upper and lower case, "byclass" keeps all 62 apart.

    Looks for the uncompressed or gzipped files in root/EMNIST/raw, as torchvision lays them out.
    Their checksums were never published: files found there are judged by their form alone, and
    only the archive that is fetched is known by its checksum.
    """

    name = "emnist"
    channels = 1

    def __init__(self, root: str | Path, split: str):
        self.split = split
        self.folder = as_folder(root) / "EMNIST" / "raw"

    @property
    def key(self) -> str:
        return f"emnist-{self.split}"

    @property
    def num_train(self) -> int:
        return self._facts.num_train

    @property
    def num_classes(self) -> int:
        return self._facts.num_classes

    @property
    def _facts(self) -> Split:
        if self.split not in SPLITS:
            raise UserError(f"data.source.split={self.split!r} must be one of {', '.join(SPLITS)}")
        return SPLITS[self.split]

    def check(self) -> None:
        """Raise UserError for an unknown split."""
        _ = self._facts

    def prepare(self) -> None:
        self._files().prepare()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, 1, 28, 28], upright; labels int64 [N] from 0."""
        files = self._files()
        images = torch.from_numpy(files.read(self._file(split, "images-idx3")))
        labels = torch.from_numpy(files.read(self._file(split, "labels-idx1")))
        # The files hold every image with its rows and columns swapped.
        return images.mT.contiguous().unsqueeze(1), labels.long() - self._facts.first_label

    def _file(self, split: str, content: str) -> str:
        return f"emnist-{self.split}-{split}-{content}-ubyte"

    def _files(self) -> IdxFiles:
        # Built for one split alone, so that nobody needs the files of the others.
        known = {}
        for split, count in (("train", self._facts.num_train), ("test", self._facts.num_test)):
            known[self._file(split, "images-idx3")] = IdxFile((count, 28, 28))
            known[self._file(split, "labels-idx1")] = IdxFile((count,))
        return IdxFiles(known, [self.folder], {URL: functools.partial(from_zip, known, URL, MD5)})
