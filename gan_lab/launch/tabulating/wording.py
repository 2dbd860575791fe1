"""What a table's figures are and where they come from, in words."""

from typing import Any

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.tabulating.plan import Plan

Figures = dict[str, Any]


def protocol(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    """What the figures are, in a few sentences, and what made them."""
    card = next(row["card"] for rows in groups.values() for row in rows if row["metrics"])
    budget = "the recipe's own epochs" if plan.seconds is None else f"{plan.seconds:g} seconds"
    done = {len([row for row in rows if row["metrics"]]) for rows in groups.values()}
    seeds = f"{min(done)} to {max(done)}" if len(done) > 1 else f"{max(done)}"
    return (
        f"Each run has {budget}; {seeds} seeds of each, mean ± standard deviation. *Last* is the "
        f"end of a run: {card['num_fake']:,} samples of the averaged generator against "
        f"{card['num_real']:,} of {card['data']} ({card['split']}). *Best* is the moment of the "
        f"curve ({plan.curve_images:,} samples a point) that {chooser(groups)}, then measured like "
        "the last. Ranks compare the last by t tests on logarithms with one pooled deviation, as "
        "if all recipes spread alike, Holm-corrected at 5 %: in brackets the places that chance "
        f"may as well have given. {machines(groups)}\n\n```\npython -m gan_lab.bench_zoo "
        f"table={plan.name}{placed(groups)}\n```"
    )


def chooser(groups: dict[str, list[Figures]]) -> str:
    """What decides which moment is the best."""
    metrics = {name for rows in groups.values() for row in rows for name in row["metrics"]}
    known = "modes" in metrics
    return "its own modes prefer" if known else "the validation part prefers"


def machines(groups: dict[str, list[Figures]]) -> str:
    """Where the runs were, as each of them noted it, and how many at once."""
    rows = [row for rows in groups.values() for row in rows if row["metrics"]]
    told = sorted({row["machine"] for row in rows})
    at_once = sorted({row["placement"].get("at_once") for row in rows} - {None})
    told += [f"{count} runs at once." for count in at_once if count > 1]
    return " ".join(told)


def placed(groups: dict[str, list[Figures]]) -> str:
    """The arguments that place runs as these were placed."""
    rows = [row for rows in groups.values() for row in rows if row["placement"]]
    found = {(row["placement"]["at_once"], row["placement"]["threads"]) for row in rows}
    return "".join(f" jobs={jobs} threads={threads}" for jobs, threads in sorted(found)[:1])


def published(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    told = [[f"`{name}`", said] for name, said in plan.published.items() if name in groups]
    if not told:
        return ""
    return f"Published, by another ruler each:\n\n{table(['recipe', 'figure'], told)}"
