"""What loggers are told about a run, and what is said where their package is missing."""

from pathlib import Path

import pytest

from gan_lab.launch import loggers
from tests.conftest import run_train, tiny_config


def test_what_the_command_sets_comes_first() -> None:
    overrides = ["ema.half_life=500", "networks=mlp", "networks.generator.hidden=[8,8]"]
    told = loggers.hyperparameters(tiny_config(*overrides, networks="mlp"), overrides)
    assert list(told)[:3] == ["ema.half_life", "networks", "networks.generator.hidden"]
    assert told["ema.half_life"] == 500
    assert told["networks"] == "mlp"
    assert told["networks.generator.hidden"] == "[8, 8]"


def test_what_every_run_tells() -> None:
    chosen = ["objective=non_saturating", "penalty=none", "optimizer=adam", "seed=3"]
    chosen += ["optimizer.generator.lr=2e-4", "optimizer.discriminator.lr=4e-4"]
    told = loggers.hyperparameters(tiny_config(*chosen))
    assert told["optimizer.generator.lr"] == 2e-4
    assert told["optimizer.discriminator.lr"] == 4e-4
    assert told["objective"] == "NonSaturating"
    assert told["penalty"] == "none"
    assert told["optimizer"] == "Adam"
    assert told["data"] == "Fake"
    assert told["data.batch_size"] == 16
    assert told["seed"] == 3
    assert told["n_critic"] == 1


def test_bookkeeping_is_not_told() -> None:
    overrides = ["hydra.run.dir=x", "trainer.max_epochs=2", "data.root=/data", "name=run"]
    overrides += ["callbacks.samples.every=64", "+clip.generator=null", "~penalty"]
    told = loggers.hyperparameters(tiny_config(), overrides)
    assert told.keys() == loggers.hyperparameters(tiny_config()).keys()
    assert all(isinstance(value, (str, int, float)) for value in told.values())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_ends_in_one_message(
    name: str, tmp_path: Path, status_and_message, monkeypatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    folder = tmp_path / "run"
    status, message = status_and_message(run_train, folder, f"logger=[tensorboard,{name}]")
    assert status == 2
    install = f"python -m pip install 'gan_lab[{name}]'"
    wanted = f"error: logger={name} needs the package {name}; {install}\n"
    assert message == wanted
    assert not folder.exists()


@pytest.mark.slow
def test_a_logger_that_is_switched_off_needs_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    off = ["logger=wandb", "trainer.logger=false", "trainer.max_epochs=1"]
    assert run_train(tmp_path / "run", *off) == 0


@pytest.mark.slow
def test_loggers_of_lightning_work_too(tmp_path: Path) -> None:
    csv = "+logger.csv._target_=pytorch_lightning.loggers.CSVLogger"
    assert run_train(tmp_path / "run", csv, "trainer.max_epochs=1") == 0
    assert list((tmp_path / "run" / "lightning_logs").rglob("metrics.csv"))
