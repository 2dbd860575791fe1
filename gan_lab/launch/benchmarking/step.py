"""The cost of a step: against the machine's ceilings, and against a loop written by hand."""

import statistics
from dataclasses import asdict
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch.profiler import ProfilerActivity, profile

from gan_lab.launch.benchmarking.costs import ceilings, costs
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.results import Figures, Results, at_least, table
from gan_lab.launch.benchmarking.trials import compose, fit, without_end
from gan_lab.launch.schema import conform

WARMUP = 20
TOP = 8  # operators that are listed
OWN = "gan_lab and Lightning beyond it: schedule, hooks, logging"


def check(given: Figures, overrides: list[str]) -> Figures:
    """The settings of this task; UserError where one is wrong, before anything runs."""
    given["experiments"] = conform(given["experiments"], list[str], "step.experiments")
    for key in ("steps", "rounds", "matrix", "copy_bytes"):
        at_least(given[key], f"step.{key}", 1)
    if given["batch_size"] is not None:
        at_least(given["batch_size"], "step.batch_size", 1)
    for name in given["experiments"]:
        compose(name, *overrides)
    return given


def measure(given: Figures, results: Results) -> Figures:
    """The ceilings, then each experiment in a process of its own."""
    sizes = {key: given[key] for key in ("matrix", "copy_bytes")}
    found = {"ceilings": results.get("ceilings", sizes, ceilings, *sizes.values()), "steps": {}}
    for name in given["experiments"]:
        config = OmegaConf.to_container(compose(name, *results.overrides), resolve=True)
        counts = {key: given[key] for key in ("batch_size", "steps", "rounds")}
        key = {"config": config, **counts}
        figures = results.get(f"step-{name}", key, measure_step, name, *counts.values())
        found["steps"][name] = figures | roofline(figures, found["ceilings"])
    return found


def measure_step(
    name: str, batch_size: int | None, steps: int, rounds: int, overrides: list[str]
) -> Figures:
    """Rounds of gan_lab and of the hand-written loop in turn, then counts, phases, operators."""
    batch = [] if batch_size is None else [f"data.batch_size={batch_size}"]
    config = compose(name, *overrides, *batch, *without_end())
    ours, hand = alternate(config, steps, rounds)
    loop = HandLoop(config)
    plain, whole = costs(loop)
    return {
        "batch_size": int(config.data.batch_size),
        "precision": "bfloat16" if loop.bfloat16 else "float32",
        "ours": ours,
        "hand": hand,
        "plain": asdict(plain),
        "cost": asdict(whole),
        "phases": loop.phases(steps),
        "operators": operators(loop, min(steps, 32)),
    }


def alternate(config: DictConfig, steps: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds per step of gan_lab and of the loop by hand, one of each a round."""
    ours, hand = [], []
    for _ in range(rounds):
        ours.append(fit(config, WARMUP + steps, warmup=WARMUP).seconds_per_step(WARMUP))
        hand.append(HandLoop(config).seconds_per_step(WARMUP, steps))
    return ours, hand


def operators(loop: HandLoop, steps: int) -> dict[str, float]:
    """Share of the time that the most expensive operators take, by torch's profiler."""
    device = loop.device.type
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=kinds) as profiler:
        for _ in range(steps):
            loop.step()
    column = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    times = {event.key: float(getattr(event, column)) for event in profiler.key_averages()}
    whole = sum(times.values()) or 1.0
    first = sorted(times, key=lambda key: -times[key])[:TOP]
    return {key: times[key] / whole for key in first}


def roofline(figures: Figures, ceiling: dict[str, float]) -> Figures:
    """Seconds by the ceilings: the least for the products, and for memory if no cache served.

    Products cannot be faster, so their share of the time taken is at most 1. Bytes bound the
    traffic from above, so a step may be faster than memory says. Penalties compute in float32
    whatever the precision.
    """
    cost, plain = figures["cost"], figures["plain"]
    penalty = cost["flops"] - plain["flops"]
    matrix = plain["flops"] / ceiling[figures["precision"]] + penalty / ceiling["float32"]
    memory = cost["bytes"] / ceiling["copy"]
    ours, hand = (statistics.median(figures[key]) for key in ("ours", "hand"))
    ratios = [a / b for a, b in zip(figures["ours"], figures["hand"], strict=True)]
    return {
        "seconds": {"gan_lab": ours, "hand": hand, "matrix": matrix, "memory": memory},
        "share": {"matrix": matrix / ours, "memory": memory / ours},
        "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)},
    }


def tables(figures: Figures) -> str:
    found = figures["ceilings"]
    giga = {key: f"{value / 1e9:,.0f}" for key, value in found.items()}
    text = (
        f"Ceilings, measured: {giga['float32']} GFLOP/s in float32, {giga['bfloat16']} in bfloat16 "
        f"(matrix product), {giga['copy']} GB/s (copy).\n\nOne iteration moves both players. "
        "Operations: matrix products and convolutions, forward and backward, penalties spread "
        "over their interval. Bytes: every operator's arguments and results, as if nothing stayed "
        "in a cache. By matrix: the least time that the products allow; by memory: the time of "
        "moving all bytes, which caches may spare. In brackets the share of the time taken: above "
        "100 % by memory, caches served."
    )
    parts = ["## The cost of a step", text, roofline_table(figures["steps"])]
    parts += [ratio_table(figures["steps"])]
    for name, step in figures["steps"].items():
        parts += [f"### Where the time of {name} goes", phase_table(step), operator_text(step)]
    return "\n\n".join(parts)


def roofline_table(steps: dict[str, Any]) -> str:
    columns = ["experiment", "batch", "precision", "GFLOP", "MB", "operators", "ms"]
    rows = []
    for name, step in steps.items():
        cost, seconds, share = step["cost"], step["seconds"], step["share"]
        rows.append(
            [
                *(name, step["batch_size"], step["precision"], f"{cost['flops'] / 1e9:.2f}"),
                *(f"{cost['bytes'] / 1e6:.0f}", f"{cost['operators']:.0f}"),
                f"{1e3 * seconds['gan_lab']:.2f}",
                *(f"{1e3 * seconds[key]:.2f} ({share[key]:.0%})" for key in ("matrix", "memory")),
            ]
        )
    return table([*columns, "ms by matrix", "ms by memory"], rows)


def ratio_table(steps: dict[str, Any]) -> str:
    rows = []
    for name, step in steps.items():
        seconds, ratio = step["seconds"], step["ratio"]
        spread = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
        rows.append(
            [
                name,
                *(f"{1e3 * seconds[key]:.2f}" for key in ("gan_lab", "hand")),
                *(f"{ratio['median']:.3f}", spread, len(step["ours"])),
            ]
        )
    return table(["experiment", "gan_lab ms", "by hand ms", "ratio", "range", "rounds"], rows)


def phase_table(step: Figures) -> str:
    """Phases of the loop by hand, and what gan_lab takes beyond it, round by round.

    What is beyond may be less than nothing where the rounds differ by more.
    """
    whole = sum(step["phases"].values())
    rows = [[n, f"{1e3 * s:.3f}", f"{s / whole:.1%}"] for n, s in step["phases"].items()]
    beyond = [1e3 * (a - b) for a, b in zip(step["ours"], step["hand"], strict=True)]
    spread = f"{min(beyond):+.3f} to {max(beyond):+.3f}, {len(beyond)} rounds"
    rows.append([OWN, f"{statistics.median(beyond):+.3f} ({spread})", ""])
    return table(["phase", "ms", "share of the loop by hand"], rows)


def operator_text(step: Figures) -> str:
    listed = ", ".join(f"{name} {share:.0%}" for name, share in step["operators"].items())
    return f"The most expensive operators (profiler, share of the loop by hand): {listed}."
