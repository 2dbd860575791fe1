"""The residual networks: spectral norm and what it bounds, shortcuts, pooling."""

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.networks import resnet


def layers_of(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def gain(layer: nn.Module, x: Tensor, iterations: int = 200) -> float:
    """The largest factor by which the layer stretches a difference of inputs shaped like x."""
    difference = torch.randn_like(x).requires_grad_(True)
    with torch.no_grad():
        offset = layer(torch.zeros_like(x))
    norm = 0.0
    for _ in range(iterations):  # power iteration with the layer and its transpose
        out = layer(difference) - offset
        norm = out.detach().norm().item()
        (back,) = torch.autograd.grad(out, difference, out.detach())
        difference = (back / back.norm()).requires_grad_(True)
    return norm


@functools.cache
def trained(spectral_norm: bool) -> resnet.Discriminator:
    """A discriminator after 50 large steps that stretch it as far as it goes; not to be changed."""
    torch.manual_seed(0)
    network = resnet.Discriminator((1, 16, 16), width=4, spectral_norm=spectral_norm)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    for _ in range(50):
        optimizer.zero_grad()
        (-network(images)).mean().backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(20):  # the power iteration catches up with the last steps
            network(images)
    return network.eval()


def largest_singular_values(network: nn.Module) -> list[float]:
    return [
        torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
        for layer in layers_of(network)
    ]


def test_spectral_norm_normalises_every_layer() -> None:
    values = largest_singular_values(trained(spectral_norm=True))
    assert len(values) == 9  # three and three convolutions, two, and the linear layer
    assert values == pytest.approx([1.0] * 9, abs=0.01)


def test_spectral_norm_bounds_the_lipschitz_constant_of_each_layer() -> None:
    """1 for a linear layer and a 1x1 convolution; at most sqrt(9) for a 3x3 one, each of whose
    pixels is seen in 9 windows (the paper normalises the reshaped kernel, not the operator)."""
    for layer in layers_of(trained(spectral_norm=True)):
        inputs = layer.weight.shape[1]
        if isinstance(layer, nn.Linear):
            assert gain(layer, torch.zeros(1, inputs)) == pytest.approx(1.0, abs=0.01)
        else:
            bound = layer.kernel_size[0]
            assert 0.3 < gain(layer, torch.zeros(1, inputs, 14, 14)) <= bound * 1.01


def test_without_spectral_norm_the_layers_grow() -> None:
    network = trained(spectral_norm=False)
    assert not any(parametrize.is_parametrized(layer) for layer in network.modules())
    assert max(largest_singular_values(network)) > 2


def test_spectral_norm_adds_no_parameters_and_survives_a_state_dict() -> None:
    plain, network = trained(spectral_norm=False), trained(spectral_norm=True)
    count = [sum(p.numel() for p in n.parameters()) for n in (plain, network)]
    assert count[0] == count[1]
    copy = resnet.Discriminator((1, 16, 16), width=4).eval()
    copy.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(copy(images), network(images))


def test_evaluation_leaves_the_power_iteration_alone() -> None:
    network = trained(spectral_norm=True)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(torch.rand(2, 1, 16, 16))
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    assert before


def test_cheaper_shortcuts_give_the_papers_results() -> None:
    """1x1 convolutions commute with nearest upsampling and with average pooling."""
    x = torch.randn(2, 3, 8, 8)
    convolution, up = resnet.UpBlock(3, 5).shortcut
    torch.testing.assert_close(up(convolution(x)), convolution(up(x)))
    pool, convolution = resnet.DownBlock(3, 5).shortcut
    torch.testing.assert_close(convolution(pool(x)), pool(convolution(x)))


def test_residual_blocks_add_to_their_shortcut() -> None:
    x = torch.randn(2, 6, 8, 8)
    for block in (resnet.UpBlock(6, 4), resnet.FirstBlock(6, 4), resnet.DownBlock(6, 4)):
        for parameter in layers_of(block.residual)[-1].parameters():
            nn.init.zeros_(parameter)
        torch.testing.assert_close(block(x), block.shortcut(x))


@pytest.mark.parametrize(("size", "lowest"), [(28, 7), (32, 4), (64, 4)])
def test_global_sum_pooling(size: int, lowest: int) -> None:
    network = resnet.Discriminator((1, size, size), width=2).eval()
    images = torch.rand(3, 1, size, size)
    features = network.layers(images)
    assert features.shape[2:] == (lowest, lowest)
    torch.testing.assert_close(network(images), network.logit(features.sum((2, 3))).squeeze(1))
