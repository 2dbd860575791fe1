"""From images to a result: complete, repeatable, and from the cache what was computed without."""

import json
import math

import pytest
import torch

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.data.synthetic import Fake
from gan_lab.metrics.card import Card, compare, to_json
from gan_lab.metrics.measures import MEASURES
from gan_lab.metrics.protocol import evaluate_images
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache
from tests.metrics.conftest import byte_images

QUICK = ["fid", "kid", "recall", "near_copies"]


@pytest.fixture
def reals() -> Reals:
    return Reals("noise", "test", byte_images(600, seed=1), byte_images(300, seed=2))


@pytest.fixture(scope="module")
def full(extractor) -> dict:
    reals = Reals("noise", "test", byte_images(600, seed=1), byte_images(300, seed=2))
    return evaluate_images(byte_images(300), reals, extractor, details=True, ema=True)


def test_every_metric_has_value_interval_floor_and_ceiling(full):
    assert list(full["metrics"]) == list(MEASURES)
    for name, entry in full["metrics"].items():
        low, high = entry["interval"]
        assert low <= entry["value"] <= high, name
        assert math.isfinite(entry["floor"]), name
        assert math.isfinite(entry["ceiling"]), name
    assert Card.from_dict(full["card"]).num_fake == 300
    assert to_json(full)


def test_a_perfect_generator_lies_at_the_floor(full):
    entries = full["metrics"]
    for name in ("fid", "kid"):
        entry = entries[name]
        assert entry["value"] < 3 * abs(entry["floor"]) + 0.01 < entry["ceiling"] / 10, name
    assert entries["coverage"]["value"] == pytest.approx(entries["coverage"]["floor"], abs=0.1)
    assert entries["near_copies"]["ceiling"] == 1
    assert entries["authenticity"]["ceiling"] == 0
    assert entries["c_t"]["ceiling"] < -5 < entries["c_t"]["value"]


def test_details_show_the_closest_pairs_and_classes(full):
    details = full["details"]
    assert sum(details["classes"]["generated"]) == 300
    for space in ("features", "pixels"):
        closest = details["closest"][space]["distances"]
        assert closest == sorted(closest)
        assert len(closest) == 20
        assert details["distances"][space]["generated"][0.0] == closest[0]


def test_without_memorization_nothing_is_compared_with_all_training_images(
    extractor, reals, monkeypatch
):
    def refuse(*_):
        raise AssertionError("a search through the training images")

    monkeypatch.setattr(RealSide, "nearest", refuse)
    monkeypatch.setattr(RealSide, "nearest_pixels", refuse)
    found = evaluate_images(byte_images(300), reals, extractor, metrics=["fid"], details=True)
    assert sum(found["details"]["classes"]["generated"]) == 300
    assert "closest" not in found["details"]


@pytest.mark.parametrize("whole", [True, False])
def test_pixel_neighbours_are_exact_in_whole_numbers_and_in_floats(
    whole: bool, extractor, reals, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: whole)
    side, images = RealSide(reals, extractor, Cache(None)), byte_images(20)
    ours, train = (part.flatten(1).double() / 255 for part in (images, reals.train))
    distances, rows = torch.cdist(ours, train).min(1)
    monkeypatch.setattr("gan_lab.metrics.neighbours.BYTES", 4 * 144 * 70)
    monkeypatch.setattr("gan_lab.metrics.neighbours.BLOCK", 3 * 70)
    found = side.nearest_pixels(images)
    torch.testing.assert_close(found.distances, distances.float())
    assert torch.equal(found.rows, rows)
    copies = side.nearest_pixels(reals.train[[500, 3]])
    assert copies.rows.tolist() == [500, 3]
    assert copies.distances.tolist() == [0, 0]


@pytest.mark.slow
def test_the_cache_changes_nothing_but_the_time(extractor, reals, tmp_path, monkeypatch):
    fake = byte_images(100)
    without = evaluate_images(fake, reals, extractor, metrics=QUICK)
    first = evaluate_images(fake, reals, extractor, tmp_path, metrics=QUICK)
    calls = []
    features = extractor.features

    def counting(images):
        calls.append(len(images))
        return features(images)

    monkeypatch.setattr(extractor, "features", counting)
    second = evaluate_images(fake, reals, extractor, tmp_path, metrics=QUICK)
    assert without == first == second
    assert len(calls) == 1  # the generated images


@pytest.mark.slow
def test_other_reals_do_not_meet_a_stale_cache(extractor, reals, tmp_path):
    fake = byte_images(100)
    evaluate_images(fake, reals, extractor, tmp_path, metrics=["fid"])
    changed = reals.reference.clone()
    changed[0] = 0
    others = Reals("noise", "test", reals.train, changed)
    cached = evaluate_images(fake, others, extractor, tmp_path, metrics=["fid"])
    assert cached == evaluate_images(fake, others, extractor, metrics=["fid"])
    with pytest.raises(UserError, match="real_sha256"):
        compare([cached, evaluate_images(fake, reals, extractor, tmp_path, metrics=["fid"])])


def test_without_anchors_the_train_images_are_not_needed(extractor, reals, tmp_path):
    result = evaluate_images(
        byte_images(100), reals, extractor, tmp_path, metrics=["fid", "kid"], anchors=False
    )
    assert set(result["metrics"]["fid"]) == {"value", "interval"}
    assert len(list(tmp_path.iterdir())) == 1


def test_reals_of_a_data_module():
    data = ImageData(Fake(64), "unused", 28, 1, (1, 28, 28), 10, 16, holdout=16, seed=0)
    assert len(Reals.of(data).reference) == 64
    choose = Reals.of(data, "validation")
    assert (choose.split, len(choose.reference), len(choose.train)) == ("validation", 16, 48)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (byte_images(20, size=16), r"uint8 \[20, 1, 16, 16\]; .* uint8 \[N, 1, 12, 12\]"),
        (byte_images(20).float(), r"float32 \[20, 1, 12, 12\]"),
        (byte_images(8), "8 generated images are too few"),
    ],
)
def test_wrong_images_are_refused(extractor, reals, images, message):
    with pytest.raises(UserError, match=message):
        evaluate_images(images, reals, extractor)


def test_what_few_images_do_not_allow_is_left_out(extractor, reals):
    result = evaluate_images(byte_images(40), reals, extractor)
    assert set(result["metrics"]) | set(result["left_out"]) == set(MEASURES)
    assert not set(result["metrics"]) & set(result["left_out"])
    assert "needs more than 256 generated samples" in result["left_out"]["fid_infinity"]
    assert "left_out" in json.loads(to_json(result))
    with pytest.raises(UserError, match="needs more than 256 generated samples"):
        evaluate_images(byte_images(40), reals, extractor, metrics=["fid", "fid_infinity"])


@pytest.mark.slow
def test_a_metric_without_its_floor_is_left_out(extractor, reals):
    few = Reals("noise", "test", reals.train[:100], reals.reference)
    result = evaluate_images(byte_images(300), few, extractor)
    assert "got 100" in result["left_out"]["fid_infinity"]  # of training images, for the floor
    alone = evaluate_images(byte_images(300), few, extractor, anchors=False)
    assert "fid_infinity" in alone["metrics"]


@pytest.mark.slow
def test_a_class_that_the_reals_lack(extractor, reals):
    shown = extractor.features(reals.reference)[1].argmax(1)
    lacking = Reals("noise", "test", reals.train, reals.reference[shown != 2])
    result = evaluate_images(byte_images(100), lacking, extractor)
    assert "shows the classes [2]" in result["left_out"]["class_kl"]


def test_unknown_metrics_and_too_few_reals_are_refused(extractor, reals):
    with pytest.raises(UserError, match=r"unknown metrics \['fidd'\]; choose among fid,"):
        evaluate_images(byte_images(20), reals, extractor, metrics=["fidd"])
    with pytest.raises(UserError, match="at least 10 of each"):
        Reals("noise", "test", byte_images(600), byte_images(9))


def test_noise_may_show_classes_that_the_data_lack(extractor):
    """Then the ceiling of class_kl is infinite, which is no fault of the samples."""
    train, test, fake = (byte_images(800, seed)[torch.arange(800) % 4 < 2] for seed in (1, 2, 3))
    reals = Reals("two quarters", "test", train, test)
    result = evaluate_images(fake, reals, extractor, metrics=["class_kl"])
    entry = result["metrics"]["class_kl"]
    assert entry["value"] < 0.1
    assert entry["ceiling"] == math.inf
    assert json.loads(to_json(result))["metrics"]["class_kl"]["ceiling"] is None


def test_pixel_neighbours_of_images_whose_squares_outgrow_whole_numbers(
    extractor, reals, monkeypatch
):
    monkeypatch.setattr("gan_lab.metrics.neighbours.LONGEST", 0)
    images = byte_images(20, seed=5)
    found = RealSide(reals, extractor, Cache(None)).nearest_pixels(images)
    apart = torch.cdist(images.flatten(1).double() / 255, reals.train.flatten(1).double() / 255)
    assert torch.equal(found.rows, apart.argmin(1))
    torch.testing.assert_close(found.distances.double(), apart.amin(1), rtol=1e-5, atol=1e-5)
