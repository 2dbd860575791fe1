"""Run folders: what a run leaves behind, and how it is recognised and continued."""

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import RunError, UserError
from gan_lab.launch.lock import Lock
from gan_lab.launch.messages import flatten
from gan_lab.training.storage import clear_partials

RUN_DIR = "GAN_LAB_RUN_DIR"  # tells the ranks that a run starts where its folder is
MODE_METRICS = ("mode_misses", "mode_kl")  # what decides where the data's modes are known
BUDGET = ("trainer.max_epochs", "trainer.max_time")


@dataclass
class Run:
    """A run folder with its resolved config."""

    folder: Path
    config: DictConfig
    history: dict[str, list] = field(default_factory=dict)  # overrides.yaml
    resumed: bool = False
    extended: bool = False  # a resumed run whose budget has grown

    def __post_init__(self) -> None:
        self.lock = Lock(self.folder)

    def create(self) -> None:
        """Make the folder and write config.yaml; called once everything has been checked.

        Raises:
            UserError: where it cannot be written, or another process has been faster.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock.take()
            if not self.resumed:
                refuse_occupied(self.folder)
            clear_partials(self.folder, self.resumed)
            (self.folder / "result.json").unlink(missing_ok=True)
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(self.config, resolve=True))
            write_text(self.folder / "overrides.yaml", OmegaConf.to_yaml(self.history))
        except OSError as error:
            raise UserError(
                f"the run folder {self.folder} cannot be written ({error.strerror}); "
                "choose another with hydra.run.dir="
            ) from error


def refuse_occupied(folder: Path) -> None:
    """Raise UserError where the folder holds a run."""
    if (folder / "config.yaml").exists():
        raise UserError(
            f"hydra.run.dir={folder} already holds a run; continue it with resume={folder}, "
            "or choose another folder"
        )


def is_first_rank() -> bool:
    """Whether this process is the one that the user started, not a rank that it started."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def new_run(config: DictConfig, folder: Path, overrides: list[str]) -> Run:
    """A run that starts in `folder`, which must not hold another one."""
    if not is_first_rank() and RUN_DIR in os.environ:
        return Run(Path(os.environ[RUN_DIR]), config, {"command": overrides, "resumed": []})
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", str(config.name)):
        raise UserError(f"name={config.name} must be of letters, digits, `_`, `-` and inner `.`")
    refuse_occupied(folder)
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(
            f"the run folder {folder} cannot be written: {nearest} is "
            f"{'read-only' if nearest.is_dir() else 'a file'}; choose another with hydra.run.dir="
        )
    return Run(folder, config, {"command": overrides, "resumed": []})


def require_run(folder: Path, argument: str) -> None:
    """Raise UserError where the folder that `argument` names holds no run."""
    if (folder / "config.yaml").is_file():
        return
    there = "has no config.yaml" if folder.is_dir() else "is no folder"
    what = there if folder.exists() else "does not exist"
    raise UserError(f"{argument}={folder} {what}; give the folder of a run that train made")


def resumed_run(
    folder: Path, overrides: list[str], compose: Callable[[list[str]], DictConfig]
) -> Run:
    """The run in `folder` with the budget that the overrides may have extended.

    Raises:
        UserError: where the folder holds no run, or another setting than the budget differs.
    """
    require_run(folder, "resume")
    config, history = read_run(folder)
    given = [text for text in overrides if not text.startswith(("resume=", "hydra."))]
    places = search_paths(overrides)
    extended = False
    if given:
        command = [*places, *history["command"]]
        before, after = compose(command), compose(command + given)
        extended = extend_budget(config, before, after)
    if extended:
        history["resumed"].append(given)
        history["command"] += given
    return Run(folder, config, history, True, extended)


def search_paths(overrides: Iterable[str]) -> list[str]:
    """Those that say where further configs lie; of several Hydra takes the first."""
    return [text for text in overrides if text.lstrip("+").startswith("hydra.searchpath=")]


def read_run(folder: Path) -> tuple[DictConfig, dict[str, Any]]:
    """The config of a run and its history.

    Raises:
        UserError: where they cannot be read.
    """
    try:
        config = OmegaConf.load(folder / "config.yaml")
        history: Any = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
        if not isinstance(config, DictConfig) or not isinstance(history, dict):
            raise TypeError("it is not made of keys and values")
    except Exception as error:
        raise UserError(
            f"resume={folder}: its config cannot be read: {error}; "
            "repair config.yaml or overrides.yaml, or start a new run"
        ) from error
    return config, history


def extend_budget(config: DictConfig, before: DictConfig, after: DictConfig) -> bool:
    """Write the new budget into `config`, and say whether it is one; refuse any other change."""
    old, new = (flatten(OmegaConf.to_container(c, resolve=True)) for c in (before, after))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    changed = [key for key in changed if key != "resume"]
    sizes = {key: (size(old.get(key)), size(new.get(key))) for key in BUDGET}
    grows = any(after > before for before, after in sizes.values())
    # A budget of another kind may come in where the old one falls away: that is growth, too.
    shrunk = [k for k, (a, b) in sizes.items() if b < a and not (a == inf and grows)]
    refused = [k for k in changed if k not in BUDGET or k in shrunk]
    if refused:
        lines = [f"  {key}: {old.get(key)} -> {new.get(key)}" for key in refused]
        raise UserError(
            "a resumed run keeps its settings; only trainer.max_epochs and trainer.max_time may "
            "grow. Refused:\n" + "\n".join(lines) + "\nStart a new run for other settings."
        )
    for key in changed:
        OmegaConf.update(config, key, new.get(key))
    return bool(changed)


def budget_in(overrides: list[str]) -> list[str]:
    """Those overrides that say how long a run is."""
    return [text for text in overrides if text.lstrip("+").partition("=")[0] in BUDGET]


def new_budget(before: DictConfig, after: DictConfig) -> list[str]:
    """What of the budget differs, as overrides that make it the later one's."""
    old, new = ({key: OmegaConf.select(c, key) for key in BUDGET} for c in (before, after))
    changed = {key: new[key] for key in BUDGET if new[key] != old[key]}
    return [f"{key}={'null' if value is None else value}" for key, value in changed.items()]


def size(budget: Any) -> float:
    """Epochs or seconds; infinite where there is no such bound."""
    if budget is None:
        return inf
    return float(seconds(budget)) if isinstance(budget, str) else float(budget)


def seconds(max_time: str) -> int:
    """DD:HH:MM:SS -> seconds."""
    try:
        days, hours, minutes, rest = (int(part) for part in max_time.split(":"))
    except ValueError as error:
        raise UserError(
            f"trainer.max_time={max_time} is not DD:HH:MM:SS, as in 00:00:05:00 for five minutes"
        ) from error
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if whole <= 0:
        raise UserError(f"trainer.max_time={max_time} must be longer than 0 seconds")
    return whole


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a run that ended; empty for one that is running or was killed."""
    try:
        return json.loads((folder / "result.json").read_text())
    except (OSError, ValueError):
        return {}


def metric_name(result: dict[str, Any]) -> str:
    """What `metric` stands for in this run: fid, or what is counted where modes are known."""
    best = result.get("best") or {}
    same = [key for key in best if best[key] == result.get("metric") and key != "images_seen"]
    return next((key for key in (*MODE_METRICS, *same) if key in same), "metric")


def write_result(folder: Path, result: dict[str, Any]) -> None:
    try:
        write_text(
            folder / "result.json", json.dumps(finite(result), indent=2, allow_nan=False) + "\n"
        )
    except OSError as error:
        raise RunError(f"cannot write {folder / 'result.json'}: {error.strerror}") from error


def finite(value: Any) -> Any:
    """The same with null for what JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new one, never half."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
