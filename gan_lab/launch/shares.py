"""What each of several trainings at once gets of this machine: a share of the cores, a device.

Two processes that each use all cores slow each other down more than a hundredfold.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

from filelock import FileLock, Timeout

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # read when torch is imported
VISIBLE = "CUDA_VISIBLE_DEVICES"


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
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False).stdout
    return tuple(str(i) for i, line in enumerate(listed.splitlines()) if line.startswith("GPU "))


def share(place: int, jobs: int, ranks: int = 1) -> dict[str, str]:
    """The environment of one of `jobs` trainings at once, of `ranks` processes each.

    GPUs are handed out in turn by `place`. One training alone keeps what there is.
    """
    if jobs <= 1:
        return {}
    threads = str(max(1, count_cores() // (jobs * ranks)))
    found = {name: os.environ.get(name, threads) for name in THREADS}
    if gpus := list_gpus():
        mine = [gpus[(place * ranks + rank) % len(gpus)] for rank in range(ranks)]
        found[VISIBLE] = ",".join(dict.fromkeys(mine))
    return found


@contextlib.contextmanager
def shared(folder: Path, jobs: int, ranks: int = 1) -> Iterator[dict[str, str]]:
    """Wait for one of `jobs` places at this machine, whose locks are in `folder`, and share it.

    Whoever dies leaves its place. With 0 jobs nothing is divided.
    """
    if jobs < 1:
        yield {}
        return
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{place}.lock") for place in range(jobs)]
    place = next(index for index in cycle(range(jobs)) if is_ours(locks[index]))
    try:
        yield share(place, jobs, ranks)
    finally:
        locks[place].release()


def is_ours(lock: FileLock) -> bool:
    """Whether the lock is ours now; gives the one who has it some time, if not."""
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        return False
    return True


def joblib_jobs(asked: int) -> int:
    """-1 means all cores to joblib, -2 all but one."""
    return asked if asked > 0 else max(1, count_cores() + 1 + asked)
