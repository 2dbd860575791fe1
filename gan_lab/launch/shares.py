"""What each of several trainings at once gets of this machine: a share of the cores, a device.

Two processes that each use all cores slow each other down more than a hundredfold.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # read when torch is imported
VISIBLE = "CUDA_VISIBLE_DEVICES"
PATIENCE = 30.0  # seconds for the driver to list its GPUs; one that hangs has none to give

Environment = dict[str, str | None]  # None: not to be set


def count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def list_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, found without torch, which takes seconds to import."""
    if (given := os.environ.get(VISIBLE)) is not None:
        return tuple(name.strip() for name in given.split(",") if name.strip() not in ("", "-1"))
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, check=False, timeout=PATIENCE
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(i) for i, line in enumerate(listed.splitlines()) if line.startswith("GPU "))


@dataclass(frozen=True)
class Machine:
    """What there is to divide.

    It is found where the user's command runs and goes with the jobs: a launcher's pool may hide the
    GPUs from them, or tell them a number of threads of its own.
    """

    cores: int
    gpus: tuple[str, ...]
    threads: Mapping[str, str]  # what the user set of THREADS

    @classmethod
    def find(cls) -> "Machine":
        set_here = {name: os.environ[name] for name in THREADS if name in os.environ}
        return cls(count_cores(), list_gpus(), set_here)

    def share(self, place: int, jobs: int, ranks: int = 1) -> Environment:
        """The environment of one of `jobs` trainings at once, of `ranks` processes each.

        GPUs are handed out in turn by `place`; one training alone gets them all, and the threads
        that it would have had without a launcher.
        """
        threads = max(1, self.cores // (jobs * ranks))
        found: Environment = {name: self.threads.get(name) for name in THREADS}
        if jobs > 1:
            found = {name: str(at_most(threads, given)) for name, given in found.items()}
        if self.gpus:
            turns = range(place * ranks, (place + 1) * ranks)
            mine = self.gpus if jobs == 1 else [self.gpus[turn % len(self.gpus)] for turn in turns]
            found[VISIBLE] = ",".join(dict.fromkeys(mine))
        return found


NO_MACHINE = Machine(cores=1, gpus=(), threads={})  # where nothing is divided


def at_most(threads: int, given: str | None) -> int:
    """What the user gave, unless that is more, or no number; of nested levels (4,2) the first."""
    first = (given or "").partition(",")[0].strip()
    return min(int(first), threads) if first.isdecimal() and int(first) > 0 else threads


def share(place: int, jobs: int) -> Environment:
    """As `Machine.share`, of what this process finds; one training alone keeps what there is."""
    return Machine.find().share(place, jobs) if jobs > 1 else {}


class Place:
    """One of several places at this machine, each with its share; whoever dies leaves its place.

    Args:
        folder: of their locks; the same for all who share.
        count: of all places.
        ranks: processes of the training that sits there.
        machine: what is divided; None for what this process finds.
    """

    def __init__(
        self, folder: Path, count: int, ranks: int = 1, machine: Machine | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.locks = [FileLock(folder / f"{number}.lock") for number in range(count)]
        self.ranks = ranks
        self.machine = machine or Machine.find()
        self.number: int | None = None

    def take(self) -> bool:
        """Whether one was free."""
        for number, lock in enumerate(self.locks):
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                self.number = number
                return True
        return False

    def share(self) -> Environment:
        return self.machine.share(self.number or 0, len(self.locks), self.ranks)

    def leave(self) -> None:
        if self.number is not None:
            self.locks[self.number].release()
            self.number = None


@contextlib.contextmanager
def shared(
    folder: Path, jobs: int, ranks: int = 1, machine: Machine | None = None
) -> Iterator[Environment]:
    """Wait for one of `jobs` places and give its share; with 0 jobs nothing is divided."""
    if jobs < 1:
        yield {}
        return
    place = Place(folder, jobs, ranks, machine)
    while not place.take():
        time.sleep(0.2)
    try:
        yield place.share()
    finally:
        place.leave()


def of_this_machine(name: str) -> Path:
    """A folder for locks that processes of this user on this machine share."""
    user = os.getuid() if hasattr(os, "getuid") else "me"
    return Path(tempfile.gettempdir()) / f"gan_lab_places_{user}" / name
