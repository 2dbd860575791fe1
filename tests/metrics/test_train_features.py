"""The program that makes a feature network: what it writes, repeats and refuses."""

import json

import pytest
import torch

from gan_lab.data.images import to_float
from gan_lab.launch.entry import guarded
from gan_lab.metrics.feature_training import accuracy, augment, fit
from gan_lab.metrics.features import load_extractor
from gan_lab.train_features import train_features
from tests.metrics.conftest import byte_images


def run(*overrides: str) -> int:
    small = ["data=fake", "data.source.num_images=160", "data.holdout=32", "data.batch_size=16"]
    return guarded("train_features", train_features, [*small, "epochs=1", *overrides])


def test_network_is_kept_beside_the_data_with_its_card(tmp_path):
    assert run(f"data.root={tmp_path}") == 0
    (path,) = (tmp_path / "features").glob("fake-*.safetensors")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["num_images"] == 160  # the held-out part as well
    assert card["command"].startswith("python -m gan_lab.train_features data=fake")
    assert load_extractor(path).identity == card["sha256"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in ("one", "two", "other")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        assert run(f"output={path}", f"seed={seed}") == 0
    one, two, other = (load_extractor(path).identity for path in paths)
    assert one == two != other


@pytest.mark.slow
def test_it_learns_the_classes():
    images, labels = byte_images(512), torch.arange(512) % 4
    net = fit(images, labels, 4, epochs=4, batch_size=32)
    assert accuracy(net, byte_images(200, seed=1), torch.arange(200) % 4) > 0.9


def test_augmentation_leaves_a_third_as_it_is_and_changes_the_rest():
    images = to_float(byte_images(30, size=28))
    changed = augment(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed[::3], images[::3], rtol=0, atol=1e-4)
    difference = (changed - images).abs().amax((1, 2, 3))
    assert difference[1::3].min() > 0.05
    assert changed.min() >= -1
    assert changed.max() <= 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=0", "epochs=0 must be at least 1"),
        ("lr=-1", "lr=-1.0 must be above 0"),
        ("batch_size=many", "batch_size='many' is not a whole number"),
        ("output=weights.pt", "must be a file FILE.safetensors"),
    ],
)
def test_wrong_settings_end_with_status_2(override, message, tmp_path, capsys):
    assert run(f"data.root={tmp_path}", override) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pictures_without_labels_are_refused(tmp_path, capsys):
    overrides = ["data=image_folder", f"data.root={tmp_path}"]
    assert guarded("train_features", train_features, overrides) == 2
    assert "has no images with classes to learn" in capsys.readouterr().err
