"""A worker: keeps its seats filled with trainings, watches them, and may be killed at any time."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gan_lab import RunError
from gan_lab.launch import shares
from gan_lab.launch.jobs import Job
from gan_lab.launch.runs import read_result
from gan_lab.launch.searching.belonging import refuse_other_run
from gan_lab.launch.searching.outcomes import Outcome, images_seen, is_final, judge
from gan_lab.launch.searching.report import Report
from gan_lab.launch.searching.settings import Settings
from gan_lab.launch.searching.space import brief
from gan_lab.launch.searching.stages import Stage
from gan_lab.launch.searching.storage import Patience
from gan_lab.training.rows import read_rows

if TYPE_CHECKING:
    from optuna import Trial

TICK = 0.3  # seconds between two looks at the trainings,
LOOK = 2.0  # at what they have measured, and at the study for something to do
FAREWELL = 30.0  # seconds for a training to save and end
DOOMED = 3  # trainings that fail before any other end: then all will


@dataclass
class Seat:
    """A training that is running, of a trial."""

    place: shares.Place | None  # None: alone on this machine
    stage: Stage
    trial: "Trial"
    job: Job
    started: float
    pruned: str | None = None  # why it was asked to end
    beaten: float = 0.0  # when its heartbeat was last written,
    looked: float = 0.0  # and when its measurements were last read


class Worker:
    """Works until the study is finished, or until it is told to stop.

    Args:
        further: overrides for every training that say nothing of what it learns.
        report: renewed after each trial.
    """

    def __init__(self, settings: Settings, report: Report, further: list[str]) -> None:
        self.settings = settings
        self.report = report
        self.further = further
        self.places = shares.of_this_machine(settings.name)
        self.seats: list[Seat] = []
        self.asked = -LOOK  # when the study was last asked for something to do
        self.patiently = Patience()
        self.signal: int | None = None

    def work(self, stages: list[Stage]) -> None:
        """Raises SystemExit(143 or 130) where it was told to stop."""
        with self.signals():
            try:
                for stage in stages:
                    self.follow(stage)
            finally:
                self.leave()
        if self.signal is not None:
            with contextlib.suppress(Exception):  # the study has it all
                self.report.write()
            sys.exit(128 + self.signal)

    def follow(self, stage: Stage) -> None:
        """Take part until all trials of this stage have ended, here or elsewhere."""
        for step in (stage.prepare, partial(self.tend, stage)):
            while self.signal is None and not self.patiently(step):
                time.sleep(TICK)

    def tend(self, stage: Stage) -> bool:
        """Look after every seat, fill one that is free; whether the stage is over."""
        for seat in list(self.seats):
            self.attend(seat)
        full = len(self.seats) >= self.settings.jobs
        if full or time.monotonic() - self.asked < LOOK:
            return False
        trial = stage.ledger.claim(stage.wanted)
        if trial is not None:
            with self.claimed(stage, trial):
                self.sit(stage, trial)
            return False
        self.asked = time.monotonic()
        return not self.seats and stage.ledger.is_over(stage.wanted)

    @contextlib.contextmanager
    def claimed(self, stage: Stage, trial: "Trial") -> Iterator[None]:
        """Leave a trial to be claimed again where it did not get a seat."""
        try:
            yield
        finally:
            if all(seat.trial is not trial for seat in self.seats):
                stage.ledger.mine.pop(trial.number, None)

    def sit(self, stage: Stage, trial: "Trial") -> None:
        """Start the training of a trial that is ours."""
        count = self.settings.jobs * self.settings.workers
        place = shares.Place(self.places, count, self.settings.ranks) if count > 1 else None
        if place is not None:
            place.take()  # where more workers run than was said, they share the first one
        environment = place.share() if place else {}
        job = Job(stage.folder(trial), [*stage.overrides(trial), *self.further], environment)
        now = time.monotonic()
        seat = Seat(place, stage, trial, job, started=now, beaten=now)
        self.seats.append(seat)
        trial.set_user_attr("folder", str(job.folder))
        tries = stage.ledger.cut_short(trial, images_seen(job.folder))
        if tries > self.settings.retries and not is_final(job.folder):
            cut = f"{tries} tries in a row were cut short where they began"
            self.end(seat, Outcome("FAIL", reason=f"{cut}: {job.reason()}"))

    def attend(self, seat: Seat) -> None:
        """See how a training is doing.

        Raises:
            UserError: where its folder holds another one.
        """
        if seat.job.process is None:
            refuse_other_run(seat.job.folder, seat.job.overrides)
        status = seat.job.poll()
        if status is not None:
            self.end(seat, judge(seat.job, status, self.settings.objectives, seat.pruned))
            return
        now = time.monotonic()
        if now - seat.beaten > self.settings.heartbeat:
            seat.beaten = now
            if not seat.stage.ledger.beat(seat.trial):
                self.drop(seat)
                return
        if now - seat.looked > LOOK and seat.pruned is None:
            seat.looked = now
            rows = read_rows(seat.job.folder / "metrics.csv")
            seat.pruned = seat.stage.hopeless(seat.trial, rows)
            if seat.pruned is not None:
                seat.job.stop()

    def end(self, seat: Seat, outcome: Outcome) -> None:
        """Write down what became of a trial, or let it be tried again."""
        ledger = seat.stage.ledger
        if outcome.state is None:
            ledger.release(seat.trial)
            self.say(seat, f"cut short ({outcome.reason}), to be gone on with")
        else:
            known = read_result(seat.job.folder).get("seconds")
            seconds = known if known is not None else time.monotonic() - seat.started
            ledger.finish(
                seat.trial,
                outcome.state,
                outcome.values,
                folder=str(seat.job.folder),
                reason=outcome.reason,
                seconds=seconds,
                labels=list(outcome.labels),
            )
            self.say(seat, told(outcome, seconds))
        self.rise(seat)
        self.asked = -LOOK
        self.report.write()
        self.refuse_the_hopeless(seat.stage, outcome)

    def say(self, seat: Seat, text: str) -> None:
        """A line for each trial."""
        ledger = seat.stage.ledger
        done = sum(trial.state.is_finished() for trial in ledger.trials())
        total = max(seat.stage.wanted, done)
        settings = " ".join(f"{key}={brief(value)}" for key, value in seat.trial.params.items())
        print(f"[{done}/{total}] {seat.stage.name(seat.trial)}: {text}; {settings}", flush=True)

    def refuse_the_hopeless(self, stage: Stage, outcome: Outcome) -> None:
        """Raise RunError where every training fails, which more of them would not change."""
        ended = [trial.state.name for trial in stage.ledger.trials() if trial.state.is_finished()]
        if outcome.state == "FAIL" and set(ended) == {"FAIL"} and len(ended) >= DOOMED:
            raise RunError(
                f"all of the first {len(ended)} trainings failed, the last one so: "
                f"{outcome.reason}; mend that and start another study (study=NAME)"
            )

    def drop(self, seat: Seat) -> None:
        """Leave a trial that another worker has taken over while we were silent."""
        seat.job.stop()
        seat.job.wait(FAREWELL)
        self.rise(seat)
        self.say(seat, "taken over by another worker")

    def rise(self, seat: Seat) -> None:
        """Make room for the next one."""
        self.seats.remove(seat)
        if seat.place is not None:
            seat.place.leave()

    def leave(self) -> None:
        """Let trainings save and end, and others go on with their trials at once."""
        for seat in self.seats:
            seat.job.stop()
        for seat in list(self.seats):
            seat.job.wait(FAREWELL)
            with contextlib.suppress(Exception):  # the database may be what ended us
                seat.stage.ledger.release(seat.trial, counts=False)
            self.rise(seat)

    @contextlib.contextmanager
    def signals(self) -> Any:
        """SIGTERM and Ctrl-C end the worker in good order; a second one at once."""
        before = {n: signal.signal(n, self.note) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def note(self, number: int, frame: Any) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def told(outcome: Outcome, seconds: float) -> str:
    if outcome.state != "COMPLETE":
        word = {"PRUNED": "pruned", "FAIL": "failed"}[str(outcome.state)]
        return f"{word} after {seconds:.0f} s: {outcome.reason}"
    values = zip(outcome.labels, outcome.values or [], strict=True)
    parts = [f"{'FID' if name == 'fid' else name} {value:.4g}" for name, value in values]
    return ", ".join(["finished", *parts, f"{seconds:.0f} s"])
