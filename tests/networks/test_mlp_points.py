"""The pair for points: shapes, no bounds, and maxout by hand."""

import pytest
import torch

from gan_lab import UserError
from gan_lab.networks import mlp, mlp_points


@pytest.mark.parametrize("network", [mlp, mlp_points], ids=["mlp", "mlp_points"])
def test_points_are_not_bounded(network) -> None:
    generator = network.Generator(2, [2], hidden=[8])
    last = [m for m in generator.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.bias.fill_(40)
    points = generator(torch.randn(5, 2))
    assert points.shape == (5, 2)
    assert points.min() > 30
    assert network.Discriminator([2], hidden=[8])(points).shape == (5,)


def test_the_published_sizes() -> None:
    generator, discriminator = mlp_points.Generator(2, [2]), mlp_points.Discriminator([2])
    widths = [m.out_features for m in generator.modules() if isinstance(m, torch.nn.Linear)]
    assert widths == [400, 400, 400, 400, 2]
    widths = [m.out_features for m in discriminator.modules() if isinstance(m, torch.nn.Linear)]
    assert widths == [1000, 1000, 1000, 1]


def test_maxout_by_hand() -> None:
    units = torch.tensor([[1.0, -2.0, 0.0, 5.0, -3.0, 4.0]])  # two features in each of three pieces
    assert mlp_points.Maxout(3)(units).tolist() == [[1.0, 5.0]]


def test_one_piece_is_refused() -> None:
    with pytest.raises(UserError, match="pieces=1"):
        mlp_points.Discriminator([2], pieces=1)


def test_a_unit_is_another_scale_of_the_points() -> None:
    points = torch.randn(6, 2)
    torch.manual_seed(0)
    plain = mlp_points.Discriminator([2], hidden=[8])
    torch.manual_seed(0)
    scaled = mlp_points.Discriminator([2], hidden=[8], unit=4.0)
    torch.testing.assert_close(scaled(4 * points), plain(points))
    assert not torch.allclose(scaled(points), plain(points))


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan")])
def test_a_unit_that_is_no_length_is_refused(unit: float) -> None:
    with pytest.raises(UserError, match=f"unit={unit}"):
        mlp_points.Discriminator([2], unit=unit)
