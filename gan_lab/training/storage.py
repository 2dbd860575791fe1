"""Files that grow while a run trains, on a disk that may be full or gone for a while.

What cannot be written is said once, kept where it is small, and tried again: it costs a run its
record at most, never the training.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gan_lab import RunError

LIMIT = 64_000_000  # bytes that a journal keeps for a disk that refuses them
HOOKS = (
    "on_train_start",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_metrics",
)

PARTIAL = re.compile(  # the names that a run gives to what it is about to rename
    r"\.((last|best|previous)\.ckpt|metrics\.csv|(result|best|health|game)\.json"
    r"|(config|overrides)\.yaml|(evolution|phase_portrait|images_\d+)\.png)\.\d+"
)
UNNUMBERED = (".health.json", ".evolution.gif")  # those without the number of their process

failing: dict[str, str] = {}  # what cannot be written at present -> the reason


def lost(what: object, error: Exception) -> None:
    """Say that something could not be written, unless that is known already."""
    if str(what) not in failing:
        text = f"warning: cannot write {what}: {reason(error)}; training goes on and tries again"
        print(text, file=sys.stderr, flush=True)
    failing[str(what)] = reason(error)


def written(what: object) -> None:
    """Take back what `lost` said."""
    if failing.pop(str(what), None) is not None:
        print(f"{what} is written again", file=sys.stderr, flush=True)


def reason(error: BaseException) -> str:
    """The disk's own words, which RunErrors carry as their cause."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return cause.strerror or str(cause) if isinstance(cause, OSError) else str(cause)


def is_of_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) or (
        isinstance(error, RunError) and isinstance(error.__cause__, OSError)
    )


def forgiving(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; where the disk refuses, that is said, and None returned."""

    @functools.wraps(function)
    def attempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (OSError, RunError) as error:
            if not is_of_disk(error):
                raise
            lost(what, error)
            return None

    return attempt


def shelter(callback: Any) -> None:
    """Let a callback that cannot write lose its output instead of ending the run."""
    name = type(callback).__name__.lower()
    for hook in HOOKS:
        if hasattr(callback, hook):
            what = f"what callbacks.{name} makes ({hook})"
            setattr(callback, hook, forgiving(what, getattr(callback, hook)))


class Journal:
    """A file that only grows; what a disk refuses waits in memory for the next time.

    A record that was half written is cut off again, so that a reader never meets it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = b""
        self.size = path.stat().st_size if path.exists() else 0  # bytes that are whole

    def write(self, data: bytes) -> None:
        """Add a record, to be written by the next `flush`."""
        if len(self.pending) + len(data) <= LIMIT:
            self.pending += data

    def flush(self) -> None:
        if not self.pending:
            return
        try:
            self.append()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self.size)
            lost(self.path, error)
        else:
            written(self.path)

    def append(self) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        with os.fdopen(handle, "wb") as file:
            # A file that was lost with its folder begins anew.
            self.size = min(self.size, os.fstat(handle).st_size)
            file.seek(self.size)
            file.write(self.pending)
            file.truncate()
        self.size, self.pending = self.size + len(self.pending), b""


def sync(paths: Iterable[Path]) -> None:
    """Have the disk itself hold these files, so that they survive a power failure."""
    for path in paths:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def clear_partials(folder: Path, resumed: bool) -> None:
    """Remove what a session that was killed while it wrote has left, and no file of others.

    Where the folder is not known as a run's, only names that no one else would give are removed.
    """
    for place in (folder, folder / "samples", folder / "checkpoints"):
        for path in place.glob(".*"):
            ours = PARTIAL.fullmatch(path.name) or (resumed and path.name in UNNUMBERED)
            if ours and path.is_file():
                path.unlink(missing_ok=True)
