"""A multirun before it starts: what varies, how many jobs that makes, what can be refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from gan_lab import UserError

TAKES_VALUE = {"--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"}
FOLDER = "hydra.sweep.dir"
SEVERAL = "several"  # in the place of NAME in runs/NAME/sweep_TIME, where that varies


class JobFailed(RuntimeError):
    """A job of a multirun failed; the others go on."""


def parse(arguments: list[str]) -> list[Override]:
    given = [arguments[place] for place in places_of_overrides(arguments)]
    return OverridesParser.create().parse_overrides(given)


def places_of_overrides(arguments: list[str]) -> list[int]:
    """Where overrides stand among Hydra's own flags and their values."""
    return [
        place
        for place, (before, argument) in enumerate(zip(["", *arguments], arguments, strict=False))
        if not argument.startswith("-") and before not in TAKES_VALUE
    ]


def config_dir(arguments: list[str]) -> str | None:
    """The folder of further configs that Hydra's flag names."""
    return value_of(arguments, "--config-dir", "-cd")


def config_name(arguments: list[str]) -> str | None:
    """The config that is composed in the place of the program's own."""
    return value_of(arguments, "--config-name", "-cn")


def value_of(arguments: list[str], *flags: str) -> str | None:
    """What one of Hydra's flags is given, in the same argument or in the next."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        if flag in flags:
            return value if equals else following
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


def check(arguments: list[str], compose: Callable[[list[str]], Any]) -> Path:
    """Refuse a multirun none of whose jobs could be composed, with the message of the first.

    Returns its folder: the one that the values which do not vary name.
    """
    overrides = parse(arguments)
    single = [o for o in overrides if not o.is_sweep_override() and concerns_configs(o)]
    fixed = [str(override.input_line) for override in single]
    config, folder = compose([*fixed, *named(overrides), f"hydra.run.dir=${{{FOLDER}}}"])
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
    return Path(folder)


def named(overrides: list[Override]) -> list[str]:
    """The name for the folder of a multirun whose jobs have different ones, of experiments too."""
    varied = {o.key_or_group for o in overrides if o.is_sweep_override()}
    given = {o.key_or_group for o in overrides}
    differ = "name" in varied or ("experiment" in varied and "name" not in given)
    return [f"++name={SEVERAL}"] if differ else []


def settle(arguments: list[str], folder: Path) -> list[str]:
    """The command with the folder, where it leaves that open.

    Hydra works the folder out again in each job, whose own name and time would scatter the jobs.
    """
    if FOLDER in {override.key_or_group for override in parse(arguments)}:
        return arguments
    escaped = str(folder).replace("'", "\\'")
    # Hydra takes overrides only where all of them stand together.
    place = next(iter(places_of_overrides(arguments)), len(arguments))
    return [*arguments[:place], f"{FOLDER}='{escaped}'", *arguments[place:]]


def concerns_configs(override: Override) -> bool:
    """Whether a job's config depends on it: of Hydra's own settings on where configs lie."""
    key = override.key_or_group
    return key == "hydra.searchpath" or key.split(".")[0].split("/")[0] != "hydra"


def compose_any(candidates: list[list[str]], compose: Callable[[list[str]], Any]) -> None:
    errors: list[Exception] = []
    for overrides in candidates:
        try:
            compose(overrides)
            return
        except Exception as error:
            errors.append(error)
    raise errors[0]
