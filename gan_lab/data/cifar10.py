"""CIFAR-10 (Krizhevsky 2009): 32x32 photographs of ten kinds of things."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.formats import read_member, reading, unpickle_arrays
from gan_lab.data.sources import Unavailable, as_folder, checksum, download, fetch

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"

# md5 is all that was published; it tells accidents, and the unpickler copes with malice.
FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


class CIFAR10:
    """Reads the Python version as torchvision lays it out, in root/cifar-10-batches-py."""

    name = key = "cifar10"
    channels, num_classes, num_train = 3, 10, 50_000

    def __init__(self, root: str | Path):
        self.folder = as_folder(root) / "cifar-10-batches-py"

    def check(self) -> None:
        """Nothing to choose."""

    def prepare(self) -> None:
        """Verify every file; fetch what is missing."""
        missing = [name for name in FILES if not (self.folder / name).is_file()]
        for name in FILES:
            if name not in missing:
                self._verify(name)
        if missing:
            fetch(self.folder, missing, {URL: _from_archive})

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> images uint8 [N, 3, 32, 32], labels int64 [N]."""
        prefix = {"train": "data_batch", "test": "test_batch"}[split]
        batches = [self._read(name) for name in FILES if name.startswith(prefix)]
        pixels, labels = zip(*batches, strict=True)
        images = torch.from_numpy(np.concatenate(pixels)).view(-1, 3, 32, 32)
        return images, torch.from_numpy(np.concatenate(labels))

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        path = self.folder / name
        with reading(path), path.open("rb") as file:
            self._verify(name)
            batch = unpickle_arrays(file)
            # A row holds 1024 red values, then the green, then the blue ones.
            return np.asarray(batch["data"], np.uint8), np.asarray(batch["labels"], np.int64)

    def _verify(self, name: str) -> None:
        path = self.folder / name
        found = checksum(path, like=FILES[name])
        if found != FILES[name]:
            raise UserError(
                f"{path} is not the official file: expected md5 {FILES[name]}, found {found} in "
                f"{path.stat().st_size} bytes; delete it (then it is fetched again), "
                "or set data.root to another folder"
            )


def _from_archive(folder: Path) -> None:
    archive = folder / "archive.tar.gz"
    download(URL, archive)
    if checksum(archive, like=ARCHIVE_MD5) != ARCHIVE_MD5:
        raise Unavailable("what came from there is not the official file")
    for name in FILES:
        try:
            content = read_member(archive, f"cifar-10-batches-py/{name}", limit=2**25)
        except ValueError as error:
            raise Unavailable(f"what came from there is damaged: {error}") from error
        (folder / name).write_bytes(content)
