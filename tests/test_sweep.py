"""gan_lab.sweep with played trainings: workers that are killed, stopped, frozen; what it leaves."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gan_lab.launch.entry import guarded
from gan_lab.launch.jobs import Job
from gan_lab.launch.searching import worker
from gan_lab.sweep import sweep
from gan_lab.train import train
from tests import play_training
from tests.conftest import tiny

pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
pytest.importorskip("sqlalchemy")
GENERATOR = "{optimizer.generator.lr: {low: 1e-4, high: 1e-2, log: true}}"
PLAIN = ["training.experiment=dirac_nsgan", "~sweep.space", f"+sweep.space={GENERATOR}"]
QUICK = ["heartbeat=0.1", "grace=0.5", "seeds=[]"]


@pytest.fixture
def played(monkeypatch) -> None:
    """Trainings are played, and looked after without patience."""
    monkeypatch.setattr(Job, "command", play_training.command)
    monkeypatch.setattr(worker, "TICK", 0.01)
    monkeypatch.setattr(worker, "LOOK", 0.1)


def run(folder: Path, *overrides: str) -> int:
    return guarded("sweep", sweep, [*PLAIN, *QUICK, f"output={folder}", *overrides])


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "study.json").read_text()))


def starts(folder: Path) -> list[int]:
    """How often each training was started."""
    return [len((f / "starts").read_text().split()) for f in sorted(folder.glob("*_0*"))]


def rows(folder: Path) -> list[int]:
    return [len(play_training.read(trial)) for trial in sorted(folder.glob("*_0*"))]


@pytest.mark.slow
def test_it_searches_repeats_the_best_and_goes_on(played, tmp_path: Path, capsys) -> None:
    given = ["trials=4", "seeds=[1,2]", "finalists=2"]
    assert run(tmp_path, *given) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"study: {tmp_path}"
    assert "[4/4] trial 3: finished, FID" in out
    study = read(tmp_path)
    trials = study["trials"]
    assert [t["state"] for t in trials] == ["complete"] * 4
    assert (study["metrics"], study["directions"]) == (["fid"], ["minimize"])
    order = sorted(trials, key=lambda trial: trial["values"][0])
    assert [f["number"] for f in study["finalists"]] == [t["number"] for t in order[:2]]
    assert study["best"]["mean"] == order[0]["values"][0]
    assert study["best"]["seeds"] == [1, 2]
    rate = order[0]["params"]["optimizer.generator.lr"]
    assert study["command"].endswith(f"optimizer.generator.lr={rate}")
    before = starts(tmp_path)
    assert before == [1] * 8
    assert run(tmp_path, *given) == 0
    assert starts(tmp_path) == before
    assert run(tmp_path, *given, "trials=5") == 0
    assert [t["params"] for t in read(tmp_path)["trials"][:4]] == [t["params"] for t in trials]
    assert len(read(tmp_path)["trials"]) == 5


@pytest.mark.slow
def test_a_study_of_another_search_is_refused(played, tmp_path, status_and_message) -> None:
    assert run(tmp_path, "trials=1") == 0
    status, message = status_and_message(run, tmp_path, "trials=1", 'overrides=["n_critic=2"]')
    assert status == 2
    assert "study=learning_rates is there already with overrides [], not ['n_critic=2']" in message


@pytest.mark.slow
def test_the_folder_of_another_search_is_refused(played, tmp_path, status_and_message) -> None:
    assert run(tmp_path, "trials=1") == 0
    others = {
        "study=other": "holds the study dirac_nsgan-learning_rates, not dirac_nsgan-other",
        f"storage=sqlite:///{tmp_path}/other.db": "holds trial 0 of the study in sqlite:///",
    }
    for other, says in others.items():
        status, message = status_and_message(run, tmp_path, "trials=1", other)
        assert (status, says in message) == (2, True), message
    assert run(tmp_path, "trials=1") == 0


@pytest.mark.slow
def test_a_grid_runs_every_point_once(played, tmp_path: Path) -> None:
    space = "{seed: {choices: [1, 2]}, optimizer.generator.lr: {low: 1e-4, high: 1e-2, log: true, "
    given = ["~sweep.space", f"+sweep.space={space}steps: 3}}}}"]
    assert run(tmp_path, *given, "sampler=grid", "jobs=2") == 0
    points = [tuple(t["params"].values()) for t in read(tmp_path)["trials"]]
    assert sorted(points) == [(s, rate) for s in (1, 2) for rate in (1e-4, 1e-3, 1e-2)]


@pytest.mark.slow
def test_the_hopeless_are_ended_and_the_failed_recorded(played, tmp_path, monkeypatch) -> None:
    gate = tmp_path / "gate"
    monkeypatch.setenv("GAN_LAB_PLAY_GATE", str(gate))
    seeds = ["~sweep.space", "+sweep.space={seed: {choices: [1, 13, 666]}}", "sampler=grid"]
    say = worker.Worker.say

    def open_gate(self: worker.Worker, *arguments: Any) -> None:
        say(self, *arguments)
        gate.touch()  # seed 13 is ended while it cannot end by itself

    monkeypatch.setattr(worker.Worker, "say", open_gate)
    assert run(tmp_path / "study", *seeds, "jobs=3") == 0
    trials = {t["params"]["seed"]: t for t in read(tmp_path / "study")["trials"]}
    assert trials[1]["state"] == "complete"
    assert (trials[13]["state"], trials[13]["reason"]) == (
        "pruned",
        "the doctor says: mode collapse",
    )
    assert trials[666]["state"] == "pruned"
    assert trials[666]["reason"] == "not a number: diverged after 3 images"


@pytest.mark.slow
def test_a_search_that_can_only_fail_ends(played, tmp_path, status_and_message) -> None:
    status, message = status_and_message(run, tmp_path, "trials=9", 'overrides=["n_critic=0"]')
    assert status == 1
    assert "all of the first 3 trainings failed, the last one so: n_critic=0 is refused" in message
    assert [t["state"] for t in read(tmp_path)["trials"]] == ["failed"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
def test_several_objectives_have_a_front(sampler: str, played, tmp_path: Path) -> None:
    goals = ["~sweep.objectives", "+sweep.objectives={fid: minimize, recall: maximize}"]
    assert run(tmp_path, *goals, f"sampler={sampler}", "trials=5") == 0
    study = read(tmp_path)
    assert study["directions"] == ["minimize", "maximize"]
    values = [t["values"] for t in study["trials"]]
    assert study["best"]["values"] == min(values)  # here one trial beats all others in both


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start workers whose trainings wait for a gate; none outlives the test."""
    workers: list[subprocess.Popen] = []

    def begin(*overrides: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.play_sweep", *PLAIN, *QUICK, *overrides]
        environment = {**os.environ, "GAN_LAB_PLAY_GATE": str(tmp_path / "gate")}
        command.append(f"output={tmp_path / 'study'}")
        pipe = subprocess.PIPE
        workers.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe))
        return workers[-1]

    yield begin
    for each in workers:
        with each:  # closes its pipes
            each.kill()


def wait_until(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def two_at_work(start: Start, folder: Path, *given: str) -> tuple[subprocess.Popen, ...]:
    """Two workers with a trial each, none of which can end yet."""
    one = start(*given)
    wait_until(lambda: (folder / "trial_0000" / "starts").exists(), "the first trial")
    two = start(*given)
    wait_until(lambda: (folder / "trial_0001" / "starts").exists(), "the second trial")
    return one, two


def ends(process: subprocess.Popen, status: int) -> str:
    out, err = process.communicate(timeout=550)
    assert process.returncode == status, err.decode()
    assert b"Traceback" not in err
    return str(out.decode())


def assert_whole(folder: Path, trials: int, twice: int, finalists: int = 0) -> None:
    """Every trial has ended once; `twice` of them were started a second time, and went on."""
    runs = trials + finalists
    assert [t["state"] for t in read(folder)["trials"]] == ["complete"] * trials
    assert sorted(starts(folder)) == [1] * (runs - twice) + [2] * twice
    assert rows(folder) == [play_training.STEPS] * runs


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(start: Start, tmp_path: Path) -> None:
    one, two = two_at_work(start, tmp_path / "study", "trials=4")
    one.kill()
    one.wait()
    (tmp_path / "gate").touch()
    ends(two, 0)
    assert_whole(tmp_path / "study", trials=4, twice=1)


@pytest.mark.slow
def test_a_stopped_worker_hands_its_trial_over(start: Start, tmp_path: Path) -> None:
    one, two = two_at_work(start, tmp_path / "study", "trials=3", "grace=1000")
    one.terminate()
    ends(one, 143)
    (tmp_path / "gate").touch()
    ends(two, 0)
    assert_whole(tmp_path / "study", trials=3, twice=1)


@pytest.mark.slow
def test_a_frozen_worker_is_passed_over(start: Start, tmp_path: Path) -> None:
    """Another takes its trial over, and waits for the training that goes on without its starter."""
    one, two = two_at_work(start, tmp_path / "study", "trials=2")
    one.send_signal(signal.SIGSTOP)
    (tmp_path / "gate").touch()
    ends(two, 0)
    assert_whole(tmp_path / "study", trials=2, twice=0)
    one.send_signal(signal.SIGCONT)
    ends(one, 0)
    assert_whole(tmp_path / "study", trials=2, twice=0)


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing(start: Start, tmp_path: Path, monkeypatch) -> None:
    """Six kills while three workers run fifteen trials and three finalists."""
    monkeypatch.setenv("GAN_LAB_PLAY_NAP", "0.1")
    (tmp_path / "gate").touch()
    given = ["trials=15", "prune=null", "retries=100", "finalists=1", "seeds=[1,2,3]", "grace=30"]
    chance = random.Random(0)
    workers = [start(*given) for _ in range(3)]
    for _ in range(6):
        time.sleep(chance.uniform(1, 4))
        victim = workers.pop(chance.randrange(3))
        victim.kill()
        victim.wait()
        workers.append(start(*given))
    for worker_ in workers:
        ends(worker_, 0)
    study = read(tmp_path / "study")
    assert [t["number"] for t in study["trials"]] == list(range(15))
    assert [t["state"] for t in study["trials"]] == ["complete"] * 15
    assert len({tuple(trial["params"].values()) for trial in study["trials"]}) == 15
    (finalist,) = study["finalists"]
    assert (finalist["seeds"], len(finalist["values"])) == ([1, 2, 3], 3)
    assert rows(tmp_path / "study") == [play_training.STEPS] * 18  # no step was lost or repeated
    assert sum(starts(tmp_path / "study")) <= 18 + 6


@pytest.mark.slow
def test_a_real_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    given = tiny("trainer.max_epochs=30", "callbacks.checkpoints.minutes=0.003")
    overrides = ",".join(f'"{text}"' for text in given)
    command = [sys.executable, "-m", "gan_lab.sweep", f"overrides=[{overrides}]", "trials=1"]
    command += ["~sweep.objectives", "+sweep.objectives={generator/loss: minimize}", "seeds=[]"]
    command.append(f"output={tmp_path / 'study'}")
    worker_ = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    trial = tmp_path / "study" / "trial_0000"
    wait_until((trial / "checkpoints" / "last.ckpt").exists, "a checkpoint")
    worker_.kill()
    worker_.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=500).returncode == 0
    study = read(tmp_path / "study")
    assert (trial / "train.log").read_text().count("run: ") == 2  # saved, then gone on with
    again = shlex.split(study["command"])[3:]
    assert guarded("train", train, [f"hydra.run.dir={tmp_path / 'whole'}", *again]) == 0
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert study["trials"][0]["values"] == [whole["last"]["generator/loss"]]


@pytest.mark.slow
def test_all_killed_the_same_command_goes_on(start: Start, tmp_path: Path) -> None:
    for worker_ in two_at_work(start, tmp_path / "study", "trials=3"):
        worker_.kill()
        worker_.wait()
    (tmp_path / "gate").touch()
    ends(start("trials=3"), 0)
    assert_whole(tmp_path / "study", trials=3, twice=2)
