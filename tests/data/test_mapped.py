import pytest
import torch

from gan_lab import RunError, UserError
from gan_lab.data.mapped import mapped_images

IMAGES = torch.randint(0, 256, (7, 3, 4, 5), dtype=torch.uint8)


def test_written_once_and_mapped(tmp_path):
    calls = []

    def chunks():
        calls.append(1)
        yield from IMAGES.split(3)

    for _ in range(2):
        images = mapped_images(tmp_path / "new", "key", (7, 3, 4, 5), chunks)
        assert torch.equal(images, IMAGES)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert calls == [1]
    mapped_images(tmp_path / "new", "other key", (7, 3, 4, 5), chunks)
    assert calls == [1, 1]


def test_one_channel(tmp_path):
    images = mapped_images(tmp_path, "key", (7, 1, 4, 5), lambda: iter([IMAGES[:, :1]]))
    assert torch.equal(images, IMAGES[:, :1])


def test_a_failure_leaves_nothing(tmp_path):
    def chunks():
        yield IMAGES[:3]
        raise UserError("unreadable")

    with pytest.raises(UserError, match="unreadable"):
        mapped_images(tmp_path, "key", (7, 3, 4, 5), chunks)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_full_disk(tmp_path):
    def chunks():
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(RunError, match="No space left"):
        mapped_images(tmp_path, "key", (7, 3, 4, 5), chunks)


def test_a_damaged_file_is_named(tmp_path):
    mapped_images(tmp_path, "key", (7, 3, 4, 5), lambda: iter([IMAGES]))
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{path.name} is damaged: .*; delete it"):
        mapped_images(tmp_path, "key", (7, 3, 4, 5), lambda: iter([IMAGES]))
