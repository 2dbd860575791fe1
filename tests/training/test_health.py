"""The health monitor: it measures and judges, and the training does not notice."""

import csv
import json
from pathlib import Path

import pytest
import torch

from gan_lab import UserError
from gan_lab.launch.entry import guarded
from gan_lab.train import train
from gan_lab.training.callbacks.health import Health
from gan_lab.training.verdicts import Verdict
from tests.conftest import run_train, tiny

OFTEN = ["callbacks.health.every=64", "callbacks.health.num_images=32"]


def probes(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.get("health/critic_auc")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


BUFFERS = {  # what a forward pass writes or draws: batch norm, dropout, spectral norm
    "dcgan": ["networks.discriminator.norm=batch", "penalty=none"],
    "mlp": [],
    "resnet": ["networks.generator.width=2", "networks.discriminator.width=2"],
}


@pytest.mark.parametrize("networks", BUFFERS)
@pytest.mark.slow
def test_training_does_not_notice(networks: str, tmp_path: Path) -> None:
    chosen = [*tiny(networks=networks), *BUFFERS[networks]]
    for name, more in (("with", OFTEN), ("without", ["callbacks.health=null"])):
        arguments = [f"hydra.run.dir={tmp_path / name}", *chosen, *more]
        assert guarded("train", train, arguments) == 0
    assert len(probes(tmp_path / "with")) == 4
    one, two = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_what_is_measured_without_labels(tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", *OFTEN) == 0
    rows = probes(tmp_path / "run")
    assert [row["images_seen"] for row in rows] == ["64", "128", "192", "256"]
    for row in rows:
        assert 0 <= float(row["health/critic_auc"]) <= 1
        assert 0 <= float(row["health/memorising"]) <= 1
        assert float(row["health/update_generator"]) > 0
        assert float(row["health/spread"]) > 0
        assert not row.get("health/classes")
    assert float(rows[-1]["health/motion"]) > 0
    record = json.loads((tmp_path / "run" / "health.json").read_text())
    assert [entry["verdict"] for entry in record] == [Verdict.TOO_EARLY]


@pytest.mark.slow
def test_generator_and_critic_need_not_move_in_the_same_batch(tmp_path: Path) -> None:
    assert run_train(tmp_path / "run", *OFTEN, "n_critic=3", "callbacks.health.every=16") == 0
    rows = probes(tmp_path / "run")[:-1]  # the last one is due whoever moved
    assert [int(row["images_seen"]) for row in rows] == [48 * k for k in range(1, 6)]
    assert all(float(row["health/update_generator"]) > 0 for row in rows)


@pytest.mark.slow
def test_a_resumed_run_goes_on_measuring_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    assert run_train(tmp_path / "halves", *OFTEN, "trainer.max_epochs=1", "schedule=constant") == 0
    assert run_train(tmp_path / "same", *OFTEN, "schedule=constant") == 0
    more = [f"resume={tmp_path / 'halves'}", "trainer.max_epochs=2"]
    assert guarded("train", train, more) == 0

    def measured(name: str) -> list[dict[str, str]]:
        rows = probes(tmp_path / name)
        seen = [{k: v for k, v in row.items() if k.startswith("health/")} for row in rows]
        return [row | {"health/progress": ""} for row in seen]  # of another budget, at first

    assert measured("halves") == measured("same")


@pytest.mark.slow
def test_a_frozen_generator_is_named_while_it_happens(tmp_path: Path, capsys) -> None:
    frozen = ["optimizer.generator.lr=0", "data.source.num_images=6000", "trainer.max_epochs=5"]
    frozen += ["data.batch_size=64"]
    more = ["callbacks.health.every=4000", "networks.generator.width=2"]
    assert run_train(tmp_path / "run", *frozen, *more) == 0
    said = capsys.readouterr().err
    assert "not learning since image" in said
    assert "optimizer.generator.lr=0.002" in said
    rows = [row for row in rows_of(tmp_path / "run") if row.get("verdict/not_learning")]
    assert float(rows[0]["verdict/not_learning"]) == 0
    assert float(rows[-1]["verdict/not_learning"]) == 1


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_infinity_is_a_verdict_too(tmp_path: Path) -> None:
    wild = ["optimizer=sgd", "optimizer.discriminator.lr=1e30", "trainer.log_every_n_steps=2"]
    assert run_train(tmp_path / "run", *wild) == 1
    record = json.loads((tmp_path / "run" / "health.json").read_text())
    assert record[-1]["verdict"] == Verdict.DIVERGENCE
    assert "not finite" in record[-1]["evidence"]


@pytest.mark.parametrize("data", ["data=ring", "data=fake"])
@pytest.mark.slow
def test_double_precision_is_measured_too(data: str, tmp_path: Path) -> None:
    points = ["networks=mlp_points", "data.batch_size=16", "trainer.limit_train_batches=8"]
    chosen = [data, *(points if data == "data=ring" else tiny())]
    arguments = [f"hydra.run.dir={tmp_path / 'run'}", *chosen, *OFTEN, "trainer.max_epochs=1"]
    assert guarded("train", train, [*arguments, "trainer.precision=64-true"]) == 0
    assert probes(tmp_path / "run")


def test_very_few_images_are_no_reason_to_fail(tmp_path: Path) -> None:
    few = ["data.subset=2", "data.batch_size=2", "data.holdout=0", "trainer.max_epochs=1"]
    assert run_train(tmp_path / "run", *few, *OFTEN) == 0


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match="every=0 must be at least 1"):
        Health(every=0)
    with pytest.raises(UserError, match="num_images=8"):
        Health(num_images=8)
