"""The two parts of a search: its trials, then the best of them over several seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lab.data.seeds import mix
from gan_lab.launch.searching import space as spaces
from gan_lab.launch.searching.ledger import Ledger
from gan_lab.launch.searching.pruning import Rows, hopeless
from gan_lab.launch.searching.samplers import SAMPLERS
from gan_lab.launch.searching.settings import Settings
from gan_lab.launch.searching.space import Range
from gan_lab.launch.searching.turns import Turn

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

LARGEST = 2**53  # any trial's number, any seed


class Trials:
    """The search itself."""

    def __init__(self, settings: Settings, study: "Study", turn: Turn) -> None:
        self.settings = settings
        points = spaces.grid(settings.space) if settings.sampler == "grid" else []
        self.wanted = len(points) or settings.trials
        self.points = points

        def sampler(number: int) -> Any:
            return SAMPLERS[settings.sampler](mix(settings.seed, number) % 2**32, self.wanted)

        self.ledger = Ledger(study, turn, settings.space, sampler, settings.grace)

    def prepare(self) -> bool:
        """Put what is fixed beforehand into the study."""
        self.ledger.enqueue(self.points)
        return True

    def hopeless(self, trial: "Trial", rows: Rows) -> str | None:
        return hopeless(trial, rows, self.settings)

    def folder(self, trial: "Trial") -> Path:
        return self.settings.output / f"trial_{trial.number:04}"

    def overrides(self, trial: "Trial | FrozenTrial") -> list[str]:
        values = {key: trial.params[key] for key in self.settings.space}
        return [*self.settings.fixed, *spaces.overrides(values)]

    def name(self, trial: "Trial") -> str:
        return f"trial {trial.number}"


class Finalists:
    """The best trials once for each seed: one seed lies."""

    def __init__(self, settings: Settings, study: "Study", turn: Turn, trials: Trials) -> None:
        self.settings = settings
        self.trials = trials
        self.wanted = 0
        space: spaces.Space = {name: Range(0, LARGEST) for name in ("trial", "seed")}
        self.ledger = Ledger(study, turn, space, lambda _: SAMPLERS["random"](0, 1), settings.grace)

    def prepare(self) -> bool:
        chosen = best(self.trials.ledger.trials(), self.settings)[: self.settings.finalists]
        points = [{"trial": t.number, "seed": s} for s in self.settings.seeds for t in chosen]
        self.ledger.enqueue(points)
        self.wanted = len(self.ledger.trials())
        return True

    def hopeless(self, trial: "Trial", rows: Rows) -> str | None:
        return None  # it has shown its worth, and a mean needs all seeds

    def folder(self, trial: "Trial") -> Path:
        number, seed = trial.params["trial"], trial.params["seed"]
        return self.settings.output / f"finalist_{number:04}_seed_{seed}"

    def overrides(self, trial: "Trial") -> list[str]:
        chosen = self.trials.ledger.trials()[trial.params["trial"]]
        given = self.trials.overrides(chosen)
        return [*(o for o in given if not o.startswith("seed=")), f"seed={trial.params['seed']}"]

    def name(self, trial: "Trial") -> str:
        return f"finalist {trial.params['trial']}, seed {trial.params['seed']}"


Stage = Trials | Finalists


def best(trials: list["FrozenTrial"], settings: Settings) -> list["FrozenTrial"]:
    """The complete trials, best first; of several objectives those that none beats in all."""
    signs = [1 if d == "minimize" else -1 for d in settings.objectives.values()]
    done = [t for t in trials if t.state.name == "COMPLETE" and t.values is not None]

    def costs(trial: "FrozenTrial") -> list[float]:
        return [sign * value for sign, value in zip(signs, trial.values, strict=True)]

    def beaten(trial: "FrozenTrial") -> bool:
        return any(
            all(a <= b for a, b in zip(costs(other), costs(trial), strict=True))
            and costs(other) != costs(trial)
            for other in done
        )

    if len(signs) > 1:
        done = [trial for trial in done if not beaten(trial)]
    return sorted(done, key=costs)
