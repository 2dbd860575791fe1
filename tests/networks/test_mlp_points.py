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
