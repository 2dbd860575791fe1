"""What a run leaves behind, how it is resumed, and how it ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from gan_lab.launch.entry import guarded
from gan_lab.train import train
from tests.conftest import run_train, sampled, tiny, tiny_config


def resume(folder: Path, *overrides: str) -> int:
    return guarded("train", train, [f"resume={folder}", *overrides])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def steps_of(folder: Path) -> list[dict[str, str]]:
    """The rows of training steps, without what other callbacks measured between them."""
    return [row for row in rows_of(folder) if row["generator/loss"]]


def state_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(a: Any, b: Any, path: str = "") -> None:
    """Equal to the bit: tensors, containers and numbers."""
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b, path


def test_a_run_leaves_what_the_design_promises(finished_run: Path) -> None:
    config = OmegaConf.load(finished_run / "config.yaml")
    assert config.trainer.max_epochs == 2
    assert OmegaConf.to_yaml(config, resolve=False) == OmegaConf.to_yaml(config, resolve=True)
    grids = sorted((finished_run / "samples").glob("*.png"))
    assert [int(p.stem.split("_")[1]) for p in grids] == [0, 128, 256]
    with Image.open(grids[-1]) as grid, Image.open(finished_run / "evolution.png") as strip:
        assert grid.size == (8 * 30 + 2, 8 * 30 + 2)
        assert strip.size == (8 * 30 + 2, 3 * 30)
    with Image.open(finished_run / "evolution.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 3
    assert list(finished_run.glob("events.out.tfevents.*"))
    result = json.loads((finished_run / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["images_seen"] == 2 * 8 * 16
    assert result["world_size"] == 1
    assert {"seconds", "metric", "best", "last"} <= result.keys()


def test_what_is_logged(finished_run: Path) -> None:
    rows = steps_of(finished_run)
    assert [int(row["images_seen"]) for row in rows] == [16, 128, 256]
    for player in ("generator", "discriminator"):
        for name in ("loss", "gradient_norm", "lr"):
            assert float(rows[-1][f"{player}/{name}"]) >= 0
    for name in ("real", "fake", "accuracy_real", "accuracy_fake"):
        assert 0 <= float(rows[-1][f"discriminator/{name}"]) <= 1
    assert float(rows[-1]["images_per_second"]) > 0


def test_tensorboard_holds_scalars_images_and_one_chart(finished_run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished_run), size_guidance={"images": 0})
    events.Reload()
    assert [e.step for e in events.Scalars("discriminator/loss")] == [16, 128, 256]
    assert [e.step for e in events.Images("samples")] == [0, 128, 256]
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_checkpoint_is_plain_and_complete(finished_run: Path) -> None:
    state = state_of(finished_run)
    assert state["format_version"] == 1
    assert state["config"]["networks"]["generator"]["width"] == 4
    assert state["progress"]["images_seen"] == 256
    assert any(key.startswith("generator_ema.") for key in state["state_dict"])
    assert len(state["optimizer_states"]) == 2


def test_last_line_names_the_run(tmp_path: Path, capsys) -> None:
    assert run_train(tmp_path / "run", "trainer.max_epochs=1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"run: {tmp_path / 'run'}"


def test_the_shortest_run_leaves_a_row_a_grid_and_a_checkpoint(tmp_path: Path) -> None:
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    assert run_train(tmp_path / "run", *short) == 0
    assert len(steps_of(tmp_path / "run")) == 1
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def stop_at(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Send SIGTERM to ourselves after so many images."""
    from gan_lab.training.callbacks.checkpoints import Signals

    original = Signals.on_train_batch_end

    def end(self, trainer, *rest) -> None:
        if trainer.lightning_module.images_seen == images:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, *rest)

    monkeypatch.setattr(Signals, "on_train_batch_end", end)


@pytest.mark.parametrize("images", sampled([48, 16, 128, 176], 4), ids=lambda n: f"after_{n}")
@pytest.mark.parametrize("recipe", [[], ["n_critic=3", "penalty.r1.interval=4"]], ids=["1", "3"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    recipe: list[str], images: int, tmp_path: Path, monkeypatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    recipe = [*recipe, "trainer.log_every_n_steps=3", "callbacks.samples.every=64"]
    assert run_train(whole, *recipe) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, images)
        assert run_train(parts, *recipe) == 143
    assert json.loads((parts / "result.json").read_text())["status"] == "interrupted"
    assert state_of(parts)["progress"]["images_seen"] == images
    assert resume(parts) == 0
    assert_same_runs(whole, parts)


def assert_same_runs(whole: Path, parts: Path) -> None:
    a, b = state_of(whole), state_of(parts)
    for key in ("state_dict", "optimizer_states", "progress", "epoch", "global_step"):
        assert_same(a[key], b[key], key)
    clocks = {"seconds", "images_per_second"}
    kept = [
        [{key: row[key] for key in row.keys() - clocks} for row in rows_of(folder)]
        for folder in (whole, parts)
    ]
    assert kept[0] == kept[1]
    pictures = [sorted((f / "samples").glob("*.png")) for f in (whole, parts)]
    assert [p.name for p in pictures[0]] == [p.name for p in pictures[1]]
    assert [p.read_bytes() for p in pictures[0]] == [p.read_bytes() for p in pictures[1]]


@pytest.mark.slow
def test_a_folder_without_a_checkpoint_starts_at_image_0(
    finished_run: Path, tmp_path: Path
) -> None:
    assert run_train(tmp_path / "run") == 0
    before = state_of(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").unlink()
    (tmp_path / "run" / "result.json").unlink()
    assert resume(tmp_path / "run") == 0
    assert_same(before["state_dict"], state_of(tmp_path / "run")["state_dict"])


def test_a_finished_run_says_so(finished_run: Path, capsys) -> None:
    before = (finished_run / "metrics.csv").read_bytes()
    assert resume(finished_run) == 0
    assert "is finished" in capsys.readouterr().out
    assert (finished_run / "metrics.csv").read_bytes() == before


@pytest.mark.slow
def test_the_budget_may_grow(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(run, "trainer.max_epochs=1", "schedule=constant") == 0
    assert resume(run, "trainer.max_epochs=2") == 0
    assert state_of(run)["progress"]["images_seen"] == 256
    assert OmegaConf.load(run / "config.yaml").trainer.max_epochs == 2
    assert OmegaConf.load(run / "overrides.yaml").resumed == [["trainer.max_epochs=2"]]
    whole = tmp_path / "whole"
    assert run_train(whole, "trainer.max_epochs=2", "schedule=constant") == 0
    assert_same(state_of(whole)["state_dict"], state_of(run)["state_dict"])


@pytest.mark.parametrize(
    "override",
    ["optimizer.generator.lr=0.5", "seed=9", "trainer.max_epochs=1", "objective=minimax"],
)
def test_other_changes_are_refused(override: str, finished_run: Path, status_and_message) -> None:
    before = (finished_run / "config.yaml").read_text()
    status, message = status_and_message(resume, finished_run, override)
    assert status == 2
    assert override.split("=")[0] in message
    assert "->" in message
    assert (finished_run / "config.yaml").read_text() == before


@pytest.mark.slow
def test_a_second_smaller_budget_is_no_growth(tmp_path: Path, status_and_message) -> None:
    run = tmp_path / "run"
    timed = ["trainer.max_epochs=null", "trainer.max_time=00:00:00:02"]
    assert run_train(run, *timed) == 0
    before = (run / "config.yaml").read_text()
    status, message = status_and_message(resume, run, "trainer.max_epochs=1")
    assert status == 2
    assert "trainer.max_epochs: None -> 1" in message
    assert (run / "config.yaml").read_text() == before


def test_a_defect_in_a_network_keeps_its_traceback(tmp_path: Path, monkeypatch) -> None:
    from gan_lab.networks import dcgan

    def broken(*_) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(dcgan, "initialise", broken)
    with pytest.raises(RuntimeError, match="ours"):
        run_train(tmp_path / "run")


def test_an_occupied_folder_is_refused(finished_run: Path, status_and_message) -> None:
    status, message = status_and_message(run_train, finished_run)
    assert status == 2
    assert f"resume={finished_run}" in message


def test_divergence_ends_with_status_1_and_keeps_the_checkpoint(
    tmp_path: Path, status_and_message
) -> None:
    wild = ["optimizer=sgd", "optimizer.discriminator.lr=1e30", "trainer.log_every_n_steps=2"]
    status, message = status_and_message(run_train, tmp_path / "run", *wild)
    assert status == 1
    assert "diverged after" in message
    assert "Traceback" not in message
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "diverged"
    checkpoints = list((tmp_path / "run" / "checkpoints").glob("*"))
    assert not checkpoints  # nothing that is not a number was saved


@pytest.mark.slow
def test_time_is_a_budget(tmp_path: Path) -> None:
    timed = ["trainer.max_epochs=100000", "trainer.max_time=00:00:00:02"]
    assert run_train(tmp_path / "run", *timed) == 0
    rows = steps_of(tmp_path / "run")
    # A slow machine does a few steps only: the last one begins at some point of the second half.
    assert float(rows[-1]["generator/lr"]) < 0.9 * tiny_config().optimizer.generator.lr


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), SIGNALS, ids=["SIGINT", "SIGTERM"])
def test_signals_end_a_run_in_good_order(number: int, expected: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={folder}"]
    command += tiny("trainer.max_epochs=100000")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(folder / "checkpoints" / "last.ckpt", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, err
    assert "Traceback" not in err
    assert out.splitlines()[-1] == f"run: {folder}"
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"


@pytest.mark.slow
def test_a_killed_run_is_resumed_exactly(tmp_path: Path) -> None:
    folder, whole = tmp_path / "run", tmp_path / "whole"
    longer = ["trainer.max_epochs=40", "callbacks.checkpoints.minutes=0.003"]
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={folder}", *tiny(*longer)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(folder / "checkpoints" / "last.ckpt", process)
    process.kill()
    process.wait()
    assert not (folder / "result.json").exists()
    assert resume(folder) == 0
    assert run_train(whole, *longer) == 0
    assert_same_runs(whole, folder)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.slow
def test_multirun_names_its_jobs_and_passes_over_failures(tmp_path: Path) -> None:
    rates = "optimizer.generator.lr=1e-4,-1,4e-4"
    command = [sys.executable, "-m", "gan_lab.train", "-m", rates, f"hydra.sweep.dir={tmp_path}"]
    done = subprocess.run(
        [*command, *tiny("trainer.max_epochs=1")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "generator.lr_-1" in done.stderr
    assert "Traceback" not in done.stderr
    jobs = {p.name for p in tmp_path.iterdir() if (p / "result.json").exists()}
    assert jobs == {"generator.lr_1e-4", "generator.lr_4e-4"}
    for job, rate in (("generator.lr_1e-4", 1e-4), ("generator.lr_4e-4", 4e-4)):
        assert OmegaConf.load(tmp_path / job / "config.yaml").optimizer.generator.lr == rate


@pytest.mark.slow
def test_multirun_refuses_what_no_job_could_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gan_lab.train", "-m", f"hydra.sweep.dir={tmp_path / 's'}"]
    command += tiny("optimizer.generator.lrr=1e-4,2e-4")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "did you mean optimizer.generator.lr" in done.stderr
    assert not (tmp_path / "s").exists()
