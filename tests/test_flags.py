"""Each flag of Lightning's Trainer, tried once: it works, or is refused in errors_table."""

import csv
import inspect
import json
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from tests.conftest import run_train, sampled
from tests.errors_table import SETTINGS

WORKS = [
    "accelerator=cpu",
    "strategy=auto",
    "devices=1",
    "num_nodes=1",
    "precision=bf16-mixed",
    "precision=32-true",
    "precision=64-true",
    "precision=auto",
    "logger=false",
    "logger=true",
    "callbacks=[{_target_:pytorch_lightning.callbacks.Timer}]",
    "fast_dev_run=true",
    "fast_dev_run=3",
    "max_epochs=1",
    "min_epochs=1",
    "max_time={minutes:1}",
    "limit_train_batches=3",
    "limit_train_batches=0.5",
    "limit_val_batches=1",
    "limit_test_batches=1",
    "limit_predict_batches=1",
    "overfit_batches=2",
    "val_check_interval=1",
    "check_val_every_n_epoch=2",
    "num_sanity_val_steps=0",
    "log_every_n_steps=1",
    "enable_checkpointing=false",
    "enable_progress_bar=true",
    "enable_model_summary=true",
    "deterministic=true",
    "deterministic=warn",
    "benchmark=true",
    "inference_mode=false",
    "use_distributed_sampler=false",
    "profiler=simple",
    "profiler=advanced",
    "detect_anomaly=true",
    "plugins=[]",
    "sync_batchnorm=true",
    "reload_dataloaders_every_n_epochs=1",
    "enable_autolog_hparams=false",
    "model_registry=x",
]


@pytest.mark.parametrize("flag", sampled(WORKS, 20))
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_flag_works(flag: str, tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", "trainer.max_epochs=1", f"trainer.{flag}") == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"


def test_every_flag_was_tried() -> None:
    flags = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    refused = {key.removeprefix("trainer.").split("=")[0] for key in SETTINGS if "trainer." in key}
    assert flags - {flag.split("=")[0] for flag in WORKS} - refused == set()


@pytest.mark.parametrize(
    ("flag", "images"),
    [("fast_dev_run=3", 48), ("limit_train_batches=3", 48), ("limit_train_batches=0.5", 64)],
)
@pytest.mark.slow
def test_flags_that_shorten_a_run(flag: str, images: int, tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", "trainer.max_epochs=1", f"trainer.{flag}") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["images_seen"] == images


def test_log_every_n_steps_sets_the_rows(tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", "trainer.max_epochs=1", "trainer.log_every_n_steps=2") == 0
    with (tmp_path / "run" / "metrics.csv").open() as file:
        steps = [row for row in csv.DictReader(file) if row["discriminator/loss"]]
        assert [row["images_seen"] for row in steps] == [
            "16",
            "32",
            "64",
            "96",
            "128",
        ]


def test_logger_false_leaves_the_csv_alone(tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", "trainer.max_epochs=1", "trainer.logger=false") == 0
    assert not list((tmp_path / "run").glob("events*"))
    assert (tmp_path / "run" / "metrics.csv").is_file()
