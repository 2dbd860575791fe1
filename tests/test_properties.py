"""Properties of the space of configs: what is valid trains, what is not is refused in time.

Options and settings are discovered in conf/, so that a new one is tried without a word here.
"""

import contextlib
import io
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.launch.messages import flatten
from gan_lab.train import train

# Data are synthetic here; experiments and debug set several of the others; of the callbacks and
# loggers some need other packages. `sweep` and `table` are groups of other programs.
LEFT_OUT = {"sweep", "table", "data", "experiment", "debug", "trainer", "hydra"}
GROUPS = sorted({path.parent.name for path in CONF.glob("*/*.yaml")} - LEFT_OUT)
NARROW = {"width": "4", "hidden": "[8]"}  # settings of networks that decide what a step costs
SMALL = [
    "data=fake",
    "data.source.num_images=80",
    "data.holdout=16",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.enable_progress_bar=false",
]
REPEATABLE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a smaller example would cost another minute to find
    suppress_health_check=list(HealthCheck),
)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def plain_options(group: str) -> list[str]:
    """Those that need no optional package."""
    return [name for name in options(group) if name not in {"wandb", "mlflow"}]


def narrow(networks: str) -> list[str]:
    node: Any = OmegaConf.load(CONF / "networks" / f"{networks}.yaml")
    return [
        f"networks.{player}.{key}={value}"
        for player in ("generator", "discriminator")
        for key, value in NARROW.items()
        if key in node[player]
    ]


@st.composite
def valid(draw: st.DrawFn) -> list[str]:
    """Overrides that any user may combine."""
    chosen = {group: draw(st.sampled_from(plain_options(group))) for group in GROUPS}
    shares = st.floats(0, 1, allow_subnormal=False)
    numbers: dict[str, Any] = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "n_critic": draw(st.integers(1, 3)),
        "data.batch_size": draw(st.integers(2, 32)),
        "data.channels": draw(st.sampled_from([1, 3])),
        "data.num_classes": draw(st.integers(1, 12)),
        "ema.half_life": draw(st.integers(0, 10**6)),
        "ema.ramp": draw(st.sampled_from(["null", 0.05, 1])),
        "schedule.warmup": draw(shares),
        "clip.generator": draw(st.sampled_from(["null", 0.1, 10])),
        "trainer.precision": draw(st.sampled_from(["32-true", "bf16-mixed", "64-true"])),
        "trainer.log_every_n_steps": draw(st.integers(1, 3)),
        "optimizer.generator.lr": draw(st.sampled_from([0, 1e-4, 1e-2])),
    }
    given = [f"{key}={value}" for key, value in (chosen | numbers).items()]
    return [*SMALL, *given, *narrow(chosen["networks"])]


def attempt(overrides: list[str]) -> tuple[int, str, list[str]]:
    """The status of `train`, what it said, and what lies in the run folder afterwards."""
    errors = io.StringIO()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(errors):
        folder = Path(place) / "run"
        status = guarded("train", train, [f"hydra.run.dir={folder}", *overrides])
        found = sorted(path.name for path in folder.glob("*"))
        return status, errors.getvalue(), found


@pytest.mark.slow
@settings(REPEATABLE, max_examples=40)
@given(valid())
def test_what_is_valid_trains(overrides: list[str]) -> None:
    status, message, found = attempt(overrides)
    if status == 2 and re.search(
        r"makes no sense|use conditioning=|leaves no noise|needs labels", message
    ):
        assert not found  # sound by themselves, not together: docs/refusals.md
        return
    assert status == 0, message
    assert {"config.yaml", "metrics.csv", "result.json"} <= set(found)


# Numbers below 0 have a meaning somewhere in these; elsewhere they have none.
SIGNED: tuple[str, ...] = ("trainer.", "logger.", "callbacks.", "data.resident_limit")
SIGNED += ("networks.generator.start", "networks.discriminator.start")
SIGNED += ("networks.discriminator.offset",)


@cache
def leaves() -> dict[str, Any]:
    """Every number and switch of the default config and of each option, by its dotted key."""
    found: dict[str, Any] = {}
    for choice in [[], *([f"{group}={name}"] for group in GROUPS for name in plain_options(group))]:
        config, _ = compose_run("train", [*SMALL[:1], *choice])
        plain = flatten(OmegaConf.to_container(config, resolve=True))
        for key, value in plain.items():
            if isinstance(value, (bool, int, float)) and "._" not in key:
                found.setdefault(f"{' '.join(choice)} {key}".strip(), value)
    return found


@st.composite
def invalid(draw: st.DrawFn) -> tuple[list[str], str]:
    """Valid overrides with one that is not, and the name that the message must hold."""
    kind = draw(st.sampled_from(["type", "range", "name", "option", "infinite"]))
    if kind == "option":
        group = draw(st.sampled_from([*GROUPS, "data", "experiment"]))
        name = f"{draw(st.sampled_from(options(group)))}{draw(st.sampled_from(['x', '2', '_']))}"
        return [*SMALL[group == "data" :], f"{group}={name}"], group
    place = draw(st.sampled_from(sorted(leaves())))
    *choice, key = place.split(" ")
    value = wrong_value(draw, kind, key, leaves()[place])
    name = f"{key}x" if kind == "name" else key
    base = [text for text in SMALL if not text.startswith(f"{name}=")]
    return [*base, *choice, f"{name}={value}"], name


def wrong_value(draw: st.DrawFn, kind: str, key: str, value: Any) -> Any:
    is_number = not isinstance(value, bool)
    if kind == "range" and is_number and not key.startswith(SIGNED):
        return draw(st.integers(-(10**6), -1))
    if kind == "infinite" and is_number:
        return draw(st.sampled_from(["nan", "inf", "-inf"]))
    return draw(st.sampled_from(["word", "[word]", "{a:1}"]))


@pytest.mark.slow
@settings(REPEATABLE, max_examples=150)
@given(invalid())
def test_what_is_invalid_is_refused_before_training(wrong: tuple[list[str], str]) -> None:
    overrides, name = wrong
    status, message, found = attempt(overrides)
    assert (status, found) == (2, []), (overrides, message)
    assert message.startswith("error: ")
    assert message.count("error: ") == 1
    # Constructors know an argument by its last name only.
    assert name.rsplit(".", 1)[-1] in message, (overrides, message)


@pytest.mark.slow
def test_every_group_is_tried() -> None:
    assert {"networks", "objective", "penalty", "optimizer", "schedule"} <= set(GROUPS)
    assert len(leaves()) > 60
