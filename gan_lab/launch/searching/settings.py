"""What a search is asked to do, checked before anything is written."""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.messages import did_you_mean
from gan_lab.launch.runs import MODE_METRICS
from gan_lab.launch.schema import conform
from gan_lab.launch.searching import space as spaces
from gan_lab.launch.searching.samplers import SAMPLERS
from gan_lab.launch.searching.space import Space
from gan_lab.training.verdicts import Verdict

Compose = Callable[[list[str]], DictConfig]
DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Pruning:
    """When a training is ended early; see conf/sweep.yaml."""

    percentile: float | None
    startup: int
    warmup: int
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Of one search; the fields are those of conf/sweep.yaml."""

    experiment: str
    overrides: tuple[str, ...]
    space: Space
    objectives: dict[str, str]
    study: str
    output: Path
    storage: str | None
    sampler: str
    seed: int
    trials: int
    finalists: int
    seeds: tuple[int, ...]
    jobs: int
    workers: int
    ranks: int
    retries: int
    heartbeat: float
    grace: float
    pruning: Pruning | None
    monitor: str | None
    definition: dict[str, Any]

    @property
    def fixed(self) -> list[str]:
        """What all trainings are told."""
        return [f"experiment={self.experiment}", *self.overrides]

    @property
    def name(self) -> str:
        """Of the study in its storage, which may hold others."""
        return f"{self.experiment}-{self.study}"

    def column(self, objective: str, columns: Mapping[str, Any]) -> str | None:
        """The column of metrics.csv that shows an objective while a run trains."""
        names = [*MODE_METRICS, self.monitor] if objective == "metric" else [objective]
        found = [name for n in names for name in (n, f"val/{n}") if name in columns]
        return found[0] if found else None


def read(config: DictConfig, compose: Compose) -> Settings:
    """Check everything that can be checked without training.

    Raises:
        UserError: naming what is wrong.
    """
    given: Any = OmegaConf.to_container(config, resolve=True)
    space = spaces.read(given["sweep"]["space"])
    overrides = texts("sweep.overrides", given["sweep"].get("overrides") or [])
    overrides += texts("overrides", given["overrides"])
    experiment = str(given["training"]["experiment"])
    configs = try_space([f"experiment={experiment}", *overrides], space, compose)
    composed, finalists = configs[0], whole("finalists", given["finalists"], 0)
    objectives = check_objectives(given["sweep"]["objectives"])
    definition = {
        "experiment": experiment,
        "overrides": list(overrides),
        "space": {key: repr(parameter) for key, parameter in space.items()},
        "objectives": objectives,
    }
    devices = composed.trainer.devices
    return Settings(
        experiment=experiment,
        overrides=overrides,
        space=space,
        objectives=objectives,
        study=check_name(given["study"]),
        output=check_output(given["output"]),
        storage=None if given["storage"] is None else str(given["storage"]),
        sampler=check_sampler(given["sampler"]),
        seed=whole("seed", given["seed"], 0),
        trials=whole("trials", given["trials"], 1),
        finalists=finalists,
        seeds=check_seeds(given["seeds"], [c.seed for c in configs] if finalists else []),
        jobs=whole("jobs", given["jobs"], 1),
        workers=whole("workers", given["workers"], 1),
        ranks=devices if isinstance(devices, int) and devices > 0 else 1,
        retries=whole("retries", given["retries"], 0),
        heartbeat=positive("heartbeat", given["heartbeat"]),
        grace=check_grace(given["grace"], given["heartbeat"]),
        pruning=check_pruning(given["prune"]),
        monitor=OmegaConf.select(composed, "callbacks.evaluation.monitor"),
        definition=definition,
    )


def try_space(fixed: list[str], space: Space, compose: Compose) -> list[DictConfig]:
    """Compose trainings that together name every end and choice."""
    named = {override.lstrip("+~").partition("=")[0] for override in fixed}
    if twice := sorted(named & space.keys()):
        raise UserError(
            f"overrides: {twice[0]} is what sweep.space varies; leave it out of one of them"
        )
    return [compose([*fixed, *overrides]) for overrides in spaces.examples(space)]


def texts(name: str, given: Any) -> tuple[str, ...]:
    """A list of overrides."""
    known = isinstance(given, list) and all(isinstance(o, str) and "=" in o for o in given)
    if not known:
        raise UserError(
            f"{name}={given} must be a list of key=value, as in 'overrides=[\"data=fake\"]'"
        )
    for override in given:
        spaces.check_key(f"{name}: {override}", override.partition("=")[0])
    return tuple(given)


def check_objectives(given: Any) -> dict[str, str]:
    known = isinstance(given, dict) and given and all(v in DIRECTIONS for v in given.values())
    if not known:
        raise UserError(
            f"sweep.objectives={given} must map values of result.json to one of "
            f"{', '.join(DIRECTIONS)}, as in {{metric: minimize, seconds: minimize}}"
        )
    return {str(name): str(direction) for name, direction in given.items()}


def check_name(given: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", str(given)):
        raise UserError(f"study={given} must be of letters, digits, `_`, `-` and inner `.`")
    return str(given)


def check_output(given: Any) -> Path:
    folder = Path(str(given))
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"output={folder} cannot be written; choose another folder")
    if (folder / "config.yaml").exists():
        raise UserError(f"output={folder} holds a run, not a study; choose another folder")
    return folder


def check_sampler(given: Any) -> str:
    if given not in SAMPLERS:
        hint = did_you_mean(str(given), list(SAMPLERS))
        raise UserError(f"sampler={given} must be one of {', '.join(SAMPLERS)}{hint}")
    return str(given)


def check_seeds(given: Any, used: Collection[int]) -> tuple[int, ...]:
    """Those of the finalists; none may be one that trials are chosen with."""
    seeds = conform(given, list[int], "seeds")
    if len(set(seeds)) < len(seeds) or any(seed < 0 for seed in seeds):
        raise UserError(f"seeds={seeds} must be different whole numbers of at least 0")
    if twice := [seed for seed in seeds if seed in used]:
        raise UserError(
            f"seeds={seeds}: the trials are trained with seed={twice[0]}, and what chose a "
            "finalist cannot judge it; give seeds= without it, as in "
            f"seeds={[seed for seed in range(1, len(seeds) + 2) if seed not in used][: len(seeds)]}"
        )
    return tuple(seeds)


def check_grace(given: Any, heartbeat: float) -> float:
    """A worker that is slow once must not lose its trial."""
    grace = positive("grace", given)
    if grace < 2 * heartbeat:
        raise UserError(f"grace={given} must be at least twice heartbeat={heartbeat}")
    return grace


def check_pruning(given: Any) -> Pruning | None:
    """`prune=null` ends nothing early."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise UserError(f"prune={given} must be null, or have its settings, as in prune.startup=5")
    percentile = given["percentile"]
    if percentile is not None and not 0 < positive("prune.percentile", percentile) < 100:
        raise UserError(f"prune.percentile={percentile} must be between 0 and 100, or null")
    verdicts = tuple(conform(given["verdicts"], list[str], "prune.verdicts"))
    known = [verdict.key.partition("/")[2] for verdict in Verdict.ills()]
    for verdict in verdicts:
        if verdict not in known:
            hint = did_you_mean(verdict, known)
            raise UserError(f"prune.verdicts: {verdict} must be one of {', '.join(known)}{hint}")
    startup = whole("prune.startup", given["startup"], 1)
    return Pruning(percentile, startup, whole("prune.warmup", given["warmup"], 0), verdicts)


def whole(name: str, given: Any, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise UserError(f"{name}={given} must be a whole number of at least {least}")
    return given


def positive(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise UserError(f"{name}={given} must be a number above 0")
    return float(given)
