"""Mixtures against their closed forms, their loader, and their pictures."""

import math
from typing import Any

import pytest
import torch

from gan_lab import UserError
from gan_lab.data.points import PointData, dirac, draw_points, grid, ring


def point_data(source=None, **settings) -> PointData:
    source = source or ring(num_points=200)
    given = {"image_shape": [2], "num_classes": source.num_classes, "batch_size": 16}
    return PointData(source, **{**given, "holdout": 20, "seed": 3, **settings})


def epoch_of(batches, epoch: int) -> torch.Tensor:
    batches.set_epoch(epoch)
    return torch.cat([points for points, _ in batches])


@pytest.mark.parametrize(("make", "modes"), [(ring, 8), (grid, 25)])
def test_points_lie_around_their_own_mode(make, modes: int) -> None:
    source = make(num_points=20_000)
    points, labels = source.load("train")
    assert points.dtype == torch.float32
    assert points.shape == (20_000, 2)
    assert labels.unique().tolist() == list(range(modes))
    offset = (points - source.centres[labels]) / source.sigma
    torch.testing.assert_close(offset.std(0), torch.ones(2), atol=0.02, rtol=0)
    within = (offset.norm(dim=1) < 3).float().mean().item()
    assert within == pytest.approx(1 - math.exp(-4.5), abs=0.004)


def test_the_published_centres() -> None:
    torch.testing.assert_close(ring().centres.norm(dim=1), torch.ones(8))
    expected = {(float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert {tuple(centre) for centre in grid().centres.tolist()} == expected


def test_the_seed_of_the_source_decides() -> None:
    first, again, other = (ring(num_points=50, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.load("train")[0], again.load("train")[0])
    assert not torch.equal(first.load("train")[0], other.load("train")[0])
    assert not torch.equal(first.load("train")[0], first.load("test")[0])
    assert first.key != other.key


def test_holdout_and_subset() -> None:
    data = point_data(subset=40)
    everything = data.source.load("train")[0]
    assert torch.equal(data.images("validation")[0], everything[-20:])
    points, labels = data.images("train")
    assert len(points) == data.num_train == 40
    assert set(map(tuple, points.tolist())) <= set(map(tuple, everything[:-20].tolist()))
    assert labels.bincount().tolist() == [5] * 8
    with pytest.raises(UserError, match="leaves no validation points"):
        point_data(holdout=0).images("validation")


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    one, two = point_data().train_dataloader(), point_data().train_dataloader()
    assert len(one) == 180 // 16
    assert torch.equal(epoch_of(one, 1), epoch_of(two, 1))
    assert not torch.equal(epoch_of(one, 1), epoch_of(one, 2))
    train = {tuple(point) for point in point_data().images("train")[0].tolist()}
    assert {tuple(point) for point in epoch_of(one, 0).tolist()} <= train


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "num_classes": ({"num_classes": 7}, "num_classes=7 must be 8, the modes of ring"),
    "image_shape": ({"image_shape": [1, 28, 28]}, r"must be \[2\]"),
    "holdout": ({"holdout": 200}, "holdout=200"),
    "batch_size": ({"batch_size": 181}, "batch_size=181 on 1 device"),
    "sigma": ({"source": ring(sigma=0.0)}, "sigma=0.0 must be a number above 0"),
    "num_points": ({"source": ring(num_points=0)}, "num_points=0 must be a whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_settings(name: str) -> None:
    settings, message = BAD[name]
    with pytest.raises(UserError, match=message):
        point_data(**settings).check()


def test_no_modes() -> None:
    with pytest.raises(UserError, match="num_modes=0"):
        ring(num_modes=0)


def test_all_of_dirac_is_at_0() -> None:
    data = point_data(dirac(num_points=200), image_shape=[1])
    data.check()
    points, labels = data.images("test")
    assert points.shape == (200, 1)
    assert not points.any()
    assert not labels.any()
    with pytest.raises(UserError, match=r"data\.image_shape=\[2\] must be \[1\]"):
        point_data(dirac()).check()
    with pytest.raises(UserError, match=r"tolerance=0\.0 must be a number above 0"):
        dirac(tolerance=0.0)


def test_points_of_a_line_are_drawn_on_it() -> None:
    picture = draw_points(torch.tensor([[1.0], [-1.0]]), torch.zeros(9, 1), size=120)
    rows, columns = ((picture[:, :, 0] > 150) & (picture[:, :, 2] < 150)).nonzero()
    assert sorted({*columns.tolist()}) == pytest.approx([9, 10, 109, 110], abs=1)
    assert rows.tolist() == pytest.approx([60] * len(rows), abs=1)


def test_pictures_show_where_points_are() -> None:
    real = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    picture = draw_points(torch.tensor([[0.0, 1.0]]), real, size=120)
    red = (picture[:, :, 0] > 150) & (picture[:, :, 2] < 150)
    blue = (picture[:, :, 0] < 150) & (picture[:, :, 2] > 150)
    # The picture spans -1.2 to 1.2 and y points upwards: 1 is 10 of 120 pixels below its edge.
    assert [axis.mean() for axis in red.nonzero()] == pytest.approx([10, 60], abs=1)
    assert sorted(blue.nonzero()[1].tolist()) == pytest.approx([10, 110], abs=1)


def test_points_far_off_or_not_finite_are_left_out() -> None:
    points = torch.tensor([[9.0, 9.0], [float("nan"), 0.0], [float("inf"), 0.0]])
    picture = draw_points(points, torch.tensor([[1.0, 1.0]]))
    assert not ((picture[:, :, 0] > 150) & (picture[:, :, 2] < 150)).any()
