"""Whose a trial is: a folder that another search has used, takings-over, tries, turns."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gan_lab import RunError, UserError
from gan_lab.launch.jobs import Job
from gan_lab.launch.runs import write_result
from gan_lab.launch.searching import belonging, storage, studies, turns
from gan_lab.launch.searching.ledger import Ledger
from gan_lab.launch.searching.space import Choice, Range
from gan_lab.launch.searching.stages import Trials
from gan_lab.launch.searching.worker import Worker
from tests import play_training
from tests.launch.test_searching import settings_of

optuna = pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
RATE = "optimizer.generator.lr"
SPACE = f"+sweep.space={{{RATE}: {{low: 1e-4, high: 1e-2, log: true}}, seed: {{choices: [5, 6]}}}}"
GIVEN = ["training.experiment=dirac_nsgan", "~sweep.space", SPACE]


class Turn:
    """A turn of the only worker there is."""

    def __init__(self) -> None:
        self.touched = 0
        self.refuses: Exception | None = None  # to end: as where a commit fails

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        if self.refuses is not None:
            raise self.refuses

    def touch(self) -> None:
        self.touched += 1


Make = Callable[..., tuple[Worker, Trials]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch) -> Iterator[Make]:
    """A worker with its trials, in this process; trainings are played."""
    monkeypatch.setattr(Job, "command", play_training.command)
    study = optuna.create_study()
    workers: list[Worker] = []

    def made(*overrides: str) -> tuple[Worker, Trials]:
        given = settings_of(*GIVEN, "trials=4", f"output={tmp_path}", *overrides)
        report: Any = SimpleNamespace(write=lambda: None)
        workers.append(Worker(given, report, ["trusted=[mine]"]))
        return workers[-1], Trials(given, study, Turn())

    yield made
    for each in workers:
        each.leave()


def has_run(folder: Path, overrides: list[str], status: str = "finished", **result: Any) -> None:
    """Leave what a training leaves."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("name: played\n")
    history = {"command": ["hydra.run.dir=elsewhere", *overrides], "resumed": []}
    (folder / "overrides.yaml").write_text(json.dumps(history))
    write_result(folder, {"status": status, "metric": 0.5, **result})


def seated(worker: Worker, trials: Trials) -> Any:
    trial = trials.ledger.claim(trials.wanted)
    assert trial is not None
    worker.sit(trials, trial)
    return trial


def test_another_searchs_training_is_not_taken_for_the_trial(make: Make, tmp_path: Path) -> None:
    worker, trials = make()
    has_run(tmp_path / "trial_0000", ["experiment=dirac_nsgan", f"{RATE}=0.5", "seed=5"])
    seated(worker, trials)
    with pytest.raises(UserError) as refused:
        worker.attend(worker.seats[0])
    assert "trial_0000 holds another training, of " in str(refused.value)
    assert f"{RATE}=0.5" in str(refused.value)
    worker.leave()
    assert trials.ledger.trials()[0].state.name == "RUNNING"  # for who gives another output=


def test_its_own_training_is_gone_on_with_by_whoever_takes_it_over(make: Make, tmp_path) -> None:
    worker, trials = make()
    trial = seated(worker, trials)
    told = trials.overrides(trial)
    has_run(tmp_path / "trial_0000", [*reversed(told), "hydra.searchpath=['file:///x']"])
    worker.attend(worker.seats[0])
    assert trials.ledger.trials()[0].values == [0.5]


@pytest.mark.parametrize(
    ("told", "telling", "known"),
    [
        ("lr=0", "lr=0.0", True),
        ("lr=1e-05", "lr=0.00001", True),
        ("penalty=[r1, r2]", "penalty=[r1,r2]", True),
        ("lr=nan", "lr=nan", True),
        ("lr=[", "lr=[", True),
        ("lr=0", "lr=0.1", False),
        ("flag=true", "flag=1", False),
        ("lr=null", "seed=1", False),
        ("lr=[", "lr=]", False),
    ],
)
def test_values_are_compared_rather_than_texts(told, telling, known, tmp_path: Path) -> None:
    has_run(tmp_path / "trial", [told])
    refused = contextlib.nullcontext() if known else pytest.raises(UserError, match="another")
    with refused:
        belonging.refuse_other_run(tmp_path / "trial", [telling])


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    belonging.refuse_other_study(tmp_path, "mine")  # holds none
    text = json.dumps({"name": "theirs", "storage": "sqlite:///theirs", "trials": []})
    (tmp_path / "study.json").write_text(text)
    belonging.refuse_other_study(tmp_path, "theirs")
    with pytest.raises(UserError, match="holds the study theirs, not mine"):
        belonging.refuse_other_study(tmp_path, "mine")


def test_a_folder_with_trials_that_the_study_has_not_is_refused(tmp_path: Path) -> None:
    study = optuna.create_study()
    trial = study.ask()
    content: dict[str, Any] = {"name": "mine", "storage": "sqlite:///old"}
    content["trials"] = [{"number": 0, "params": {}}]  # just asked for
    trial.suggest_float("lr", 0, 1)
    belonging.refuse_other_trials(tmp_path, content, study.trials, "sqlite:///alias")
    content["trials"] = [{"number": 0, "params": trial.params}]
    trial.suggest_float("later", 0, 1)
    belonging.refuse_other_trials(tmp_path, content, study.trials, "sqlite:///alias")
    others: Any
    for others in ([], [SimpleNamespace(number=0, params={"lr": 2.0})]):
        with pytest.raises(UserError, match="holds trial 0 of the study in sqlite:///old, which"):
            belonging.refuse_other_trials(tmp_path, content, others, "sqlite:///new")


def test_a_trial_that_begins_while_a_worker_joins_is_no_others(tmp_path, monkeypatch) -> None:
    """Another worker claims a trial, and writes study.json, as soon as we have read the trials."""
    given = settings_of(*GIVEN, f"output={tmp_path}")
    read = optuna.Study.get_trials
    claimed: list[int] = []

    def overtaken(self: Any, *arguments: Any, **named: Any) -> Any:
        found = read(self, *arguments, **named)
        if not claimed and not self.study_name.endswith(".finalists"):
            claimed.append(len(found))
            self.ask()
            trials = [{"number": number, "params": {}} for number in claimed]
            content = {"name": given.name, "storage": "sqlite:///", "trials": trials}
            (tmp_path / "study.json").write_text(json.dumps(content))
        return found

    monkeypatch.setattr(optuna.Study, "get_trials", overtaken)
    monkeypatch.setattr(Worker, "work", lambda *_: None)
    with pytest.raises(RunError, match="no trial was complete"):
        studies.search(given, ["sweep"], [])
    assert claimed == [0]


def cut_short(worker: Worker, trials: Trials, times: int) -> None:
    """Take a trial over again and again, as where every worker is killed before it sees an end."""
    for _ in range(times):
        trial = trials.ledger.claim(trials.wanted)
        assert trial is not None
        trials.ledger.release(trial)


def test_a_trial_that_was_cut_short_too_often_has_failed(make: Make) -> None:
    worker, trials = make("retries=1")
    cut_short(worker, trials, 2)
    seated(worker, trials)
    (ended,) = trials.ledger.trials()
    assert ended.state.name == "FAIL"
    assert "2 tries in a row were cut short where they began" in ended.user_attrs["reason"]


def test_what_has_ended_counts_however_often_it_was_taken_over(make: Make, tmp_path) -> None:
    worker, trials = make("retries=0")
    cut_short(worker, trials, 3)
    has_run(tmp_path / "trial_0000", trials.overrides(trials.ledger.trials()[0]))
    seated(worker, trials)
    worker.attend(worker.seats[0])
    assert trials.ledger.trials()[0].values == [0.5]


def test_a_trial_that_comes_further_has_all_its_tries_again(make: Make, tmp_path) -> None:
    worker, trials = make("retries=1", "heartbeat=1000", "grace=2000")
    folder = tmp_path / "trial_0000"
    for images in (100, 200, 200, 200):
        has_run(folder, trials.overrides(seated(worker, trials)), "interrupted")
        (folder / "metrics.csv").write_text(f"images_seen,val/fid\n{images},1\n")
        states = [trial.state.name for trial in trials.ledger.trials()]
        assert states == ["RUNNING"], images
        (seat,) = worker.seats
        worker.rise(seat)
        trials.ledger.release(seat.trial)
    seated(worker, trials)
    assert trials.ledger.trials()[0].state.name == "FAIL"


def test_a_trial_whose_worker_died_while_choosing_is_like_no_other(make: Make, monkeypatch) -> None:
    """The killed worker had chosen nothing yet, or the first of two settings."""
    _, trials = make()
    ledger = trials.ledger
    for chosen in (0, 1):
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            killed_after(chosen, ledger, patch)
            ledger.claim(trials.wanted)
    found = [ledger.claim(trials.wanted) for _ in range(4)]
    assert sorted(trial.number for trial in found if trial) == [0, 1, 2, 3]
    assert len({trial.params[RATE] for trial in found if trial}) == 4


def killed_after(chosen: int, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    """Let a worker die when it has chosen so many settings of a new trial."""
    suggest, done = Range.suggest, iter(range(chosen))

    def some(self: Range, trial: Any, key: str) -> Any:
        if next(done, None) is None:
            raise KeyboardInterrupt
        return suggest(self, trial, key)

    def none(self: Choice, trial: Any, key: str) -> Any:
        raise KeyboardInterrupt

    patch.setattr(Range, "suggest", some)
    patch.setattr(Choice, "suggest", none)
    patch.setattr(ledger, "is_abandoned", lambda trial: False)


def test_a_trial_whose_turn_failed_at_its_end_is_taken_again(make: Make) -> None:
    _, trials = make()
    turn: Any = trials.ledger.turn
    turn.refuses = ConnectionError("gone")
    with pytest.raises(ConnectionError):
        trials.ledger.claim(trials.wanted)
    turn.refuses = None
    again = trials.ledger.claim(trials.wanted)
    assert again is not None
    assert (again.number, len(trials.ledger.trials())) == (0, 1)


def test_a_turn_is_renewed_before_each_point(make: Make) -> None:
    _, trials = make("sampler=grid")
    turn: Any = trials.ledger.turn
    trials.prepare()
    assert turn.touched == len(trials.ledger.trials()) == 10
    trials.prepare()
    assert len(trials.ledger.trials()) == 10


def test_a_turn_of_a_database_is_renewed_by_asking_it(tmp_path: Path) -> None:
    sql = pytest.importorskip("sqlalchemy")
    engine = sql.create_engine(f"sqlite:///{tmp_path / 'turns.db'}")
    asked: list[tuple[int, str]] = []

    def note(connection: Any, _: Any, statement: str, *__: Any) -> None:
        asked.append((id(connection.connection), statement))

    turn = turns.RowTurn(engine, "study")
    sql.event.listen(engine, "before_cursor_execute", note)
    with turn:
        turn.touch()
    (taken, _), (renewed, statement) = asked
    assert (renewed, statement) == (taken, "SELECT 1")


def test_a_turn_that_another_worker_has_is_no_outage(tmp_path: Path, monkeypatch, capsys) -> None:
    sql = pytest.importorskip("sqlalchemy")
    engine = sql.create_engine(f"sqlite:///{tmp_path / 'study.db'}")
    monkeypatch.setattr(turns, "WAIT", 0.05)
    monkeypatch.setattr(storage, "PAUSE", 0.0)
    mine, theirs = (turns.FileTurn(engine, "study") for _ in range(2))
    patiently = storage.Patience()

    def decide() -> str:
        with mine:
            return "decided"

    with theirs:
        assert patiently(decide) is None
        assert "warning: another worker is deciding" in capsys.readouterr().err
        monkeypatch.setattr(storage, "OUTAGE", -1.0)
        with pytest.raises(RunError, match="another worker is deciding what is done next"):
            patiently(decide)
    assert patiently(decide) == "decided"


@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
def test_a_locked_row_is_told_from_a_database_that_is_gone(name, tmp_path, monkeypatch) -> None:
    sql = pytest.importorskip("sqlalchemy")
    turn = turns.RowTurn(sql.create_engine(f"sqlite:///{tmp_path / 'turns.db'}"), "study")
    for state, raised in (("55P03", turns.Taken), ("57P01", sql.exc.DBAPIError)):
        reason: Any = Exception("no")
        setattr(reason, name, state)

        def execute(*_: Any, reason: Exception = reason) -> Any:
            raise sql.exc.OperationalError("SELECT", {}, reason)

        with monkeypatch.context() as patch:
            patch.setattr(sql.engine.Connection, "execute", execute)
            with pytest.raises(raised):
                turn.__enter__()
    with turn:
        pass
