"""The pair without normalisation: blocks that start as the identity, and the learned basis."""

from typing import Any

import pytest
import torch
from torch import nn

from gan_lab.networks import r3gan


def block(width: int = 8, num_blocks: int = 4) -> Any:
    return r3gan.ResidualBlock(width, 2, 4, num_blocks)


def test_blocks_start_as_the_identity() -> None:
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block()(x), x)


def test_blocks_add_what_they_make() -> None:
    layers = block()
    nn.init.normal_(layers.layers[4].weight)
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(layers(x), x + layers.layers(x))
    assert (layers(x) - x).abs().max() > 0.1


@pytest.mark.parametrize("num_blocks", [1, 16])
def test_weights_are_smaller_in_deeper_networks(num_blocks: int) -> None:
    """Kaiming's N(0, 2 / (1.04 inputs)), times L^(-1/4) for L blocks."""
    layers: Any = r3gan.ResidualBlock(64, 2, 16, num_blocks).layers
    first, grouped = layers[0], layers[2]
    assert (grouped.groups, grouped.in_channels) == (8, 128)
    for layer, inputs in ((first, 64), (grouped, 16 * 9)):
        expected = (2 / 1.04 / inputs) ** 0.5 * num_blocks**-0.25
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_no_network_has_a_norm() -> None:
    pair = r3gan.Generator(8, (1, 28, 28)), r3gan.Discriminator((1, 28, 28))
    names = {type(module).__name__ for network in pair for module in network.modules()}
    assert not [name for name in names if "Norm" in name]


@pytest.mark.parametrize(("size", "base"), [(28, 7), (32, 4), (64, 4)])
def test_the_generator_starts_from_a_weighed_basis(size: int, base: int) -> None:
    generator: Any = r3gan.Generator(8, (3, size, size), blocks=2)
    latents = torch.randn(2, 8)
    widest = generator.basis.shape[0]
    assert generator.basis.shape == (widest, base, base)
    starts = []
    generator.layers.register_forward_pre_hook(lambda _, inputs: starts.append(inputs[0]))
    generator(latents)
    expected = torch.einsum("nz,cz,chw->nchw", latents, generator.weigh.weight, generator.basis)
    torch.testing.assert_close(starts[0], expected)


def test_the_critic_weighs_all_places() -> None:
    critic: Any = r3gan.Discriminator((1, 28, 28), 8)
    features = critic.layers[:-2](torch.rand(3, 1, 28, 28))
    assert features.shape == (3, 32, 7, 7)
    weighed = (features * critic.layers[-2].weight[:, 0]).sum((2, 3))
    torch.testing.assert_close(critic.layers[-2:](features), weighed)


def test_variance_is_kept_at_the_start() -> None:
    torch.manual_seed(0)
    generator: Any = r3gan.Generator(64, (3, 32, 32), 32)
    with torch.no_grad():
        pixels = generator.layers[:-1](
            generator.weigh(torch.randn(64, 64))[:, :, None, None] * generator.basis
        )
    assert 0.2 < pixels.var() < 1.2  # up-sampling averages, and so loses some


def test_cheaper_resampling_gives_the_same() -> None:
    """1x1 convolutions commute with bilinear up-sampling and with average pooling."""
    x, convolution = torch.randn(2, 3, 8, 8), nn.Conv2d(3, 5, 1, bias=False)
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    torch.testing.assert_close(up(convolution(x)), convolution(up(x)))
    halved = nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")
    torch.testing.assert_close(nn.AvgPool2d(2)(x), halved)
