"""What the players are told: labels and codes, for every option of conf/networks/ and by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks import dcgan, mlp, mlp_points, resnet
from gan_lab.networks.codes import Code
from gan_lab.networks.conditioning import ConditionalBatchNorm, LatentInputs, Projection
from tests.conftest import tiny_config
from tests.networks.test_networks import OPTIONS, build_pair

CLASSES = 10
LABELS = torch.arange(6) % CLASSES
CODE: dict[str, Any] = {"categorical": [3, 4], "continuous": 2}


def shape_of(name: str) -> tuple[int, ...]:
    return tuple(tiny_config(networks=name).data.image_shape)


def takes_batch_norm(name: str) -> bool:
    return name in ("dcgan", "resnet", "mlp_points")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("told", ["embedding", "batch_norm"])
@pytest.mark.slow
def test_generators_follow_their_labels(name: str, told: str) -> None:
    override = f"networks.generator.conditioning={told}"
    if told == "batch_norm" and not takes_batch_norm(name):
        with pytest.raises(UserError, match=f"generator of networks={name} has no batch norm; use"):
            build_pair(name, override)
        return
    generator, _ = build_pair(name, override)
    assert generator.num_classes == CLASSES
    latents = torch.randn(6, generator.latent_dim)
    if told == "batch_norm":  # starts as plain batch norm, deaf to labels
        for module in generator.modules():
            if isinstance(module, ConditionalBatchNorm):
                nn.init.normal_(module.gain.weight, 1.0)
    generator.eval()
    images = generator(latents, LABELS)
    assert images.shape == (6, *shape_of(name))
    assert (generator(latents, (LABELS + 1) % CLASSES) - images).abs().amax() > 1e-6
    with pytest.raises(UserError, match="needs a label for each sample, of 10 classes"):
        generator(latents, None)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("told", ["embedding", "projection"])
@pytest.mark.slow
def test_critics_follow_their_labels(name: str, told: str) -> None:
    _, critic = build_pair(name, f"networks.discriminator.conditioning={told}")
    critic.eval()
    images = torch.rand(6, *shape_of(name))
    logits = critic(images, LABELS)
    assert logits.shape == (6,)
    assert (critic(images, (LABELS + 1) % CLASSES) - logits).abs().min() > 0
    features = critic.features(images, LABELS)
    assert features.shape == (6, critic.num_features)
    torch.testing.assert_close(critic.judge(features, LABELS), logits)
    with pytest.raises(UserError, match="needs a label for each sample"):
        critic(images)


@pytest.mark.parametrize("name", OPTIONS)
def test_generators_take_a_code(name: str) -> None:
    latent_dim = "networks.generator.latent_dim=12"
    code = "networks.generator.code={categorical: [3, 4], continuous: 2}"
    generator, _ = build_pair(name, latent_dim, code)
    assert (generator.latent_dim, generator.code.dim) == (12, 4)
    generator.eval()
    latents = torch.randn(2, 12)
    images = generator(latents)
    one, other = (generator(generator.code.impose(latents, [k, None, None, None])) for k in (0, 1))
    assert images.shape == (2, *shape_of(name))
    assert (one - other).abs().amax() > 1e-6


@pytest.mark.parametrize("name", OPTIONS)
def test_without_labels_they_are_ignored(name: str) -> None:
    generator, critic = (network.eval() for network in build_pair(name))
    assert (generator.num_classes, critic.num_classes, generator.code) == (0, 0, None)
    latents = torch.randn(6, generator.latent_dim)
    images = generator(latents, None)
    assert torch.equal(generator(latents, LABELS), images)
    assert torch.equal(critic(images, LABELS), critic(images, None))


@pytest.mark.parametrize("name", OPTIONS)
def test_conditioning_needs_classes(name: str) -> None:
    with pytest.raises(UserError, match="needs labels, and num_classes=0; use conditioning=none"):
        build_pair(name, "data.num_classes=0", "conditioning=embedding")


def test_projection_is_an_inner_product() -> None:
    projection: Any = Projection(5, 3, "projection")
    features, labels = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    weight = projection.embedding.weight
    expected = torch.stack([weight[y] @ features[i] for i, y in enumerate(labels)])
    torch.testing.assert_close(projection(torch.zeros(4), features, labels), expected)


@pytest.mark.parametrize(
    "critic",
    [
        mlp.Discriminator((1, 28, 28), [8], num_classes=3, conditioning="projection"),
        mlp_points.Discriminator([2], [8], num_classes=3, conditioning="projection"),
        dcgan.Discriminator((1, 28, 28), 2, num_classes=3, conditioning="projection"),
        resnet.Discriminator((1, 28, 28), 2, num_classes=3, conditioning="projection"),
    ],
    ids=lambda critic: type(critic).__module__.rsplit(".", 1)[1],
)
def test_projected_logits_are_the_last_layer_plus_the_product(critic: Any) -> None:
    features, labels = torch.randn(4, critic.num_features), torch.tensor([0, 2, 1, 2])
    last = [m for m in critic.modules() if isinstance(m, nn.Linear)][-1]
    critic.eval()
    product = (critic.projection.embedding.weight[labels] * features).sum(1)
    torch.testing.assert_close(critic.judge(features, labels), last(features)[:, 0] + product)


@pytest.mark.parametrize("dims", [1, 2])
def test_conditional_batch_norm_starts_as_batch_norm(dims: int) -> None:
    plain: Any = [nn.BatchNorm1d, nn.BatchNorm2d][dims - 1]
    shape = (6, 4, 5, 5) if dims == 2 else (6, 4)
    x, reference = 3 * torch.randn(shape) + 1, plain(4)
    norm = ConditionalBatchNorm(plain(4, affine=False), CLASSES)
    torch.testing.assert_close(norm(x, LABELS), reference(x))
    torch.testing.assert_close(norm.norm.running_var, reference.running_var)
    with torch.no_grad():
        norm.gain.weight[2], norm.bias.weight[2] = 5, 7
    expected = reference(x)
    expected[2] = 5 * expected[2] + 7
    torch.testing.assert_close(norm(x, LABELS), expected)


def test_conditional_batch_norm_keeps_the_precision_of_a_layer() -> None:
    norm = ConditionalBatchNorm(nn.BatchNorm2d(4, affine=False), CLASSES)
    assert norm(torch.randn(6, 4, 5, 5).bfloat16(), LABELS).dtype == torch.bfloat16


def test_dcgan_gains_start_around_one() -> None:
    network = dcgan.Generator(
        8, (1, 28, 28), 16, init_std=0.02, num_classes=10, conditioning="batch_norm"
    )
    norms = [m for m in network.modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(norms) == 3
    for norm in norms:
        assert norm.gain.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.gain.weight.std().item() == pytest.approx(0.02, rel=0.3)
        assert not norm.bias.weight.any()


def test_inputs_are_noise_code_and_label() -> None:
    inputs: Any = LatentInputs(6, 5, "embedding", CODE)
    latents = torch.randn(4, 6)
    labels = torch.tensor([0, 4, 1, 4])
    out = inputs(latents, labels)
    assert out.shape == (4, inputs.size) == (4, 2 + 3 + 4 + 2 + 5)
    assert torch.equal(out[:, :2], latents[:, :2])
    assert torch.equal(out[:, 2:11], Code(**CODE).inputs(latents)[:, 2:])
    assert torch.equal(out[:, 11:], inputs.embedding.weight[labels])


def test_without_anything_the_inputs_are_the_latents() -> None:
    inputs, latents = LatentInputs(6, 5), torch.randn(4, 6)
    assert inputs(latents) is latents
    assert not inputs.state_dict()


def test_everything_is_differentiable_twice() -> None:
    """Gradient penalties differentiate the gradient of a conditional critic."""
    critic: Any = dcgan.Discriminator(
        (1, 28, 28), 2, num_classes=10, conditioning="projection", minibatch_std=3
    )
    images: Tensor = torch.rand(6, 1, 28, 28, requires_grad=True)
    logits = critic(images, LABELS)
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert critic.projection.embedding.weight.grad.abs().sum() > 0
