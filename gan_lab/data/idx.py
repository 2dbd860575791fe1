"""Data sets that are kept in IDX files, the format of MNIST: find, verify, read, fetch."""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_lab import UserError
from gan_lab.data.formats import (
    idx_header,
    parse_idx,
    read_maybe_gzipped,
    read_member,
    reading,
)
from gan_lab.data.sources import Attempt, Unavailable, checksum, download, fetch

SLACK = 2**16  # bytes by which what does not compress may grow in a .gz file


@dataclass(frozen=True)
class IdxFile:
    """What is known about one official file."""

    shape: tuple[int, ...]
    sha256: str | None = None  # of the content
    archive_sha256: str | None = None  # of its .gz, where only that was ever published

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(idx_header(self.shape)) + math.prod(self.shape)

    def fault(self, data: bytes, archive: Path | None) -> str | None:
        """What is wrong with the content (and the .gz it came from), if anything is."""
        header = idx_header(self.shape)
        if len(data) != self.size:
            return f"expected {self.size} bytes, found {len(data)}"
        if self.sha256 is not None:
            return _differs("sha256", self.sha256, hashlib.sha256(data).hexdigest())
        if archive is not None and self.archive_sha256 is not None:
            found = checksum(archive, like=self.archive_sha256)
            return _differs("sha256 of the .gz file", self.archive_sha256, found)
        return _differs("header", header.hex(), data[: len(header)].hex())


def _differs(what: str, expected: str, found: str) -> str | None:
    return None if expected == found else f"expected {what} {expected}, found {found}"


class IdxFiles:
    """The official files of one data set, raw or gzipped, in the first folder that has them.

    What is missing everywhere is fetched into the first folder. A file that is there and is not
    the official one is named and never overwritten: it may be the user's own.
    """

    def __init__(
        self,
        files: Mapping[str, IdxFile],
        folders: Sequence[Path],
        attempts: Mapping[str, Attempt],
    ):
        self.files = files
        self.folders = folders
        self.attempts = dict(attempts)

    def prepare(self) -> None:
        """Verify every file; fetch what is missing."""
        missing = []
        for name in self.files:
            if self._find(name) is None:
                missing.append(name)
            else:
                self.read(name)
        if missing:
            fetch(self.folders[0], missing, self.attempts)

    def read(self, name: str) -> np.ndarray:
        """The verified content of one file, uint8."""
        path = self._find(name)
        if path is None:
            raise UserError(f"{self.folders[0] / name} is missing; prepare_data() fetches it")
        with reading(path):
            data = read_maybe_gzipped(path, self.files[name].size)
            fault = self.files[name].fault(data, path if path.suffix == ".gz" else None)
            if fault:
                raise UserError(
                    f"{path} is not the official file: {fault}; delete it (then it is fetched "
                    "again), or set data.root to another folder"
                )
            return parse_idx(data)

    def _find(self, name: str) -> Path | None:
        places = (folder / file for folder in self.folders for file in (name, f"{name}.gz"))
        return next((place for place in places if place.is_file()), None)


def from_mirrors(files: Mapping[str, IdxFile], mirrors: Sequence[str]) -> dict[str, Attempt]:
    """One attempt for each mirror, a URL under which every file lies as NAME.gz."""
    return {mirror: functools.partial(_from_mirror, files, mirror) for mirror in mirrors}


def _from_mirror(files: Mapping[str, IdxFile], mirror: str, folder: Path) -> None:
    for name, file in files.items():
        archive = folder / f"{name}.gz"
        download(f"{mirror}{archive.name}", archive, limit=file.size + SLACK)
        unpack(archive, file, folder / name)


def from_zip(files: Mapping[str, IdxFile], url: str, md5: str, folder: Path) -> None:
    """One large zip file, verified as a whole, in which every file lies as gzip/NAME.gz."""
    bundle = folder / "bundle.zip"
    download(url, bundle)
    if checksum(bundle, like=md5) != md5:
        raise Unavailable("what came from there is not the official file")
    for name, file in files.items():
        archive = folder / f"{name}.gz"
        try:
            archive.write_bytes(read_member(bundle, f"gzip/{archive.name}", file.size + SLACK))
        except ValueError as error:
            raise Unavailable(f"what came from there is damaged: {error}") from error
        unpack(archive, file, folder / name)


def unpack(archive: Path, file: IdxFile, target: Path) -> None:
    """Write the content of a fetched .gz file, if it is the official one."""
    try:
        data = read_maybe_gzipped(archive, file.size)
    except (EOFError, ValueError, OSError) as error:
        raise Unavailable(f"{archive.name} arrived damaged: {error}") from error
    store(data, file, target, archive)


def store(data: bytes, file: IdxFile, target: Path, archive: Path | None = None) -> None:
    """Write fetched content to `target`, if it is the official one."""
    fault = file.fault(data, archive)
    if fault:
        raise Unavailable(f"{target.name} arrived altered: {fault}")
    target.write_bytes(data)
