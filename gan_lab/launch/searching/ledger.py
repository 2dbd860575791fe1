"""A study that many workers share: who works on which trial, and what became of it.

A trial is run by one worker at a time. It writes a heartbeat; when that stops, another worker
takes the trial over where it stands, so none is lost and none is run twice. No clock is compared
with another machine's: a heartbeat has stopped when it has not changed for `grace` seconds of ours.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gan_lab.data.seeds import mix
from gan_lab.launch.searching import owners
from gan_lab.launch.searching.space import Space
from gan_lab.launch.searching.turns import Turn

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

OWNER, BEAT, POINT = "owner", "beat", "point"
TRIES, SEEN = "tries", "images_seen"  # since a try came further, and how far that was


class Ledger:
    """One Optuna study with its workers.

    Args:
        turn: entered to decide what is done next, by one worker at a time.
        space: of its trials.
        grace: seconds without a heartbeat after which a trial is taken over.
    """

    def __init__(
        self,
        study: "Study",
        turn: Turn,
        space: Space,
        sampler: Callable[[int], "BaseSampler"],
        grace: float,
    ) -> None:
        self.study = study
        self.turn = turn
        self.space = space
        self.sampler = sampler
        self.grace = grace
        self.me = owners.myself()
        self.mine: dict[int, Trial] = {}  # by number
        self.seen: dict[int, tuple[Any, float]] = {}  # heartbeats, and since when by our clock

    def trials(self) -> list["FrozenTrial"]:
        return self.study.get_trials(deepcopy=False)

    def is_over(self, wanted: int) -> bool:
        """Whether all of them have ended."""
        trials = self.trials()
        return len(trials) >= wanted and all(trial.state.is_finished() for trial in trials)

    def claim(self, wanted: int) -> "Trial | None":
        """A trial to run: one whose worker is gone, one that waits, or a new one.

        None where all `wanted` ones are finished or run elsewhere.
        """
        with self.turn:
            trials = self.trials()
            lost = next((t for t in trials if self.is_abandoned(t)), None)
            waiting = any(t.state.name == "WAITING" for t in trials)
            if lost is None and not waiting and len(trials) >= wanted:
                return None
            number = len(trials) if lost is None else lost.number
            self.study.sampler = self.sampler(mix(number))  # no two trials are drawn alike
            trial = self.study.ask() if lost is None else self.handle(lost)
            self.take(trial)
        self.mine[trial.number] = trial  # where the turn failed at its end, it is taken again
        return trial

    def handle(self, trial: "FrozenTrial") -> "Trial":
        from optuna import Trial

        return Trial(self.study, trial._trial_id)

    def take(self, trial: "Trial") -> None:
        """Make it ours; what a killed worker had not chosen yet is chosen now."""
        trial.set_user_attr(OWNER, self.me)
        trial.set_user_attr(TRIES, trial.user_attrs.get(TRIES, 0) + 1)
        for key, parameter in self.space.items():
            parameter.suggest(trial, key)
        self.beat(trial)

    def cut_short(self, trial: "Trial", images_seen: int) -> int:
        """How many tries in a row were cut short before they came further than the ones before."""
        if images_seen > trial.user_attrs.get(SEEN, 0):
            trial.set_user_attr(SEEN, images_seen)
            trial.set_user_attr(TRIES, 1)
        return int(trial.user_attrs[TRIES]) - 1

    def is_abandoned(self, trial: "FrozenTrial") -> bool:
        """Whether a running trial has no living worker."""
        if trial.state.name != "RUNNING" or trial.number in self.mine:
            return False
        owner = trial.user_attrs.get(OWNER)
        if owner is not None and (owner == self.me or owners.is_dead(owner)):
            return True
        if owner is None and TRIES in trial.user_attrs:
            return True  # let go by a worker that was told to stop
        beat, now = (owner, trial.user_attrs.get(BEAT)), time.monotonic()
        known, since = self.seen.get(trial.number, (None, now))
        if known != beat:
            self.seen[trial.number] = (beat, now)
            return False
        return now - since > self.grace

    def beat(self, trial: "Trial") -> bool:
        """Say that we are alive; False where another worker has taken the trial over."""
        if self.lost(trial):
            self.mine.pop(trial.number, None)
            return False
        trial.set_user_attr(BEAT, trial.user_attrs.get(BEAT, 0) + 1)
        return True

    def lost(self, trial: "Trial") -> bool:
        """Whether we were silent for so long that the trial is another's, or finished, by now."""
        now = self.study._storage.get_trial(trial._trial_id)
        return now.state.is_finished() or now.user_attrs.get(OWNER) != self.me

    def finish(self, trial: "Trial", state: str, values: list[float] | None, **notes: Any) -> None:
        """Write down what became of it, unless another worker has done so."""
        from optuna.trial import TrialState

        if not self.lost(trial):
            for name, value in notes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial.number, values, state=TrialState[state], skip_if_finished=True)
        self.mine.pop(trial.number, None)

    def release(self, trial: "Trial", counts: bool = True) -> None:
        """Let another worker go on with it at once; a stop that was asked for is not a try."""
        if not self.lost(trial):
            if not counts:
                trial.set_user_attr(TRIES, trial.user_attrs[TRIES] - 1)
            trial.set_user_attr(OWNER, None)
        self.mine.pop(trial.number, None)

    def enqueue(self, points: Iterable[dict[str, Any]]) -> None:
        """Let these points be run, each once, whoever asks for it however often."""
        with self.turn:
            known = [trial.user_attrs.get(POINT) for trial in self.trials()]
            for point in points:
                self.turn.touch()
                if point not in known:
                    self.study.enqueue_trial(point, user_attrs={POINT: point})
