"""A multirun before it starts: what varies, how many jobs that makes, what can be refused."""

import math
from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from gan_lab import UserError


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


def count_jobs(arguments: list[str]) -> int | None:
    """How many jobs the values on the command line make; None where Hydra alone can tell."""
    try:
        sizes = {
            o.key_or_group: len(list(o.sweep_string_iterator()))
            for o in parse(arguments)
            if o.is_sweep_override()
        }
    except Exception:  # a glob, which needs all configs
        return None
    return math.prod(sizes.values())


def check(name: str, arguments: list[str], compose: Callable[[list[str]], Any]) -> None:
    """Refuse a multirun none of whose jobs could be composed, with the message of the first."""
    overrides = parse(arguments)
    single = [o for o in overrides if not o.is_sweep_override() and not hydra_key(o)]
    fixed = [str(override.input_line) for override in single]
    config, _ = compose(fixed)
    trainer = config.get("trainer") or {}
    if trainer.get("num_nodes", 1) != 1:
        raise UserError(
            f"trainer.num_nodes={trainer.get('num_nodes')}: a job of a multirun trains on one "
            "machine; use trainer.num_nodes=1, or start each job by itself"
        )
    for override in overrides:
        if override.is_sweep_override():
            key = override.get_key_element()
            values = list(override.sweep_string_iterator())
            compose_any([[*fixed, f"{key}={value}"] for value in values], compose)


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
