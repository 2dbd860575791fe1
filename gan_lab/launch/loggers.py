"""The loggers of a run: whether their packages are there, what they are told first and last."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.trust import resolve_target

# What tells runs apart, the most telling first; what a command sets comes before it.
CENTRAL = (
    "optimizer.generator.lr",
    "optimizer.discriminator.lr",
    "networks",
    "objective",
    "penalty",
    "optimizer",
    "schedule",
    "augment",
    "data",
    "data.batch_size",
    "n_critic",
    "seed",
    "name",
)
UNTOLD = ("hydra", "resume", "experiment", "debug", "name", "trainer", "callbacks", "logger")


def check(config: DictConfig) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        UserError: naming the package and the command that installs it.
    """
    if config.trainer.logger is False:
        return
    for name, node in (config.logger or {}).items():
        package = getattr(resolve_target(node._target_, f"logger.{name}"), "package", None)
        if package is not None and find_spec(package) is None:
            raise UserError(
                f"logger={name} needs the package {package}; "
                f"python -m pip install 'gan_lab[{package}]'"
            )


def log_setup(loggers: Iterable[Any], config: DictConfig, overrides: Sequence[str]) -> None:
    """Tell every logger the hyperparameters of the run."""
    for logger in loggers:
        logger.log_hyperparams(hyperparameters(config, overrides))


def conclude(loggers: Iterable[Any], status: str) -> None:
    """Tell the loggers that want to know how the run ended; they close their files."""
    for logger in loggers:
        if hasattr(logger, "conclude"):
            logger.conclude(status)


def hyperparameters(
    config: DictConfig, overrides: Sequence[str] = ()
) -> dict[str, str | float | bool]:
    """The few names and numbers that tell runs apart, first those that the command sets."""
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    given = [key for key in keys if not key.startswith((*UNTOLD, "data.root"))]
    names = names_of(config)
    values = {key: names.get(key, told(config, key)) for key in (*given, *CENTRAL)}
    return {key: value for key, value in values.items() if value is not None}


def told(config: DictConfig, key: str) -> str | float | bool | None:
    """A value as a logger can show it: lists become text; whole groups are not shown."""
    value = OmegaConf.select(config, key)
    if OmegaConf.is_list(value):
        return str(OmegaConf.to_container(value, resolve=True))
    return value if isinstance(value, (str, int, float, bool)) else None


def names_of(config: DictConfig) -> dict[str, str | None]:
    """What was chosen in each group, by the modules and classes that stand behind it."""
    return {
        "networks": part_of(config, "networks.generator", -2),
        "objective": part_of(config, "objective"),
        "penalty": "+".join(config.penalty or {}) or "none",
        "optimizer": part_of(config, "optimizer.generator"),
        "schedule": part_of(config, "schedule"),
        "augment": part_of(config, "augment"),
        "data": part_of(config, "data.source"),
    }


def part_of(config: DictConfig, key: str, part: int = -1) -> str | None:
    """gan_lab.networks.dcgan.Generator -> "Generator", or with part -2 "dcgan"."""
    target = OmegaConf.select(config, f"{key}._target_")
    return None if target is None else target.split(".")[part]
