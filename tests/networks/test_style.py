"""The style-based pair: modulation against its definition, noise, mixing, truncation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.networks import style
from gan_lab.networks.equalised import Conv2d, Linear, activate, double, pixel_norm
from gan_lab.networks.modulated import ModulatedConv2d, StyledLayer


def small(**settings: Any) -> Any:
    return style.Generator(6, (1, 28, 28), width=4, style_dim=8, **settings)


def by_definition(layer: Any, x: Tensor, w: Tensor) -> Tensor:
    """Eqs. 1 and 3 of the paper, with a weight for each sample."""
    images = []
    for image, scales in zip(x, layer.style(w), strict=True):
        weight = layer.scale * layer.weight * scales[None, :, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        images.append(F.conv2d(image[None], weight, padding=weight.shape[2] // 2))
    return double(torch.cat(images)) if layer.upsample else torch.cat(images)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("upsample", [True, False])
def test_modulation_is_that_of_the_paper(kernel: int, demodulate: bool, upsample: bool) -> None:
    layer = ModulatedConv2d(5, 7, kernel, 8, demodulate, upsample)
    x, w = torch.randn(3, 5, 6, 6), 3 * torch.randn(3, 8)
    expected = by_definition(layer, x, w)
    torch.testing.assert_close(layer(x, w), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (3, 7, 12, 12) if upsample else (3, 7, 6, 6)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_demodulated_outputs_have_a_variance_of_one(size: float) -> None:
    """Whatever the styles are, for inputs that have it."""
    torch.manual_seed(0)
    x, w = torch.randn(8, 16, 20, 20), size * torch.randn(8, 8)
    inside = ModulatedConv2d(16, 12, 3, 8)(x, w)[:, :, 1:-1, 1:-1]  # without the zeros around
    variances = inside.var((2, 3))
    assert variances.mean().item() == pytest.approx(1, abs=0.05)
    assert variances.min() > 0.4
    plain = ModulatedConv2d(16, 12, 3, 8, demodulate=False)(x, 100 * w)
    assert plain.var() > 2 * inside.var()


def test_layers_stay_in_bfloat16_under_autocast() -> None:
    layer = StyledLayer(4, 4, 8, 8).train()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 4, 8, 8).bfloat16(), torch.randn(2, 8)).dtype == torch.bfloat16


def test_noise_is_drawn_in_training_and_fixed_in_evaluation() -> None:
    generator = small(mixing=0.0)
    latents = torch.randn(1, 6).expand(3, -1)
    for layer in generator.synthesis.layers:
        nn.init.constant_(layer.strength, 1.0)
    with torch.no_grad():
        trained = generator(latents), generator(latents)
        drawn = generator.eval()(latents), generator(latents)
    assert (trained[0] - trained[1]).abs().max() > 0.01
    assert (trained[0][0] - trained[0][1]).abs().max() > 0.01  # anew for each image
    assert torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(drawn[0][0], drawn[0][2])
    sizes = [layer.noise.shape[-1] for layer in generator.synthesis.layers]
    assert sizes == [7, 14, 14, 28, 28]


def test_noise_starts_at_zero() -> None:
    layer, x, w = StyledLayer(4, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 8)
    torch.testing.assert_close(layer(x, w), activate(layer.convolution(x, w)))


def test_without_mixing_an_image_follows_one_style() -> None:
    generator, latents = small(mixing=0.0), torch.randn(3, 6)
    w = generator.mapping(latents)
    assert w.shape == (3, 8)
    images = generator.synthesis(w)
    torch.testing.assert_close(generator(latents), images)
    torch.testing.assert_close(generator.eval()(latents), images)
    torch.testing.assert_close(generator.synthesis(w[:, None].expand(-1, 5, -1)), images)


def test_mixing_changes_from_one_style_to_another() -> None:
    torch.manual_seed(0)
    generator, latents = small(mixing=1.0), torch.randn(200, 6)
    w = generator.mapping(latents)
    mixed = generator.mixed(w, latents, None)
    assert mixed.shape == (200, generator.synthesis.num_layers, 8)
    own = (mixed == w[:, None]).all(2)
    assert own[:, 0].all()
    assert not own[:, -1].any()
    changes = own.sum(1)  # the layers before the change
    assert (own == (torch.arange(5) < changes[:, None])).all()
    assert changes.unique().tolist() == [1, 2, 3, 4]


def test_some_images_are_not_mixed() -> None:
    torch.manual_seed(0)
    generator, latents = small(mixing=0.5), torch.randn(400, 6)
    w = generator.mapping(latents)
    whole = (generator.mixed(w, latents, None) == w[:, None]).all(2).all(1)
    assert whole.float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_mixing_leaves_the_code() -> None:
    """A head of the critic is to recover it from the whole image."""
    generator = small(mixing=1.0, code={"categorical": [3], "continuous": 1})
    latents, seen = torch.randn(4, 6), []
    generator.mapping.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator(latents)
    assert len(seen) == 2
    assert torch.equal(seen[1][:, -2:], latents[:, -2:])
    assert not (seen[1][:, :-2] == latents[:, :-2]).any()


def test_the_average_style_follows_training_alone() -> None:
    generator, latents = small(), torch.randn(4, 6)
    assert not generator.w_mean.any()
    generator.eval()(latents)
    assert not generator.w_mean.any()
    generator.train()(latents)
    mean = generator.mapping(latents).mean(0)
    torch.testing.assert_close(generator.w_mean, 0.002 * mean)
    generator(latents)
    torch.testing.assert_close(generator.w_mean, (1 - 0.998**2) * mean)


def test_truncation_draws_styles_to_the_average() -> None:
    generator, w = small(), torch.randn(4, 8)
    generator.w_mean.copy_(torch.randn(8))
    torch.testing.assert_close(generator.truncate_w(w, 1.0), w)
    torch.testing.assert_close(generator.truncate_w(w, 0.0), generator.w_mean.expand(4, -1))
    halfway = (w + generator.w_mean) / 2
    torch.testing.assert_close(generator.truncate_w(w, 0.5), halfway)
    images = generator.synthesis(generator.truncate_w(w, 0.0))
    torch.testing.assert_close(images[0], images[1], atol=1, rtol=0)  # but for the noise
    one = generator.eval().synthesis(generator.truncate_w(w, 0.0))
    torch.testing.assert_close(one[0], one[1])


@pytest.mark.parametrize("layer", [Linear(50, 60), Conv2d(6, 60, 3)], ids=["linear", "conv"])
def test_equalised_layers_keep_the_variance(layer: Any) -> None:
    torch.manual_seed(0)
    shape = (300, 50) if isinstance(layer, nn.Linear) else (50, 6, 12, 12)
    nn.init.normal_(layer.weight)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.05)
    out = layer(torch.randn(shape))
    inside = out if out.ndim == 2 else out[:, :, 1:-1, 1:-1]
    assert inside.var().item() == pytest.approx(1, rel=0.1)
    assert activate(inside).square().mean().item() == pytest.approx(1.04, rel=0.1)


def test_a_slow_layer_starts_like_another() -> None:
    """Its weights are larger by as much as they count less."""
    torch.manual_seed(0)
    fast, slow = Linear(50, 60, bias=1.0), Linear(50, 60, bias=1.0, rate=0.01)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.05)
    with torch.no_grad():
        slow.weight.copy_(100 * fast.weight)
    x = torch.randn(4, 50)
    torch.testing.assert_close(slow(x), fast(x))
    torch.testing.assert_close(fast(torch.zeros(1, 50)), torch.ones(1, 60))


def test_pixel_norm() -> None:
    x = pixel_norm(7 * torch.randn(4, 30))
    torch.testing.assert_close(x.square().mean(1), torch.ones(4))


def test_critic_blocks_keep_the_mean_square() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 16, 16, 16)
    out = style.DownBlock(16, 16)(x)
    assert out.shape == (16, 16, 8, 8)
    assert 0.2 < out.square().mean() < 1.2  # pooling averages, and so loses some
