"""Time to quality: experiments with a fixed budget each, against a tutorial-style loop.

A recipe that lowers its rate over the budget is judged at its end alone: for each budget one run a
seed. Time to a mark is then the smallest budget whose mean FID over the seeds passes it. The
tutorial-style loop has no schedule, so one run a seed serves, measured at intervals.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch.benchmarking import racers
from gan_lab.launch.benchmarking.results import Figures, Results, at_least, numbers, table
from gan_lab.launch.benchmarking.trials import compose

SPLITS = ("test", "validation")
TUTORIAL = "tutorial"


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
    at_least(given["rate_steps"], "speedrun.rate_steps", 0)
    if given["split"] not in SPLITS:
        raise UserError(f"speedrun.split={given['split']} must be one of {', '.join(SPLITS)}")
    if given["tutorial"]:
        racers.tutorial()  # is there
    return given


def measure(given: Figures, results: Results) -> Figures:
    """Every run that is missing, seed by seed, so that a drift of the machine meets all alike."""
    figures: Figures = {"settings": given, "runs": [], "rates": []}
    figures["startup"] = startup(given, results) if given["startup"] else {}
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
    config = OmegaConf.to_container(compose(name, *results.overrides), resolve=True)
    runs = []
    for budget in budgets:
        key = {"config": config, "budget": budget, "seed": seed, **judged(given)}
        what = f"{name}-{budget:g}s-seed{seed}"
        found = results.get(what, key, racers.race, name, budget, seed, judged(given))
        runs.append(say({"name": name, "seed": seed, **found}))
    return runs


def tutorial_runs(seed: int, given: Figures, results: Results) -> list[Figures]:
    """One run, measured at several times."""
    times = sorted(given["tutorial"])
    key = {"tutorial": racers.tutorial_hash(), "times": times, "seed": seed, **judged(given)}
    what = f"{TUTORIAL}-{times[-1]:g}s-seed{seed}"
    found = results.get(what, key, racers.race_tutorial, times, seed, judged(given))
    return [say({"name": TUTORIAL, "seed": seed, **point}) for point in found["points"]]


def rate(seed: int, steps: int, results: Results) -> Figures:
    """One round of the comparison in images per second."""
    key = {"tutorial": racers.tutorial_hash(), "steps": steps, "seed": seed}
    return results.get(f"rate-seed{seed}", key, racers.rates, steps, seed)


def startup(given: Figures, results: Results) -> dict[str, float]:
    """Seconds from the command to the first step, of each racer."""
    names = [name for name, budgets in given["budgets"].items() if budgets]
    names += [TUTORIAL] if given["tutorial"] else []
    found = {
        name: results.get(f"startup-{name}", {"racer": name}, racers.startup, name)
        for name in names
    }
    return {name: figures["seconds"] for name, figures in found.items()}


def say(run: Figures) -> Figures:
    score = "diverged" if run["fid"] is None else f"FID {run['fid']:.3g}"
    print(
        f"{run['name']}, seed {run['seed']}, {run['budget']:g} s: {score}, "
        f"{run['images']:,} images in {run['seconds']:.2f} s",
        flush=True,
    )
    return run


def curves(runs: Sequence[Figures]) -> dict[str, list[Figures]]:
    """Name -> one entry a budget: mean and spread of the FID over seeds, mean images."""
    found: dict[str, list[Figures]] = {}
    for name, budget in sorted({(run["name"], run["budget"]) for run in runs}):
        here = [run for run in runs if (run["name"], run["budget"]) == (name, budget)]
        fids = [run["fid"] for run in here]
        whole = [fid for fid in fids if fid is not None]
        found.setdefault(name, []).append(
            {
                "budget": budget,
                "fid": statistics.fmean(whole) if len(whole) == len(fids) else None,
                "spread": statistics.stdev(whole) if len(whole) > 1 else None,
                "fids": fids,
                "seconds": statistics.fmean(run["seconds"] for run in here),
                "images": statistics.fmean(run["images"] for run in here),
            }
        )
    return found


def first_passing(curve: Sequence[Figures], mark: float) -> Figures | None:
    """The entry of the smallest budget whose mean FID is at the mark or below."""
    return next((e for e in curve if e["fid"] is not None and e["fid"] <= mark), None)


def marks(
    found: Mapping[str, Sequence[Figures]], fixed: Sequence[float], mark_at: Sequence[float]
) -> list[Figures]:
    """Each mark with the seconds and images that every racer needs; None where it never passes."""
    tutorial = {entry["budget"]: entry["fid"] for entry in found.get(TUTORIAL, [])}
    wanted = [(f"tutorial after {s:g} s", tutorial[s]) for s in mark_at if tutorial.get(s)]
    rows = []
    for label, mark in [*wanted, *((f"FID {mark:g}", mark) for mark in fixed)]:
        passing = {name: first_passing(curve, mark) for name, curve in found.items()}
        rows.append({"mark": label, "fid": mark, "racers": {n: at(e) for n, e in passing.items()}})
    return rows


def at(entry: Figures | None) -> Figures | None:
    return None if entry is None else {key: entry[key] for key in ("budget", "seconds", "images")}


def tables(figures: Figures) -> str:
    parts = ["## Time to quality", __doc__.split("\n\n", 1)[1].strip(), curve_table(figures)]
    parts += [mark_table(figures)]
    if figures["rates"]:
        parts.append(rate_text(figures["rates"]))
    if figures["startup"]:
        rows = [[name, f"{seconds:.1f}"] for name, seconds in figures["startup"].items()]
        parts += ["From the command to the first step, not counted above:"]
        parts += [table(["racer", "seconds"], rows)]
    return "\n\n".join(parts)


def curve_table(figures: Figures) -> str:
    rows = []
    for name, curve in figures["curves"].items():
        for entry in curve:
            fid = "diverged" if entry["fid"] is None else f"{entry['fid']:.3g}"
            spread = "" if entry["spread"] is None else f" ± {entry['spread']:.2g}"
            images = f"{entry['images']:,.0f}"
            rate = f"{entry['images'] / entry['seconds']:,.0f}"
            seeds = len(entry["fids"])
            rows.append([name, f"{entry['budget']:g}", fid + spread, seeds, images, rate])
    return table(["racer", "seconds", "FID", "seeds", "images seen", "images/s"], rows)


def mark_table(figures: Figures) -> str:
    names, rows = list(figures["curves"]), []
    for row in figures["marks"]:
        slow = row["racers"].get(TUTORIAL)
        cells = [reached(row["racers"][name], slow, name) for name in names]
        rows.append([row["mark"], f"{row['fid']:.3g}", *cells])
    return table(["mark", "FID", *names], rows)


def reached(entry: Figures | None, slow: Figures | None, name: str) -> str:
    """Seconds and images to a mark, and how many times sooner than the tutorial-style loop."""
    if entry is None:
        return "not reached"
    text = f"{entry['budget']:g} s, {entry['images']:,.0f} images"
    if slow is None or name == TUTORIAL:
        return text
    return f"{text} ({slow['budget'] / entry['budget']:.1f} times sooner)"


def rate_text(rates: Sequence[Mapping[str, Any]]) -> str:
    ratios = [rate["gan_lab"] / rate["tutorial"] for rate in rates]
    means = {key: statistics.fmean(rate[key] for rate in rates) for key in ("gan_lab", "tutorial")}
    return (
        "Images per second of the tutorial's own networks at its batch of 64: gan_lab "
        f"{means['gan_lab']:,.0f}, the tutorial-style loop {means['tutorial']:,.0f}; "
        f"ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)."
    )
