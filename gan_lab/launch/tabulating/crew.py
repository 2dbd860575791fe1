"""Works off a table's runs: several processes at once, each training first, then measuring."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gan_lab.launch import shares, trust
from gan_lab.launch.entry import search_path
from gan_lab.launch.jobs import Job as Training
from gan_lab.launch.jobs import has_begun
from gan_lab.launch.runs import read_result, write_text
from gan_lab.launch.tabulating.measuring import read_measured
from gan_lab.launch.tabulating.plan import Job, Plan
from gan_lab.launch.tabulating.records import PLACEMENT

TICK = 0.5  # seconds between two looks at the runs
FAREWELL = 60.0  # seconds for a training to save and end
MEASURE = "from gan_lab.launch.tabulating.measuring import main; main()"


class Measuring(Training):
    """The measurement of a finished run as a process of its own."""

    def poll(self) -> int | None:
        if self.process is None:
            self.start()
        return None if self.process is None else self.process.poll()

    def command(self) -> list[str]:
        return [sys.executable, "-c", MEASURE, str(self.folder), *self.overrides]


@dataclass
class Seat:
    """A run that is being worked on."""

    place: int
    job: Job
    process: Training
    started: float


class Crew:
    """Works off a table's runs, several at once, and may be stopped at any time.

    Args:
        at_once: runs side by side.
        threads: of each.
    """

    def __init__(self, plan: Plan, at_once: int, threads: int) -> None:
        self.plan = plan
        self.at_once = at_once
        self.threads = threads
        self.seats: list[Seat] = []
        self.failed: list[str] = []
        self.done = 0

    def work(self, missing: list[Job]) -> None:
        """Finish these runs; where something ends us, it ends them in good order."""
        waiting = list(missing)
        self.done = len(self.plan.jobs()) - len(missing)
        try:
            while waiting or self.seats:
                for seat in list(self.seats):
                    self.attend(seat)
                while waiting and len(self.seats) < self.at_once:
                    self.sit(waiting.pop(0))
                time.sleep(TICK)
        except BaseException:
            for seat in self.seats:
                seat.process.stop()
            for seat in self.seats:
                seat.process.wait(FAREWELL)
            raise

    def sit(self, job: Job) -> None:
        """Begin or continue a run; a finished one is only measured."""
        place = min(set(range(self.at_once)) - {seat.place for seat in self.seats})
        if not has_begun(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
            write_text(job.folder / PLACEMENT, json.dumps(self.placement()) + "\n")
        further = [*search_path(), *trust.argument()]
        process = Training(job.folder, [*job.overrides, *further], self.environment(place))
        self.seats.append(Seat(place, job, process, time.monotonic()))

    def placement(self) -> dict[str, int]:
        return {"at_once": self.at_once, "threads": self.threads}

    def environment(self, place: int) -> shares.Environment:
        given = shares.share(place, self.at_once)
        return {**given, **dict.fromkeys(shares.THREADS, str(self.threads))}

    def attend(self, seat: Seat) -> None:
        """See how a run is doing."""
        status = seat.process.poll()
        if status is None:
            return
        folder, how = seat.job.folder, self.plan.measured_by()
        trained = not isinstance(seat.process, Measuring)
        state = read_result(folder).get("status", "failed")
        if trained and status == 0 and not read_measured(folder, self.plan):
            given = [json.dumps(how), *trust.argument()]
            seat.process = Measuring(folder, given, self.environment(seat.place))
            return
        if trained and state == "diverged":
            self.leave(seat, True, "diverged")
        elif status:
            what = state if trained else "could not be measured"
            self.leave(seat, False, f"{what} (status {status}): {seat.process.reason()}")
        else:
            self.leave(seat, True, describe(folder, self.plan))

    def leave(self, seat: Seat, well: bool, text: str) -> None:
        self.seats.remove(seat)
        self.done += 1
        self.failed += [] if well else [seat.job.name]
        seconds = f"{time.monotonic() - seat.started:.0f} s in all"
        total = len(self.plan.jobs())
        print(f"[{self.done}/{total}] {seat.job.name}: {text}, {seconds}", flush=True)


def describe(folder: Path, plan: Plan) -> str:
    """The figure of the ranks, and the images seen."""
    measured = read_measured(folder, plan) or {}
    value = measured.get("metrics", {}).get(plan.rank_by, {}).get("value")
    figure = "not a number" if value is None else format(value, ".3g")
    return f"{plan.rank_by} {figure}, {read_result(folder)['images_seen']:,} images"
