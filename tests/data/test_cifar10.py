import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch

from gan_lab import RunError, UserError
from gan_lab.data import cifar10
from gan_lab.data.cifar10 import CIFAR10
from gan_lab.data.sources import checksum


@pytest.fixture
def contents(monkeypatch):
    """Six files of four images each, where image i of file f is 10 f + i everywhere."""
    files = {}
    for f, name in enumerate(cifar10.FILES):
        pixels = (10 * f + np.arange(4, dtype=np.uint8))[:, None].repeat(3072, 1)
        pixels[:, 1024:2048] = 200  # green lies in the second third
        batch = {"batch_label": name, "data": pixels, "labels": [f, 1, 2, 3], "filenames": ["x"]}
        files[name] = pickle.dumps(batch, protocol=4)
    expect(monkeypatch, files)
    return files


def expect(monkeypatch, files):
    known = {name: checksum(data, like="0" * 32) for name, data in files.items()}
    monkeypatch.setattr(cifar10, "FILES", known)


def put(root, files):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def check(source):
    images, labels = source.load("train")
    assert (images.dtype, images.shape) == (torch.uint8, (20, 3, 32, 32))
    assert images[:, 0, 5, 7].tolist() == [10 * f + i for f in range(5) for i in range(4)]
    assert (images[:, 1] == 200).all()
    assert (labels.dtype, labels[:8].tolist()) == (torch.int64, [0, 1, 2, 3, 1, 1, 2, 3])
    images, labels = source.load("test")
    assert images[:, 2, 0, 0].tolist() == [50, 51, 52, 53]
    assert labels[0] == 5


def test_torchvisions_files(tmp_path, contents):
    put(tmp_path, contents)
    source = CIFAR10(tmp_path)
    source.prepare()
    check(source)


def test_the_published_archive(tmp_path, contents, web, monkeypatch):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    web.pages["/cifar.tar.gz"] = archive.getvalue()
    monkeypatch.setattr(cifar10, "URL", f"{web.address}/cifar.tar.gz")
    with pytest.raises(RunError, match="not the official file"):
        CIFAR10(tmp_path).prepare()
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", checksum(archive.getvalue(), like="0" * 32))
    CIFAR10(tmp_path).prepare()
    check(CIFAR10(tmp_path))


def test_a_damaged_file_is_named(tmp_path, contents):
    put(tmp_path, {**contents, "data_batch_3": contents["data_batch_3"][:-5]})
    with pytest.raises(UserError, match=r"data_batch_3 is not the official file: expected md5"):
        CIFAR10(tmp_path).prepare()


class Malice:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_malicious_pickle_runs_nothing(tmp_path, contents, monkeypatch):
    files = {**contents, "test_batch": pickle.dumps({"data": Malice(), "labels": []})}
    expect(monkeypatch, files)
    put(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="test_batch cannot be read: refused"):
        CIFAR10(tmp_path).load("test")
    assert not (tmp_path / "pwned").exists()


def test_files_by_hand_are_explained(tmp_path, web, monkeypatch):
    monkeypatch.setattr(cifar10, "URL", f"{web.address}/cifar.tar.gz")
    with pytest.raises(RunError, match=r"test_batch cannot be fetched; tried:\n.*404"):
        CIFAR10(tmp_path).prepare()
