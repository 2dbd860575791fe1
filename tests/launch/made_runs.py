"""Run folders written by hand, as training would leave them, in milliseconds."""

import copy
import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from tests.conftest import tiny_config

Values = Sequence[float]


@cache
def base() -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(tiny_config(), resolve=True)
    return plain


def config_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a tiny run with other values at dotted keys."""
    config = copy.deepcopy(base())
    for key, value in changes.items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return config


def make_run(
    folder: Path,
    fids: Values = (30.0, 20.0, 10.0),
    seed: int = 0,
    status: str | None = "finished",
    changes: Mapping[str, Any] | None = None,
    metric: str = "fid",
    command: Sequence[str] = (),
    every: int = 1000,
    rate: float = 100.0,
    probes: int = 0,
) -> Path:
    """A run that measured `fids` every so many images, `rate` of them a second; returns `folder`.

    Without a status there is no result.json, as of a run that still goes on or was killed.
    """
    folder.mkdir(parents=True)
    config = config_of({"seed": seed, "data.seed": seed, **(changes or {})})
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    overrides = {"command": [*command, f"seed={seed}"], "resumed": []}
    OmegaConf.save(OmegaConf.create(overrides), folder / "overrides.yaml")
    write_metrics(folder, fids, metric, every, rate, probes)
    if status is not None:
        images = every * len(fids)
        result = {"status": status, "images_seen": images, "seconds": images / rate}
        (folder / "result.json").write_text(json.dumps(result))
    (folder / "samples").mkdir()
    grid = np.full((8, 8), 40 * (seed + 1) % 256, np.uint8)
    Image.fromarray(grid).save(folder / "samples" / f"images_{every:010d}.png")
    return folder


def write_metrics(
    folder: Path, fids: Values, metric: str, every: int, rate: float, probes: int
) -> None:
    """Rows of losses, which alone know the seconds, and rows of measurements."""
    rows: list[dict[str, Any]] = []
    for i, fid in enumerate(fids, 1):
        place = {"images_seen": i * every, "epoch": 0}
        rows.append({**place, "discriminator/loss": 1.0, "seconds": i * every / rate})
        rows.append({**place, f"val/{metric}": fid})
    images = every * len(fids)
    collapsed = {"distance": 0.9, "spread": 0.01, "duplicates": 1.0, "progress": 1.0}
    collapsed |= {"critic_auc": 0.9, "classes": 1, "classes_expected": 10, "motion": 0.1}
    for i in range(probes):
        place = {"images_seen": images + 100_000 * (i + 1), "epoch": 0}
        rows.append({**place, **{f"health/{name}": value for name, value in collapsed.items()}})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


RATES = ("optimizer.generator.lr", "optimizer.discriminator.lr")


def make_grid(
    folder: Path, generator: Values, discriminator: Values, seeds: Sequence[int] = (0,)
) -> Path:
    """A multirun over both learning rates whose FID is least at 1e-3 for both."""
    for one in generator:
        for other in discriminator:
            for seed in seeds:
                fid = 2 + 4 * np.log10(one / 1e-3) ** 2 + np.log10(other / 1e-3) ** 2 + 0.1 * seed
                keys = dict(zip(RATES, (one, other), strict=True))
                make_run(
                    folder / f"generator.lr_{one:g}-discriminator.lr_{other:g}-seed_{seed}",
                    (fid + 5, fid),
                    seed,
                    changes=keys,
                    command=[f"{key}={value}" for key, value in keys.items()],
                )
    return folder


def write_study(folder: Path, content: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(content))
    return folder


def trial(number: int, values: Values, folder: str | None, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "state": "complete",
        "values": list(values),
        "params": {},
        "folder": folder,
        "reason": None,
        "seconds": 1.0,
        **more,
    }
