"""What a config may name. A `_target_` is code, so only classes of known places are made.

A whole package is too wide a place: torch alone has classes whose constructors start a process
(`torch.distributed.elastic`), open a file for writing or fetch one.
"""

import contextlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import Any, get_type_hints

from gan_lab import UserError

PACKAGES = ("gan_lab.", "torch.", "torchvision.", "torchmetrics.", "pytorch_lightning.")
PLACES = (  # where classes that training needs are at home
    "gan_lab.",
    "torch.nn.",
    "torch.optim.",
    "torchmetrics.",
    "torchvision.transforms.",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "pytorch_lightning.plugins.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
    "pytorch_lightning.trainer.",
)
NETWORKS = ("gan_lab.networks.", "torch.nn.")  # what a config out of a checkpoint may name,
SOURCES = ("gan_lab.data.",)  # for its networks and for its data
DEEPEST = 50  # levels of a config

_vouched: ContextVar[tuple[str, ...]] = ContextVar("vouched", default=())


@contextlib.contextmanager
def from_command(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Trust what `trusted=[my_package]` names, and give the other arguments.

    Only a command line comes here: no YAML file, run folder or checkpoint can extend the list.
    """
    rest, names = [], list(_vouched.get())
    for argument in arguments:
        if vouches(argument):
            names += [f"{name}." for name in package_names(argument.partition("=")[2])]
        else:
            rest.append(argument)
    before = _vouched.set(tuple(names))
    try:
        yield rest
    finally:
        _vouched.reset(before)


def argument() -> list[str]:
    """The override by which another process trusts the same packages."""
    names = ",".join(name.rstrip(".") for name in _vouched.get())
    return [f"trusted=[{names}]"] if names else []


def vouches(argument: str) -> bool:
    return argument.lstrip("+").startswith("trusted=")


def is_vouched(target: str) -> bool:
    """Whether the command line trusts the package of a dotted name."""
    return target.startswith(_vouched.get())


def package_names(value: str) -> list[str]:
    """`[one,two.three]` -> ["one", "two.three"], all of which can be imported."""
    listed = re.fullmatch(r"\[(.*)\]", value)
    names = [name.strip() for name in (listed.group(1) if listed else value).split(",")]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
            raise UserError(
                f"trusted={value} must be a list of packages whose classes configs may name, "
                "as in trusted=[my_package]"
            )
        if not importable(name):
            raise UserError(
                f"trusted={value}: there is no package {name}; install it, or start the program "
                "with `python -m` in the folder that holds it"
            )
    return names


def importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # its parent is no package
        return False


def resolve_target(target: Any, path: str) -> Any:
    """The class, or the function of ours that makes an object of ours, which `target` names.

    Raises:
        UserError: for anything else; nothing of an unknown package is even imported.
    """
    return resolve_in(target, path, PACKAGES, PLACES)


def resolve_in(target: Any, path: str, packages: tuple[str, ...], places: tuple[str, ...]) -> Any:
    vouched = _vouched.get()
    if not str(target).startswith((*packages, *vouched)):
        raise UserError(
            f"{path}._target_={target} is not trusted; allowed: "
            f"{', '.join((*packages, *vouched))}{remedy(target)}"
        )
    try:
        found = locate(target)
    except Exception as error:
        raise UserError(
            f"{path}._target_={target} cannot be imported: {error}; give module.Class of a file "
            "that there is"
        ) from error
    # torch.os.system is not torch's: what counts is where a class is at home.
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    by_user = home.startswith(vouched) and (inspect.isclass(found) or inspect.isfunction(found))
    is_known = home.startswith(places) and (inspect.isclass(found) or is_factory(found))
    if not (by_user or is_known):
        raise UserError(
            f"{path}._target_={target} is no class of {', '.join((*places, *vouched))}"
            f"{remedy(target)}"
        )
    return found


def locate(target: str) -> Any:
    """What a dotted name means, as Hydra finds it, but without Hydra's notes on the screen."""
    names = target.split(".")
    found: Any = import_module(names[0])
    for depth, name in enumerate(names[1:], 2):
        if not hasattr(found, name):
            import_module(".".join(names[:depth]))
        found = getattr(found, name)
    return found


def remedy(target: Any) -> str:
    """How to allow it; what is no name, or of Python's own, no config needs."""
    package = str(target).split(".")[0]
    known = f"{package}." in PACKAGES or package in sys.stdlib_module_names
    if known or not package.isidentifier():
        return "; give a class of these"
    return f"; if you trust it, add trusted=[{package}] to the command line"


def is_factory(found: Any) -> bool:
    """A function of ours that is annotated to return an object of one of our classes."""
    if not inspect.isfunction(found) or not found.__module__.startswith("gan_lab."):
        return False
    made = get_type_hints(found).get("return")
    return inspect.isclass(made) and made.__module__.startswith("gan_lab.")


def require_networks(node: Any, path: str) -> None:
    """Refuse a config out of a file that names anything but networks, at any depth.

    Raises:
        UserError: for every class that is no `nn.Module`; its constructor could do anything.
    """
    from torch import nn

    refuse_interpolations(node, path)
    for where, target in targets_in(node, path):
        found = resolve_in(target, where, NETWORKS, NETWORKS)
        if not (inspect.isclass(found) and issubclass(found, nn.Module)):
            raise UserError(f"{where}._target_={target} is no network; not built")


def require_sources(node: Any, path: str) -> None:
    """Refuse a config out of a file that names anything but data sets, at any depth."""
    refuse_interpolations(node, path)
    for where, target in targets_in(node, path):
        resolve_in(target, where, SOURCES, SOURCES)


def refuse_interpolations(node: Any, path: str, depth: int = 0) -> None:
    """What is checked must be what is built: `${oc.create:...}` could still become anything.

    Raises:
        UserError: where a text holds one (configs are resolved before they get here), and for
            what no YAML file makes: keys that are no texts, endless depth.
    """
    if depth > DEEPEST:
        raise UserError(f"{path[:80]}... is over {DEEPEST} levels deep; give a flatter config")
    if isinstance(node, str) and "${" in node:
        raise UserError(f"{path}={node} must be a plain value; put one in the place of ${{...}}")
    if isinstance(node, (list, tuple)):
        node = {str(index): child for index, child in enumerate(node)}
    for key, child in node.items() if isinstance(node, dict) else ():
        if not isinstance(key, str):
            raise UserError(
                f"{path}: its key {key!r} must be a text; give a config of named settings"
            )
        refuse_interpolations(child, f"{path}.{key}", depth + 1)


def targets_in(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` in a tree of containers, with the path of its node."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node["_target_"]
        for key, child in node.items():
            yield from targets_in(child, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from targets_in(child, f"{path}[{index}]")
