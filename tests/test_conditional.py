"""Labels and codes from the command to the image: train, generate, evaluate."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from gan_lab.evaluate import evaluate
from gan_lab.launch import assemble
from gan_lab.launch.drawing import load_generator
from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.metrics.measures import Comparison
from gan_lab.metrics.protocol import confirm, evaluate_images
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache
from gan_lab.training.sampling import generate_images, labels_like
from tests.conftest import REAL_DATA, run_generate, run_train

KINDS = sorted(path.stem for path in (CONF / "conditioning").glob("*.yaml"))


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory) -> tuple[str, Path]:
    """A finished tiny run of every kind of conditioning."""
    folder = tmp_path_factory.mktemp("conditional") / request.param
    assert (
        run_train(folder, f"conditioning={request.param}", "networks.generator.latent_dim=8") == 0
    )
    return request.param, folder


@pytest.mark.slow
def test_labels_and_codes_are_what_the_generator_knows(run, tmp_path, capsys) -> None:
    kind, folder = run
    generator = load_generator(folder)
    output = tmp_path / "images.npz"
    asked = {"labels": "labels=7", "code": "code=[7,0.5,null]"}
    able = {"labels": cast(int, generator.num_classes) > 0, "code": generator.code is not None}
    for what, override in asked.items():
        status = run_generate(f"checkpoint={folder}", f"output={output}", override, "num_images=8")
        message = capsys.readouterr().err
        assert status == (0 if able[what] else 2), (kind, what, message)
        assert able[what] or "leave" in message
    assert any(able.values()) == (kind != "none")


@pytest.mark.slow
def test_each_form_of_labels(run, tmp_path) -> None:
    _, folder = run
    if not load_generator(folder).num_classes:
        return
    forms = {
        "labels=7": [7] * 6,
        "labels=balanced": [0, 1, 2, 3, 4, 5],
        "labels=[0,1,2]": [0, 1, 2] * 2,
    }
    for override, expected in forms.items():
        output = tmp_path / "images.npz"
        assert (
            run_generate(f"checkpoint={folder}", f"output={output}", override, "num_images=6") == 0
        )
        assert np.load(output)["labels"].tolist() == expected


def test_label_and_code_change_the_image_and_nothing_else_does(run) -> None:
    _, folder = run
    generator = load_generator(folder)
    if generator.num_classes:
        one, other = (torch.full((4,), label) for label in (1, 2))
        images = [generate_images(generator, 4, 0, labels=labels) for labels in (one, one, other)]
    elif generator.code is not None:
        images = [generate_images(generator, 4, 0, code=[k, None, None]) for k in (1, 1, 2)]
    else:
        return
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_truncation_leaves_the_code_alone(run) -> None:
    """Truncated to almost nothing, the noise is the same in all images; the code still is not."""
    _, folder = run
    generator = load_generator(folder)
    if generator.code is None:
        return
    images = generate_images(generator, 64, 0, truncation=1e-6)
    free, fixed = (
        len(drawn.flatten(1).unique(dim=0))
        for drawn in (images, generate_images(generator, 64, 0, truncation=1e-6, code=[3, 0, 0]))
    )
    assert fixed == 1
    assert free == 64  # two continuous values each


def test_evaluation_confirms_labels(run) -> None:
    """In training and by the program: known where the generator takes labels, absent elsewhere."""
    _, folder = run
    conditional = cast(int, load_generator(folder).num_classes) > 0
    result = json.loads((folder / "result.json").read_text())
    assert ("val/confirmed_labels" in result["last"]) == (
        conditional and "val/fid" in result["last"]
    )


def real_side(labels: torch.Tensor) -> tuple[RealSide, torch.Tensor]:
    """Images whose first pixel is their class, and a network that reads it."""
    images = torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8)
    images[:, 0, 0, 0] = labels.to(torch.uint8)

    class Reads:
        identity = "reads"
        gives = frozenset({"logits", "classes"})
        device = torch.device("cpu")

        def features(self, given):
            seen = given[:, 0, 0, 0].long()
            logits = torch.nn.functional.one_hot(seen, 10).float()
            return logits, logits

    reals = Reals("digits", "test", images, images, labels)
    return RealSide(reals, Reads(), Cache(None)), images


def test_confirmed_labels_in_closed_form() -> None:
    """Three of four are what was asked for; reals always are; unrelated labels one in ten."""
    labels = torch.arange(40) % 10
    side, images = real_side(labels)
    asked = labels.clone()
    asked[::4] = (asked[::4] + 1) % 10
    these = Comparison(side.sample(images), side, replicates=0)
    entry = confirm(asked, these)
    assert entry["value"] == pytest.approx(0.75)
    assert entry["floor"] == 1.0
    assert entry["ceiling"] == pytest.approx(0.1)
    low, high = entry["interval"]
    assert low < 0.75 < high


def test_labels_like_have_the_shares_of_the_training_data() -> None:
    train = torch.tensor([0] * 900 + [1] * 100)
    drawn = labels_like(train, 10_000, seed=3)
    assert abs((drawn == 1).double().mean().item() - 0.1) < 0.01
    assert torch.equal(drawn, labels_like(train, 10_000, seed=3))


def test_labels_that_the_network_does_not_know_are_left_out() -> None:
    labels = torch.arange(40) % 10
    side, images = real_side(labels)
    asked: dict[str, Any] = {"metrics": ["fid"], "anchors": False, "labels": labels + 5}
    result = evaluate_images(images, side.reals, side.extractor, **asked)
    assert "confirmed_labels" not in result["metrics"]
    assert "labels go up to 14" in result["left_out"]["confirmed_labels"]


@pytest.mark.parametrize("labels", ["[]", "1.5", "[true]", "[10]", "[-1]", "many"])
@pytest.mark.slow
def test_labels_that_are_none_are_refused(labels, tmp_path_factory, tmp_path, capsys) -> None:
    folder = tmp_path_factory.getbasetemp() / "labelled"
    if not folder.exists():
        assert run_train(folder, "conditioning=embedding") == 0
    given = [f"checkpoint={folder}", f"output={tmp_path / 'a.npz'}", f"labels={labels}"]
    assert run_generate(*given) == 2
    assert "must be balanced, or whole numbers below 10" in capsys.readouterr().err


def test_a_code_is_imposed_on_truncated_styles_too(tmp_path) -> None:
    small = ["networks.generator.width=4", "networks.discriminator.width=4"]
    config, _ = compose_run(
        "train", ["data=fake", "networks=style", "conditioning=infogan", *small]
    )
    generator = assemble.build_module(config).generator
    one, other = (
        generate_images(generator, 4, 0, truncation=0.7, code=[k, None, None]) for k in (1, 2)
    )
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_labels_of_a_file_are_confirmed_too(tmp_path) -> None:
    """An .npz from anywhere may say which labels were asked for; black images are one class."""
    if not (Path(REAL_DATA) / "MNIST").exists():
        pytest.skip(f"MNIST is not at hand in {REAL_DATA}")
    file, output = tmp_path / "a.npz", tmp_path / "a.json"
    np.savez(file, images=np.zeros((20, 28, 28, 1), np.uint8), labels=np.arange(20) % 10)
    given = [f"images={file}", f"output={output}", f"data.root={REAL_DATA}", "metrics=[fid]"]
    assert guarded("evaluate", evaluate, given) == 0
    entry = json.loads(output.read_text())["metrics"]["confirmed_labels"]
    assert entry["value"] == pytest.approx(0.1)
    assert entry["floor"] > 0.99
