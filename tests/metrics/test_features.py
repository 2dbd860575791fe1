"""The extractor: pinned weights, one result whatever the batch size, and clear refusals."""

import json
import shutil
from typing import Any

import pytest
import torch

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.data.mnist import MNIST
from gan_lab.data.synthetic import Fake
from gan_lab.metrics import features
from gan_lab.metrics.features import MNIST_WEIGHTS, Extractor, FeatureNet
from tests.metrics.conftest import byte_images


def image_data(source, root, size: int = 28, **options) -> ImageData:
    shape = (1, size, size)
    return ImageData(source, root, size, 1, shape, 10, 16, holdout=0, seed=0, **options)


def test_committed_network_is_small_accurate_and_pinned():
    card = json.loads(MNIST_WEIGHTS.with_suffix(".json").read_text())
    assert card["test_accuracy"] >= 0.995
    assert MNIST_WEIGHTS.stat().st_size < 2_000_000
    assert card["command"].startswith("python -m gan_lab.train_features")
    assert features.load_extractor().identity == card["sha256"]


def test_features_do_not_depend_on_the_batch_size(extractor):
    images = byte_images(50)
    one, many = extractor.features(images, batch_size=7), extractor.features(images)
    for a, b in zip(one, many, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert one[0].shape == (50, FeatureNet.num_features)
    assert one[1].shape == (50, 4)
    assert not one[0].is_inference()
    repeated = extractor.features(images, batch_size=7)
    assert torch.equal(one[0], repeated[0])


def test_features_of_the_data_have_unit_scale(extractor):
    found, _ = extractor.features(byte_images(400))
    assert found.mean(0).abs().mean() < 0.5
    assert 0.3 < found.std(0).median() < 1.5


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 12, 12),
        torch.zeros(2, 3, 12, 12, dtype=torch.uint8),
        torch.zeros(2, 1, 16, 16, dtype=torch.uint8),
        torch.zeros(2, 12, 12, dtype=torch.uint8),
    ],
)
def test_wrong_images_are_refused(extractor, images):
    with pytest.raises(UserError, match=r"takes uint8 \[N, 1, 12, 12\]"):
        extractor.features(images)


def test_the_frame_of_padded_digits_is_cut():
    extractor = features.load_extractor()
    images = byte_images(5, size=28)
    framed = torch.nn.functional.pad(images, (2, 2, 2, 2), value=9)
    assert torch.equal(extractor.features(images)[0], extractor.features(framed)[0])


def test_saved_weights_load_with_the_same_features(extractor, tmp_path):
    path = tmp_path / "made" / "net.safetensors"
    card = features.save_extractor(extractor.net, path, {"image_shape": [1, 12, 12]})
    again = features.load_extractor(path)
    assert again.identity == card["sha256"]
    images = byte_images(9)
    assert torch.equal(again.features(images)[0], extractor.features(images)[0])


def test_changed_weights_are_refused(extractor, tmp_path):
    path = tmp_path / "net.safetensors"
    features.save_extractor(extractor.net, path, {"image_shape": [1, 12, 12]})
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"its card pins"):
        features.load_extractor(path)


def test_missing_weights_say_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"gan_lab\.train_features data=NAME"):
        features.load_extractor(tmp_path / "none.safetensors")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    shutil.copy(MNIST_WEIGHTS, path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match="is no card of a feature network"):
        features.load_extractor(path)
    foreign: Any = torch.nn.Linear(2, 2)
    features.save_extractor(foreign, path, {"image_shape": [1, 12, 12]})
    with pytest.raises(UserError, match="does not hold a feature network"):
        features.load_extractor(path)


def test_each_data_set_has_its_network(tmp_path):
    assert features.find_weights(image_data(MNIST(tmp_path), tmp_path)) == MNIST_WEIGHTS
    assert features.find_weights(image_data(MNIST(tmp_path), tmp_path, 32)) == MNIST_WEIGHTS
    one = features.find_weights(image_data(Fake(64), tmp_path))
    assert one.parent == tmp_path / "features"
    assert one != features.find_weights(image_data(Fake(65), tmp_path))
    assert one == features.find_weights(image_data(Fake(64), tmp_path, subset=32))


def test_classes_of_stacked_channels(extractor):
    images = byte_images(12)
    stacked = images.view(4, 3, 12, 12)
    classes = features.channel_classes(extractor, stacked)
    assert torch.equal(classes.flatten(), extractor.features(images)[1].argmax(1))


@pytest.mark.slow
def test_committed_network_on_the_real_test_set(mnist):
    images, labels = mnist.load("test")
    found, logits = features.load_extractor().features(images)
    assert (logits.argmax(1) == labels).float().mean() >= 0.995
    assert isinstance(features.load_extractor(), Extractor)
    assert found.var(0).mean() == pytest.approx(0.85, abs=0.1)
