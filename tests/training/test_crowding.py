"""A run that waits for its cores says so, once, and a run that does not is left alone."""

from types import SimpleNamespace
from typing import Any

import pytest

from gan_lab.training.callbacks import crowding
from gan_lab.training.callbacks.crowding import Crowding, thread_times


def warned(monkeypatch, capsys, times: list[tuple[int, int]], zero: bool = True) -> str:
    """What is said over steps of which each is a look."""
    readings = iter(times)
    monkeypatch.setattr(crowding, "thread_times", lambda: next(readings))
    monkeypatch.setattr(crowding, "LOOK", -1.0)
    callback, trainer = Crowding(), SimpleNamespace(is_global_zero=zero)
    module: Any = None
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    for _ in times[1:]:
        callback.on_train_batch_end(trainer)  # type: ignore[arg-type]
    return capsys.readouterr().err


def test_waiting_is_said_once(monkeypatch, capsys) -> None:
    text = warned(monkeypatch, capsys, [(0, 0), (100, 0), (160, 40), (220, 80)])
    assert text.count("oversubscribed") == 1
    assert "in 40% of its time" in text


def test_a_little_waiting_is_not_worth_a_word(monkeypatch, capsys) -> None:
    assert warned(monkeypatch, capsys, [(0, 0), (90, 10), (180, 20)]) == ""


def test_one_rank_speaks(monkeypatch, capsys) -> None:
    assert warned(monkeypatch, capsys, [(0, 0), (10, 90)], zero=False) == ""


def test_linux_tells_how_long_a_thread_ran(monkeypatch, tmp_path) -> None:
    if not crowding.SCHEDSTAT.is_file():
        pytest.skip("no /proc/thread-self/schedstat")
    before = thread_times()[0]
    sum(range(10**6))
    assert thread_times()[0] > before
    monkeypatch.setattr(crowding, "SCHEDSTAT", tmp_path / "missing")
    assert thread_times() == (0, 0)
