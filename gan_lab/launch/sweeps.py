"""A multirun from the inside: what varies, what can be refused before it starts, failed jobs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from gan_lab import RunError, UserError
from gan_lab.launch import messages


class JobFailed(RuntimeError):
    """A job of a multirun failed; the others go on."""


def parse(arguments: list[str]) -> list[Override]:
    takes_value = {"--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"}
    given = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if not argument.startswith("-") and before not in takes_value
    ]
    return OverridesParser.create().parse_overrides(given)


def config_dir(arguments: list[str]) -> str | None:
    """The folder of further configs that Hydra's flag names."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument in ("--config-dir", "-cd"):
            return following
        if argument.startswith("--config-dir="):
            return argument.partition("=")[2]
    return None


def swept_keys(arguments: list[str]) -> list[str]:
    """The keys with several values, in the order of the command."""
    return [o.key_or_group for o in parse(arguments) if o.is_sweep_override()]


def check(name: str, arguments: list[str], compose: Callable[[list[str]], Any]) -> None:
    """Refuse a multirun none of whose jobs could be composed, with the message of the first."""
    overrides = parse(arguments)
    single = [o for o in overrides if not o.is_sweep_override() and not hydra_key(o)]
    fixed = [str(override.input_line) for override in single]
    config, _ = compose(fixed)
    trainer = config.get("trainer") or {}
    if trainer.get("devices") not in (None, "auto", 1) or trainer.get("num_nodes", 1) != 1:
        raise UserError(
            f"trainer.devices={trainer.get('devices')}: several ranks inside a multirun would "
            "each run the whole sweep; use trainer.devices=1, or start each job by itself"
        )
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            values = list(override.sweep_string_iterator())
            compose_any([[*fixed, f"{key}={value}"] for value in values], compose)


def refuse_ranks(config: DictConfig) -> None:
    """One job is one process here: its ranks would each start the whole sweep.

    Raises:
        UserError: where the job asks for several devices or nodes.
    """
    if "trainer" not in config:
        return
    from gan_lab.launch import hardware

    ranks = hardware.count_devices(dict(config.trainer)) * config.trainer.num_nodes
    if ranks > 1:
        raise UserError(
            f"trainer.devices={config.trainer.devices}: several ranks inside a multirun would each "
            "run the whole sweep; use trainer.devices=1, or start each job by itself"
        )


def hydra_key(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def compose_any(candidates: list[list[str]], compose: Callable[[list[str]], Any]) -> None:
    errors: list[Exception] = []
    for overrides in candidates:
        try:
            compose(overrides)
            return
        except Exception as error:
            errors.append(error)
    raise errors[0]


def run_job(task: Callable[[], Any], folder: Path, conf: Path, failed: list[str]) -> Any:
    """Run one job; say at once why it failed and let the sweep go on."""
    try:
        return task()
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        text = str(error) if isinstance(error, RunError) else messages.explain(error, conf)
        failed.append(folder.name)
        print(f"job {folder.name} failed: {text or repr(error)}", file=sys.stderr)
        raise JobFailed(folder.name) from error
