"""A table's Markdown: a line a recipe, what it was measured by, and the curve at equal times."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from gan_lab.launch.benchmarking.results import table
from gan_lab.launch.tabulating.plan import Plan
from gan_lab.launch.tabulating.ranking import Rank, rank
from gan_lab.launch.tabulating.wording import protocol, published
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER
from gan_lab.training.callbacks.snapshots import images_name, share_name

Figures = dict[str, Any]
ANCHORS = {"floor": "*real images*", "ceiling": "*noise, or copies*"}
FURTHER = (
    "Fresh critics, which learn from so many generated and as many real images and are asked about "
    "others: 50 % is chance; the mean of three, with its 95 % interval. A gap above 0.1 with p "
    "below 0.01 would mean that training images are found more easily than test images:"
)
NUMBERS: dict[str, Callable[[float], str]] = {
    "precision": "{:.2f}".format,
    "recall": "{:.2f}".format,
    "density": "{:.2f}".format,
    "coverage": "{:.2f}".format,
    "confirmed_labels": "{:.1%}".format,
    "modes": "{:.0f}".format,
}


def markdown(plan: Plan, groups: dict[str, list[Figures]]) -> str:
    """The tables of all recipes, the best first."""
    ranks = ranked(groups, plan.rank_by)
    order = sorted(groups, key=lambda name: ranks[name].place if name in ranks else math.inf)
    parts = [
        protocol(plan, groups),
        scores(plan, groups, order, ranks),
        qualities(plan, groups, order),
    ]
    parts += [equal_times(plan, groups, order)] if plan.shares else []
    parts += [further(groups, order)] if plan.two_sample or plan.recovery else []
    parts += [published(plan, groups)]
    return "\n\n".join(part for part in parts if part)


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


def scores(
    plan: Plan, groups: dict[str, list[Figures]], order: list[str], ranks: dict[str, Rank]
) -> str:
    """What the ranks go by, and what it cost."""
    first = plan.rank_by
    at = [f"{first} after {count:,} images" for count in plan.images]
    columns = ["rank", "recipe", f"{first}, last", f"{first}, best", *at]
    columns += ["images seen", "images/s", "weights, G + D", "doctor"]
    sized = differ_in_size(groups)
    lines = []
    for name in order:
        rows = groups[name]
        measured = [row for row in rows if row["metrics"]]
        diverged = len(rows) - len(measured)
        cells = [str(ranks.get(name, "")), f"`{name}`" + f" ({diverged} diverged)" * bool(diverged)]
        best = [row["best"][first] for row in measured if row["best"][first] is not None]
        cells += [quality(rows, first, sized, len(rows)), mean(best, first, len(rows))]
        reached = (at_images(measured, count, first) for count in plan.images)
        cells += [mean(figures, first, len(rows)) or "not reached" for figures in reached]
        lines.append([*cells, *costs(rows, measured), health(measured)])
    for kind, what in ANCHORS.items():
        lines.append(["", what, anchor(groups, first, kind), *[""] * (len(columns) - 3)])
    return table(columns, lines)


def costs(rows: Sequence[Figures], measured: Sequence[Figures]) -> list[str]:
    """Images seen, images a second, weights of the generator and of what is trained against it."""
    rates = [row["images_seen"] / row["seconds"] for row in rows if row["seconds"]]
    return [
        f"{statistics.fmean(row['images_seen'] for row in rows):,.0f}",
        f"{statistics.fmean(rates):,.0f}" if rates else "",
        sizes(measured[0]["parameters"]) if measured else "",
    ]


def sizes(parameters: dict[str, int]) -> str:
    """A critic's head counts as a part of it."""
    generator = parameters["generator"]
    return f"{generator:,} + {sum(parameters.values()) - generator:,}"


def health(measured: Sequence[Figures]) -> str:
    """The doctor's verdicts, and how many seeds had each."""
    told = Counter(verdict for row in measured for verdict in row["verdicts"])
    return ", ".join(f"{verdict} ({count})" for verdict, count in told.most_common())


def qualities(plan: Plan, groups: dict[str, list[Figures]], order: list[str]) -> str:
    """Everything else that was measured of the end.

    Where real images score otherwise from recipe to recipe, as by data sets of different sizes,
    each cell has its own floor.
    """
    rows = [row for name in order for row in groups[name] if row["metrics"]]
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    names.pop(plan.rank_by, None)
    sized = differ_in_size(groups)
    lines = []
    for name in order:
        cells = [quality(groups[name], metric, sized) for metric in names]
        lines.append([f"`{name}`", *([trained_on(groups[name])] if sized else []), *cells])
    for kind, what in ANCHORS.items():
        cells = [anchor(groups, metric, kind) for metric in names]
        lines.append([what, *([""] if sized else []), *cells])
    return table(["recipe", *(["training images"] if sized else []), *names], lines)


def differ_in_size(groups: dict[str, list[Figures]]) -> bool:
    """Whether the runs learnt from different numbers of images."""
    rows = [row for found in groups.values() for row in found if row["metrics"]]
    return len({row["card"].get("num_train") for row in rows}) > 1


def trained_on(rows: Sequence[Figures]) -> str:
    found = sorted({row["card"]["num_train"] for row in rows if row["metrics"]})
    return ", ".join(f"{count:,}" for count in found)


def quality(
    rows: Sequence[Figures], name: str, with_floor: bool = False, of: int | None = None
) -> str:
    """A metric of the end, of so many runs; by default those that it was asked of."""
    text = mean(values(rows, name), name, of or sum(name in row["metrics"] for row in rows))
    floors = [row["metrics"].get(name, {}).get("floor") for row in rows]
    known = [floor for floor in floors if floor is not None]
    return f"{text} ({mean([statistics.fmean(known)], name)})" if with_floor and known else text


def anchor(groups: dict[str, list[Figures]], name: str, kind: str) -> str:
    """What a perfect or a useless generator has; empty where that depends on the run."""
    rows = [row for found in groups.values() for row in found]
    known = [row["metrics"].get(name, {}).get(kind) for row in rows]
    values = [value for value in known if value is not None]
    # Noise is drawn anew for each size of the training data, which moves a ceiling a little.
    tolerance = 0.01 if kind == "ceiling" else 1e-6
    same = values and math.isclose(min(values), max(values), rel_tol=tolerance)
    return mean(values[:1], name) if same else ""


def at_images(rows: Sequence[Figures], count: int, first: str) -> list[float]:
    """The curve's figure after so many images, of the runs that got there."""
    points = [point for row in rows for point in row["curve"] if point["at"] == images_name(count)]
    return [point[first] for point in points if math.isfinite(point.get(first, math.nan))]


def mean(found: Sequence[float], name: str, of: int | None = None) -> str:
    """`1.23 ± 0.04`, or one value; empty for none. Says where they are fewer than `of`."""
    if not found:
        return ""
    lacking = f" ({len(found)} of {of})" if of is not None and len(found) < of else ""
    centre = statistics.fmean(found)
    text = NUMBERS.get(name, as_fine_as(centre))
    if len(found) == 1:
        return text(centre) + lacking
    return f"{text(centre)} ± {text(statistics.stdev(found))}{lacking}"


def as_fine_as(value: float) -> Callable[[float], str]:
    """Write numbers with as many decimals as this one needs for three digits, two of 1 to 100.

    >>> [as_fine_as(value)(value) for value in (0.01234, 1.2345, 123.45, 0.0)]
    ['0.0123', '1.23', '123', '0']
    """
    if value == 0 or abs(value) >= 100:
        return "{:,.0f}".format
    decimals = 2 if abs(value) >= 1 else 2 - math.floor(math.log10(abs(value)))
    return f"{{:.{decimals}f}}".format


def equal_times(plan: Plan, groups: dict[str, list[Figures]], order: list[str]) -> str:
    """The curve at the shares of the budget; its last column is the end, by as many images."""
    first = plan.rank_by
    if not any(first in p for rows in groups.values() for row in rows for p in row["curve"]):
        return ""
    moments = [share_name(share) for share in plan.shares] + ["last"]
    seconds = plan.seconds or 1.0
    heads = [f"{share * seconds:g} s" if plan.seconds else f"{share:.1%}" for share in plan.shares]
    lines = []
    for name in order:
        points = [point for row in groups[name] for point in row["curve"]]
        count = len(groups[name])
        found = (
            [p[first] for p in points if p["at"] == at and math.isfinite(p[first])]
            for at in moments
        )
        lines.append([f"`{name}`", *(mean(values, first, count) for values in found)])
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
            told = [told_apart(size, test) for size, test in row.get("two_sample", {}).items()]
            gap = row.get("recovery", {})
            lost = f"{gap['gap']:.3f}, {gap['p_value']:.2g}" if gap else ""
            lines.append([f"`{name}`", row["seed"], "; ".join(told), lost])
    columns = ["recipe", "seed", "a fresh critic is right in", "latent-recovery gap, p"]
    return f"{FURTHER}\n\n{table(columns, lines)}"


def told_apart(size: str, test: Figures) -> str:
    low, high = test["interval"]
    return f"{size} + {size}: {test['accuracy']:.1%} ({low:.1%} to {high:.1%})"
