"""One process at a time trains in a run folder; the lock goes with the process that holds it."""

import os
import socket
import time
from pathlib import Path

from gan_lab import UserError

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps a second process out
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


class Lock:
    """Held from `take` to `release`, or to the death of the process, however that comes.

    The file stays; whether it is locked is what the kernel knows (flock). On a network file system
    without locks nothing is refused.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.handle: int | None = None

    def take(self) -> None:
        """Take the lock, unless this is a rank of a run whose first rank has it.

        Raises:
            UserError: where another process holds it, naming that one.
        """
        if self.handle is not None or not is_first_of_all():
            return
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(
                f"the run folder {self.path.parent} cannot be written ({error.strerror}); "
                "make it writable, or choose another with hydra.run.dir="
            ) from error
        if not lock(handle):
            owner = os.read(handle, 1000).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise UserError(
                f"the run in {self.path.parent} is being trained by {owner}; "
                "wait for its end or stop it, or start another run in another folder"
            )
        self.handle = handle
        sign(handle)

    def release(self) -> None:
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def is_first_of_all() -> bool:
    """Whether no launcher's variable makes this a later rank: one lock serves all of them."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def lock(handle: int) -> bool:
    """Whether the lock is ours now, or there are none here."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def sign(handle: int) -> None:
    """Write who holds the lock: process, host, since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
    try:
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())
    except OSError:
        return  # a full disk: the lock holds, its owner stays unnamed


def holder(folder: Path) -> str | None:
    """Who trains in the folder now; None where nobody does, or nothing tells."""
    try:
        handle = os.open(folder / NAME, os.O_RDWR)
    except OSError:
        return None
    try:
        if lock(handle):
            return None
        return os.read(handle, 1000).decode(errors="replace").strip() or "another process"
    finally:
        os.close(handle)
