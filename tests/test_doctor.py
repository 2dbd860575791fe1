"""The doctor's visit: what is read, what is said, written and refused."""

import json
import shutil
from pathlib import Path

import pytest

from gan_lab.doctor import doctor
from gan_lab.launch.entry import guarded
from tests.conftest import run_train


def visit(folder: Path, output: Path) -> int:
    return guarded("doctor", doctor, [f"run={folder}", f"output={output}"])


def examined(folder: Path, output: Path) -> dict:
    assert visit(folder, output) == 0
    assert output.with_suffix(".png").stat().st_size > 10_000
    return json.loads(output.read_text())


def test_a_finished_run(finished_run: Path, tmp_path: Path, capsys) -> None:
    found = examined(finished_run, tmp_path / "a.json")
    assert found["healthy"] is True
    assert found["findings"] == []
    assert found["status"] == "finished"
    assert found["verdict"] == "too early to tell"
    assert "too early to tell" in capsys.readouterr().out


@pytest.mark.slow
def test_a_running_or_killed_run_is_read_as_far_as_it_went(finished_run: Path, tmp_path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    (folder / "result.json").unlink()
    assert examined(folder, tmp_path / "a.json")["status"] == "running or killed"
    (folder / "metrics.csv").unlink()
    shutil.rmtree(folder / "samples")
    assert examined(folder, tmp_path / "b.json")["images_seen"] == 0


@pytest.mark.slow
def test_a_diverged_run(tmp_path: Path) -> None:
    wild = ["optimizer=sgd", "optimizer.discriminator.lr=1e30", "trainer.log_every_n_steps=2"]
    assert run_train(tmp_path / "run", *wild) == 1
    found = examined(tmp_path / "run", tmp_path / "a.json")
    assert found["healthy"] is False
    (finding,) = found["findings"]
    assert finding["name"] == "divergence"
    assert "not finite" in finding["evidence"]
    assert finding["try"]


@pytest.mark.slow
def test_the_doctor_repeats_what_the_monitor_said(tmp_path: Path) -> None:
    frozen = ["optimizer.generator.lr=0", "data.source.num_images=6000", "trainer.max_epochs=5"]
    frozen += ["data.batch_size=64"]
    assert run_train(tmp_path / "run", *frozen, "callbacks.health.every=4000") == 0
    found = examined(tmp_path / "run", tmp_path / "a.json")
    assert "not learning" in [finding["name"] for finding in found["findings"]]
    record = json.loads((tmp_path / "run" / "health.json").read_text())
    assert found["changes"] == record
    assert {f["name"] for f in record[-1]["findings"]} == {f["name"] for f in found["findings"]}


def test_what_is_no_run_is_refused(finished_run: Path, tmp_path: Path, status_and_message) -> None:
    status, message = status_and_message(visit, tmp_path, tmp_path / "a.json")
    assert status == 2
    assert "has no config.yaml" in message
    status, message = status_and_message(visit, finished_run, tmp_path / "a.txt")
    assert (status, "must be named FILE.json" in message) == (2, True)
    status, message = status_and_message(guarded, "doctor", doctor, [])
    assert (status, "run= is missing" in message) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_without_the_monitor_is_refused_with_the_reason(
    tmp_path: Path, status_and_message
) -> None:
    assert run_train(tmp_path / "run", "callbacks.health=null") == 0
    status, message = status_and_message(visit, tmp_path / "run", tmp_path / "a.json")
    assert (status, "without the health monitor" in message) == (2, True)
