"""A training as a process of its own: started or continued in its folder, watched, stopped."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_lab import RunError
from gan_lab.launch import lock
from gan_lab.launch.runs import budget_in, read_result

LOG = "train.log"  # what a training of its own process prints, in its folder
FINAL = {"finished": 0, "diverged": 1}  # statuses that another try would end with again
TASK = re.compile(r"SLURM_(PROCID|LOCALID|NODEID|NTASKS\w*)")  # what srun tells each of its tasks
PR_SET_PDEATHSIG = 1
TERMINATED = 128 + signal.SIGTERM


class Job:
    """One training; where its folder holds one that was cut short, that one goes on.

    Args:
        folder: the run folder.
        overrides: of a new run.
        environment: beside that of this process; None takes a variable away.
        extends: the overrides give it a larger budget, so that it goes on from its end, too.
    """

    def __init__(
        self,
        folder: Path,
        overrides: Sequence[str],
        environment: Mapping[str, str | None],
        extends: bool = False,
    ) -> None:
        self.folder = folder
        self.overrides = list(overrides)
        self.environment = dict(environment)
        self.extends = extends
        self.process: subprocess.Popen[bytes] | None = None
        self.asked_to_stop = False

    def poll(self) -> int | None:
        """The exit status; None while it runs. The first call that finds the folder free starts it.

        The folder is not free while a training whose starter was killed goes on in it.
        """
        if self.process is not None:
            return self.process.poll()
        if lock.holder(self.folder) is not None:
            return None
        status = read_result(self.folder).get("status")
        goes_on = status == "finished" and self.extends
        if status in FINAL and not goes_on:
            return FINAL[status]
        if self.asked_to_stop:
            return TERMINATED
        self.start()
        return None

    def start(self) -> None:
        """Raises RunError where the folder cannot be written."""
        told = {**of_no_task(os.environ), **self.environment}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG).open("ab") as log:
                self.process = subprocess.Popen(
                    self.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={name: value for name, value in told.items() if value is not None},
                    start_new_session=True,  # Ctrl-C is for us, who tell it
                    preexec_fn=end_with_parent if os.name == "posix" else None,
                )
        except OSError as error:
            raise RunError(f"cannot start a training in {self.folder}: {error}") from error

    def command(self) -> list[str]:
        given = [f"hydra.run.dir={self.folder}", *self.overrides]
        if has_begun(self.folder):
            kept = [o for o in given if o.startswith(("trusted=", "hydra.searchpath="))]
            given = [f"resume={self.folder}", *budget_in(given), *kept]
        return [sys.executable, "-m", "gan_lab.train", *given]

    def stop(self) -> None:
        """Ask it to save and end."""
        self.asked_to_stop = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for its end, that long at most."""
        if self.process is not None:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def reason(self) -> str:
        """Why it failed, in its own words."""
        return last_error(self.folder / LOG)


def of_no_task(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what makes a process one of the tasks that Slurm's srun started.

    A training that we start is none of them: Lightning would expect its ranks from srun, and the
    trainings of all tasks but the first would not lock their folders.
    """
    kept = {name: value for name, value in environment.items() if not TASK.fullmatch(name)}
    if len(kept) < len(environment):
        kept["SLURM_JOB_NAME"] = "interactive"  # so Lightning leaves Slurm alone
    return kept


def has_begun(folder: Path) -> bool:
    """Whether there is a run to continue; half a beginning is cleared away."""
    begun = all((folder / name).is_file() for name in ("config.yaml", "overrides.yaml"))
    if not begun:
        (folder / "config.yaml").unlink(missing_ok=True)
    return begun


def last_error(path: Path) -> str:
    """The last message of a log that begins with `error: `, or else its last line."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.startswith("error: ")] or [
        line for line in lines if line.strip()
    ]
    return re.sub(r"^error: ", "", said[-1])[:500] if said else ""


def end_with_parent() -> None:
    """In the new process: let the death of its starter, however it comes, ask it to save and end.

    Slurm's warnings (SIGUSR1, SIGUSR2) are for the starter.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def find_prctl() -> Any:
    """Linux has it; elsewhere an orphan trains on, and its folder stays locked until its end."""
    try:
        return ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    except (AttributeError, OSError, TypeError):
        return None


prctl = find_prctl()
