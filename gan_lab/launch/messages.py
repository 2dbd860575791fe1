"""Errors and help in our own words: argument, value received, what is allowed, what to do."""

import re
from difflib import get_close_matches
from errno import EACCES, ELOOP, ENAMETOOLONG
from pathlib import Path

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gan_lab import UserError

PLUGINS = {  # options that a package brings -> our extra that installs it
    f"hydra/launcher={name}": "sweeps" for name in ("joblib", "submitit_local", "submitit_slurm")
}


def explain(error: BaseException, conf: Path) -> str | None:
    """Say what the user can do about `error`; None where it is a defect of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return unknown_option(error)
    if isinstance(error, OverrideParseException):
        return malformed(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}= is missing; give it on the command line"
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return "a group takes the name of an option, not null; see --help for the options"
    if isinstance(error, OSError) and error.errno in (ENAMETOOLONG, EACCES, ELOOP):
        return f"{error.filename}: {error.strerror}; choose another path"
    if isinstance(error, InstantiationException):
        return None
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return unknown_key(error, conf)
    return None


def unknown_option(error: MissingConfigException) -> str:
    """`networks=foo`: list the options of the group, the nearest first."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = sorted(error.options or [])
    if not options:
        return f"no config '{error.missing_cfg_file}' exists; see --help for the groups"
    hint = did_you_mean(option, options)
    if (extra := PLUGINS.get(f"{group}={option}")) is not None:
        hint += f", or python -m pip install 'gan_lab[{extra}]'"
    return f"{group}={option} is not an option; use one of: {', '.join(options)}{hint}"


def malformed(error: OverrideParseException) -> str:
    text = error.override
    if text and "=" not in text:
        return f"'{text}' is not of the form key=value; see --help for examples"
    return f"cannot read '{text}': quote it for the shell, as in 'penalty=[r1,r2]' ({error})"


def unknown_key(error: Exception, conf: Path) -> str:
    """`optimizer.generator.lrr=1`: suggest the nearest keys of all that exist."""
    text = " ".join(str(error).split())
    found = re.search(r"Could not (?:override|delete|append[^']*) '([^']+)'", text)
    if not found:
        return text
    key = found.group(1)
    if "@" in key or "is not in struct" not in text + str(error.__cause__):
        return f"{key}: {error.__cause__ or text}"
    names = sorted(known_keys(conf))
    if key in names:
        return f"{key} is a setting of another option; `--cfg job` lists those of the chosen ones"
    return f"{key} is not a setting{did_you_mean(key, names)}; `--cfg job` lists all settings"


def known_keys(conf: Path) -> set[str]:
    """All dotted keys of conf/, and the names of its groups."""
    keys = {path.parent.relative_to(conf).as_posix() for path in conf.glob("*/*.yaml")}
    keys.add("trusted")  # which no file has
    for path in conf.rglob("*.yaml"):
        relative = path.relative_to(conf)
        node = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        at_root = len(relative.parts) == 1 or relative.parts[0] in ("experiment", "debug")
        keys |= set(flatten(node, () if at_root else relative.parts[:-1]))
    return {key for key in keys if "defaults" not in key and "_target_" not in key}


def flatten(node: object, prefix: tuple[str, ...] = ()) -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists count as values."""
    if not isinstance(node, dict) or not node:
        return {".".join(prefix): node} if prefix else {}
    pairs = [flatten(child, (*prefix, str(key))).items() for key, child in node.items()]
    return {key: value for items in pairs for key, value in items}


def did_you_mean(name: str, names: list[str]) -> str:
    """The name closest to `name`, or the dotted keys that end in it."""
    last = [key for key in names if key.rsplit(".", 1)[-1] == name]
    near = last[:3] or get_close_matches(name, names, 1, 0.7)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def help_text(name: str, text: str, conf: Path) -> str:
    """The program's own lines, then its config groups with their options."""
    lines = [text.strip(), "", "Options are key=value. `--cfg job` prints all settings and values."]
    config = OmegaConf.load(conf / f"{name}.yaml")
    groups = [key for entry in config.defaults if not isinstance(entry, str) for key in entry]
    groups = [g.removeprefix("override ").lstrip("/").removeprefix("optional ") for g in groups]
    shown = [g for g in groups if (conf / g).is_dir() and not g.startswith("hydra")]
    if shown:
        lines += ["", "Groups (choose one option each, as in networks=mlp):"]
    for group in shown:
        options = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        lines.append(f"  {group:<12} {', '.join(options)}")
    lines += ["", "Multirun: add -m and give several values, as in -m seed=0,1,2."]
    lines += ["trusted=[my_package] lets configs name classes of packages besides our own."]
    return "\n".join(lines)
