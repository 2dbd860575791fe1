"""The scripts of benchmarks/: each loads, and what they switch is there to be switched."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan_lab.launch.benchmarking.handloop import HandLoop
from tests.conftest import tiny_config

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_loads_without_running(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All its imports are there, and what it says of itself names it."""
    module = load(path)
    assert f"benchmarks/{path.name}" in module.__doc__
    assert capsys.readouterr().out == ""


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load(FOLDER / "changes.py")
    monkeypatch.setattr(module, "ROUNDS", 1)
    monkeypatch.setattr(module, "compose", lambda name, *overrides: tiny_config(*overrides))
    return module


def test_one_pass_is_what_the_networks_are_asked_for(changes: Any) -> None:
    """Whether real and fake images are judged together hangs on an attribute of this name."""
    loop, calls = HandLoop(tiny_config()), []
    loop.module.discriminator.register_forward_hook(lambda *_: calls.append(1))
    counts = {}
    for on in (False, True):
        changes.one_pass(loop, on)
        calls.clear()
        loop.step(due=[])
        counts[on] = len(calls)
    assert counts == {False: 3, True: 2}  # real, fake, fake for the generator


def test_a_change_is_timed_with_and_without(changes: Any, capsys: Any) -> None:
    seen: list[bool] = []

    def in_bfloat16(loop: HandLoop, on: bool) -> None:
        changes.in_bfloat16(loop, on)
        seen.append(loop.bfloat16)

    changes.compare("tiny", in_bfloat16, 2)
    assert seen == [False, True, True]  # and left on
    assert "tiny, in_bfloat16: " in capsys.readouterr().out


def test_threads_and_nvml_are_switched(changes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(changes, "THREADS", 7)
    monkeypatch.setattr(changes.torch, "set_num_threads", asked.append)
    monkeypatch.setenv(changes.NVML, "0")
    for on in (False, True):
        changes.all_threads(None, on)
        changes.without_nvml(None, on)
        assert (changes.NVML in os.environ) == (not on)
    assert asked == [1, 7]


LOOKS: dict[str, Callable[[HandLoop], Any]] = {
    "channels_last": lambda loop: loop.module.memory_format,
    "fused_optimizers": lambda loop: loop.optimizer_g.defaults["fused"],
}


@pytest.mark.parametrize("setting", LOOKS)
@pytest.mark.slow
def test_a_setting_is_two_loops(setting: str, changes: Any, capsys: Any, monkeypatch) -> None:
    assert LOOKS.keys() == changes.SETTINGS.keys()
    built: list[HandLoop] = []

    def build(config: Any) -> HandLoop:
        built.append(HandLoop(config))
        return built[-1]

    monkeypatch.setattr(changes, "HandLoop", build)
    changes.compare_setting("tiny", setting, 2)
    assert f"tiny, {setting}: " in capsys.readouterr().out
    without, with_it = (LOOKS[setting](loop) for loop in built)
    assert without != with_it


def test_the_ratio_is_of_with_by_without(changes: Any, capsys: Any) -> None:
    changes.alternate("half", lambda on: 0.001 if on else 0.002)
    assert "half: 2.00 -> 1.00 ms, ratio 0.500" in capsys.readouterr().out
