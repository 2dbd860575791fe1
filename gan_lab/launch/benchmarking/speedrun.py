"""Time to quality: experiments with a fixed budget each, against a tutorial-style loop.

A recipe that lowers its rate over the budget is judged at its end alone: for each budget one run a
seed. Time to a mark is then the smallest budget whose mean FID over the seeds passes it. The
tutorial-style loop has no schedule, so one run a seed serves: its generator is kept at intervals,
and measured when the run is over.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.benchmarking import racers, startup
from gan_lab.launch.benchmarking.marks import TUTORIAL, curve_table, curves, mark_table, marks
from gan_lab.launch.benchmarking.results import Figures, Results, at_least, numbers
from gan_lab.launch.benchmarking.trials import compose

SPLITS = ("test", "validation")
GRID = (
    "A time is the smallest budget that passes; where that is the smallest of all, ≤ says that "
    "less may do. Ratios: of these times; the least that they can be, since the loop passes after "
    "the largest of its times that does not; then of each seed's own, against its own loop where "
    "the loop sets the mark."
)


def check(given: Figures, overrides: list[str]) -> Figures:
    """The settings of this task; UserError where one is wrong, before anything runs."""
    seeds = numbers(given["seeds"], "speedrun.seeds", 0, whole=True)
    if not seeds:
        raise UserError("speedrun.seeds=[] names no run; give at least one seed, as in [0]")
    for key in ("tutorial", "mark_at", "marks"):
        given[key] = numbers(given[key], f"speedrun.{key}", 0)
    if not isinstance(given["budgets"], dict):
        raise UserError(
            "speedrun.budgets must map experiments to seconds, as {speedrun_mnist: [5]}"
        )
    for name, seconds in given["budgets"].items():
        given["budgets"][name] = numbers(seconds or [], f"speedrun.budgets.{name}", 0.1)
        compose(name, *overrides)
    missing = [seconds for seconds in given["mark_at"] if seconds not in given["tutorial"]]
    if given["tutorial"] and missing:
        raise UserError(
            f"speedrun.mark_at={given['mark_at']}: the tutorial-style loop is not measured at "
            f"{missing}; add it to speedrun.tutorial={given['tutorial']}"
        )
    at_least(given["num_images"], "speedrun.num_images", 10)
    for key in ("rate_steps", "startup"):
        at_least(given[key], f"speedrun.{key}", 0)
    if given["split"] not in SPLITS:
        raise UserError(f"speedrun.split={given['split']} must be one of {', '.join(SPLITS)}")
    if given["tutorial"]:
        racers.tutorial()  # is there
    return given


def measure(given: Figures, results: Results) -> Figures:
    """Every run that is missing, seed by seed, so that a drift of the machine meets all alike."""
    figures: Figures = {"settings": given, "runs": [], "rates": []}
    figures["startup"] = first_steps(given, results) if given["startup"] else {}
    for seed in given["seeds"]:
        for name, budgets in given["budgets"].items():
            figures["runs"] += recipe_runs(name, budgets, seed, given, results)
        if given["tutorial"]:
            figures["runs"] += tutorial_runs(seed, given, results)
        if given["tutorial"] and given["rate_steps"]:
            figures["rates"].append(rate(seed, given["rate_steps"], results))
    figures["curves"] = curves(figures["runs"])
    figures["marks"] = marks(figures["curves"], given["marks"], given["mark_at"])
    return figures


def judged(given: Figures) -> Figures:
    """How every racer is measured."""
    return {key: given[key] for key in ("split", "num_images")}


def recipe_runs(
    name: str, budgets: Sequence[float], seed: int, given: Figures, results: Results
) -> list[Figures]:
    """One run for each budget of an experiment."""
    config = plain(name, results)
    runs = []
    for budget in budgets:
        key = {"config": config, "budget": budget, "seed": seed, **judged(given)}
        what = f"{name}-{budget:g}s-seed{seed}"
        found = results.get(what, key, racers.race, name, budget, seed, judged(given))
        runs.append(say({"name": name, "seed": seed, **found}))
    return runs


def tutorial_runs(seed: int, given: Figures, results: Results) -> list[Figures]:
    """One run, its generator kept at several times."""
    times = sorted(given["tutorial"])
    key = {"tutorial": racers.tutorial_hash(), "times": times, "seed": seed, **judged(given)}
    what = f"{TUTORIAL}-{times[-1]:g}s-seed{seed}"
    found = results.get(what, key, racers.race_tutorial, times, seed, judged(given))
    return [say({"name": TUTORIAL, "seed": seed, **point}) for point in found["points"]]


def rate(seed: int, steps: int, results: Results) -> Figures:
    """One round of the comparison in images per second."""
    key = {"tutorial": racers.tutorial_hash(), "steps": steps, "seed": seed}
    key["config"] = plain(racers.DEFAULT, results)
    return results.get(f"rate-seed{seed}", key, racers.rates, steps, seed)


def first_steps(given: Figures, results: Results) -> dict[str, list[float]]:
    """Seconds from the command to the first step of each racer, and of the imports alone."""
    names = [name for name, budgets in given["budgets"].items() if budgets]
    key: Figures = {"configs": {name: plain(name, results) for name in names}}
    if given["tutorial"]:
        names.append(TUTORIAL)
        key["tutorial"] = racers.tutorial_hash()
    names = [startup.IMPORTS, *names]
    key |= {"names": names, "rounds": given["startup"]}
    found = results.get("startup", key, startup.rounds, names, given["startup"])
    return dict(found["seconds"])


def plain(experiment: str, results: Results) -> Any:
    """The whole config of an experiment, for the names of measurements."""
    return OmegaConf.to_container(compose(experiment, *results.overrides), resolve=True)


def say(run: Figures) -> Figures:
    score = "diverged" if run["fid"] is None else f"FID {run['fid']:.3g}"
    print(
        f"{run['name']}, seed {run['seed']}, {run['budget']:g} s: {score}, "
        f"{run['images']:,} images in {run['seconds']:.2f} s",
        flush=True,
    )
    return run


def tables(figures: Figures) -> str:
    parts = ["## Time to quality", __doc__.split("\n\n", 1)[1].strip(), curve_table(figures)]
    parts += [GRID, mark_table(figures)]
    if figures["rates"]:
        parts.append(rate_text(figures["rates"]))
    if figures["startup"]:
        parts.append(startup.report(figures["startup"]))
    return "\n\n".join(parts)


def rate_text(rates: Sequence[Mapping[str, Any]]) -> str:
    ratios = [rate["gan_lab"] / rate["tutorial"] for rate in rates]
    means = {key: statistics.fmean(rate[key] for rate in rates) for key in ("gan_lab", "tutorial")}
    return (
        "Images per second of the tutorial's own networks at its batch of 64: gan_lab "
        f"{means['gan_lab']:,.0f}, the tutorial-style loop {means['tutorial']:,.0f}; "
        f"ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)."
    )
