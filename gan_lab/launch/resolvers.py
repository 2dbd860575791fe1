"""What our YAML files may compute: `${default_epochs:...}`, `${run_dir:...}`, `${job_name:...}`."""

import re
from collections.abc import Sequence

from omegaconf import OmegaConf


def default_epochs(epochs: int, max_time: object) -> int | None:
    """The default budget, which falls away where the user gives a budget of time."""
    return epochs if max_time is None else None


def run_dir(resume: str | None, default: str) -> str:
    """A resumed run goes on in its own folder."""
    return default if resume is None else resume


def plain(text: str) -> str:
    """Keep letters, digits, `.`, `_`, `-`: what can be typed back as a value."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", re.sub(r"[\[\](){}'\"\s]", "", text))


def job_name(overrides: Sequence[str], varied: Sequence[str]) -> str:
    """Name a job by what varies: `generator.lr_1e-4` (the last two parts of each swept key)."""
    parts = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in varied:
            parts.append(f"{plain('.'.join(key.split('.')[-2:]))}_{plain(short(value))}")
    return "-".join(parts) or "job"


def short(value: str) -> str:
    """0.0001, which Hydra makes of 1e-4, becomes 1e-4 again; other values stay."""
    if not re.fullmatch(r"-?0\.00\d+", value):
        return value
    mantissa, exponent = f"{float(value):e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def register_resolvers() -> None:
    for resolver in (default_epochs, run_dir, plain):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
    if not OmegaConf.has_resolver("job_name"):
        name_jobs_by([])


def name_jobs_by(varied: list[str]) -> None:
    """Let `job_name` show these keys, those that a sweep varies, in the order of the command."""
    OmegaConf.register_new_resolver(
        "job_name", lambda overrides: job_name(overrides, varied), replace=True
    )
