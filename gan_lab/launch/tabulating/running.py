"""Finish the runs of a table, alone at it, and so that it may be stopped at any time."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_lab import RunError, UserError
from gan_lab.launch import lock, shares
from gan_lab.launch.schema import conform
from gan_lab.launch.tabulating.crew import Crew
from gan_lab.launch.tabulating.plan import Plan
from gan_lab.launch.tabulating.records import is_done

CORES_OF_A_RUN = 4  # where there are many


def run(plan: Plan, jobs: Any, threads: Any) -> list[str]:
    """Finish every run; say how each went, and return the names of those that failed.

    A run that diverged has not failed: that is its result.

    Raises:
        UserError: where a folder holds a run of other settings, or another process works on it.
    """
    at_once, share = divide(jobs, threads)
    crew = Crew(plan, at_once, share)
    missing = [job for job in plan.jobs() if not is_done(job, plan, crew.placement())]
    done = len(plan.jobs()) - len(missing)
    print(
        f"{plan.name}: {done} runs finished, {len(missing)} to go, {at_once} at once with "
        f"{share} thread{'s' if share > 1 else ''} each",
        flush=True,
    )
    with alone(plan.folder), terminable():
        crew.work(missing)
    return crew.failed


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second command away from the table: their runs would take each other's cores."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {folder}: {error}") from error
    if (owner := lock.holder(folder)) is not None:
        raise UserError(f"{folder} is being worked on by {owner}; wait for its end, or stop it")
    held = lock.Lock(folder)
    held.take()
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end us as an exception does."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def divide(jobs: Any, threads: Any) -> tuple[int, int]:
    """Runs at once, and threads for each: a GPU a run, or four cores where there are many."""
    for key, value in {"jobs": jobs, "threads": threads}.items():
        if conform(value, int | None, key) is not None and value < 1:
            raise UserError(f"{key}={value} must be at least 1, or null")
    cores, gpus = shares.count_cores(), len(shares.list_gpus())
    at_once = jobs or gpus or max(1, cores // CORES_OF_A_RUN)
    return at_once, threads or max(1, cores // at_once)
