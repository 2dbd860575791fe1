"""What Hydra itself would make of a config: callbacks, launcher, sweeper, logging, environment.

It does so before and beside our own code, so each config is checked where it is composed.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab import UserError
from gan_lab.launch import trust

# Whole names, since `hydra_plugins.some_launcher.os.system` is none of its package's.
KNOWN = re.compile(
    r"hydra\._internal\.core_plugins\.basic_(launcher\.BasicLauncher|sweeper\.BasicSweeper)"
    r"|hydra\.experimental\.callbacks\.\w+Callback"
    r"|hydra_plugins\.\w+\.\w+\.\w+(Launcher|Sweeper)"
)
LATER = re.compile(r"[^$]*(\$\{hydra\.\w+\.\w+\}[^$]*)+")  # the job's own name or number
MADE = ("callbacks", "launcher", "sweeper")
LOGGING = ("job_logging", "hydra_logging")


@contextlib.contextmanager
def checked(arguments: Sequence[str], *listeners: Callable[[DictConfig], None]) -> Iterator[None]:
    """Check every config that Hydra composes meanwhile, before it makes anything of it.

    The listeners are called with those of a whole multirun, and may settle what they leave open.

    Raises:
        UserError: for a rerun, which unpickles a file; by Hydra, for a config that is refused.
    """
    if any(argument.startswith("--experimental-r") for argument in arguments):
        raise UserError(
            "--experimental-rerun runs what a pickle says; use resume=DIR, or give the overrides"
        )
    original = ConfigLoaderImpl.load_configuration

    def load(loader: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        config = original(loader, *args, **kwargs)
        check(config.hydra, arguments)
        if RunMode.MULTIRUN in (*args, *kwargs.values()):
            for hear in listeners:
                hear(config)
        return config

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = original  # type: ignore[method-assign]


def check(hydra: DictConfig, arguments: Sequence[str]) -> None:
    """Refuse classes that are not Hydra's, its plugins' or trusted on the command line.

    Raises:
        UserError: naming the key.
    """
    for name in MADE:
        for path, key, value in leaves(hydra[name], f"hydra.{name}"):
            if key == "_target_":
                require(str(value), f"{path}", KNOWN.fullmatch(str(value)) is not None)
    for name in LOGGING:
        for path, key, value in leaves(hydra[name], f"hydra.{name}"):
            if key in ("()", "class"):
                require(str(value), path, str(value).startswith(("logging.", "colorlog.")))
            elif str(value).startswith("ext://"):
                require(str(value), path, str(value).startswith("ext://sys.std"))
    by_command = any(a.lstrip("+").startswith("hydra.job.env_set") for a in arguments)
    if hydra.job.env_set and not by_command:
        raise UserError(
            f"hydra.job.env_set={hydra.job.env_set} comes from a file; give it on the command line"
        )


def require(target: str, path: str, known: bool) -> None:
    if not (known or trust.is_vouched(target)):
        raise UserError(
            f"{path}={target} is not trusted; use Hydra's own, or a plugin's{trust.remedy(target)}"
        )


def leaves(node: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every value in a tree with its path and key, as Hydra will see it."""
    if not isinstance(node, (DictConfig, ListConfig)):
        return
    raw: Any = OmegaConf.to_container(node, resolve=False)
    entries: Any = node
    for key in raw if isinstance(raw, dict) else range(len(raw)):
        where = f"{path}.{key}"
        try:
            child = None if raw[key] == "???" else entries[key]
        except OmegaConfBaseException:
            if not LATER.fullmatch(str(raw[key])):
                raise
            child = None
        yield from leaves(child, where)
        yield where, str(key), child
