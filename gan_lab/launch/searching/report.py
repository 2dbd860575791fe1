"""study.json: all that a study knows, renewed after each trial; and the table at its end."""

import json
import shlex
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lab import RunError
from gan_lab.launch.runs import finite, write_text
from gan_lab.launch.searching import space as spaces
from gan_lab.launch.searching.settings import Settings
from gan_lab.launch.searching.stages import Finalists, Trials, best

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
STATES |= {"RUNNING": "running", "WAITING": "waiting"}
Entry = dict[str, Any]


class Report:
    """What is told of a study.

    Args:
        storage: its address, without a password.
        command: of the search.
    """

    def __init__(
        self,
        settings: Settings,
        trials: Trials,
        finalists: Finalists,
        storage: str,
        command: list[str],
    ) -> None:
        self.settings = settings
        self.trials = trials
        self.finalists = finalists
        self.storage = storage
        self.command = command

    def write(self) -> Entry:
        """Write study.json and return what is in it."""
        trials = self.trials.ledger.trials()
        finalists = self.ranked(trials)
        content: Entry = {
            "name": self.settings.name,
            "storage": self.storage,
            "search": shlex.join(self.command),
            "metrics": self.labels(trials),
            "directions": list(self.settings.objectives.values()),
            "trials": [entry(trial) for trial in trials],
            "finalists": finalists,
            "best": self.best(trials, finalists),
        }
        content["command"] = self.repeat(content["best"])
        text = json.dumps(finite(content), indent=2, allow_nan=False)
        try:
            self.settings.output.mkdir(parents=True, exist_ok=True)
            write_text(self.settings.output / "study.json", text + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self.settings.output}/study.json: {error}") from error
        return content

    def labels(self, trials: list["FrozenTrial"]) -> list[str]:
        """The objectives' names; `metric` becomes what it stands for once that is known."""
        told = [t.user_attrs["labels"] for t in trials if t.user_attrs.get("labels")]
        return list(told[0]) if told else list(self.settings.objectives)

    def ranked(self, trials: list["FrozenTrial"]) -> list[Entry]:
        """The finalists by the mean of the first objective; one that failed in a seed is last."""
        runs: dict[int, list[FrozenTrial]] = {}
        for run in self.finalists.ledger.trials():
            number = run.user_attrs["point"]["trial"]
            runs.setdefault(number, []).append(run)
        found = [finalist(trials[number], mine) for number, mine in runs.items()]
        sign = 1 if next(iter(self.settings.objectives.values())) == "minimize" else -1

        def cost(entry: Entry) -> tuple[bool, float]:
            mean = entry["mean"][0] if isinstance(entry["mean"], list) else entry["mean"]
            return (mean is None, 0.0 if mean is None else sign * mean)

        return sorted(found, key=cost)

    def best(self, trials: list["FrozenTrial"], finalists: list[Entry]) -> Entry | None:
        """The finalist of the best mean; without finalists the best trial."""
        if finalists and finalists[0]["mean"] is not None:
            return finalists[0]
        first = best(trials, self.settings)[:1]
        return entry(first[0]) if first else None

    def repeat(self, found: Entry | None) -> str | None:
        """The command of a training with the best settings."""
        if found is None:
            return None
        given = [*self.settings.fixed, *spaces.overrides(found["params"])]
        return shlex.join(["python", "-m", "gan_lab.train", *given])


def entry(trial: "FrozenTrial") -> Entry:
    known = trial.user_attrs
    return {
        "number": trial.number,
        "state": STATES[trial.state.name],
        "values": trial.values if trial.state.name == "COMPLETE" else None,
        "params": trial.params,
        "folder": name_of(known.get("folder")),
        "reason": known.get("reason", ""),
        "seconds": known.get("seconds"),
    }


def finalist(trial: "FrozenTrial", runs: list["FrozenTrial"]) -> Entry:
    """One trial over its seeds; of several objectives every figure is a list."""
    done = [run for run in runs if run.state.name == "COMPLETE"]
    columns = list(zip(*(run.values for run in done), strict=True))
    whole = len(done) == len(runs)
    mean = [statistics.fmean(column) for column in columns] if whole else None
    spread = [statistics.stdev(c) if len(c) > 1 else None for c in columns] if whole else None
    single = len(trial.values) == 1
    return {
        "number": trial.number,
        "params": trial.params,
        "seeds": [run.user_attrs["point"]["seed"] for run in runs],
        "values": [run.values[0] if single else run.values for run in done],
        "mean": mean[0] if mean and single else mean,
        "std": spread[0] if spread and single else spread,
        "states": [STATES[run.state.name] for run in runs],
        "folders": [name_of(run.user_attrs.get("folder")) for run in runs],
    }


def name_of(folder: str | None) -> str | None:
    """Within the study's folder, which may be moved."""
    return None if folder is None else Path(folder).name


def table(content: Entry) -> str:
    """The finalists, best first, or the best trials where there are none."""
    names = ", ".join(content["metrics"])
    if not content["best"]:
        return "no trial was complete"
    if not content["finalists"]:
        found = content["best"]
        return f"best: trial {found['number']}, {names} {figures(found['values'])}"
    lines = [f"finalists by the mean of {names}:"]
    for place in content["finalists"]:
        mean, std = figures(place["mean"]), figures(place["std"])
        count = f"{len(place['values'])} of {len(place['seeds'])} seeds"
        settings = " ".join(f"{k}={spaces.brief(v)}" for k, v in place["params"].items())
        lines.append(f"  {mean} ± {std} ({count}), trial {place['number']}: {settings}")
    return "\n".join(lines)


def figures(values: Any) -> str:
    listed = values if isinstance(values, list) else [values]
    return ", ".join("?" if value is None else f"{value:.4g}" for value in listed)
