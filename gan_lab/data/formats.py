"""Readers of the formats that data sets come in; what they read may come from anywhere."""

import contextlib
import gzip
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy._core.multiarray import _reconstruct

from gan_lab import UserError

_KNOWN = {
    "numpy ndarray": np.ndarray,
    "numpy dtype": np.dtype,
    "numpy.core.multiarray _reconstruct": _reconstruct,  # before numpy 2
    "numpy._core.multiarray _reconstruct": _reconstruct,
}


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a user's file into a message that names the file."""
    try:
        yield
    except UserError:
        raise
    except (OSError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} cannot be read: {error}; replace it with a whole copy, "
            "or delete it (what can be fetched is fetched again)"
        ) from error


def read_maybe_gzipped(path: Path) -> bytes:
    """The content of a file, uncompressed if its name ends in .gz."""
    data = path.read_bytes()
    try:
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except zlib.error as error:  # the one error of gzip that is no OSError or EOFError
        raise ValueError(f"damaged gzip file ({error})") from error


def parse_idx(data: bytes) -> np.ndarray:
    """The array in an IDX file of bytes: magic, number of axes, big-endian sizes, content."""
    if data[:3] != b"\0\0\x08":  # two zeros, then the code of unsigned bytes
        raise ValueError("it is no IDX file of bytes")
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    content = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    return content.reshape(shape).copy()  # a copy is writable, which torch insists on


def format_idx(array: np.ndarray) -> bytes:
    """The inverse of `parse_idx`."""
    return idx_header(array.shape) + array.astype(np.uint8).tobytes()


def idx_header(shape: tuple[int, ...]) -> bytes:
    """What an IDX file of bytes begins with."""
    return b"\0\0\x08" + bytes([len(shape)]) + np.array(shape, ">i4").tobytes()


class _ArrayUnpickler(pickle.Unpickler):
    """Knows how numpy arrays are rebuilt and nothing else, so a pickle can run no code."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"refused, for it asks for {module}.{name}")
        return _KNOWN[f"{module} {name}"]


def unpickle_arrays(file: IO[bytes]) -> Any:
    """Containers, numbers, strings and numpy arrays, also as Python 2 wrote them."""
    return _ArrayUnpickler(file, encoding="latin1").load()
