"""`evaluate` on a run and on a file: table, JSON with card, picture, messages."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.evaluate import evaluate
from gan_lab.launch import assemble
from gan_lab.launch.benchmarking.trials import Judge
from gan_lab.launch.drawing import load_generator
from gan_lab.launch.entry import guarded
from gan_lab.metrics.features import FeatureNet, find_weights, save_extractor
from gan_lab.metrics.foundation import FoundationExtractor
from gan_lab.metrics.measures import MEASURES
from gan_lab.training.callbacks.evaluation import EVALUATION_SEED
from tests.conftest import run_generate, run_train, tiny_config

NAMES = [name for name in MEASURES if name != "fid_infinity"]  # which takes more images than 40
SMALL = ["data=fake", "data.source.num_images=160", "data.holdout=32"]


def run_evaluate(*overrides: str) -> int:
    return guarded("evaluate", evaluate, list(overrides))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its images, and a feature network for the synthetic data."""
    folder = tmp_path_factory.mktemp("evaluate")
    root = f"data.root={folder / 'data'}"
    torch.manual_seed(0)
    data = assemble.build_data(tiny_config(root))
    save_extractor(FeatureNet().eval(), find_weights(data), {"image_shape": [1, 28, 28]})
    assert run_train(folder / "run", root, "callbacks.evaluation=null") == 0
    images = f"output={folder / 'images.npz'}"
    assert run_generate(f"checkpoint={folder / 'run'}", images, "num_images=40") == 0
    return folder


def test_checkpoint_and_file_give_the_same_numbers(place: Path, tmp_path: Path, capsys) -> None:
    root = f"data.root={place / 'data'}"
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    # The checkpoint brings its own data; the file is compared with those that are named.
    options = [root, f"metrics=[{','.join(NAMES)}]"]
    run, images = f"checkpoint={place / 'run'}", f"images={place / 'images.npz'}"
    assert run_evaluate(run, f"output={one}", "num_images=40", *options) == 0
    assert run_evaluate(images, f"output={two}", *SMALL, *options) == 0
    results = [json.loads(path.read_text()) for path in (one, two)]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["card"]["ema"] is True
    assert results[1]["card"]["ema"] is None
    assert list(results[0]["metrics"]) == NAMES
    for entry in results[0]["metrics"].values():
        assert {"value", "interval", "floor", "ceiling"} <= entry.keys()
    table = capsys.readouterr().out
    assert all(name in table for name in NAMES)
    with Image.open(one.with_suffix(".png")) as picture:
        assert picture.width > 800


@pytest.mark.slow
def test_a_race_is_judged_as_evaluate_does(place: Path, tmp_path: Path) -> None:
    root, output = f"data.root={place / 'data'}", tmp_path / "a.json"
    run, seed = f"checkpoint={place / 'run'}", f"seed={EVALUATION_SEED}"
    options = [root, seed, "num_images=40", "metrics=[fid]", f"output={output}"]
    assert run_evaluate(run, *options) == 0
    judge = Judge(assemble.build_data(tiny_config(root)), "test", 40)
    measured = judge(load_generator(str(place / "run"), "cpu"))
    assert measured == pytest.approx(json.loads(output.read_text())["metrics"]["fid"]["value"])


@pytest.mark.slow
def test_slow_tests_on_request(place: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from gan_lab.launch import judging

    monkeypatch.setattr(judging, "recovery", lambda subject: {"gap": 0.1, "p_value": 0.5})
    output = tmp_path / "a.json"
    options = [f"data.root={place / 'data'}", "num_images=40", "two_sample=true", "recovery=true"]
    options += ["metrics=[fid]"]
    assert run_evaluate(f"checkpoint={place / 'run'}", f"output={output}", *options) == 0
    result = json.loads(output.read_text())
    assert 0.4 <= result["two_sample"]["20"]["accuracy"] <= 1
    assert "tell them apart" in capsys.readouterr().out


class Thumbnails(torch.nn.Module):
    """As a network of torch-fidelity: uint8 images in, a tuple of outputs out."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.nn.functional.avg_pool2d(images.float(), 14),)


@pytest.mark.slow
def test_what_needs_classes_is_left_out_with_a_note(place, tmp_path, capsys, monkeypatch) -> None:
    from gan_lab.launch import judging

    pooled = FoundationExtractor(Thumbnails(), has_logits=False, identity="pooled")
    monkeypatch.setattr(judging, "load_foundation", lambda choice, device: pooled)
    output = tmp_path / "a.json"
    images = [f"images={place / 'images.npz'}", f"data.root={place / 'data'}", "extractor=clip"]
    assert run_evaluate(*images, f"output={output}", *SMALL) == 0
    result = json.loads(output.read_text())
    assert {"inception_score", "class_kl"} <= set(result["left_out"])
    assert not set(result["left_out"]) & set(result["metrics"])
    said = capsys.readouterr().out
    assert "inception_score left out: " in said
    assert "class_kl left out: class_kl cannot be measured: the feature network does not" in said
    assert output.with_suffix(".png").is_file()


@pytest.mark.slow
def test_what_few_images_do_not_allow(place: Path, tmp_path: Path, status_and_message) -> None:
    output = tmp_path / "a.json"
    given = [f"images={place / 'images.npz'}", f"data.root={place / 'data'}", *SMALL]
    status, _ = status_and_message(run_evaluate, *given, f"output={output}")
    assert status == 0
    result = json.loads(output.read_text())
    assert "fid" in result["metrics"]
    assert "got 40: generate more" in result["left_out"]["fid_infinity"]
    named = "metrics=[fid,fid_infinity]"
    status, message = status_and_message(run_evaluate, *given, named, f"output={tmp_path}/b.json")
    assert status == 2
    assert "got 40: generate more" in message
    assert not (tmp_path / "b.json").exists()


@pytest.mark.slow
def test_recovery_measures_both_sides(place: Path) -> None:
    from gan_lab.launch import judging

    subject = judging.prepare(config_of(place), [])
    assert isinstance(subject, judging.Subject)
    found = judging.recovery(subject, count=3)
    assert found["median_train"] > 0
    assert found["median_test"] > 0


def config_of(place: Path):
    from gan_lab.launch.entry import compose_run

    root = f"data.root={place / 'data'}"
    return compose_run("evaluate", [f"checkpoint={place / 'run'}", root, "num_images=20"])[0]


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


BAD = {
    "": "give checkpoint= (a .ckpt file or a run folder) or images=FILE.npz",
    "checkpoint=RUN images=a.npz": "and not both",
    "images=nowhere.npz": "images=nowhere.npz does not exist",
    "images=FLOATS": "must be uint8 [N, H, W, C]",
    "images=OTHER": "has no readable array `images`",
    "images=PICKLED": "has no readable array `images`",
    "images=TEXT": "is no .npz file; give an .npz",
    "images=SHAPE": "compared with fake they must be uint8",
    "images=FEW": "3 generated images are too few",
    "images=IMAGES metrics=[fidd]": "unknown metrics ['fidd']",
    "images=IMAGES split=train": "split=train must be one of test, validation",
    "images=IMAGES extractor=vgg": "extractor=vgg must be one of own, inception, clip, dinov2",
    "images=IMAGES extractor=clip": "pip install 'gan_lab[fidelity]'",
    "images=IMAGES recovery=true": "it needs checkpoint=",
    "images=IMAGES output=x.txt": "must be named FILE.json",
    "checkpoint=RUN num_images=2": "num_images=2 must be a whole number of at least 10",
    "images=IMAGES data=cifar10 data.num_classes=3": "data.num_classes=3",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line or "nothing")
def test_wrong_input(line: str, place: Path, tmp_path: Path, monkeypatch, status_and_message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # as if it were not installed
    files = tmp_path / "files"
    files.mkdir()
    (files / "text.npz").write_text("no archive")
    made = {
        "FLOATS": npz(files / "floats.npz", images=np.zeros((20, 28, 28, 1))),
        "OTHER": npz(files / "other.npz", pictures=np.zeros(3)),
        "PICKLED": npz(files / "pickled.npz", images=np.array([{}] * 20, dtype=object)),
        "SHAPE": npz(files / "shape.npz", images=np.zeros((20, 9, 9, 1), np.uint8)),
        "FEW": npz(files / "few.npz", images=np.zeros((3, 28, 28, 1), np.uint8)),
        "TEXT": files / "text.npz",
        "IMAGES": place / "images.npz",
        "RUN": place / "run",
    }
    expected, arguments = BAD[line], line
    for name, path in made.items():
        arguments = arguments.replace(f"={name}", f"={path}")
    data = [] if "data=" in line else SMALL
    given = [*data, f"data.root={place / 'data'}", *arguments.split()]
    status, message = status_and_message(run_evaluate, *given)
    assert expected in message
    assert status == 2
    assert [p.name for p in tmp_path.iterdir()] == ["files"]
