"""The jobs of `train -m`: left where they are finished, continued where they were cut short.

Under Hydra's own launcher a job is trained in this process, which imports everything once. A job of
several ranks, and those of launchers that run several at once, get a process of their own and a
share of the machine.
"""

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gan_lab import RunError, UserError
from gan_lab.launch import launchers, lock, messages, runs, shares
from gan_lab.launch.echo import FAILED, tell
from gan_lab.launch.jobs import LOG, Job, has_begun, last_error
from gan_lab.launch.sweeps import JobFailed

Task = Callable[[DictConfig, Path, list[str]], Any]
Done = tuple[Any, str]  # what the job returns, and how it went
FAREWELL = 60.0  # seconds for a training to save and end


@dataclass
class Multirun:
    """What all jobs are told; it goes with them to other processes.

    Args:
        total: number of jobs, where that is known beforehand.
        further: what a process of its own is told besides the job's overrides.
        compose: overrides of `train` -> their config.
        conf: where the configs are.
        machine: what those that are trained at once divide, once the launcher is known.
    """

    total: int | None
    further: tuple[str, ...]
    compose: Callable[[list[str]], DictConfig]
    conf: Path
    machine: shares.Machine = shares.NO_MACHINE

    def hear(self, config: DictConfig) -> None:
        """The config of the whole multirun, before its launcher is made."""
        launchers.let_wait(config.hydra)
        self.machine = launchers.machine(config.hydra.launcher)

    @property
    def places(self) -> list[str]:
        """Where further configs lie, which another process does not know by itself."""
        return runs.search_paths(self.further)

    def run(self, task: Task, config: DictConfig, folder: Path, overrides: list[str]) -> Any:
        """Run one job and say in a line how it went.

        Raises:
            JobFailed: where it did; why is said and kept in its folder. The others go on.
        """
        number = HydraConfig.get().job.num + 1
        title = f"[{number}/{self.total or '?'}] {folder.name}"
        work = self.train if "trainer" in config else call
        try:
            value, text = work(task, config, folder, overrides)
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:
            said = self.explain(error)
            record_error(folder, said)
            tell(folder, f"{title}{FAILED}{said}", sys.stderr)
            raise JobFailed(folder.name) from error
        tell(folder, f"{title}: {text}", sys.stdout)
        return value

    def explain(self, error: Exception) -> str:
        if isinstance(error, RunError):
            return str(error)
        return launchers.explain(error) or messages.explain(error, self.conf) or repr(error)

    def train(self, task: Task, config: DictConfig, folder: Path, overrides: list[str]) -> Done:
        """Train, or go on, or leave what is finished."""
        wait_for_others(folder)
        begun = has_begun(folder)
        budget = self.growth(folder, overrides) if begun else []
        result = runs.read_result(folder) if begun else {}
        if result.get("status") == "finished" and not budget:
            return result.get("metric"), ", ".join(["finished before", *score(result)])
        if result.get("status") == "diverged":
            raise RunError(f"it diverged before; remove {folder} to train it again")
        started = time.monotonic()
        ranks, jobs = self.divide(config)
        if jobs is None and ranks <= 1:
            again = [f"resume={folder}", *budget, *self.places] if begun else None
            value = here(task, config, folder, overrides, again)
        else:
            value = self.apart(config, folder, overrides, budget)
        seconds = f"{time.monotonic() - started:.0f} s"
        return value, ", ".join(["finished", *score(runs.read_result(folder)), seconds])

    def growth(self, folder: Path, overrides: list[str]) -> list[str]:
        """The larger budget that the run in the folder is given; empty for the one it has.

        What is composed decides: an override that is left out can make it larger, too.

        Raises:
            UserError: where it was made with other settings.
        """
        try:
            config, history = runs.read_run(folder)
            before = self.compose([*self.places, *history["command"]])
            after = self.compose([*self.places, *overrides])
            runs.extend_budget(config, before, after)
        except UserError as error:
            raise UserError(
                f"{folder} holds another run; choose another hydra.sweep.dir, or remove it: {error}"
            ) from error
        return runs.new_budget(before, after)

    def divide(self, config: DictConfig) -> tuple[int, int | None]:
        """The processes of this job, and the jobs at a time (see `launchers.at_once`)."""
        launcher = HydraConfig.get().launcher
        ranks = launchers.ranks(launcher, config.trainer)
        return ranks, launchers.at_once(launcher, self.machine, ranks)

    def apart(
        self, config: DictConfig, folder: Path, overrides: list[str], budget: list[str]
    ) -> Any:
        """Train in a process of its own, on its share of the machine.

        What has finished goes on where there is a larger `budget`.

        Raises:
            UserError, RunError: what that process says.
        """
        ranks, jobs = self.divide(config)
        jobs = min(jobs or 0, self.total or sys.maxsize)
        places = folder.parent / ".places"
        if budget:
            before = runs.budget_in(overrides)
            overrides = [*(o for o in overrides if o not in before), *budget]
        with shares.shared(places, jobs, ranks, self.machine) as environment:
            job = Job(folder, [*overrides, *self.further], environment, extends=bool(budget))
            status = follow(job)
        if status == 0:
            return runs.read_result(folder).get("metric")
        if status in (1, 2):
            raise (UserError if status == 2 else RunError)(job.reason())
        raise RunError(f"it was cut short (exit status {status}); the same command goes on with it")


def call(task: Task, config: DictConfig, folder: Path, overrides: list[str]) -> Done:
    """What is no training is done again each time."""
    started = time.monotonic()
    value = task(config, folder, overrides)
    return value, f"done, {time.monotonic() - started:.0f} s"


def here(
    task: Task, config: DictConfig, folder: Path, overrides: list[str], again: list[str] | None
) -> Any:
    """Train in this process; `again` are the overrides that go on with what has begun."""
    if again is not None:
        config = deepcopy(config)
        OmegaConf.update(config, "resume", str(folder))
        overrides = again
    return task(config, folder, overrides)


def follow(job: Job) -> int:
    """Wait for its end; what ends us ends it in good order."""
    unhandled = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # Slurm's launcher has its own
    if unhandled:
        signal.signal(signal.SIGTERM, terminate)
    try:
        while (status := job.poll()) is None:
            time.sleep(0.1)
        return status
    except BaseException:
        job.stop()
        job.wait(FAREWELL)
        raise
    finally:
        if unhandled:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def wait_for_others(folder: Path) -> None:
    """Let a training that goes on in the folder end: another command's, or an orphan."""
    told = False
    while (owner := lock.holder(folder)) is not None:
        if not told:
            print(f"{folder.name}: waiting for {owner}, who trains it", flush=True)
        told = True
        time.sleep(0.5)


def score(result: dict[str, Any]) -> list[str]:
    """`FID 3.2`, where something was measured."""
    value = result.get("metric")
    if not isinstance(value, (int, float)):
        return []
    name = runs.metric_name(result)
    return [f"{'FID' if name == 'fid' else name} {value:.4g}"]


def record_error(folder: Path, reason: str) -> None:
    """Keep why a job failed in its folder, where a process of its own would have said it."""
    text = f"error: {reason}"
    if last_error(folder / LOG) != text.splitlines()[0].removeprefix("error: "):
        with contextlib.suppress(OSError), (folder / LOG).open("a") as log:
            log.write(text + "\n")
