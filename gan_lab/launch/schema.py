"""Check a composed config against the signatures that its `_target_`s have, before anything runs.

A user's class needs no schema of its own: its type hints are the schema.
"""

import inspect
import math
import traceback
import types
import typing
from collections.abc import Callable, Collection
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.messages import did_you_mean
from gan_lab.launch.trust import refuse_interpolations, resolve_target

SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_"}


def build(node: Any, path: str, **extra: Any) -> Any:
    """Instantiate a node whose values were checked and made to fit its signature.

    Raises:
        UserError: naming the key, where a value has the wrong type or the class refuses it.
    """
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise UserError(f"{path}={plain} names no class; choose an option of the group instead")
    refuse_interpolations(plain, path)
    try:
        return instantiate(conform_node(plain, path), _convert_="all", **extra)
    except Exception as error:
        cause = error if isinstance(error, UserError) else error.__cause__ or error
        ours = str(plain["_target_"]).startswith("gan_lab.")
        # What torch refuses is about a value; an error in our own code is a defect of it.
        if raised_by_torch(cause):
            reason = str(cause).splitlines()[0][:160]
            cause = UserError(f"{path}: {reason}; use smaller or other values in it")
        if not isinstance(cause, UserError if ours else (ValueError, TypeError)):
            raise cause from None
        known = str(cause).startswith((path, path.split(".")[0] + "."))
        raise UserError(str(cause) if known else f"{path}: {cause}") from error


def raised_by_torch(error: BaseException) -> bool:
    """Whether a constructor of torch raised it: for a size beyond its integers, or the memory."""
    if not isinstance(error, (TypeError, OverflowError, RuntimeError)) or not str(error):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__")).startswith("torch.")


def conform_node(node: Any, path: str) -> Any:
    """Return the node with each value converted to what its target's type hint asks for."""
    if isinstance(node, list):
        return [conform_node(child, f"{path}[{i}]") for i, child in enumerate(node)]
    if not isinstance(node, dict):
        return check_finite(node, path)
    if "_target_" not in node:
        return {key: conform_node(child, f"{path}.{key}") for key, child in node.items()}
    hints, parameters = signature(resolve_target(node["_target_"], path))
    fitted = {key: node[key] for key in node if key in SPECIAL}
    for key, value in node.items():
        if key not in SPECIAL:
            where = f"{path}.{key}"
            check_key(key, value, parameters, node["_target_"], where)
            value = conform_node(value, where)
            fitted[key] = conform(value, hints.get(key, Any), where)
    return fitted


def signature(target: Callable[..., Any]) -> tuple[dict[str, Any], Collection[str] | None]:
    """Type hints and parameter names of a class or function; None where it takes any keyword."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function)
    except Exception:  # a foreign class whose hints cannot be resolved is not checked
        hints = {}
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return hints, None
    return hints, list(parameters)


def check_key(
    key: str, value: Any, parameters: Collection[str] | None, target: str, path: str
) -> None:
    if parameters is not None and key not in parameters:
        names = ", ".join(parameters)
        hint = did_you_mean(key, list(parameters))
        raise UserError(
            f"{path}={str(value)[:80]}: {target} has no setting '{key}'{hint}; leave it out, "
            f"or use another: it takes {names}"
        )


def check_finite(value: Any, path: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{path}={value} is not a finite number")
    return value


def conform(value: Any, hint: Any, path: str) -> Any:
    """Return `value` as the hint's type (1 -> 1.0 for float), or raise UserError."""
    fits, converted = match(value, hint)
    if not fits:
        raise UserError(f"{path}={value!r} is not {describe(hint)}")
    return converted


def match(value: Any, hint: Any) -> tuple[bool, Any]:
    """(fits, converted): what we cannot judge (objects, exotic hints) fits as it is."""
    origin = get_origin(hint)
    if hint in (Any, object):
        return True, value
    if origin in (Union, types.UnionType):
        return match_union(value, hint)
    if origin is Literal:
        return value in get_args(hint), value
    if origin in (list, tuple) or hint in (list, tuple) or is_sequence(origin):
        return match_sequence(value, hint)
    if origin is dict or hint is dict:
        return isinstance(value, dict), value
    if value is None or hint is type(None):
        return value is None and hint in (None, type(None), Any, object), value
    if hint is bool:
        return isinstance(value, bool), value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number, float(value) if number else value
    if hint is str:
        return isinstance(value, str), value
    plain = isinstance(value, (bool, int, float, str, list))
    return not (plain and inspect.isclass(hint) and hint is not object), value


def is_sequence(origin: Any) -> bool:
    return origin in (typing.Sequence, *(get_origin(typing.Sequence[int]),))


def match_union(value: Any, hint: Any) -> tuple[bool, Any]:
    """An exact type wins over a conversion, so that int | float leaves 1 an int."""
    exact = [arg for arg in get_args(hint) if arg is type(value)]
    results = [match(value, arg) for arg in exact + list(get_args(hint))]
    return next((result for result in results if result[0]), (False, value))


def match_sequence(value: Any, hint: Any) -> tuple[bool, Any]:
    if not isinstance(value, (list, tuple)):
        return False, value
    args = get_args(hint) or (Any, ...)
    fixed = get_origin(hint) is tuple and Ellipsis not in args
    if fixed and len(args) != len(value):
        return False, value
    results = [match(item, args[i] if fixed else args[0]) for i, item in enumerate(value)]
    return all(fits for fits, _ in results), [converted for _, converted in results]


NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def describe(hint: Any) -> str:
    """A type hint in words: `float | None` -> "a number or null"."""
    args, origin = get_args(hint), get_origin(hint)
    if origin in (Union, types.UnionType):
        typeable = [arg for arg in args if arg in NAMES or get_origin(arg) or arg is type(None)]
        return " or ".join(dict.fromkeys(describe(arg) for arg in typeable or args))
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is not None and args:
        if Ellipsis in args or origin is list or is_sequence(origin):
            return f"a list of {describe(args[0])} values"
        return "a list of " + ", ".join(describe(arg) for arg in args)
    if hint in (None, type(None)):
        return "null"
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))
