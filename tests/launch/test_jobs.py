"""A training as a process of its own: started, continued, stopped, left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytorch_lightning.plugins.environments import SLURMEnvironment

from gan_lab.launch.jobs import TERMINATED, Job, has_begun, last_error, of_no_task
from gan_lab.launch.lock import RANKS, Lock, holder, is_first_of_all

PYTHON = [sys.executable, "-c"]


class Script(Job):
    """Runs a line of Python instead of a training."""

    script = ""

    def command(self) -> list[str]:
        return [*PYTHON, self.script]


def job(folder: Path, script: str) -> Script:
    made = Script(folder, [], {"COLOUR": "red"})
    made.script = script
    return made


def end_of(made: Job) -> int:
    while (status := made.poll()) is None:
        time.sleep(0.01)
    return status


def test_it_runs_with_its_environment_and_keeps_what_it_prints(tmp_path: Path) -> None:
    script = "import os, sys; print('error: no', os.environ['COLOUR']); sys.exit(1)"
    made = job(tmp_path / "run", script)
    assert end_of(made) == 1
    assert made.reason() == "no red"


def test_a_variable_can_be_taken_away(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = job(tmp_path / "run", "import os; raise SystemExit('OMP_NUM_THREADS' in os.environ)")
    assert end_of(made) == 1
    made.process, made.environment = None, {"OMP_NUM_THREADS": None}
    assert end_of(made) == 0


OF_SRUN = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "sweep",
    "SLURM_NTASKS": "8",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "3",
}


@pytest.fixture
def of_srun(monkeypatch) -> None:
    """As in a task of srun's, wherever the tests themselves run."""
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in RANKS:
            monkeypatch.delenv(name)
    for name, value in OF_SRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shutil.which", lambda *_: None)  # Lightning warns where srun lies unused


def test_it_is_no_task_of_slurm(of_srun: None, tmp_path: Path) -> None:
    made = job(tmp_path / "run", "import os, json; print(json.dumps(dict(os.environ)))")
    assert end_of(made) == 0
    told = json.loads((tmp_path / "run" / "train.log").read_text())
    kept = {name: value for name, value in told.items() if name.startswith("SLURM_")}
    assert kept == {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive"}
    assert told["COLOUR"] == "red"


def test_lightning_starts_its_ranks_and_its_folder_is_locked(of_srun: None, monkeypatch) -> None:
    assert SLURMEnvironment.detect()
    assert not is_first_of_all()
    child = of_no_task(os.environ)
    for name in OF_SRUN.keys() - child.keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_JOB_NAME", child["SLURM_JOB_NAME"])
    assert not SLURMEnvironment.detect()
    assert is_first_of_all()


def test_elsewhere_nothing_is_taken_away() -> None:
    assert of_no_task({"HOME": "/h", "SLURM_CONF": "c"}) == {"HOME": "/h", "SLURM_CONF": "c"}


def test_a_run_that_has_begun_is_continued(tmp_path: Path) -> None:
    given = ["seed=1", "trainer.max_epochs=3", "trusted=[mine]"]
    made = Job(tmp_path, given, {})
    assert made.command()[3:] == [f"hydra.run.dir={tmp_path}", *given]
    (tmp_path / "config.yaml").touch()  # half a beginning
    assert not has_begun(tmp_path)
    for name in ("config.yaml", "overrides.yaml"):
        (tmp_path / name).touch()
    assert made.command()[3:] == [f"resume={tmp_path}", *given[1:]]


@pytest.mark.parametrize(("status", "exit_status"), [("finished", 0), ("diverged", 1)])
def test_what_is_over_is_not_run_again(status: str, exit_status: int, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(f'{{"status": "{status}"}}')
    made = job(tmp_path, "raise SystemExit(7)")
    assert made.poll() == exit_status
    assert made.process is None


def test_what_is_finished_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    made = Script(tmp_path, [], {}, extends=True)
    made.script = "raise SystemExit(7)"
    assert end_of(made) == 7


def test_what_diverged_does_not_go_on_with_a_larger_budget(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"status": "diverged"}')
    made = Script(tmp_path, [], {}, extends=True)
    assert made.poll() == 1
    assert made.process is None


def test_it_waits_for_a_training_without_its_starter(tmp_path: Path) -> None:
    orphan = Lock(tmp_path)
    orphan.take()
    made = job(tmp_path, "raise SystemExit(7)")
    assert made.poll() is None
    assert made.process is None
    assert str(holder(tmp_path)).startswith(f"process {os.getpid()} on ")
    made.stop()
    assert made.poll() is None
    orphan.release()
    assert made.poll() == TERMINATED  # asked to stop, it is not begun


def test_it_is_asked_to_end_then_ended(tmp_path: Path) -> None:
    made = job(tmp_path, "import time; time.sleep(60)")
    assert made.poll() is None
    made.stop()
    assert end_of(made) == -signal.SIGTERM
    stubborn = job(tmp_path, "import signal, time; signal.signal(15, print); time.sleep(60)")
    assert stubborn.poll() is None
    stubborn.wait(0.01)
    assert stubborn.poll() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan trains on")
@pytest.mark.slow
def test_it_ends_with_its_starter(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from tests.launch.test_jobs import job
job(Path({str(tmp_path)!r}), "import time; print('here', flush=True); time.sleep(60)").poll()
time.sleep(60)
"""
    starter = subprocess.Popen([*PYTHON, code])
    log = tmp_path / "train.log"
    while not (log.exists() and log.read_text()):
        assert starter.poll() is None
        time.sleep(0.02)
    (child,) = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
    starter.kill()
    starter.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and "Z" not in state(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(process: str) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_the_last_error_or_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_error(log) == ""
    log.write_text("one\ntwo\n\n")
    assert last_error(log) == "two"
    log.write_text("error: first\nerror: second\nrun: here\n")
    assert last_error(log) == "second"
