import gzip
import io
import os
import pickle
from typing import Any

import numpy as np
import pytest

from gan_lab import UserError
from gan_lab.data.formats import (
    format_idx,
    parse_idx,
    read_maybe_gzipped,
    reading,
    unpickle_arrays,
)


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5), (0, 28, 28)])
def test_idx_there_and_back(shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(parse_idx(format_idx(array)), array)


def test_idx_is_the_published_format():
    # From the description on MNIST's home page: magic 2051, then three big-endian sizes.
    data = bytes.fromhex("00000803 00000001 00000002 00000003") + bytes(range(6))
    assert parse_idx(data).tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize("data", [b"", b"\0\0\x0d\x01" + bytes(8), format_idx(np.zeros(9))[:-1]])
def test_idx_that_is_none(data):
    with pytest.raises(ValueError, match=r"IDX|buffer|reshape"):
        parse_idx(data)


class Malice:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        unpickle_arrays(io.BytesIO(pickle.dumps([np.ones(2), Malice()], protocol)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'file'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    ],
)
def test_other_names_are_refused(code):
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        unpickle_arrays(io.BytesIO(code))


def test_arrays_pass():
    content: dict[str, Any] = {
        "data": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "labels": [1, 2],
        "name": "x",
    }
    read = unpickle_arrays(io.BytesIO(pickle.dumps(content, protocol=4)))
    assert np.array_equal(read["data"], content["data"])
    assert (read["labels"], read["name"]) == ([1, 2], "x")


def test_an_array_of_python_2():
    # Written by Python 2.7 with numpy 1: pickle.dumps(np.array([1, 200], np.uint8), 2).
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b"
        b"\x87Rq\x03(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ"
        b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xc8tb."
    )
    assert unpickle_arrays(io.BytesIO(data)).tolist() == [1, 200]


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = tmp_path / "file.gz"
    whole = gzip.compress(os.urandom(1000))
    for data in (whole[:500], whole[:100] + b"\0\0\0" + whole[103:], b"<html>"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"{path} cannot be read: .*delete it"), reading(path):
            read_maybe_gzipped(path, 1000)
    path.write_bytes(whole)
    with reading(path):
        assert len(read_maybe_gzipped(path, 1000)) == 1000
