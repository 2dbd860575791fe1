"""A table's Markdown: a line a recipe, what it was measured by, and the curve at equal times."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.tabulating.plan import Plan
from gan_lab.launch.tabulating.ranking import Rank, rank
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER

Figures = dict[str, Any]
NUMBERS: dict[str, Callable[[float], str]] = {
    "precision": "{:.2f}".format,
    "recall": "{:.2f}".format,
    "density": "{:.2f}".format,
    "coverage": "{:.2f}".format,
    "confirmed_labels": "{:.1%}".format,
    "modes": "{:.0f}".format,
}


def markdown(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    """The tables of all recipes."""
    first = plan.rank_by
    ranks = ranked(groups, first)
    order = sorted(groups, key=lambda name: ranks[name].place if name in ranks else math.inf)
    measured = next(row for rows in groups.values() for row in rows if row["metrics"])
    names = [name for name in measured["metrics"] if name != first]
    extra = ["confirmed_labels"] if knows_labels(groups) else []
    names = [name for name in names if name not in extra] + extra
    columns = ["rank", "recipe", f"{first}, last", f"{first}, best"]
    columns += [f"{first} at {count:,} images" for count in plan.images] + names
    columns += ["images seen", "images/s", "weights", "doctor"]
    lines = [line(plan, name, groups[name], ranks.get(name), first, names) for name in order]
    lines += [anchors(columns, measured, kind, first, names) for kind in ("floor", "ceiling")]
    parts = [protocol(plan, groups, measured), table(columns, lines)]
    parts += [equal_times(plan, groups, order)] if plan.shares else []
    parts += [further(groups, order)] if plan.two_sample or plan.recovery else []
    if plan.published:
        told = [[f"`{k}`", v] for k, v in plan.published.items() if k in groups]
        parts.append("Published, by other rulers:\n\n" + table(["recipe", "figure"], told))
    return "\n\n".join(part for part in parts if part)


def protocol(plan: Plan, groups: dict[str, list[Figures]], measured: Figures) -> str:
    """What the figures are, in a few sentences, and what made them."""
    card = measured["card"]
    budget = "the recipe's own epochs" if plan.seconds is None else f"{plan.seconds:g} seconds"
    done = {len([row for row in rows if row["metrics"]]) for rows in groups.values()}
    seeds = f"{min(done)} to {max(done)}" if len(done) > 1 else f"{max(done)}"
    return (
        f"Each run has {budget}; {seeds} seeds of each, mean ± standard deviation. *Last* is the "
        f"end of a run: {card['num_fake']:,} images of the averaged generator against "
        f"{card['num_real']:,} {card['split']} images of {card['data']}. *Best* is the moment of "
        f"the curve ({plan.curve_images:,} images a point) that the validation part prefers, then "
        "measured like the last. Ranks compare the last by t tests on logarithms with a pooled "
        "deviation, Holm-corrected at 5 %: in brackets the places that chance may as well have "
        f"given. {machines(groups)} `python -m gan_lab.bench_zoo "
        f"table={plan.name}`"
    )


def machines(groups: dict[str, list[Figures]]) -> str:
    """Where the runs were, as each of them noted it."""
    rows = [row for rows in groups.values() for row in rows if row["metrics"]]
    return " ".join(sorted({row["machine"] for row in rows}))


def ranked(groups: dict[str, list[Figures]], first: str) -> dict[str, Rank]:
    """Ranks of the recipes none of whose runs diverged, and whose figures are all positive."""
    scores = {name: values(rows, first) for name, rows in groups.items()}
    whole = {
        name: found
        for name, found in scores.items()
        if len(found) == len(groups[name]) and min(found) > 0
    }
    if first in LOWER_IS_BETTER:
        return rank(whole)
    return rank({name: [1 / value for value in found] for name, found in whole.items()})


def values(rows: Sequence[Figures], name: str) -> list[float]:
    found = [row["metrics"].get(name, {}).get("value") for row in rows]
    return [value for value in found if value is not None]


def knows_labels(groups: dict[str, list[Figures]]) -> bool:
    return any("confirmed_labels" in row["metrics"] for rows in groups.values() for row in rows)


def line(
    plan: Plan, name: str, rows: list[Figures], place: Rank | None, first: str, names: list[str]
) -> list[str]:
    """A recipe's line."""
    measured = [row for row in rows if row["metrics"]]
    diverged = len(rows) - len(measured)
    cells = [str(place or ""), f"`{name}`" + (f" ({diverged} diverged)" if diverged else "")]
    cells += [mean(values(rows, first), first)]
    cells += [mean([row["best"][first] for row in measured], first)]
    cells += [mean(at_images(measured, count, first), first) for count in plan.images]
    cells += [mean(values(rows, metric), metric) for metric in names]
    seen = [row["images_seen"] for row in rows]
    rates = [row["images_seen"] / row["seconds"] for row in rows if row["seconds"]]
    weights = f"{sum(measured[0]['parameters'].values()):,}" if measured else ""
    told = sorted({verdict for row in measured for verdict in row["verdicts"]})
    return [
        *cells,
        f"{statistics.fmean(seen):,.0f}",
        f"{statistics.fmean(rates):,.0f}" if rates else "",
        weights,
        ", ".join(told),
    ]


def anchors(
    columns: list[str], measured: Figures, kind: str, first: str, names: list[str]
) -> list[str]:
    """The line of a perfect or a useless generator."""
    what = {"floor": "*real images*", "ceiling": "*noise, or copies*"}[kind]
    entries = {name: measured["metrics"].get(name, {}).get(kind) for name in (first, *names)}
    cells = {name: mean([value], name) for name, value in entries.items() if value is not None}
    known = {f"{first}, last": cells.get(first, ""), "recipe": what, **cells}
    return [known.get(column, "") for column in columns]


def at_images(rows: Sequence[Figures], count: int, first: str) -> list[float]:
    """The curve's figure after so many images, of the runs that got there."""
    points = [point for row in rows for point in row["curve"] if point["at"] == f"images_{count}"]
    return [point[first] for point in points if first in point]


def mean(found: Sequence[float], name: str) -> str:
    """`1.23 ± 0.04`, or one value; empty for none."""
    if not found:
        return ""
    text = NUMBERS.get(name, short)
    if len(found) == 1:
        return text(found[0])
    return f"{text(statistics.fmean(found))} ± {text(statistics.stdev(found))}"


def short(value: float) -> str:
    """Three digits, of small numbers two decimals.

    >>> short(0.01234), short(1.2345), short(123.45), short(0.0)
    ('0.0123', '1.23', '123', '0')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def equal_times(plan: Plan, groups: dict[str, list[Figures]], order: list[str]) -> str:
    """The curve at the shares of the budget; its last column is the end, by as many images."""
    first = plan.rank_by
    if not any(first in p for rows in groups.values() for row in rows for p in row["curve"]):
        return ""
    moments = [f"share_{share:g}" for share in plan.shares] + ["last"]
    seconds = plan.seconds or 1.0
    heads = [f"{share * seconds:g} s" if plan.seconds else f"{share:.1%}" for share in plan.shares]
    lines = []
    for name in order:
        points = [point for row in groups[name] for point in row["curve"]]
        found = ([p[first] for p in points if p["at"] == moment] for moment in moments)
        lines.append([f"`{name}`", *(mean(values, first) for values in found)])
    note = (
        f"{first} on the way, {plan.curve_images:,} images a point (a recipe that lowers its rate "
        "over the budget gives its best only at the end):"
    )
    return f"{note}\n\n{table(['recipe', *heads, 'end'], lines)}"


def further(groups: dict[str, list[Figures]], order: list[str]) -> str:
    """What fresh critics and the search for latents found."""
    lines = []
    for name in order:
        for row in groups[name]:
            tests = row.get("two_sample", {})
            told = [f"{size} + {size}: {test['accuracy']:.1%}" for size, test in tests.items()]
            gap = row.get("recovery", {})
            lost = f"{gap['gap']:.3f}, {gap['p_value']:.2g}" if gap else ""
            lines.append([f"`{name}`", row["seed"], "; ".join(told), lost])
    columns = ["recipe", "seed", "a fresh critic is right in", "latent-recovery gap, p"]
    return table(columns, lines)
