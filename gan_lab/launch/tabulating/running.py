"""Finish the runs of a table: train what is missing or interrupted, measure what is trained."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.runs import read_result
from gan_lab.launch.schema import conform
from gan_lab.launch.tabulating.measuring import read_measured
from gan_lab.launch.tabulating.plan import Job, Plan

CORES_OF_A_RUN = 4  # where there are many
ENDED = ("finished", "diverged")
MEASURE = "from gan_lab.launch.tabulating.measuring import main; main()"


def run(plan: Plan, jobs: int | None, threads: int | None) -> list[str]:
    """Finish every run; say how each went, and return the names of those that failed.

    A run that diverged has not failed: that is its result.

    Raises:
        UserError: where a folder holds a run of other settings.
    """
    missing = [job for job in plan.jobs() if not is_done(job, plan)]
    at_once, share = divide(jobs, threads)
    done = len(plan.jobs()) - len(missing)
    print(f"{plan.name}: {done} runs finished, {len(missing)} to go, {at_once} at once", flush=True)
    failed: list[str] = []
    with Children() as children, ThreadPoolExecutor(at_once) as pool:
        waiting = {pool.submit(finish, job, plan, share, children): job for job in missing}
        try:
            while waiting:
                for future in wait(waiting, timeout=1, return_when=FIRST_COMPLETED).done:
                    job, (ok, text) = waiting.pop(future), future.result()
                    done += 1
                    failed += [] if ok else [job.name]
                    print(f"[{done}/{len(plan.jobs())}] {job.name}: {text}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
    return failed


def divide(jobs: Any, threads: Any, cores: int | None = None) -> tuple[int, int]:
    """Runs at once, and threads for each.

    >>> divide(None, None, 2), divide(None, None, 16), divide(2, None, 2)
    ((1, 2), (4, 4), (2, 1))
    """
    cores = cores or available_cores()
    for key, value in {"jobs": jobs, "threads": threads}.items():
        if conform(value, int | None, key) is not None and value < 1:
            raise UserError(f"{key}={value} must be at least 1, or null")
    at_once = jobs or max(1, cores // CORES_OF_A_RUN)
    return at_once, threads or max(1, cores // at_once)


def available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def is_done(job: Job, plan: Plan) -> bool:
    """Whether nothing is left to do; UserError where the folder holds another run."""
    if not (job.folder / "config.yaml").exists():
        return False
    require_same(job)
    status = read_result(job.folder).get("status")
    return status == "diverged" or bool(status == "finished" and read_measured(job.folder, plan))


def require_same(job: Job) -> None:
    """Refuse a folder whose run was made by other overrides."""
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(job.folder / "overrides.yaml"))
        command = given["command"]
    except Exception as error:
        raise UserError(
            f"{job.folder} cannot be read ({error}); move it away, or give another output="
        ) from error
    wanted = [*job.overrides, f"hydra.run.dir={job.folder}"]
    if sorted(command) != sorted(wanted):
        changed = sorted(set(command) ^ set(wanted))
        raise UserError(
            f"{job.folder} holds a run of other settings ({', '.join(changed)}); "
            "give another output=, or move the folder away"
        )


def finish(job: Job, plan: Plan, threads: int, children: "Children") -> tuple[bool, str]:
    """Train and measure one run; whether that went well, and how."""
    started = time.monotonic()
    if read_result(job.folder).get("status") not in ENDED:
        resumed = (job.folder / "config.yaml").exists()
        given = [f"resume={job.folder}"] if resumed else job.overrides
        given = given if resumed else [*given, f"hydra.run.dir={job.folder}"]
        rc = children.call(["-m", "gan_lab.train", *given], job.folder, threads)
        status = read_result(job.folder).get("status", "failed")
        if status == "diverged":
            return True, "diverged"
        if rc or status != "finished":
            return False, f"{status} (status {rc})"
    if not read_measured(job.folder, plan):
        how = json.dumps(plan.measured_by())
        rc = children.call(["-c", MEASURE, str(job.folder), how], job.folder, threads)
        if rc:
            return False, f"could not be measured (status {rc})"
    result = read_result(job.folder)
    return True, (
        f"{describe(job.folder, plan)}, {result['images_seen']:,} images, "
        f"{time.monotonic() - started:.0f} s in all"
    )


def describe(folder: Path, plan: Plan) -> str:
    measured = read_measured(folder, plan) or {}
    value = measured.get("metrics", {}).get(plan.rank_by, {}).get("value")
    return f"{plan.rank_by} {'not a number' if value is None else format(value, '.3g')}"


class Children:
    """The processes that run now; SIGTERM to us ends them as they end by themselves."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen] = set()
        self.stopped = False
        self.lock = threading.Lock()

    def __enter__(self) -> "Children":
        self.before = None
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self.terminated)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def terminated(self, number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    def call(self, arguments: list[str], folder: Path, threads: int) -> int:
        """Run Python with these arguments; what it prints goes to a file beside the folder."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *arguments]
        with (
            folder.with_name(f"{folder.name}.log").open("ab") as log,
            self.started(command, log, environment) as process,
        ):
            return process.wait()

    @contextmanager
    def started(
        self, command: list[str], log: Any, environment: dict[str, str]
    ) -> Iterator[subprocess.Popen]:
        with self.lock:
            if self.stopped:
                raise SystemExit(1)
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            self.running.add(process)
        try:
            yield process
        finally:
            with self.lock:
                self.running.discard(process)

    def stop(self) -> None:
        """Ask all to end in good order, and start no more."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.terminate()
