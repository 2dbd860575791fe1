"""What a table asks for: recipes, seeds, one budget, and how each run is measured."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.data.points import Mixture
from gan_lab.data.stacked_mnist import StackedMNIST
from gan_lab.launch import assemble, shares
from gan_lab.launch.drawing import check_place
from gan_lab.launch.entry import compose_run
from gan_lab.launch.schema import conform
from gan_lab.metrics.modes import FIELDS
from gan_lab.metrics.protocol import check_metrics
from gan_lab.training.callbacks.snapshots import Snapshots

SHIFT = 5  # odd: with two runs at once, neighbours change
SNAPSHOTS = "callbacks=[default,snapshots]"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Job:
    """One training of a recipe: its folder and the overrides that make it."""

    recipe: str
    seed: int
    folder: Path
    overrides: list[str]

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Plan:
    """A table of conf/table: its fields are explained there.

    Raises:
        UserError: from `of`, where the table or an option cannot be used.
    """

    name: str
    title: str
    seconds: float | None
    seeds: list[int]
    overrides: list[str]
    shares: list[float]
    images: list[int]
    curve_images: int
    num_images: int | None
    metrics: list[str] | None
    rank_by: str
    two_sample: bool
    recovery: bool
    show_runs: bool
    recipes: dict[str, list[str]]
    published: dict[str, str]
    published_by: str
    folder: Path
    changes: tuple[str, ...] = ()  # the arguments that change the table, as a shell takes them

    @classmethod
    def of(cls, config: DictConfig, overrides: Sequence[str] = ()) -> "Plan":
        table: Any = OmegaConf.to_container(config.table, resolve=True)
        check_place(Path(str(config.output)))
        known = set(cls.__dataclass_fields__) - {"folder", "changes"}
        unknown, missing = sorted(set(table) - known), sorted(known - set(table))
        if unknown or missing:
            raise UserError(
                f"table: unknown keys {unknown}, missing keys {missing}; "
                "conf/bench_zoo.yaml explains them all, and conf/table/recipes.yaml is an example"
            )
        hints = cls.__annotations__
        table = {key: conform(value, hints[key], f"table.{key}") for key, value in table.items()}
        changes = [
            shlex.quote(text) for text in overrides if text.lstrip("+~").startswith("table.")
        ]
        folder = Path(str(config.output)) / str(table["name"])
        plan = cls(**table, folder=folder, changes=tuple(changes))
        plan.check()
        return plan

    def only(self, names: Any) -> "Plan":
        """The same with some of its recipes."""
        if names is None:
            return self
        given = OmegaConf.to_container(names) if OmegaConf.is_list(names) else [names]
        wanted = conform(given, list[str], "only")
        unknown = [name for name in wanted if name not in self.recipes]
        if unknown or not wanted:
            raise UserError(f"only={wanted} must be of the table's {list(self.recipes)}")
        recipes = {name: self.recipes[name] for name in wanted}
        return Plan(**{**self.__dict__, "recipes": recipes})

    def check(self) -> None:
        """Refuse before anything is trained what would fail hours later."""
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"table.seeds={self.seeds} must be different whole numbers, from 0 up")
        if self.seconds is not None and self.seconds <= 0:
            raise UserError(f"table.seconds={self.seconds} must be above 0, or null for epochs")
        if self.curve_images < 10:
            raise UserError(f"table.curve_images={self.curve_images} must be at least 10")
        check_metrics(self.metrics)
        Snapshots(self.shares, self.images)
        if not self.recipes:
            raise UserError("table.recipes={} names no recipe")
        for name in (self.name, *self.recipes):
            if not PLAIN.fullmatch(name):
                raise UserError(f"table: the name {name} must be of letters, digits, `.`, `_`, `-`")
        unknown = sorted(set(self.published) - set(self.recipes))
        if unknown:
            raise UserError(f"table.published={unknown} must be of table.recipes")
        for name in self.recipes:
            config, _ = compose_run("train", self.overrides_of(name, self.seeds[0]))
            self.check_measures(name, assemble.build_data(config))

    def check_measures(self, name: str, data: Any) -> None:
        """Raise UserError where a recipe's data cannot be measured as the table asks."""
        if not isinstance(data.source, Mixture | StackedMNIST):
            if self.rank_by not in check_metrics(self.metrics):
                raise UserError(
                    f"table.rank_by={self.rank_by} must be one of table.metrics: the images of "
                    f"{name} are compared by their features"
                )
            return
        if self.metrics is not None or self.two_sample or self.recovery:
            raise UserError(
                f"table: the modes of {name}'s data are counted; set metrics: null and neither "
                "two_sample nor recovery"
            )
        known = sorted(FIELDS.keys() - {"mode_misses"})
        if self.rank_by not in known:
            raise UserError(
                f"table.rank_by={self.rank_by} must be of {known}: the modes of {name}'s data "
                "are counted"
            )

    def jobs(self) -> list[Job]:
        """All runs, seed by seed, so that a drift of the machine meets all recipes alike.

        Each seed begins elsewhere in the list, so that no two recipes always run beside each other.
        """
        names = list(self.recipes)
        return [
            Job(name, seed, self.folder / f"{name}-{seed}", self.overrides_of(name, seed))
            for turn, seed in enumerate(self.seeds)
            for name in (*names[SHIFT * turn % len(names) :], *names[: SHIFT * turn % len(names)])
        ]

    def overrides_of(self, name: str, seed: int) -> list[str]:
        return [*self.recipes[name], *self.common(), f"seed={seed}"]

    def common(self) -> list[str]:
        """Overrides of every run: the budget, what is kept for the curve, nothing measured."""
        keep = [
            SNAPSHOTS,
            f"callbacks.snapshots.shares={self.shares}",
            f"callbacks.snapshots.images={self.images}",
        ]
        # A run is one process: of several GPUs it gets one.
        budget = ["trainer.devices=1"] if shares.list_gpus() else []
        if self.seconds is not None:
            milliseconds = round(1000 * self.seconds)
            budget += [f"trainer.max_time={{milliseconds:{milliseconds}}}"]
            budget += ["trainer.max_epochs=null"]
        quiet = ["callbacks.evaluation=null", "trainer.enable_progress_bar=false"]
        return [text.replace(" ", "") for text in (*keep, *budget, *quiet)] + self.overrides

    def measured_by(self) -> dict[str, Any]:
        """How a finished run is measured: what was measured otherwise is measured again."""
        keys = ("curve_images", "num_images", "metrics", "rank_by", "two_sample", "recovery")
        return {key: getattr(self, key) for key in keys}
