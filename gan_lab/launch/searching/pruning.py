"""When a training is not worth going on with."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gan_lab.launch.searching.settings import Settings

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner

Rows = Sequence[Mapping[str, str]]


def pruner(settings: Settings) -> "BasePruner":
    """Compares a trial's best value so far with what the others had at the same measurement."""
    from optuna.pruners import NopPruner, PercentilePruner

    rule = settings.pruning
    if rule is None or rule.percentile is None or len(settings.objectives) > 1:
        return NopPruner()
    return PercentilePruner(
        rule.percentile, n_startup_trials=rule.startup, n_warmup_steps=rule.warmup
    )


def verdict(rows: Rows, names: Sequence[str]) -> str | None:
    """What the run's own monitor says now, where that is one of these."""
    for name in names:
        said = [row[key] for row in rows if row.get(key := f"verdict/{name}")]
        if said and float(said[-1]) == 1:
            return f"the doctor says: {name.replace('_', ' ')}"
    return None


def measured(rows: Rows, settings: Settings, objective: str) -> list[float]:
    """The values that an objective has had so far."""
    columns = {key: True for row in rows for key, value in row.items() if value}
    column = settings.column(objective, columns)
    return [float(row[column]) for row in rows if column and row.get(column)]


def hopeless(trial: "Trial", rows: Rows, settings: Settings) -> str | None:
    """Why the training should end now; None where it should go on.

    Tells the study what was measured, which is what other trials are compared with.
    """
    if settings.pruning is None:
        return None
    if (said := verdict(rows, settings.pruning.verdicts)) is not None:
        return said
    for objective in settings.objectives:
        values = measured(rows, settings, objective)
        if any(math.isnan(value) for value in values):
            return f"{objective} is not a number"
    if len(settings.objectives) > 1:
        return None
    known = trial.study._storage.get_trial(trial._trial_id).intermediate_values
    for step, value in enumerate(values):
        if step not in known:
            trial.report(value, step)
    if len(values) > len(known) and trial.should_prune():
        at = f"{objective} {values[-1]:.4g} at measurement {len(values)}"
        return f"{at} is not among the best {settings.pruning.percentile:g} % of the others"
    return None
