"""`train -m`: what is missing is run, what was cut short goes on, what is finished is left."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from gan_lab.launch import entry, launchers, multirun, runs, shares, sweeps
from gan_lab.launch.entry import CONF, compose_run, compose_training, guarded
from gan_lab.launch.jobs import Job, last_error
from gan_lab.launch.lock import Lock
from gan_lab.launch.multirun import Multirun
from gan_lab.launch.plugins import KNOWN
from gan_lab.launch.shares import Machine, list_gpus, share, shared
from tests import play_training
from tests.conftest import tiny
from tests.test_train import wait_for
from tests.training.test_tensorboard import table_of

RATES = "optimizer.generator.lr=1e-4,4e-4"
NAMES = ["generator.lr_1e-4", "generator.lr_4e-4"]


class Trainer:
    """In the place of `train`: leaves what it would leave, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, config: DictConfig, folder: Path, overrides: list[str]) -> float:
        self.asked.append((folder.name, overrides))
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
        if config.resume is None:
            history = {"command": overrides, "resumed": []}
            (folder / "overrides.yaml").write_text(OmegaConf.to_yaml(history))
        metric = config.optimizer.generator.lr * 1e4
        ended = {"status": "finished", "metric": metric, "best": {"fid": metric}}
        (folder / "result.json").write_text(json.dumps(ended))
        return float(metric)

    @property
    def jobs(self) -> list[str]:
        asked, self.asked = [name for name, _ in self.asked], []
        return asked


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


@pytest.fixture
def sweep(trainer: Trainer, tmp_path: Path, monkeypatch) -> Callable[..., int]:
    """Run a multirun in this process, into tmp_path/sweep."""

    def run(*overrides: str) -> int:
        given = ["-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", "data=fake", *overrides]
        return run_program(monkeypatch, trainer, *given)

    return run


def run_program(monkeypatch: pytest.MonkeyPatch, task: Any, *given: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gan-train", *given])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return guarded("train", task, list(given))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of configs outside conf/."""
    mine = tmp_path / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\nname: mine\ndefaults: [wgan_mnist, _self_]\n")
    return mine.parents[1]


@pytest.mark.slow
def test_only_what_is_missing_is_run(sweep, trainer: Trainer, capsys) -> None:
    assert sweep(RATES) == 0
    assert trainer.jobs == NAMES
    assert "[1/2] generator.lr_1e-4: finished, FID 1, 0 s" in capsys.readouterr().out
    assert sweep(f"{RATES},2e-3") == 0
    assert trainer.jobs == ["generator.lr_2e-3"]
    out = capsys.readouterr().out
    assert "[2/3] generator.lr_4e-4: finished before, FID 4" in out
    assert "[3/3] generator.lr_2e-3: finished, FID 20" in out


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["hydra.searchpath=['file://{}']", "--config-dir={}"])
def test_configs_may_lie_elsewhere(flag: str, sweep, trainer: Trainer, elsewhere: Path) -> None:
    given = ["experiment=mine", "seed=0,1", flag.format(elsewhere)]
    for epochs, jobs in ((1, ["seed_0", "seed_1"]), (1, []), (2, ["seed_0", "seed_1"])):
        assert sweep(f"trainer.max_epochs={epochs}", *given) == 0
        assert trainer.jobs == jobs


@pytest.mark.parametrize("flag", ["hydra.searchpath=['file://{}']", "--config-dir={}"])
@pytest.mark.slow
def test_a_launchers_process_finds_them_too(flag, elsewhere: Path, tmp_path, monkeypatch) -> None:
    """It knows what goes with the job, and nothing of the command."""
    given = ["experiment=mine", "data=fake", "seed=0"]
    arguments = ["-m", *given, flag.format(elsewhere)]
    made = in_another_process(prepared(monkeypatch, *arguments))
    assert made.places == [f"hydra.searchpath=['file://{elsewhere}']"]
    job = tmp_path / "job"
    begin(job, given)
    assert made.growth(job, given) == []
    assert made.growth(job, [*given, "trainer.max_epochs=99"]) == ["trainer.max_epochs=99"]
    asked: list[list[str]] = []

    def follow(job: Job) -> int:
        asked.append(job.overrides)
        return 0

    monkeypatch.setattr(multirun, "follow", follow)
    launcher = OmegaConf.create({"launcher": {"_target_": "x.SlurmLauncher"}})
    monkeypatch.setattr(multirun.HydraConfig, "get", lambda: launcher)
    made.apart(OmegaConf.create({"trainer": {"devices": 1}}), job, given, [])
    assert asked == [[*given, *made.places]]


def prepared(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Multirun:
    """What the jobs of a command are told."""
    monkeypatch.setattr(sys, "argv", ["gan-train", *arguments])
    token = entry._config_dir.set(sweeps.config_dir(list(arguments)))
    try:
        return entry.prepare_multirun("train", list(arguments), [])
    finally:
        entry._config_dir.reset(token)


def in_another_process(made: Multirun) -> Multirun:
    again: Multirun = pickle.loads(pickle.dumps(made))
    return again


def begin(job: Path, command: list[str]) -> None:
    """Leave what a training leaves once it has begun."""
    job.mkdir()
    for name, content in (("config", {}), ("overrides", {"command": command, "resumed": []})):
        (job / f"{name}.yaml").write_text(json.dumps(content))


def test_what_goes_on_is_composed_with_the_places_it_is_told(tmp_path: Path) -> None:
    begin(tmp_path / "job", ["experiment=mine"])
    asked: list[list[str]] = []

    def compose(overrides: list[str]) -> DictConfig:
        asked.append(overrides)
        return OmegaConf.create({"trainer": {"max_epochs": len(overrides), "max_time": None}})

    place = "hydra.searchpath=['file:///there']"
    given = ["resume=here", "trainer.max_epochs=3", place]
    run = runs.resumed_run(tmp_path / "job", given, compose)
    assert asked == [[place, "experiment=mine"], [place, "experiment=mine", given[1]]]
    assert run.history["command"] == ["experiment=mine", given[1]]


@pytest.mark.slow
@pytest.mark.parametrize("flag", [["--config-name", "mine"], ["-cn=mine"]], ids=str)
def test_a_config_of_the_users_own_names_the_folder(flag, trainer, tmp_path, monkeypatch) -> None:
    own = tmp_path / "conf" / "mine.yaml"
    own.parent.mkdir()
    own.write_text("defaults: [train, _self_]\nname: own\nfurther: 3\n")
    monkeypatch.chdir(tmp_path)
    given = ["-m", "--config-dir", "conf", *flag, "data=fake", "further=1,2"]
    assert run_program(monkeypatch, trainer, *given) == 0
    assert trainer.jobs == ["further_1", "further_2"]
    (folder,) = (tmp_path / "runs" / "own").iterdir()
    assert sorted(path.name for path in folder.glob("further_*")) == ["further_1", "further_2"]
    alone = [f"hydra.run.dir={tmp_path / 'alone'}", "data=fake", "further=2"]
    assert run_program(monkeypatch, trainer, *alone, *prepared(monkeypatch, *given).further) == 0
    assert OmegaConf.load(tmp_path / "alone" / "config.yaml").further == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["name=one,two"], "several"),
        (["experiment=sngan_mnist,wgan_mnist"], "several"),
        (["experiment=sngan_mnist,wgan_mnist", "name=mine"], "mine"),
        (["experiment=sngan_mnist", "seed=0,1"], "sngan_mnist"),
    ],
)
def test_a_sweep_has_one_folder(given, name, trainer, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_program(monkeypatch, trainer, *given, "data=fake", "-m") == 0
    (folder,) = (tmp_path / "runs" / name).iterdir()
    assert list((tmp_path / "runs").iterdir()) == [folder.parent]
    key, _, values = next(text for text in given if "," in text).partition("=")
    jobs = sorted(path.parent.name for path in folder.glob("*/result.json"))
    assert jobs == [f"{key}_{value}" for value in values.split(",")]
    assert len((folder / "jobs.log").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        (["-m", "seed=0,1"], ["-m", "hydra.sweep.dir='a b'", "seed=0,1"]),
        (["seed=0,1", "-m"], ["hydra.sweep.dir='a b'", "seed=0,1", "-m"]),
        (["-m", "-cd", "c", "x=1"], ["-m", "-cd", "c", "hydra.sweep.dir='a b'", "x=1"]),
        (["-m"], ["-m", "hydra.sweep.dir='a b'"]),
        (["-m", "hydra.sweep.dir=mine"], ["-m", "hydra.sweep.dir=mine"]),
    ],
)
def test_the_folder_is_settled_once(given: list[str], settled: list[str]) -> None:
    assert sweeps.settle(given, Path("a b")) == settled


@pytest.mark.parametrize(
    ("kind", "minutes", "typed", "settled"),
    [
        ("LocalLauncher", 60, [], 525600),
        ("LocalLauncher", 60, ["hydra.launcher.timeout_min=60"], 60),
        ("LocalLauncher", 5, [], 5),  # a file says so
        ("SlurmLauncher", 60, [], 60),
    ],
)
def test_waiting_for_a_place_is_not_limited(kind, minutes, typed, settled) -> None:
    launcher = {"_target_": f"x.{kind}", "timeout_min": minutes}
    hydra = OmegaConf.create({"launcher": launcher, "overrides": {"hydra": typed}})
    launchers.let_wait(hydra)
    assert hydra.launcher.timeout_min == settled


@pytest.mark.slow
@pytest.mark.parametrize("typed", [True, False])
def test_a_launcher_may_be_chosen_by_a_config(typed, sweep, elsewhere, tmp_path, monkeypatch):
    """What it is given is the same: a year, and a machine to divide."""
    plugin = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.submitit_launcher")
    launched: list[Any] = []

    def launch(self: Any, *_: Any, **__: Any) -> list[Any]:
        cells = self.task_function.__closure__
        told = dict(zip(self.task_function.__code__.co_freevars, cells, strict=True))
        launched.extend([self.params["timeout_min"], told["sweep"].cell_contents.machine])
        return []

    monkeypatch.setattr(plugin.BaseSubmititLauncher, "launch", launch)
    monkeypatch.setattr(shares, "list_gpus", lambda: ("7",))
    mine = elsewhere / "experiment" / "mine.yaml"
    if not typed:
        local = "[wgan_mnist, override /hydra/launcher: submitit_local, _self_]"
        mine.write_text(f"# @package _global_\nname: mine\ndefaults: {local}\n")
    given = ["hydra/launcher=submitit_local"] if typed else []
    assert sweep("experiment=mine", "seed=0,1", *given, f"--config-dir={elsewhere}") == 0
    assert launched[0] == 525600
    assert launched[1].gpus == ("7",)


@pytest.mark.slow
def test_a_job_whose_time_was_over_says_so(sweep, trainer, monkeypatch, capsys) -> None:
    utils = pytest.importorskip("submitit.core.utils")

    def end(*_: Any) -> None:
        raise utils.UncompletedJobError("Job not requeued because: timed-out too many times.")

    monkeypatch.setattr(Trainer, "__call__", end)
    assert sweep("seed=0,1") == 1
    said = capsys.readouterr().err
    assert "[1/2] seed_0: failed: its time was over (hydra.launcher.timeout_min); " in said
    assert launchers.explain(ValueError("other")) is None


def test_a_folder_may_have_any_name() -> None:
    strange = "it's, [a] {b}=(c) é"
    (override,) = sweeps.parse(sweeps.settle(["-m"], Path(strange)))
    assert override.value() == strange


@pytest.mark.slow
def test_what_was_cut_short_goes_on(sweep, trainer: Trainer, tmp_path: Path) -> None:
    assert sweep(RATES, "seed=1") == 0
    trainer.asked.clear()
    (tmp_path / "sweep" / NAMES[1] / "result.json").unlink()
    assert sweep(RATES, "seed=1") == 0
    ((name, overrides),) = trainer.asked
    assert name == NAMES[1]
    assert overrides == [f"resume={tmp_path / 'sweep' / NAMES[1]}"]
    config = OmegaConf.load(tmp_path / "sweep" / NAMES[1] / "config.yaml")
    assert config.resume == str(tmp_path / "sweep" / NAMES[1])


@pytest.mark.slow
def test_half_a_beginning_is_begun_again(sweep, trainer: Trainer, tmp_path: Path) -> None:
    job = tmp_path / "sweep" / NAMES[0]
    job.mkdir(parents=True)
    (job / "config.yaml").write_text("name: x\n")
    assert sweep(RATES) == 0
    assert trainer.jobs == NAMES


@pytest.mark.slow
def test_a_larger_budget_lets_finished_jobs_go_on(sweep, trainer: Trainer) -> None:
    assert sweep(RATES, "trainer.max_epochs=2") == 0
    assert trainer.jobs == NAMES
    assert sweep(RATES, "trainer.max_epochs=3") == 0
    assert [overrides[1:] for _, overrides in trainer.asked] == [["trainer.max_epochs=3"]] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "grown"),
    [
        ("trainer.max_epochs=2", ["trainer.max_epochs=10"]),
        ("trainer.max_time=00:00:01:00", ["trainer.max_epochs=10", "trainer.max_time=null"]),
    ],
)
def test_a_budget_grows_where_its_bound_is_left_out(before, grown, sweep, trainer: Trainer) -> None:
    assert sweep("seed=0,1", before) == 0
    trainer.asked.clear()
    assert sweep("seed=0,1") == 0
    assert [overrides[1:] for _, overrides in trainer.asked] == [grown] * 2


@pytest.mark.slow
def test_other_settings_are_refused(sweep, trainer: Trainer, tmp_path, status_and_message) -> None:
    assert sweep(RATES) == 0
    trainer.asked.clear()
    status, message = status_and_message(sweep, RATES, "seed=1")
    assert status == 1
    assert trainer.jobs == []
    assert f"{tmp_path / 'sweep' / NAMES[0]} holds another run" in message
    assert "seed: 0 -> 1" in message
    assert message.splitlines()[-1] == f"error: 2 failed jobs: {', '.join(NAMES)}"


@pytest.mark.slow
def test_failures_are_said_kept_and_passed_over(sweep, trainer, tmp_path, monkeypatch, capsys):
    train = Trainer.__call__

    def refuse_one(self: Trainer, config: DictConfig, folder: Path, overrides: list[str]) -> Any:
        from gan_lab import UserError

        if config.optimizer.generator.lr == 1e-4:
            raise UserError("too slow; use more")
        return train(self, config, folder, overrides)

    monkeypatch.setattr(Trainer, "__call__", refuse_one)
    assert sweep(RATES) == 1
    assert "[1/2] generator.lr_1e-4: failed: too slow; use more" in capsys.readouterr().err
    assert last_error(tmp_path / "sweep" / NAMES[0] / "train.log") == "too slow; use more"
    assert (tmp_path / "sweep" / NAMES[1] / "result.json").exists()
    monkeypatch.setattr(Trainer, "__call__", train)
    assert sweep(RATES) == 0
    told = [line[:5] for line in (tmp_path / "sweep" / "jobs.log").read_text().splitlines()]
    assert told == ["[1/2]", "[2/2]"] * 2


@pytest.mark.slow
def test_a_diverged_job_is_not_run_again(sweep, trainer: Trainer, tmp_path, capsys) -> None:
    assert sweep(RATES) == 0
    trainer.asked.clear()
    (tmp_path / "sweep" / NAMES[0] / "result.json").write_text('{"status": "diverged"}')
    for given, again in (([], []), (["trainer.max_epochs=99"], NAMES[1:])):
        assert sweep(RATES, *given) == 1
        assert trainer.jobs == again
        assert "failed: it diverged before; remove" in capsys.readouterr().err


@pytest.mark.slow
def test_a_job_waits_for_who_trains_it(sweep, trainer: Trainer, tmp_path, monkeypatch) -> None:
    job = tmp_path / "sweep" / NAMES[0]
    job.mkdir(parents=True)
    other = Lock(job)
    other.take()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        other.release()

    monkeypatch.setattr("time.sleep", sleep)
    assert sweep(RATES) == 0
    assert naps
    assert trainer.jobs == NAMES


@pytest.mark.slow
def test_a_job_of_its_own_process(sweep, trainer: Trainer, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Job, "command", play_training.command)
    assert sweep("seed=666,1", *RANKS, "optimizer.generator.lr=1e-2") == 1
    assert trainer.jobs == []
    said = capsys.readouterr()
    assert "[1/2] seed_666: failed: diverged after 3 images" in said.err
    assert "[2/2] seed_1: finished, FID 1, " in said.out
    assert len(play_training.read(tmp_path / "sweep" / "seed_1")) == play_training.STEPS


RANKS = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
LEAVE = """
import json, sys
from pathlib import Path
folder, *given = sys.argv[1:]
for name, content in {
    "config.yaml": {"trainer": {"max_epochs": 1}},
    "overrides.yaml": {"command": given, "resumed": []},
    "result.json": {"status": "finished"},
}.items():
    Path(folder, name).write_text(json.dumps(content))
print("trained")
"""


@pytest.mark.slow
def test_a_larger_budget_reaches_a_process_of_its_own(sweep, tmp_path: Path, monkeypatch) -> None:
    def leave(job: Job) -> list[str]:
        return [sys.executable, "-c", LEAVE, str(job.folder), *job.overrides]

    monkeypatch.setattr(Job, "command", leave)
    job = tmp_path / "sweep" / "seed_0"
    for epochs, times, told in ((2, 1, 2), (2, 1, 2), (3, 2, 3), (None, 3, 10), (None, 3, 10)):
        given = [] if epochs is None else [f"trainer.max_epochs={epochs}"]
        assert sweep("seed=0,1", *RANKS, *given) == 0
        assert (job / "train.log").read_text() == "trained\n" * times
        assert runs.budget_in(runs.read_run(job)[1]["command"]) == [f"trainer.max_epochs={told}"]


def test_a_machine_is_shared() -> None:
    machine = Machine(cores=8, gpus=("3", "5", "7"), threads={})
    assert machine.share(4, jobs=4) == {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "5",
    }
    two = machine.share(1, jobs=2, ranks=2)
    assert (two["CUDA_VISIBLE_DEVICES"], two["OMP_NUM_THREADS"]) == ("7,3", "2")


def test_who_trains_alone_has_what_the_user_set() -> None:
    machine = Machine(cores=8, gpus=("3", "5", "7"), threads={"MKL_NUM_THREADS": "12"})
    for ranks in (1, 2):
        assert machine.share(0, jobs=1, ranks=ranks) == {
            "CUDA_VISIBLE_DEVICES": "3,5,7",
            "OMP_NUM_THREADS": None,  # whatever a launcher's pool has set
            "MKL_NUM_THREADS": "12",
        }


@pytest.mark.parametrize(
    ("given", "expected"), [("1", "1"), ("8", "2"), ("1,4", "1"), ("", "2"), ("0", "2"), ("x", "2")]
)
def test_threads_that_the_user_set_are_a_bound(given: str, expected: str) -> None:
    machine = Machine(cores=8, gpus=(), threads={"OMP_NUM_THREADS": given})
    assert machine.share(0, jobs=4) == {"OMP_NUM_THREADS": expected, "MKL_NUM_THREADS": "2"}


def test_who_exports_all_cores_has_them_divided(monkeypatch) -> None:
    monkeypatch.setattr("gan_lab.launch.shares.count_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert share(0, jobs=2)["OMP_NUM_THREADS"] == "4"
    assert share(0, jobs=1) == {}


@pytest.mark.parametrize(
    ("launcher", "gpus", "ranks", "expected"),
    [
        ({"_target_": "x.BasicLauncher"}, "0123", 2, None),
        ({"_target_": "x.SlurmLauncher"}, "0123", 2, 0),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 3}, "", 2, 3),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, "", 1, 8),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -2}, "", 1, 7),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, "", 2, 4),
        ({"_target_": "x.LocalLauncher"}, "0123", 1, 4),
        ({"_target_": "x.LocalLauncher"}, "0123", 2, 2),
        ({"_target_": "x.LocalLauncher"}, "0", 2, 1),
        ({"_target_": "x.LocalLauncher"}, "", 4, 2),
    ],
)
def test_jobs_at_once(launcher: dict[str, Any], gpus: str, ranks: int, expected: int | None):
    machine = Machine(cores=8, gpus=tuple(gpus), threads={})
    assert launchers.at_once(OmegaConf.create(launcher), machine, ranks) == expected


@pytest.mark.parametrize(
    ("devices", "ranks"), [(2, 2), ([0, 3], 2), ("auto", 1), (-1, 1), ("1", 1)]
)
def test_ranks_of_a_job(devices: Any, ranks: int) -> None:
    launcher = OmegaConf.create({"_target_": "x.JoblibLauncher"})
    assert launchers.ranks(launcher, OmegaConf.create({"devices": devices})) == ranks


@pytest.fixture
def environments(monkeypatch) -> list[shares.Environment]:
    """What jobs of a process of their own are given, instead of their trainings."""
    given: list[shares.Environment] = []

    def follow(job: Job) -> int:
        given.append(job.environment)
        return 0

    monkeypatch.setattr(multirun, "follow", follow)
    return given


@pytest.mark.parametrize("total", [1, 2])
def test_jobs_get_what_their_pool_hides(total: int, environments, tmp_path, monkeypatch) -> None:
    made = Multirun(total, (), compose_training, CONF, Machine(8, ("2", "3"), {}))
    job = OmegaConf.create({"trainer": {"devices": 1}})
    launcher = OmegaConf.create({"launcher": {"_target_": "x.LocalLauncher"}})
    monkeypatch.setattr(multirun.HydraConfig, "get", lambda: launcher)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as submitit does
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as loky does
    list_gpus.cache_clear()
    in_another_process(made).apart(job, tmp_path / "job", [], [])
    (given,) = environments
    assert given["CUDA_VISIBLE_DEVICES"] == ("2" if total == 2 else "2,3")
    assert given["OMP_NUM_THREADS"] == ("4" if total == 2 else None)
    list_gpus.cache_clear()


def test_gpus_are_those_that_may_be_seen(monkeypatch) -> None:
    for given, expected in (("0, 2", ("0", "2")), ("", ()), ("-1", ())):
        list_gpus.cache_clear()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert list_gpus() == expected
    list_gpus.cache_clear()


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("nvidia-smi", 30), PermissionError("no")], ids=str
)
def test_a_driver_that_does_not_answer_has_no_gpus(error: Exception, monkeypatch) -> None:
    def ask(*_: Any, timeout: float, **__: Any) -> Any:
        assert 0 < timeout < 60
        raise error

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("shutil.which", lambda program: program)
    monkeypatch.setattr("subprocess.run", ask)
    list_gpus.cache_clear()
    assert list_gpus() == ()
    list_gpus.cache_clear()


@pytest.mark.slow
def test_gpus_are_looked_for_where_a_launcher_divides_them(sweep, monkeypatch) -> None:
    asked: list[int] = []

    def list_none() -> tuple[str, ...]:
        asked.append(1)
        return ()

    monkeypatch.setattr(shares, "list_gpus", list_none)
    assert sweep("seed=0,1") == 0
    launchers.machine(OmegaConf.create({"_target_": "x.SlurmLauncher"}))
    assert asked == []
    launchers.machine(OmegaConf.create({"_target_": "x.JoblibLauncher"}))
    assert asked == [1]


def test_places_are_taken_in_turn(tmp_path: Path) -> None:
    with shared(tmp_path, 2) as one, shared(tmp_path, 2) as two:
        assert one["OMP_NUM_THREADS"] == two["OMP_NUM_THREADS"]
        held = [p.name for p in sorted(tmp_path.iterdir())]
        assert held == ["0.lock", "1.lock"]
    with shared(tmp_path, 2), shared(tmp_path, 2):
        pass  # they are free again


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
@pytest.mark.slow
def test_launchers_compose_and_are_known(launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    compose_run("train", [])  # registers what our configs compute
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = compose("train", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    assert KNOWN.fullmatch(config.hydra.launcher._target_)


def sweeping(folder: Path, *overrides: str) -> list[str]:
    command = [sys.executable, "-m", "gan_lab.train", "-m", f"hydra.sweep.dir={folder}"]
    return [*command, *overrides]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_local"],
    ],
    ids=lambda given: given[0].split("=")[1],
)
def test_several_jobs_at_once(launcher: list[str], tmp_path: Path) -> None:
    plugin = launcher[0].split("=")[1].split("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher", reason="gan_lab[sweeps]")
    given = ["optimizer.generator.lr=1e-4,-1,4e-4", *launcher, *tiny()]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    for epochs, before in ((1, False), (1, True), (2, False)):
        command = sweeping(tmp_path, *given, f"trainer.max_epochs={epochs}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 1, done.stderr
        assert "error: 1 failed jobs: generator.lr_-1" in done.stderr
        lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
        ended = [line for line in lines if "failed: optimizer.generator.lr=-1" not in line]
        assert len(ended) == 2, done.stdout
        assert all(("finished before" if before else ": finished") in line for line in ended)
        assert "Traceback" not in done.stderr
        for job in ("generator.lr_1e-4", "generator.lr_4e-4"):
            result = json.loads((tmp_path / job / "result.json").read_text())
            assert result["status"] == "finished"
            log = (tmp_path / job / "train.log").read_text()
            assert log.count("run: ") == epochs
        reason = last_error(tmp_path / "generator.lr_-1" / "train.log")
        assert "optimizer.generator.lr=-1 must be 0 (frozen) or more" in reason
    assert set(table_of(tmp_path)) == {"generator.lr_1e-4", "generator.lr_4e-4"}


@pytest.mark.slow
def test_several_jobs_at_once_of_configs_elsewhere(elsewhere: Path, tmp_path: Path) -> None:
    """Their processes have not seen the flag: they begin, are left alone, and go on."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="gan_lab[sweeps]")
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    given = ["experiment=mine", "seed=0,1", *launcher, *tiny()]
    for epochs, before in ((1, False), (1, True), (2, False)):
        told = [*given, f"trainer.max_epochs={epochs}", f"--config-dir={elsewhere}"]
        command = sweeping(tmp_path / "sweep", *told)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": finished before" if before else ": finished") == 2
        for seed in (0, 1):
            job = tmp_path / "sweep" / f"seed_{seed}"
            assert json.loads((job / "result.json").read_text())["status"] == "finished"
            assert (job / "train.log").read_text().count("run: ") == epochs


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_was_ended_goes_on(number: int, tmp_path: Path) -> None:
    given = tiny("trainer.max_epochs=30", "seed=0,1", "callbacks.checkpoints.minutes=0.003")
    process = subprocess.Popen(
        sweeping(tmp_path, *given), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(tmp_path / "seed_0" / "checkpoints" / "last.ckpt", process)
    process.send_signal(number)
    assert process.wait(timeout=60) == (143 if number == signal.SIGTERM else -9)
    before = (tmp_path / "seed_0" / "metrics.csv").read_text().splitlines()
    assert not (tmp_path / "seed_1").exists()
    done = subprocess.run(sweeping(tmp_path, *given), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "[2/2] seed_1: finished" in done.stdout
    after = (tmp_path / "seed_0" / "metrics.csv").read_text().splitlines()
    assert len(after) == len((tmp_path / "seed_1" / "metrics.csv").read_text().splitlines())
    assert after[1].rstrip(",") == before[1].rstrip(",")  # columns came later
