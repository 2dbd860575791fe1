"""How seconds and memory grow with batch, width, image size, images evaluated and processes."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch import shares
from gan_lab.launch.benchmarking import growth, points
from gan_lab.launch.benchmarking.costs import products
from gan_lab.launch.benchmarking.results import Figures, Results, at_least, numbers, table
from gan_lab.launch.benchmarking.trials import compose

AXES = {"batch_sizes": "batch", "widths": "width", "image_sizes": "image size"}
MATRIX = 2048  # side of the matrices whose product bounds what the model may say
ROUNDS = (
    "Medians over the rounds, their range in brackets; a round measures every point once, each in "
    "a process of its own."
)
LEAST = {"batch_sizes": 2, "widths": 1, "image_sizes": 8, "num_images": 10, "processes": 1}


def check(given: Figures, overrides: list[str]) -> Figures:
    """The settings of this task; UserError where one is wrong, before anything runs."""
    for key, least in LEAST.items():
        given[key] = numbers(given[key], f"scaling.{key}", least, whole=True)
    at_least(given["steps"], "scaling.steps", 8)
    at_least(given["rounds"], "scaling.rounds", 1)
    plain = compose(str(given["experiment"]), *overrides)
    if "width" not in plain.networks.generator or "width" not in plain.networks.discriminator:
        raise UserError(
            f"scaling.experiment={given['experiment']}: its networks have no `width` to scale; "
            "use one with networks=dcgan, such as dcgan_mnist"
        )
    return given


@dataclass(frozen=True)
class Point:
    """A row of a table, and what measures one round of it; rows of one name share it."""

    table: str
    row: Figures
    name: str
    task: Callable[..., Figures]
    arguments: tuple[Any, ...]


def plan(given: Figures, threads: int, overrides: list[str]) -> list[Point]:
    """The points of all axes, in the order of the tables."""
    evaluated = [
        Point("evaluation", {"images": n}, f"evaluation-{n}", points.evaluation, (n,))
        for n in given["num_images"]
    ]
    return [*step_points(given, overrides), *evaluated, *process_points(given, threads)]


def step_points(given: Figures, overrides: list[str]) -> Iterator[Point]:
    """Every value of every axis; the recipe's own values are one point, whatever the axis."""
    config = points.config_of(str(given["experiment"]), 1, *overrides)
    for axis, label in AXES.items():
        for value in given[axis]:
            own = all(OmegaConf.select(config, key) == value for key in points.KEYS[axis])
            name = "own" if own else f"{label.replace(' ', '-')}-{value}"
            row, arguments = {"axis": label, "value": value}, (axis, value, given["steps"])
            yield Point("steps", row, name, points.step, arguments)


def process_points(given: Figures, threads: int) -> Iterator[Point]:
    """Ranks and jobs, as far as there are cores for them."""
    cores = shares.count_cores()
    for kind in ("ranks", "jobs"):
        for count in given["processes"]:
            row, asked = {"kind": kind, "count": count}, (kind, count, given["steps"], threads)
            if count <= cores:
                yield Point("processes", row, f"{kind}-{count}", points.processes, asked)
            else:
                print(f"left out: {count} {kind} on {cores} cores")


def measure(given: Figures, results: Results) -> Figures:
    """Each point in a process of its own, round by round; then the models that explain them."""
    experiment = given["experiment"]
    config = OmegaConf.to_container(compose(experiment, *results.overrides), resolve=True)

    def get(name: str, turn: int, task: Callable[..., Figures], *arguments: Any) -> Figures:
        key = {"config": config, "arguments": arguments, "round": turn}
        return results.get(f"{name}-{turn}", key, task, experiment, *arguments)

    planned = plan(given, results.threads, results.overrides)
    once: dict[str, Point] = {}
    for point in planned:
        once.setdefault(point.name, point)
    taken: dict[str, list[Figures]] = {name: [] for name in once}
    for turn in range(given["rounds"]):
        for name, point in once.items():
            taken[name].append(get(name, turn, point.task, *point.arguments))
    found: Figures = {"steps": [], "evaluation": [], "processes": []}
    for point in planned:
        found[point.table].append({**point.row, **merged(taken[point.name])})
    best = results.get("products", {"matrix": MATRIX}, products, MATRIX)
    found["model"] = growth.explain(found["steps"], found["evaluation"], max(best.values()))
    found["predictions"] = growth.predict(found["model"], get("large", 0, points.large))
    return found


def merged(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure, with its range; what is counted is the same in every round."""
    found = dict(rounds[0])
    for key in [key for key, value in rounds[0].items() if isinstance(value, int | float)]:
        values = [each[key] for each in rounds]
        found[key] = statistics.median(values)
        found[f"{key}_range"] = [min(values), max(values)]
    return found


def tables(figures: Figures) -> str:
    model = figures["model"]
    parts = ["## How cost grows", ROUNDS, step_table(model), growth.words(model)]
    if model["evaluation"]:
        parts += [evaluation_table(model)]
    if figures["processes"]:
        text = (
            "Ranks share one run (batch of the recipe each), jobs are runs side by side, all on "
            "the processor. Memory is the largest process's, imports included."
        )
        parts += [text, process_table(figures)]
    return "\n\n".join([*parts, "### Predictions, not measured", growth.forecast(figures)])


def spread(point: Figures, key: str, form: str, factor: float = 1.0) -> str:
    """A median with its range, as `12.3 (12.0 to 12.9)`."""
    middle, low, high = (
        f"{factor * value:{form}}" for value in (point[key], *point[f"{key}_range"])
    )
    return f"{middle} ({low} to {high})"


def step_table(model: Figures) -> str:
    rows = []
    for p in model["steps"]:
        cost = p["cost"]
        rows.append(
            [
                *(p["axis"], p["value"]),
                *(spread(p, "seconds", ".2f", 1e3), f"{1e3 * p['predicted']:.2f}"),
                *(spread(p, "memory", ".0f", 1e-6), f"{p['predicted_memory'] / 1e6:.0f}"),
                *(f"{cost['flops'] / 1e9:.2f}", f"{cost['bytes'] / 1e6:.0f}"),
            ]
        )
    columns = ["grows", "to", "ms a step", "by the model", "MB", "by the model"]
    return table([*columns, "GFLOP", "MB moved"], rows)


def evaluation_table(model: Figures) -> str:
    rows = [
        [
            *(e["images"], spread(e, "seconds", ".2f"), f"{e['predicted']:.2f}"),
            spread(e, "memory", ".0f", 1e-6),
        ]
        for e in model["evaluation"]
    ]
    return table(["images evaluated (FID)", "s", "s by the model", "MB"], rows)


def process_table(figures: Figures) -> str:
    rows = [
        [
            *(p["kind"], p["count"], spread(p, "images_per_second", ",.0f")),
            spread(p, "memory", ",.0f", 1e-6),
        ]
        for p in figures["processes"]
    ]
    return table(["processes", "number", "images/s, all together", "MB of one"], rows)
