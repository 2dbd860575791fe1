"""The parts of a search: spaces, what a trial has come to, who is alive."""

import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gan_lab import RunError, UserError
from gan_lab.launch.entry import compose_run
from gan_lab.launch.jobs import Job
from gan_lab.launch.runs import write_result
from gan_lab.launch.searching import outcomes, owners, pruning, settings, space, storage, studies
from gan_lab.launch.searching.settings import Settings
from gan_lab.launch.searching.space import Choice, Range


def test_a_range_has_its_ends_and_even_steps() -> None:
    assert Range(1e-4, 1e-2, log=True, steps=3).points() == [1e-4, 1e-3, 1e-2]
    assert Range(0.0, 1.0, steps=5).points() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert Range(8, 64, log=True, steps=4).points() == [8, 16, 32, 64]
    assert Range(1, 3, steps=7).points() == [1, 2, 3]  # none twice
    for mixed in (Range(0, 0.9, steps=3), Range(0.1, 1, steps=3)):
        assert [type(value) for value in mixed.points()] == [float] * 3
    assert {type(value) for value in Range(1, 3).points()} == {int}


def test_keys_are_dotted_or_nested() -> None:
    dotted = {"optimizer.generator.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    nested = {"optimizer": {"generator": {"lr": {"high": 1.0}}}}
    expected = {"optimizer.generator.lr": Range(1e-4, 1.0, log=True)}
    assert space.read({**dotted, **nested}) == expected


def test_a_grid_holds_every_combination() -> None:
    two: space.Space = {"a": Choice(("x", None)), "b": Range(1, 2, steps=2)}
    points = space.grid(two)
    assert [tuple(p.values()) for p in points] == [("x", 1), ("x", 2), (None, 1), (None, 2)]
    assert space.overrides(points[2]) == ["a=null", "b=1"]
    assert space.overrides({"c": True, "d": 1e-5, "e": "[r1,r2]"}) == [
        "c=true",
        "d=1e-05",
        "e=[r1,r2]",
    ]


def test_examples_name_every_end_and_choice() -> None:
    found = space.examples({"a": Choice(("x", "y", "z")), "b": Range(1, 9)})
    assert found == [["a=x", "b=1"], ["a=y", "b=9"], ["a=z", "b=1"]]


WRONG: list[tuple[Any, str]] = [
    ({}, "must map keys to what they may be"),
    ({"a": 3}, "sweep.space.a=3 must be {low"),
    ({"a": {"b": 3}}, "sweep.space.a.b=3 must be {low"),
    ({"a": {"low": 1}}, "a.high=None must be a number"),
    ({"a": {"low": True, "high": 2}}, "a.low=True must be a number"),
    ({"a": {"low": 1, "high": math.inf}}, "a.high=inf must be a number"),
    ({"a": {"low": 2, "high": 1}}, "low=2 must be below high=1"),
    ({"a": {"low": 0, "high": 1, "log": True}}, "low must be above 0"),
    ({"a": {"low": 0, "high": 1, "steps": 1}}, "steps=1 must be a whole number of at least 2"),
    ({"a": {"low": 0, "hihg": 1}}, "did you mean high?"),
    ({"a": {"choices": []}}, "choices=[] must be a list of different values"),
    ({"a": {"choices": [1, 1]}}, "must be a list of different values"),
    ({"a": {"choices": [["r1", "r2"]]}}, "quote one that is a list itself"),
    ({"a": {"choices": [1], "low": 0}}, "not both"),
]


@pytest.mark.parametrize(("node", "message"), WRONG, ids=str)
def test_a_wrong_space_is_refused(node: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        space.read(node)
    assert message in str(refused.value)


RESULT = {
    "status": "finished",
    "metric": 3.5,
    "seconds": 40.0,
    "best": {"images_seen": 3.5, "fid": 3.5, "recall": 0.25},
    "last": {"val/fid": 4.0, "health/distance": 0.5},
}


def test_objectives_are_of_the_best_checkpoint_then_of_the_run() -> None:
    names = ["metric", "recall", "seconds", "health/distance", "val/fid"]
    found = outcomes.scores(RESULT, dict.fromkeys(names, "minimize"))
    assert found.values == [3.5, 0.25, 40.0, 0.5, 4.0]
    assert found.labels == ("fid", "recall", "seconds", "health/distance", "val/fid")


def test_an_objective_that_is_not_there_or_no_number() -> None:
    lacking = outcomes.scores(RESULT, {"kid": "minimize"})
    assert (lacking.state, "has no kid; it has" in lacking.reason) == ("FAIL", True)
    unmeasured = {"status": "finished", "metric": None, "best": {}, "last": {"generator/loss": 1.0}}
    assert outcomes.scores(unmeasured, {"metric": "minimize"}).state == "FAIL"


BROKEN = [
    ("metric", {"metric": math.nan, "best": {"images_seen": 9, "fid": math.nan}}),
    ("recall", {"metric": 3.5, "best": {"fid": 3.5, "recall": math.nan}}),
    ("generator/loss", {"metric": None, "best": {}, "last": {"generator/loss": math.inf}}),
]


@pytest.mark.parametrize(("name", "result"), BROKEN, ids=str)
def test_an_objective_that_is_no_number_at_the_end(name: str, result: Any, tmp_path) -> None:
    write_result(tmp_path, {"status": "finished", **result})
    found = outcomes.judge(Job(tmp_path, [], {}), 0, {name: "minimize"}, None)
    assert (found.state, found.reason) == ("PRUNED", f"{name} is not a number at the end")


@pytest.mark.parametrize(
    ("status", "pruned", "state"),
    [(143, "behind", "PRUNED"), (143, None, None), (-9, None, None), (1, None, "FAIL")],
)
def test_how_a_training_ended(status: int, pruned: str | None, state: str | None, tmp_path) -> None:
    (tmp_path / "train.log").write_text("warming up\nerror: no room\nrun: here\n")
    outcome = outcomes.judge(Job(tmp_path, [], {}), status, {"metric": "minimize"}, pruned)
    assert outcome.state == state
    assert outcome.reason == {1: "no room"}.get(status, pruned or outcome.reason)


@pytest.mark.skipif(owners.place() is None, reason="this system does not tell")
def test_a_worker_is_dead_when_its_process_is() -> None:
    me = owners.myself()
    assert not owners.is_dead(me)
    assert not owners.is_dead({**me, "place": "elsewhere", "pid": 2**22 + 1})
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = {**me, "pid": child.pid, "born": owners.born(child.pid)}
    assert not owners.is_dead(other)
    assert owners.is_dead({**other, "born": "another time"})
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked how
    assert owners.is_dead(other)
    child.communicate()
    assert owners.is_dead(other)


def settings_of(*overrides: str) -> Settings:
    config, _ = compose_run("sweep", list(overrides))
    return settings.read(config, lambda given: compose_run("train", given)[0])


def test_a_trial_is_compared_with_others_at_the_same_measurement() -> None:
    optuna = pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    given = settings_of("prune.startup=2", "prune.warmup=1", "prune.percentile=50")
    study = optuna.create_study(pruner=pruning.pruner(given))
    for curve in ([9.0, 5.0, 1.0], [9.0, 7.0, 3.0]):
        other = study.ask()
        rows = [{"val/fid": str(value)} for value in curve]
        assert pruning.hopeless(other, rows, given) is None
        study.tell(other, curve[-1])
    trial = study.ask()
    columns = [{"val/fid": "9.5", "images_seen": "1"}, {"val/fid": "8.0", "images_seen": "2"}]
    assert pruning.hopeless(trial, columns[:1], given) is None  # warming up
    said = pruning.hopeless(trial, columns, given)
    assert said == "metric 8 at measurement 2 is not among the best 50 % of the others"
    assert pruning.hopeless(trial, columns, given) is None  # said once


@pytest.mark.slow
def test_verdicts_and_what_is_no_number_end_a_trial() -> None:
    pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    given = settings_of()
    ill, well = ({"verdict/mode_collapse": value} for value in ("1.0", "0.0"))
    assert pruning.hopeless(None, [well, ill], given) == "the doctor says: mode collapse"  # type: ignore[arg-type]
    assert pruning.verdict([ill, well], ["mode_collapse"]) is None  # it has recovered
    assert pruning.verdict([ill], ["divergence"]) is None
    broken = [{"val/fid": "3.0"}, {"val/fid": "nan"}]
    assert pruning.hopeless(None, broken, given) == "metric is not a number"  # type: ignore[arg-type]
    assert pruning.hopeless(None, [ill], settings_of("prune=null")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        ['overrides=["seed=2"]'],
        ["~sweep.space", "+sweep.space={seed: {choices: [7, 8, 3]}}"],
        ["seeds=[4,0]"],
    ],
    ids=str,
)
@pytest.mark.slow
def test_finalists_have_other_seeds_than_what_chose_them(given: list[str]) -> None:
    with pytest.raises(UserError, match="what chose a finalist cannot judge it; give seeds= "):
        settings_of(*given)
    assert settings_of(*given, "seeds=[11,12]").seeds == (11, 12)
    assert settings_of(*given, "finalists=0").finalists == 0


def test_the_metric_is_what_the_run_measures() -> None:
    given = settings_of()
    assert given.column("metric", {"val/fid": 1, "val/mode_misses": 1}) == "val/mode_misses"
    assert given.column("metric", {"val/fid": 1}) == "val/fid"
    assert given.column("health/distance", {"health/distance": 1}) == "health/distance"
    assert given.column("seconds", {}) is None


def test_urls() -> None:
    pytest.importorskip("sqlalchemy")
    url = storage.read_url(None, Path("here"))
    assert (url.get_backend_name(), url.database) == ("sqlite", "here/study.db")
    pytest.importorskip("psycopg", reason="pip install 'gan_lab[postgresql]'")
    url = storage.read_url("postgresql+psycopg://me:secret@host/db", Path("here"))
    assert storage.without_password(url) == "postgresql+psycopg://me@host/db"
    hidden = f"{storage.without_password(url)}?connect_timeout=3"
    url = storage.read_url(f"{hidden}&password=secret&sslpassword=other", Path("here"))
    assert storage.without_password(url) == hidden


def test_no_password_is_recorded_with_the_command() -> None:
    given = "storage=postgresql://me:secret@host/db"
    for override in (given, f"+{given}", f"++{given}"):
        assert studies.shown(["sweep", override], "ADDRESS") == ["sweep", "storage=ADDRESS"]


@pytest.mark.slow
def test_workers_that_start_at_once_share_a_fresh_file(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    url = storage.read_url(None, tmp_path)
    start = threading.Barrier(4)

    def connect(_: int) -> int:
        start.wait()
        return len(storage.connect(url).get_all_studies())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(connect, range(4))) == [0] * 4


def test_tables_that_another_worker_is_making_are_waited_for(tmp_path: Path, monkeypatch) -> None:
    optuna = pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    from filelock import FileLock
    from sqlalchemy.exc import OperationalError

    error = OperationalError("CREATE TABLE", {}, Exception("table studies already exists"))
    outcomes_: list[Any] = [error, "opened"]

    def opened(*_: Any, **__: Any) -> Any:
        with pytest.raises(TimeoutError):  # no other worker on this machine opens it meanwhile
            FileLock(tmp_path / "study.db.tables.lock").acquire(timeout=0)
        found = outcomes_.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(optuna.storages, "RDBStorage", opened)
    monkeypatch.setattr(storage, "RACES", (0.001, 0.0))
    url = storage.read_url(None, tmp_path)
    assert storage.connect(url) == "opened"
    outcomes_ += [error, error]
    with pytest.raises(RunError, match="cannot be used: table studies already exists; see that"):
        storage.connect(url)


def test_a_worker_joins_while_another_has_its_turn(tmp_path: Path, monkeypatch) -> None:
    optuna = pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    sql = pytest.importorskip("sqlalchemy")
    from gan_lab.launch.searching.turns import turn_of

    monkeypatch.setattr(optuna.storages, "RDBStorage", lambda *_, **__: "opened")
    monkeypatch.setattr(storage, "WAIT", 0.05)
    url = storage.read_url(None, tmp_path)
    with turn_of(sql.create_engine(url), "study"):
        assert storage.connect(url) == "opened"


def test_what_optuna_wraps_is_told_in_the_drivers_words(tmp_path: Path, monkeypatch) -> None:
    optuna = pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
    from sqlalchemy.exc import OperationalError

    def opened(*_: Any, **__: Any) -> Any:
        cause = OperationalError("SELECT", {}, Exception("disk I/O error"))
        raise optuna.exceptions.StorageInternalError("An exception is raised") from cause

    monkeypatch.setattr(optuna.storages, "RDBStorage", opened)
    with pytest.raises(
        RunError, match=r"study\.db cannot be used: disk I/O error; see that its fol"
    ):
        storage.connect(storage.read_url(None, tmp_path))
