"""How seconds and memory grow with batch, width, image size, images evaluated and processes."""

from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.launch import shares
from gan_lab.launch.benchmarking import growth, points
from gan_lab.launch.benchmarking.results import Figures, Results, at_least, numbers, table
from gan_lab.launch.benchmarking.trials import compose

AXES = {"batch_sizes": "batch", "widths": "width", "image_sizes": "image size"}
LEAST = {"batch_sizes": 2, "widths": 1, "image_sizes": 8, "num_images": 10, "processes": 1}


def check(given: Figures, overrides: list[str]) -> Figures:
    """The settings of this task; UserError where one is wrong, before anything runs."""
    for key, least in LEAST.items():
        given[key] = numbers(given[key], f"scaling.{key}", least, whole=True)
    at_least(given["steps"], "scaling.steps", 8)
    plain = compose(str(given["experiment"]), *overrides)
    if "width" not in plain.networks.generator or "width" not in plain.networks.discriminator:
        raise UserError(
            f"scaling.experiment={given['experiment']}: its networks have no `width` to scale; "
            "use one with networks=dcgan, such as dcgan_mnist"
        )
    return given


def measure(given: Figures, results: Results) -> Figures:
    """Each point in a process of its own; then the models that explain them."""
    experiment, steps = given["experiment"], given["steps"]
    config = OmegaConf.to_container(compose(experiment, *results.overrides), resolve=True)
    key = {"config": config, "steps": steps}

    def get(name: str, task: Callable[..., Figures], *arguments: Any) -> Figures:
        return results.get(name, {**key, "arguments": arguments}, task, experiment, *arguments)

    found: Figures = {"steps": [], "evaluation": [], "processes": []}
    for axis, label in AXES.items():
        for value in given[axis]:
            point = get(f"{label.replace(' ', '-')}-{value}", points.step, axis, value, steps)
            found["steps"].append({"axis": label, "value": value, **point})
    for count in given["num_images"]:
        point = get(f"evaluation-{count}", points.evaluation, count)
        found["evaluation"].append({"images": count, **point})
    cores = shares.count_cores()
    for kind in ("ranks", "jobs"):
        for count in given["processes"]:
            if count > cores:
                print(f"left out: {count} {kind} on {cores} cores")
                continue
            point = get(f"{kind}-{count}", points.processes, kind, count, steps, results.threads)
            found["processes"].append({"kind": kind, "count": count, **point})
    found["model"] = growth.explain(found["steps"], found["evaluation"])
    large = get("large", points.large)
    found["predictions"] = growth.predict(found["model"], large)
    return found


def tables(figures: Figures) -> str:
    model = figures["model"]
    evaluation = [
        [e["images"], f"{e['seconds']:.2f}", f"{e['predicted']:.2f}"] for e in model["evaluation"]
    ]
    processes = [
        [p["kind"], p["count"], f"{p['images_per_second']:,.0f}"] for p in figures["processes"]
    ]
    parts = ["## How cost grows", step_table(model), growth.words(model)]
    if evaluation:
        parts += [table(["images evaluated (FID)", "s", "s by the model"], evaluation)]
    if processes:
        text = "Ranks share one run (batch of the recipe each), jobs are runs side by side."
        parts += [text, table(["processes", "number", "images/s, all together"], processes)]
    return "\n\n".join([*parts, "### Predictions, not measured", growth.forecast(figures)])


def step_table(model: Figures) -> str:
    rows = []
    for p in model["steps"]:
        cost = p["cost"]
        rows.append(
            [
                *(p["axis"], p["value"]),
                *(f"{1e3 * p[key]:.2f}" for key in ("seconds", "predicted")),
                *(f"{p[key] / 1e6:.0f}" for key in ("memory", "predicted_memory")),
                *(f"{cost['flops'] / 1e9:.2f}", f"{cost['bytes'] / 1e6:.0f}"),
            ]
        )
    columns = [
        "grows",
        "to",
        "ms a step",
        "by the model",
        "MB",
        "by the model",
        "GFLOP",
        "MB moved",
    ]
    return table(columns, rows)
