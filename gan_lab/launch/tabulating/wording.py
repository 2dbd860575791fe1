"""What a table's figures are and where they come from, in words."""

from collections.abc import Sequence
from typing import Any

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.tabulating.plan import Plan

Figures = dict[str, Any]
FEW = 9  # runs that are named
RANKS = (
    "Ranks go by geometric means of the last, compared by t tests on logarithms with one pooled "
    "deviation, as if all recipes spread alike, Holm-corrected at 5 %: in brackets the places that "
    "chance may as well give."
)
OWN_FLOORS = (
    "In brackets after a figure: what real images score, those that the run learnt from (as many "
    "as it had, so few of them reach less), and with metrics of memorisation such as it never saw."
)


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
        lacking(plan, groups),
    ]
    command = ["python -m gan_lab.bench_zoo", f"table={plan.name}", *placed(groups), *plan.changes]
    return f"{' '.join(part for part in parts if part)}\n\n```\n{' '.join(command)}\n```"


def lacking(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    """The runs without a result: not trained to their end, not measured, or failed."""
    there = {(row["recipe"], row["seed"]) for rows in groups.values() for row in rows}
    gone = [job.name for job in plan.jobs() if (job.recipe, job.seed) not in there]
    if len(gone) > FEW:
        return f"**Without a result: {len(gone)} of {len(plan.jobs())} runs.**"
    return f"**Without a result: {', '.join(sorted(gone))}.**" if gone else ""


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
    """Where the runs were measured, as each of them noted it, and how they were placed."""
    told = sorted({row["machine"] for row in rows})
    places = placements(rows)
    if len(places) == 1 and (at_once := places[0][0]) > 1:
        told.append(f"{at_once} runs at once.")
    if len(places) > 1:
        said = ", ".join(f"jobs={jobs} threads={threads}" for jobs, threads in places)
        told.append(f"**Runs were placed differently ({said}): rates do not compare.**")
    return " ".join(told)


def placements(rows: Sequence[Figures]) -> list[tuple[int, int]]:
    """How many runs at once with how many threads each, every one that there was."""
    placed = [row["placement"] for row in rows if row["placement"]]
    return sorted({(place["at_once"], place["threads"]) for place in placed})


def placed(groups: dict[str, list[Figures]]) -> list[str]:
    """The arguments that place runs as these were placed."""
    places = placements([row for rows in groups.values() for row in rows])
    return [f"jobs={jobs} threads={threads}" for jobs, threads in places[:1]]


def published(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    told = [[f"`{name}`", said] for name, said in plan.published.items() if name in groups]
    if not told:
        return ""
    return f"{plan.published_by}\n\n{table(['recipe', 'published'], told)}"
