"""What a table's figures are and where they come from, in words."""

from collections.abc import Sequence
from typing import Any

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.tabulating.plan import Plan

Figures = dict[str, Any]
RANKS = (
    "Ranks compare the last by t tests on logarithms with one pooled deviation, as if all recipes "
    "spread alike, Holm-corrected at 5 %: in brackets the places that chance may as well give."
)
OWN_FLOORS = "In brackets after a figure: what real images that the run has not seen score."


def protocol(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    """What the figures are, in a few sentences, and what made them."""
    rows = [row for found in groups.values() for row in found if row["metrics"]]
    done = {len([row for row in rows if row["recipe"] == name]) for name in groups}
    parts = [
        f"{seeds(plan, done)} {ending(rows)}",
        f"*Best* is the moment of the curve ({plan.curve_images:,} samples a point) that "
        f"{chooser(groups)}, then measured like the last{', which it always was' * at_end(rows)}.",
        RANKS if max(done) > 1 else "One seed proves nothing about the order.",
        OWN_FLOORS if len({row["card"].get("num_train") for row in rows}) > 1 else "",
        machines(rows),
    ]
    command = ["python -m gan_lab.bench_zoo", f"table={plan.name}", *placed(groups), *plan.changes]
    return f"{' '.join(part for part in parts if part)}\n\n```\n{' '.join(command)}\n```"


def seeds(plan: Plan, done: set[int]) -> str:
    budget = "the recipe's own epochs" if plan.seconds is None else f"{plan.seconds:g} seconds"
    if max(done) == 1:
        return f"Each run has {budget}; one seed."
    count = f"{min(done)} to {max(done)}" if len(done) > 1 else f"{max(done)}"
    return f"Each run has {budget}; {count} seeds of each, mean ± standard deviation."


def ending(rows: Sequence[Figures]) -> str:
    """What the end of a run is measured by."""
    card = rows[0]["card"]
    return (
        f"*Last* is the end of a run: {card['num_fake']:,} samples of its averaged generator (of "
        f"the plain one where it averages none) against {card['num_real']:,} of {card['data']} "
        f"({card['split']})."
    )


def at_end(rows: Sequence[Figures]) -> bool:
    return all(row["best"]["at"] == "last" for row in rows)


def chooser(groups: dict[str, list[Figures]]) -> str:
    """What decides which moment is the best."""
    metrics = {name for rows in groups.values() for row in rows for name in row["metrics"]}
    known = "modes" in metrics
    return "its own modes prefer" if known else "the validation part prefers"


def machines(rows: Sequence[Figures]) -> str:
    """Where the runs were measured, as each of them noted it, and how many were trained at once."""
    told = sorted({row["machine"] for row in rows})
    at_once = sorted({row["placement"].get("at_once") for row in rows} - {None})
    told += [f"{count} runs at once." for count in at_once if count > 1]
    return " ".join(told)


def placed(groups: dict[str, list[Figures]]) -> list[str]:
    """The arguments that place runs as these were placed."""
    rows = [row for rows in groups.values() for row in rows if row["placement"]]
    found = {(row["placement"]["at_once"], row["placement"]["threads"]) for row in rows}
    return [f"jobs={jobs} threads={threads}" for jobs, threads in sorted(found)[:1]]


def published(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    told = [[f"`{name}`", said] for name, said in plan.published.items() if name in groups]
    if not told:
        return ""
    return f"{plan.published_by}\n\n{table(['recipe', 'published'], told)}"
