"""Readers of the formats that data sets come in; what they read may come from anywhere."""

import contextlib
import gzip
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
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
    except (OSError, EOFError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} cannot be read: {error}; replace it with a whole copy, "
            "or delete it (what can be fetched is fetched again)"
        ) from error


def read_maybe_gzipped(path: Path, limit: int) -> bytes:
    """The content of a file, uncompressed if its name ends in .gz; at most `limit` bytes.

    Raises:
        ValueError: where it is damaged, or holds more: a small file can unpack to a full memory.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return read_bounded(file, limit)
    except zlib.error as error:  # the one error of gzip that is no OSError or EOFError
        raise ValueError(f"damaged gzip file ({error})") from error


def read_bounded(file: gzip.GzipFile | BufferedReader | IO[bytes], limit: int) -> bytes:
    """All of an open file; ValueError where it goes on after `limit` bytes."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"expected {limit} bytes, found more")
    return data


def read_member(archive: Path, name: str, limit: int) -> bytes:
    """One plain file of a zip or tar archive, in memory: a member never says where to write.

    Raises:
        ValueError: where the archive is damaged, or `name` is missing, a link, or above `limit`.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, zipped.open(name) as file:
                return read_bounded(file, limit)
        with tarfile.open(archive) as members:
            member = members.getmember(name)
            if not member.isreg():
                raise ValueError(f"its member {name} is no plain file")
            content = members.extractfile(member)
            assert content is not None  # a plain file has a content
            return read_bounded(content, limit)
    except KeyError as error:
        raise ValueError(f"it has no member {name}") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError: an encrypted member, or a way to compress that Python does not know
        raise ValueError(f"damaged archive ({error})") from error


def refuse_bomb(archive: Path, most: int = 2**30, ratio: int = 100) -> None:
    """Raise ValueError for a zip or .npz file that unpacks to over `most` bytes and `ratio` times.

    Images that any file could hold stay below: noise hardly compresses, digits about 10 times.
    """
    try:
        with zipfile.ZipFile(archive) as members:
            size = sum(entry.file_size for entry in members.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"damaged archive ({error})") from error
    if size > max(most, ratio * archive.stat().st_size):
        raise ValueError(f"it would unpack to {size:,} bytes, from {archive.stat().st_size:,}")


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
    """Containers, numbers, strings and numpy arrays, also as Python 2 wrote them.

    Raises:
        UnpicklingError: for anything else, and for a damaged file.
    """
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # an altered pickle can make numpy and pickle raise whatever
        raise pickle.UnpicklingError(f"damaged pickle ({error!r})") from error
