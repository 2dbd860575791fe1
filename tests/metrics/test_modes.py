"""Judges of data whose modes are known, on samples that are perfect, collapsed or noise."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gan_lab import UserError
from gan_lab.data.mnist import MNIST
from gan_lab.data.points import Mixture, PointData, grid, ring
from gan_lab.data.stacked_mnist import StackedMNIST
from gan_lab.data.synthetic import Fake
from gan_lab.metrics.modes import KnownModes, evaluate_modes, known_modes


def point_data(source: Mixture) -> PointData:
    return PointData(source, [2], source.num_classes, batch_size=16, holdout=0, seed=0)


def judge(data) -> KnownModes:
    known = known_modes(data)
    assert known is not None
    return known


@pytest.mark.parametrize(("source", "modes"), [(ring(), 8), (grid(), 25)], ids=["ring", "grid"])
def test_a_perfect_sampler_reaches_the_floor(source: Mixture, modes: int) -> None:
    data = point_data(source)
    fake = data.images("train")[0][:2500]
    result = evaluate_modes(fake, data, judge(data))["metrics"]
    assert list(result) == ["modes", "high_quality", "mode_kl"]
    assert result["modes"]["value"] == result["modes"]["floor"] == modes
    assert result["modes"]["interval"] is None
    # the published floors: 1 - exp(-9/2), and a KL of (K - 1) / (2 N)
    assert result["high_quality"]["floor"] == pytest.approx(1 - math.exp(-4.5), abs=0.006)
    assert result["mode_kl"]["floor"] == pytest.approx((modes - 1) / 5000, abs=0.005)
    for name in ("high_quality", "mode_kl"):
        low, high = result[name]["interval"]
        assert low < result[name]["value"] < high
        assert low < result[name]["floor"] < high
    assert result["high_quality"]["ceiling"] < 0.05


def test_a_collapsed_generator() -> None:
    data = point_data(ring())
    fake = data.source.centres[:1].repeat(100, 1)
    values = {k: v["value"] for k, v in evaluate_modes(fake, data, judge(data))["metrics"].items()}
    assert values == {"modes": 1, "high_quality": 1, "mode_kl": pytest.approx(math.log(8))}


def test_a_generator_that_misses_everything() -> None:
    data = point_data(ring())
    values = judge(data).measure(torch.full((100, 2), 5.0))
    assert (values["modes"], values["high_quality"]) == (0, 0)
    assert math.isnan(values["mode_kl"])
    assert values["mode_misses"] == 9


def test_the_monitor_prefers_modes_and_then_quality() -> None:
    data = point_data(ring())
    centres, off = data.source.centres, torch.full((1, 2), 5.0)
    best_first = [
        centres,
        torch.cat([centres, off]),
        torch.cat([centres, off.repeat(800, 1)]),
        centres[:7],
        torch.cat([centres[:7], off]),
        off,
    ]
    known = judge(data)
    scores = [known.measure(points)[known.monitor] for points in best_first]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    assert scores[0] == 0
    assert scores[3] == 1


def test_samples_of_another_kind_are_refused() -> None:
    data = point_data(ring())
    for fake in (torch.zeros(20, 3), torch.zeros(20, 2).double(), torch.zeros(9, 2)):
        with pytest.raises(UserError, match="compared with ring there must be 10 or more"):
            evaluate_modes(fake, data, judge(data))


def test_other_data_have_no_known_modes() -> None:
    assert known_modes(SimpleNamespace(source=Fake())) is None


def test_stacked_digits_need_three_channels(tmp_path: Path) -> None:
    data = SimpleNamespace(source=StackedMNIST(tmp_path), image_shape=(1, 28, 28))
    with pytest.raises(UserError, match="three channels"):
        known_modes(data)


@pytest.mark.slow
def test_stacked_digits_against_noise(mnist: MNIST, monkeypatch: pytest.MonkeyPatch) -> None:
    source = StackedMNIST("unused", num_images=400)
    monkeypatch.setattr(source, "_digits", mnist)
    parts = {"train": source.load("train"), "test": source.load("test")}
    data = SimpleNamespace(source=source, image_shape=(3, 28, 28), images=parts.__getitem__)
    known = judge(data)
    assert known.num_samples == 26_000
    images, labels = parts["train"]
    places = torch.tensor([100, 10, 1])
    assert ((known.read(images) * places).sum(1) == labels).float().mean() > 0.97
    result = evaluate_modes(images, data, known)["metrics"]
    assert list(result) == ["modes", "mode_kl"]
    # 400 of 1,000 modes: 1 - exp(-0.4) of them, for the reals as well
    assert result["modes"]["value"] == pytest.approx(330, abs=25)
    assert result["modes"]["floor"] == pytest.approx(330, abs=25)
    assert result["modes"]["ceiling"] < 50


@pytest.mark.slow
def test_the_published_floor_of_stacked_digits(mnist: MNIST, monkeypatch) -> None:
    source = StackedMNIST("unused")
    monkeypatch.setattr(source, "_digits", mnist)
    known = judge(SimpleNamespace(source=source, image_shape=(3, 28, 28)))
    values = known.measure(source.load("test")[0])
    assert values["modes"] == 1000
    assert values["mode_kl"] == pytest.approx(999 / 52_000, abs=0.01)
