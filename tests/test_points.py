"""Points through all programs: train, resume, generate, evaluate."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_lab.evaluate import evaluate
from gan_lab.launch.entry import guarded
from gan_lab.train import train
from gan_lab.train_features import train_features
from tests.conftest import run_generate

SMALL = ["data.source.num_points=320", "data.batch_size=16", "trainer.max_epochs=1"]
SMALL += ["networks.generator.hidden=[16]", "networks.discriminator.hidden=[16]"]
SMALL += ["callbacks.evaluation.every=160", "callbacks.evaluation.num_images=50"]
SMALL += ["callbacks.samples.num_images=50", "trainer.enable_progress_bar=false"]


def run_evaluate(*overrides: str) -> int:
    return guarded("evaluate", evaluate, list(overrides))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points") / "run"
    given = ["experiment=ring_gan", f"hydra.run.dir={folder}", *SMALL]
    assert guarded("train", train, given) == 0
    return folder


def test_modes_are_logged_and_choose_the_best(run: Path) -> None:
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/modes")]
    assert [int(row["images_seen"]) for row in rows] == [160, 320]
    assert all(0 <= float(row["val/high_quality"]) <= 1 for row in rows)
    assert (run / "checkpoints" / "best.ckpt").is_file()
    result = json.loads((run / "result.json").read_text())
    assert {"modes", "high_quality", "mode_kl"} < result["best"].keys()
    assert result["metric"] == result["best"]["mode_misses"]
    assert result["metric"] == min(float(row["val/mode_misses"]) for row in rows)
    expected = 9 - result["best"]["modes"] - result["best"]["high_quality"]
    assert result["metric"] == pytest.approx(expected)


def test_samples_are_scatter_plots(run: Path) -> None:
    paths = sorted((run / "samples").glob("*.png"))
    with Image.open(paths[-1]) as picture:
        assert picture.size == (320, 320)
    with Image.open(run / "evolution.gif") as film:
        assert film.n_frames == len(paths)  # type: ignore[attr-defined]
    with Image.open(run / "evolution.png") as strip:
        assert strip.height == 320 * len(paths)


def test_generate_writes_points(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "points.npz"
    assert run_generate(f"checkpoint={run}", f"output={output}", "num_images=300") == 0
    with np.load(output, allow_pickle=False) as file:
        assert set(file) == {"points", "labels"}
        assert file["points"].shape == (300, 2)
        assert file["points"].dtype == np.float32
    assert run_generate(f"checkpoint={run}", f"output={tmp_path / 'a.png'}") == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (320, 320)


def test_points_make_no_folder(run: Path, tmp_path: Path, status_and_message) -> None:
    output = tmp_path / "folder"
    status, message = status_and_message(run_generate, f"checkpoint={run}", f"output={output}")
    assert status == 2
    assert "points go into FILE.npz or FILE.png" in message
    assert not output.exists()


def test_evaluate_a_run_and_a_file(run: Path, tmp_path: Path, capsys) -> None:
    one, two, points = tmp_path / "one.json", tmp_path / "two.json", tmp_path / "points.npz"
    assert run_evaluate(f"checkpoint={run}", f"output={one}") == 0
    assert all(name in capsys.readouterr().out for name in ["ring"])
    assert run_generate(f"checkpoint={run}", f"output={points}", "num_images=2500") == 0
    data = ["data=ring", "data.source.num_points=320"]
    assert run_evaluate(f"images={points}", *data, f"output={two}") == 0
    results = [json.loads(path.read_text()) for path in (one, two)]
    assert results[0]["card"]["num_fake"] == 2500
    assert results[0]["metrics"] == results[1]["metrics"]
    for entry in results[0]["metrics"].values():
        assert {"value", "interval", "floor", "ceiling"} <= entry.keys()
    with Image.open(one.with_suffix(".png")) as picture:
        assert picture.width > 800


@pytest.mark.parametrize(
    "asked", ["metrics=[fid]", "two_sample=true", "recovery=true", "extractor=inception"]
)
def test_what_needs_features_is_refused(run, tmp_path, asked, status_and_message) -> None:
    output = f"output={tmp_path / 'a.json'}"
    status, message = status_and_message(run_evaluate, f"checkpoint={run}", output, asked)
    assert status == 2
    assert "the known modes are counted" in message


def test_a_convolutional_network_is_refused(tmp_path: Path, status_and_message) -> None:
    given = ["data=ring", "networks=dcgan", f"hydra.run.dir={tmp_path / 'run'}"]
    status, message = status_and_message(guarded, "train", train, given)
    assert status == 2
    assert "use networks=mlp_points" in message


def test_points_train_no_feature_network(tmp_path: Path, status_and_message) -> None:
    given = ["data=ring", f"output={tmp_path / 'a.safetensors'}"]
    status, message = status_and_message(guarded, "train_features", train_features, given)
    assert status == 2
    assert "ring has no images with classes" in message
