"""Hashes name content; the cache returns what was computed for exactly this key, or computes."""

import logging

import pytest
import torch

from gan_lab import RunError
from gan_lab.metrics.storage import Cache, content_hash, write_atomically


class Counting:
    """Computes a new value at each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"value": torch.tensor([float(self.calls)])}


def test_hash_sees_dtype_shape_and_content():
    tensors = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(2, 3, dtype=torch.int32),
        torch.ones(2, 3),
    ]
    assert len({content_hash(tensor) for tensor in tensors}) == 4
    transposed = torch.arange(6).view(2, 3).T
    assert content_hash(transposed) == content_hash(transposed.contiguous())


def test_cache_computes_once_per_key(tmp_path):
    cache, compute = Cache(tmp_path), Counting()
    first = cache.get("name", {"split": "test", "count": 5}, compute)
    again = Cache(tmp_path).get("name", {"count": 5, "split": "test"}, compute)
    assert torch.equal(first["value"], again["value"])
    assert compute.calls == 1
    for other in ({"split": "train", "count": 5}, {"split": "test", "count": 6}):
        cache.get("name", other, compute)
    cache.get("other", {"split": "test", "count": 5}, compute)
    assert compute.calls == 4


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_damaged_and_foreign_files_are_computed_again(tmp_path, damage):
    cache, compute = Cache(tmp_path), Counting()
    cache.get("name", {"a": 1}, compute)
    (path,) = tmp_path.iterdir()
    if damage is None:
        cache.get("name", {"a": 2}, compute)
        (other,) = set(tmp_path.iterdir()) - {path}
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(damage)
    calls = compute.calls
    cache.get("name", {"a": 1}, compute)
    cache.get("name", {"a": 1}, compute)
    assert compute.calls == calls + 1


def test_without_a_folder_nothing_is_kept():
    compute = Counting()
    for _ in range(2):
        Cache(None).get("name", {}, compute)
    assert compute.calls == 2


def test_a_cache_that_cannot_be_written_does_not_lose_the_result(tmp_path, caplog):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        found = Cache(tmp_path / "file").get("name", {}, Counting())
    assert found["value"].item() == 1
    assert "cannot write" in caplog.text


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(RunError, match=r"cannot write .*disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
