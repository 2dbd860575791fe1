"""Evaluation during training: what is logged, which checkpoint is best, and what is left alone."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from gan_lab import UserError
from gan_lab.launch import assemble
from gan_lab.launch.entry import guarded
from gan_lab.metrics.features import FeatureNet, find_weights, save_extractor
from gan_lab.train import train
from gan_lab.training.callbacks.evaluation import Evaluation, improves, read_best, write_best
from tests.conftest import run_train, tiny_config

OFTEN = ["callbacks.evaluation.every=64", "callbacks.evaluation.num_images=20"]


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A data.root that holds an (untrained) feature network for the synthetic images."""
    override = f"data.root={tmp_path / 'data'}"
    torch.manual_seed(0)
    net = FeatureNet().eval()
    data = assemble.build_data(tiny_config(override))
    save_extractor(net, find_weights(data), {"image_shape": [1, 28, 28]})
    return override


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.get("val/fid")]


@pytest.mark.slow
def test_best_and_last_are_recorded(root: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(run, root, *OFTEN) == 0
    curve = {int(row["images_seen"]): float(row["val/fid"]) for row in rows_of(run)}
    assert list(curve) == [64, 128, 192, 256]
    result = json.loads((run / "result.json").read_text())
    assert result["metric"] == min(curve.values())
    assert result["best"]["fid"] == min(curve.values())
    assert curve[result["best"]["images_seen"]] == result["metric"]
    assert result["last"]["val/fid"] == curve[256]
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["progress"]["images_seen"] == result["best"]["images_seen"]


@pytest.mark.slow
def test_train_returns_the_metric_for_sweeps(root: str, tmp_path: Path) -> None:
    returned = []

    def task(*arguments) -> None:
        returned.append(train(*arguments))

    from tests.conftest import tiny

    folder = tmp_path / "run"
    assert guarded("train", task, [f"hydra.run.dir={folder}", *tiny(root, *OFTEN)]) == 0
    assert returned == [json.loads((folder / "result.json").read_text())["metric"]]


@pytest.mark.slow
def test_evaluation_does_not_change_training(root: str, tmp_path: Path) -> None:
    assert run_train(tmp_path / "with", root, *OFTEN) == 0
    assert run_train(tmp_path / "without", root, "callbacks.evaluation=null") == 0
    one, two = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("with", "without")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_without_a_feature_network_a_run_goes_on(tmp_path: Path, capsys) -> None:
    assert run_train(tmp_path / "run", f"data.root={tmp_path / 'data'}") == 0
    assert "not evaluated during training: no feature network" in capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metric"] is None


@pytest.mark.slow
def test_a_resumed_run_knows_its_best(root: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(run, root, *OFTEN, "trainer.max_epochs=1") == 0
    planted = {"images_seen": 64, "fid": -1.0}  # nothing later can be better
    (run / "checkpoints" / "best.json").write_text(json.dumps(planted))
    assert guarded("train", train, [f"resume={run}", "trainer.max_epochs=2"]) == 0
    assert json.loads((run / "result.json").read_text())["best"] == planted


@pytest.mark.slow
def test_a_best_by_another_metric_is_none(root: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(run, root, *OFTEN, "trainer.max_epochs=1") == 0
    planted = {"images_seen": 64, "recall": 2.0}
    (run / "checkpoints" / "best.json").write_text(json.dumps(planted))
    assert guarded("train", train, [f"resume={run}", "trainer.max_epochs=2"]) == 0
    assert json.loads((run / "result.json").read_text())["best"]["fid"] > 0


@pytest.mark.slow
def test_what_too_few_images_do_not_allow_does_not_end_a_run(root: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(run, root, *OFTEN, "callbacks.evaluation.metrics=[fid,c_t]") == 0
    assert all(math.isfinite(float(row["val/fid"])) for row in rows_of(run))
    assert {row["val/c_t"] for row in rows_of(run)} == {"nan"}


def test_the_record_of_the_best_is_json_whatever_it_scored(tmp_path: Path) -> None:
    record = {"images_seen": 64, "modes": 0, "mode_kl": math.nan, "mode_misses": 9.0}
    write_best(tmp_path, record)
    text = (tmp_path / "best.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["mode_kl"] is None
    found = read_best(tmp_path)
    assert math.isnan(found.pop("mode_kl"))
    assert found == {"images_seen": 64, "modes": 0, "mode_misses": 9.0}


@pytest.mark.parametrize("text", ["", "{", "3", "[1]"])
def test_a_damaged_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text(text)
    assert read_best(tmp_path) == {}


def test_lower_is_better_only_where_it_is() -> None:
    low, high = {"fid": 1.0, "recall": 0.1}, {"fid": 2.0, "recall": 0.2}
    assert improves("fid", low, high)
    assert not improves("fid", high, low)
    assert improves("recall", high, low)


@pytest.mark.parametrize("metric", ["fid", "recall"])
def test_any_number_is_better_than_none(metric: str) -> None:
    number, none = {metric: 5.0}, {metric: math.nan}
    assert improves(metric, number, none)
    assert not improves(metric, none, number)
    assert not improves(metric, none, none)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["fidd"]}, "metrics"),
        ({"metrics": ["kid"], "monitor": "fid"}, "monitor=fid must be one of"),
        ({"metrics": ["fid"], "every": 0}, "every=0"),
        ({"metrics": ["fid"], "num_images": 1}, "num_images=1"),
        ({"metrics": ["fid", "fid_infinity"], "num_images": 256}, "num_images=256 must be above"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Evaluation(**arguments)
