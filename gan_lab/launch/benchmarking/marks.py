"""From runs to times: the budget with which each racer passes a mark, and what that is worth.

A racer is known at its budgets alone, so every time to a mark is rounded up to one of them: it
passed after the largest budget before, with which it did not. What passes with the smallest stands
behind a ≤. A ratio of two such times comes with the least that it can be.
"""

import statistics
from collections.abc import Mapping, Sequence

from gan_lab.launch.benchmarking.results import Figures, table

TUTORIAL = "tutorial"


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
                "fids": {str(run["seed"]): run["fid"] for run in here},
                "seconds": statistics.fmean(run["seconds"] for run in here),
                "images": statistics.fmean(run["images"] for run in here),
            }
        )
    return found


def first_passing(curve: Sequence[Figures], mark: float) -> Figures | None:
    """The entry of the smallest budget whose mean FID is at the mark or below."""
    return next((e for e in curve if e["fid"] is not None and e["fid"] <= mark), None)


def by_seed(curve: Sequence[Figures], wanted: Mapping[str, float]) -> dict[str, float | None]:
    """The smallest budget with which each seed's own FID passes what is wanted of this seed."""
    found: dict[str, float | None] = {}
    for entry in curve:
        for seed, fid in entry["fids"].items():
            passes = fid is not None and fid <= wanted[seed]
            found[seed] = found.get(seed) or (entry["budget"] if passes else None)
    return found


def marks(
    found: Mapping[str, Sequence[Figures]], fixed: Sequence[float], mark_at: Sequence[float]
) -> list[Figures]:
    """Each mark with the seconds and images that every racer needs; None where it never passes.

    A mark that the tutorial-style loop sets is, of each seed, what its own loop has.
    """
    tutorial = {entry["budget"]: entry for entry in found.get(TUTORIAL, [])}
    set_by = [(f"tutorial after {s:g} s", tutorial[s]) for s in mark_at if s in tutorial]
    wanted = [(label, entry["fid"], entry["fids"]) for label, entry in set_by if entry["fid"]]
    rows = []
    for label, mark, own in [*wanted, *((f"FID {mark:g}", mark, {}) for mark in fixed)]:
        racers = {name: passing(curve, mark, own) for name, curve in found.items()}
        rows.append({"mark": label, "fid": mark, "racers": racers})
    return rows


def passing(
    curve: Sequence[Figures], mark: float, own: Mapping[str, float] | None = None
) -> Figures | None:
    """When the mean passes, with which budget it did not yet, and when each seed passes.

    Args:
        curve: one entry a budget, in their order.
        mark: for the mean over the seeds.
        own: of each seed, instead of `mark`.
    """
    entry = first_passing(curve, mark)
    if entry is None:
        return None
    kept = {key: entry[key] for key in ("budget", "seconds", "images")}
    place = curve.index(entry)
    before = curve[place - 1]["budget"] if place else 0
    wanted = {seed: mark for each in curve for seed in each["fids"]} | dict(own or {})
    return {**kept, "before": before, "by_seed": by_seed(curve, wanted)}


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
    """Seconds and images to a mark, and how many times sooner than the tutorial-style loop.

    The loop's time lies above its largest budget that did not pass, ours at or below the one that
    did: their quotient is the least that the ratio can be.
    """
    if entry is None:
        return "not reached"
    bound = "" if entry["before"] else "≤ "
    text = f"{bound}{entry['budget']:g} s, {entry['images']:,.0f} images"
    if slow is None or name == TUTORIAL or not slow["before"]:
        return text
    ratio, least = (slow[key] / entry["budget"] for key in ("budget", "before"))
    seeds = spread_of_seeds(entry, slow)
    return f"{text} ({ratio:.1f} times sooner, at least {least:.1f}{seeds})"


def spread_of_seeds(entry: Figures, slow: Figures) -> str:
    """The ratios of the seeds with which both racers pass, each seed by its own FIDs."""
    seeds = entry["by_seed"].keys() & slow["by_seed"].keys()
    pairs = [(slow["by_seed"][seed], entry["by_seed"][seed]) for seed in seeds]
    ratios = [a / b for a, b in pairs if a and b]
    if len(seeds) < 2 or not ratios:
        return ""
    spread = f"; {min(ratios):.1f} to {max(ratios):.1f}"
    missing = len(seeds) - len(ratios)
    return f"{spread}, {len(seeds)} seeds" + (f", of which {missing} never passed" * bool(missing))
