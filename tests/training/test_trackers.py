"""Weights & Biases and MLflow, each run with its package and read back from its local files."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_lab.launch.entry import guarded
from gan_lab.train import train
from tests.conftest import run_train

# What these packages warn about in themselves is not ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
STEPS = [16, 128, 256]


def train_and_resume(folder: Path, *overrides: str) -> None:
    """One epoch, then a second one in another session."""
    assert run_train(folder, *overrides, "trainer.max_epochs=1") == 0
    assert guarded("train", train, [f"resume={folder}", "trainer.max_epochs=2"]) == 0


def assert_shows(picture: Path, folder: Path, images_seen: int) -> None:
    """The logged picture is the run's sample grid."""
    with Image.open(picture) as logged:
        mine = np.asarray(logged.convert("L"))
    with Image.open(folder / "samples" / f"images_{images_seen:010d}.png") as grid:
        assert np.array_equal(mine, np.asarray(grid))


def wandb_records(path: Path) -> Iterator[Any]:
    """The messages of a .wandb file: LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, message = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # a block's rest is too short for a header
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        message += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield wandb_internal_pb2.Record.FromString(message)
            message = b""


def values_of(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_wandb_holds_scalars_grids_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'gan_lab[wandb]'")
    train_and_resume(tmp_path, "logger=[tensorboard,wandb]", "optimizer.generator.lr=2e-4")
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    assert files[0].name == files[1].name  # one run, continued under its id
    records = [record for file in files for record in wandb_records(file)]
    rows = [values_of(r.history.item) for r in records if r.HasField("history")]
    assert [row["images_seen"] for row in rows if "generator/loss" in row] == STEPS
    config = [values_of(r.config.update) for r in records if r.HasField("config")]
    assert config[0]["optimizer.generator.lr"] == 2e-4
    assert config[0]["networks"] == "dcgan"
    axes = {r.metric.glob_name: r.metric.step_metric for r in records if r.HasField("metric")}
    assert axes["*"] == "images_seen"
    grids = [row for row in rows if "samples/filenames" in row]
    assert [row["images_seen"] for row in grids] == [0, 128, 256]
    last = next(files[1].parent.glob("files/" + grids[-1]["samples/filenames"][0]))
    assert_shows(last, tmp_path, 256)


def test_jobs_of_one_process_are_runs_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'gan_lab[wandb]'")
    for name in ("a", "b"):
        assert run_train(tmp_path / name, "logger=wandb", "trainer.max_epochs=1") == 0
        assert len(list((tmp_path / name).glob("wandb/offline-run-*/*.wandb"))) == 1


def test_mlflow_holds_scalars_grids_and_hyperparameters(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'gan_lab[mlflow]'")
    folder, store = tmp_path / "run", tmp_path / "store"
    chosen = ["logger=[tensorboard,mlflow]", f"logger.mlflow.store={store}"]
    train_and_resume(folder, *chosen, "optimizer.generator.lr=2e-4")
    client = mlflow.MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dcgan_mnist")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert float(run.data.params["optimizer.generator.lr"]) == 2e-4
    assert run.data.params["networks"] == "dcgan"
    history = client.get_metric_history(run.info.run_id, "generator/loss")
    assert [row.step for row in history] == STEPS
    pictures = sorted(store.glob("artifacts/*/artifacts/images/samples*.png"))
    assert [path.name.split("+step+")[1].split("+")[0] for path in pictures] == ["0", "128", "256"]
    assert_shows(pictures[-1], folder, 256)
