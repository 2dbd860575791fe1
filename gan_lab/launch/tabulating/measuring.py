"""What a finished run is worth: its curve, its end by the full protocol, its size, its health."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.launch import assemble, diagnosing, drawing, hardware, judging, trust
from gan_lab.launch.benchmarking.results import describe_machine
from gan_lab.launch.entry import compose_run
from gan_lab.launch.runs import read_result
from gan_lab.launch.schema import build
from gan_lab.metrics.card import PROTOCOL, to_json
from gan_lab.metrics.features import find_weights, load_extractor
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.modes import known_modes
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache, write_atomically
from gan_lab.training.callbacks.evaluation import LOWER_IS_BETTER
from gan_lab.training.sampling import generate_images, labels_like

MEASURED = "measured.json"
SEED = 2**31 + 1  # of what is generated here: other latents than those of grids and evaluations
Figures = dict[str, Any]


def read_measured(folder: Path, plan: Any) -> Figures | None:
    """What was measured of a run in the plan's way; None where it has to be measured (again)."""
    try:
        found = json.loads((folder / MEASURED).read_text())
        current = found["how"] == plan.measured_by() and found["card"]["protocol"] == PROTOCOL
        return dict(found) if current else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure(folder: Path, how: Figures) -> Figures:
    """All figures of a run; `how` is Plan.measured_by()."""
    hardware.spare_overhead()
    last = folder / "checkpoints" / "last.ckpt"
    content = drawing.load_content(last)
    data: ImageData = build(OmegaConf.create(content["config"]["data"]), "data")
    data.prepare_data()
    curve = Curve(data, how["curve_images"], how["rank_by"])
    points = [point(path, curve) for path in sorted((folder / "snapshots").glob("*.ckpt"))]
    points.append(point(last, curve, read_result(folder)))
    points.sort(key=lambda entry: entry["seconds"])
    end = evaluate(last, how)
    best = min(points, key=lambda entry: (math.isnan(entry["chosen_by"]), entry["chosen_by"]))
    return {
        "how": how,
        "metrics": end["metrics"],
        "card": end["card"],
        **{key: end[key] for key in ("two_sample", "recovery") if key in end},
        "curve": points,
        "best": at_best(best, last, end, how),
        "parameters": count_parameters(content),
        "verdicts": verdicts(folder),
        "machine": describe_machine(torch.get_num_threads()),
    }


class Curve:
    """The metric of the ranks for a generator at a moment, by as many images as `count`.

    Its value against `validation` chooses the best moment, that against `test` is reported. Where
    the data's modes are known, there is no split, and the latents are not those of the end.
    """

    def __init__(self, data: ImageData, count: int, name: str = "fid") -> None:
        self.data = data
        self.count = count
        self.name = name
        self.known = known_modes(data)
        if self.known is None:
            extractor = load_extractor(find_weights(data))
            cache = Cache(Path(data.root).expanduser() / "metrics")
            self.sides = {
                split: RealSide(Reals.of(data, split), extractor, cache)
                for split in ("validation", "test")
                if split == "test" or data.holdout >= 10
            }

    def __call__(self, generator: Any) -> Figures:
        labels, seed = None, SEED if self.known is None else SEED + 1
        if generator.num_classes:
            labels = labels_like(self.data.images("train")[1], self.count, seed)
        images = generate_images(generator, self.count, seed, labels=labels)
        if self.known is not None:
            values = self.known.measure(images)
            return {**values, "chosen_by": values[self.known.monitor]}
        sample = self.sides["test"].sample(images)
        found = {
            split: MEASURES[self.name](Comparison(sample, side, replicates=0)).value
            for split, side in self.sides.items()
        }
        chosen = found.get("validation", found["test"])
        sign = 1 if self.name in LOWER_IS_BETTER else -1
        return {self.name: found["test"], "chosen_by": sign * chosen}


def point(path: Path, curve: Curve, result: Figures | None = None) -> Figures:
    """The curve's entry of a snapshot, or of the run's end with its result."""
    content = drawing.load_content(path)
    progress = result or content["progress"]
    place = {key: progress[key] for key in ("images_seen", "seconds")}
    return {"at": path.stem, **place, **curve(drawing.generator_of(content, path, "cpu"))}


def evaluate(checkpoint: Path, how: Figures, metrics: list[str] | None = None) -> Figures:
    """The result of `evaluate` for a checkpoint."""
    names = metrics or how["metrics"]
    trained = drawing.load_content(checkpoint)["config"]["data"]
    given = {
        "checkpoint": checkpoint,
        "metrics": "null" if names is None else f"[{','.join(names)}]",
        "num_images": how["num_images"] or "null",
        "seed": SEED,
        "two_sample": how["two_sample"] and metrics is None,
        "recovery": how["recovery"] and metrics is None,
    }
    overrides = [f"{key}={value}" for key, value in given.items()]
    overrides += [f"data.root={trained['root']}"] if "root" in trained else []
    config, _ = compose_run("evaluate", overrides)
    subject = judging.prepare(config, overrides)
    return judging.measure(subject, config)


def at_best(best: Figures, last: Path, end: Figures, how: Figures) -> Figures:
    """The metric of the ranks, by the protocol, at the moment that the validation part prefers."""
    name = how["rank_by"]
    place = {key: best[key] for key in ("at", "images_seen", "seconds")}
    if best["at"] == last.stem:
        return {**place, name: end["metrics"][name]["value"]}
    path = last.parents[1] / "snapshots" / f"{best['at']}.ckpt"
    names = [name] if name in MEASURES else None
    return {**place, name: evaluate(path, how, names)["metrics"][name]["value"]}


def count_parameters(content: Figures) -> dict[str, int]:
    config = OmegaConf.create(content["config"])
    assert isinstance(config, DictConfig)
    module = assemble.build_module(config)
    players = {"generator": module.generator, "discriminator": module.discriminator}
    players |= {"heads": module.objective}
    return {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in players.items()
    }


def verdicts(folder: Path) -> list[str]:
    """What the health monitor calls the run, in one word each."""
    try:
        diagnosis = diagnosing.examine(folder).diagnosis
    except UserError:
        return []
    return [finding.name.value for finding in diagnosis.findings] or [diagnosis.verdict.value]


def main() -> None:
    """`FOLDER HOW [trusted=..]`: measure a run in a process of its own."""
    folder, how = Path(sys.argv[1]), json.loads(sys.argv[2])
    with trust.from_command(sys.argv[3:]):
        write_atomically(folder / MEASURED, to_json(measure(folder, how)).encode())


if __name__ == "__main__":
    main()
