"""What is searched: for each key of a training's config a range, or a list of choices."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from gan_lab import UserError
from gan_lab.launch.messages import did_you_mean

RANGE = ("low", "high", "log", "steps")
KEY = re.compile(r"(\+{1,2}|~)?[A-Za-z_][\w./@:-]*")
RESERVED = re.compile(r"(hydra[./].*|resume|experiment)")
FORMS = "{low: 1e-4, high: 1e-2, log: true} or {choices: [a, b]}"


class Parameter(Protocol):
    """What one key may be."""

    def suggest(self, trial: Any, key: str) -> None:
        """Let an Optuna trial have a value for the key, unless it has one."""

    def points(self) -> Sequence[Any]:
        """The values of a grid."""

    def extremes(self) -> Sequence[Any]:
        """The values to try composing with."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, whole ones where both ends are whole (write 0.0 for others)."""

    low: float
    high: float
    log: bool = False
    steps: int = 5  # of a grid

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Any, key: str) -> None:
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        suggest(key, self.low, self.high, log=self.log)

    def points(self) -> list[float]:
        """Both ends and evenly spaced between them, by factors where `log` is set."""
        shares = [i / (self.steps - 1) for i in range(self.steps)]
        if self.log:
            values = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        if self.whole:
            return sorted({round(value) for value in values})
        inner = [float(f"{value:.6g}") for value in values[1:-1]]
        return [float(self.low), *inner, float(self.high)]

    def extremes(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of these values; a text may be any value of an override, as `[r1,r2]`."""

    choices: tuple[Any, ...]

    def suggest(self, trial: Any, key: str) -> None:
        trial.suggest_categorical(key, self.choices)

    def points(self) -> tuple[Any, ...]:
        return self.choices

    extremes = points


Space = dict[str, Parameter]


def read(node: Any) -> Space:
    """`sweep.space` -> key -> what it may be; keys may be nested or written with dots.

    Raises:
        UserError: for an empty space, a key that is neither form, a range that is none.
    """
    if not isinstance(node, dict) or not node:
        raise UserError(
            f"sweep.space={node} must map keys to what they may be, as in "
            f"{{optimizer.generator.lr: {{low: 1e-4, high: 1e-2, log: true}}}}"
        )
    found: dict[str, dict[str, Any]] = {}
    for key, form in forms(node, ()):
        found[key] = found.get(key, {}) | form  # an override on the command line comes nested
    for key in found:
        check_key(f"sweep.space.{key}", key)
    return {key: parameter(key, form) for key, form in found.items()}


def check_key(where: str, key: str) -> None:
    """A training's settings may be told it, but neither whom to trust nor where it is.

    Raises:
        UserError: for another key.
    """
    if not KEY.fullmatch(key):
        raise UserError(f"{where} names no setting; give a key as in optimizer.generator.lr")
    if RESERVED.fullmatch(key.lstrip("+~")):
        raise UserError(f"{where} is the search's own business; leave it out")
    if key.lstrip("+~") == "trusted":
        raise UserError(f"{where}: only the command line can say it; add trusted=[...] there")


def forms(node: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key with its range or choices."""
    for name, child in node.items():
        key = ".".join((*above, str(name)))
        if not isinstance(child, dict) or not child:
            raise UserError(f"sweep.space.{key}={child} must be {FORMS}")
        if {"choices", *RANGE} & child.keys():
            yield key, child
        else:
            yield from forms(child, (*above, str(name)))


def parameter(key: str, form: dict[str, Any]) -> Parameter:
    where = f"sweep.space.{key}"
    if unknown := sorted(form.keys() - {"choices", *RANGE}):
        hint = did_you_mean(unknown[0], ["choices", *RANGE])
        raise UserError(f"{where}.{unknown[0]} is not known{hint}; use {FORMS}")
    if "choices" in form:
        if len(form) > 1:
            raise UserError(f"{where}={form} must be a range or choices, not both; use {FORMS}")
        return choice(where, form["choices"])
    return number_range(where, form)


def choice(where: str, choices: Any) -> Choice:
    known = isinstance(choices, list) and all(
        value is None or isinstance(value, (bool, int, float, str)) for value in choices
    )
    if not known or not choices or len({repr(value) for value in choices}) < len(choices):
        raise UserError(
            f"{where}.choices={choices} must be a list of different values; quote one that is a "
            "list itself, as in ['[r1,r2]', none]"
        )
    return Choice(tuple(choices))


def number_range(where: str, form: dict[str, Any]) -> Range:
    for name in ("low", "high"):
        value: Any = form.get(name)
        no_number = isinstance(value, bool) or not isinstance(value, (int, float))
        if no_number or not math.isfinite(value):
            raise UserError(f"{where}.{name}={value} must be a number; use {FORMS}")
    low, high, log, steps = (
        form["low"],
        form["high"],
        form.get("log", False),
        form.get("steps", 5),
    )
    if not low < high:
        raise UserError(f"{where}: low={low} must be below high={high}; swap or change them")
    if not isinstance(log, bool) or (log and low <= 0):
        raise UserError(
            f"{where}: log={log} with low={low} is no range of factors; low must be above 0, or "
            "log must be false"
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
        raise UserError(f"{where}.steps={steps} must be a whole number of at least 2")
    return Range(low, high, log, steps)


def overrides(params: Mapping[str, Any]) -> list[str]:
    """What a training is told of the values of a trial."""
    return [f"{key}={text(value)}" for key, value in params.items()]


def text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def brief(value: Any) -> str:
    """For a line to read, not to type back."""
    return f"{value:.4g}" if isinstance(value, float) else text(value)


def grid(space: Space) -> list[dict[str, Any]]:
    """Every combination of the parameters' points."""
    values = [parameter.points() for parameter in space.values()]
    return [dict(zip(space, point, strict=True)) for point in product(*values)]


def examples(space: Space) -> list[list[str]]:
    """Overrides that together name every end and every choice, for a try at composing them."""
    columns = {key: parameter.extremes() for key, parameter in space.items()}
    count = max(len(values) for values in columns.values())
    return [
        overrides({key: values[i % len(values)] for key, values in columns.items()})
        for i in range(count)
    ]
