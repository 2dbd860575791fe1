import gzip
import zipfile

import numpy as np
import pytest
import torch

from gan_lab import RunError, UserError
from gan_lab.data import emnist
from gan_lab.data.emnist import EMNIST, Split
from gan_lab.data.formats import format_idx
from gan_lab.data.sources import checksum

PICTURE = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)


@pytest.fixture
def contents(monkeypatch):
    """The four files of a small "letters", as published: transposed, and labels from 1."""
    monkeypatch.setitem(emnist.SPLITS, "letters", Split(8, 4, 26, first_label=1))
    files = {}
    for split, count in (("train", 8), ("test", 4)):
        images = np.repeat(PICTURE.T[None], count, 0)
        files[f"emnist-letters-{split}-images-idx3-ubyte"] = format_idx(images)
        files[f"emnist-letters-{split}-labels-idx1-ubyte"] = format_idx(np.arange(1, count + 1))
    return files


def check(source):
    images, labels = source.load("train")
    assert images.shape == (8, 1, 28, 28)
    assert images.is_contiguous()
    assert torch.equal(images[3, 0], torch.from_numpy(PICTURE))  # upright
    assert labels.tolist() == list(range(8))
    assert len(source.load("test")[0]) == 4


@pytest.mark.parametrize("compress", [False, True])
def test_torchvisions_files(tmp_path, contents, compress):
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, data in contents.items():
        file = folder / (f"{name}.gz" if compress else name)
        file.write_bytes(gzip.compress(data) if compress else data)
    source = EMNIST(tmp_path, "letters")
    source.check()
    source.prepare()
    check(source)
    assert (source.num_train, source.num_classes, source.key) == (8, 26, "emnist-letters")


def bundle(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gzip/emnist-mapping.txt", "not needed")
        for name, data in contents.items():
            archive.writestr(f"gzip/{name}.gz", gzip.compress(data))
    return path.read_bytes()


def test_the_published_zip(tmp_path, contents, web, monkeypatch):
    data = bundle(tmp_path / "bundle.zip", contents)
    web.pages["/gzip.zip"] = data
    monkeypatch.setattr(emnist, "URL", f"{web.address}/gzip.zip")
    with pytest.raises(RunError, match=r"gzip\.zip: what came from there is not the official"):
        EMNIST(tmp_path, "letters").prepare()
    monkeypatch.setattr(emnist, "MD5", checksum(data, like="0" * 32))
    EMNIST(tmp_path, "letters").prepare()
    check(EMNIST(tmp_path, "letters"))
    raw = tmp_path / "EMNIST" / "raw"
    assert sorted(path.name for path in raw.iterdir() if path.name != ".lock") == sorted(contents)


def test_files_by_hand_are_explained(tmp_path, web, monkeypatch):
    monkeypatch.setattr(emnist, "URL", f"{web.address}/gzip.zip")
    with pytest.raises(RunError) as raised:
        EMNIST(tmp_path, "digits").prepare()
    assert "emnist-digits-train-images-idx3-ubyte" in str(raised.value)
    assert f"put them into {tmp_path / 'EMNIST' / 'raw'}" in str(raised.value)


def test_files_of_another_size_are_refused(tmp_path, contents):
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for name in contents:
        (folder / name).write_bytes(format_idx(np.zeros((3, 28, 28))))
    with pytest.raises(UserError, match="is not the official file: expected 6288 bytes"):
        EMNIST(tmp_path, "letters").prepare()


@pytest.mark.parametrize(("split", "classes"), [("digits", 10), ("balanced", 47), ("byclass", 62)])
def test_splits(split, classes):
    assert EMNIST("", split).num_classes == classes
