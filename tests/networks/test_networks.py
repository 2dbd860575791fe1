"""The contract of all networks, for every option of conf/networks/."""

import pytest
import torch
from omegaconf import OmegaConf
from torch.nn.utils import parametrize

from gan_lab import UserError
from gan_lab.launch.entry import CONF
from gan_lab.launch.schema import build
from gan_lab.networks import dcgan, mlp, r3gan, resnet, style
from gan_lab.networks.layers import stages
from tests.conftest import tiny_config

CONVOLUTIONAL = [dcgan, resnet, r3gan, style]
# A game on a blackboard has no layers to give options to: test_dirac.py.
OPTIONS = sorted({path.stem for path in (CONF / "networks").glob("*.yaml")} - {"dirac"})


def build_pair(name: str, *overrides: str):
    config = tiny_config(*overrides, networks=name)
    return [build(config.networks[p], f"networks.{p}") for p in ("generator", "discriminator")]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 1)])
def test_contract(name: str, size: int, channels: int) -> None:
    sizes = [f"data.image_size={size}", f"data.channels={channels}"]
    generator, discriminator = build_pair(name, *sizes)
    images = generator(torch.randn(3, generator.latent_dim), None)
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images, None).shape == (3,)
    assert generator.num_classes == 0


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("conditioning", ["none", "embedding", "projection"])
@pytest.mark.slow
def test_training_never_waits_for_the_device(name: str, conditioning: str) -> None:
    """Whatever would wait (`.item()`, `if tensor`) raises on torch's meta device."""
    std = "networks.discriminator.minibatch_std=4"
    pair = build_pair(name, f"conditioning={conditioning}", std)
    generator, discriminator = (network.to("meta") for network in pair)
    labels = torch.zeros(6, dtype=torch.int64, device="meta")
    images = generator(torch.randn(6, generator.latent_dim, device="meta"), labels)
    logits = discriminator(images, labels)
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert logits.shape == (6,)


@pytest.mark.parametrize("name", OPTIONS)
def test_images_do_not_depend_on_the_rest_of_their_batch(name: str) -> None:
    generator, _ = build_pair(name)
    latents = torch.randn(5, generator.latent_dim)
    generator(latents)  # statistics other than those at the start
    generator.eval()
    torch.testing.assert_close(generator(latents[:2]), generator(latents)[:2])


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_are_unbounded(name: str) -> None:
    """No sigmoid at the end: scaled weights of the last layer scale the logits."""
    _, discriminator = build_pair(name)
    discriminator.eval()
    images = torch.rand(4, 1, 28, 28)
    before = discriminator(images)
    last = [m for m in discriminator.modules() if isinstance(m, torch.nn.Linear)][-1]
    if parametrize.is_parametrized(last):  # spectral norm would undo the scaling
        parametrize.remove_parametrizations(last, "weight")
    with torch.no_grad():
        last.weight.mul_(100), last.bias.mul_(100)
    torch.testing.assert_close(discriminator(images), 100 * before, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("network", CONVOLUTIONAL, ids=lambda module: module.__name__)
@pytest.mark.parametrize("size", [8, 16, 32, 64, 128, 28])
def test_sizes_of_convolutional_networks(network, size: int) -> None:
    generator = network.Generator(10, (2, size, size), width=8)
    assert generator(torch.randn(2, 10)).shape == (2, 2, size, size)
    discriminator = network.Discriminator((2, size, size), width=8)
    assert discriminator(torch.rand(2, 2, size, size)).shape == (2,)


@pytest.mark.parametrize("network", CONVOLUTIONAL, ids=lambda module: module.__name__)
@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (1, 30, 30), (1, 28, 32), (1, 0, 0), (1, 12, 12), (1, 33, 33)]
)
def test_convolutional_networks_refuse_other_sizes(network, shape: tuple[int, int, int]) -> None:
    message = r"image size \d+(x\d+)? is not 4 \* 2\*\*k .* or 28; set data.image_size to 32"
    with pytest.raises(UserError, match=message):
        network.Generator(10, shape)
    with pytest.raises(UserError, match=message):
        network.Discriminator(shape)


def test_stages() -> None:
    assert stages((1, 28, 28)) == (7, 2)
    assert stages((3, 32, 32)) == (4, 3)
    assert stages((3, 8, 8)) == (4, 1)


def test_dcgan_norm_is_an_option() -> None:
    def norms(norm: dcgan.Norm) -> int:
        network = dcgan.Discriminator((1, 28, 28), width=2, norm=norm)
        return sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())

    assert norms("none") == 0
    assert norms("batch") == 2  # all but the first layer


def test_dcgan_initial_weights() -> None:
    torch.manual_seed(0)
    generator = dcgan.Generator(100, (1, 28, 28), width=32, init_std=0.02)
    for module in generator.modules():
        if isinstance(module, (torch.nn.ConvTranspose2d, torch.nn.Linear)):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp.Generator(0, (1, 4, 4)), "latent_dim=0"),
        (lambda: mlp.Generator(2, (1, 4, 4), hidden=[]), "hidden"),
        (lambda: mlp.Discriminator((1, 4, 4), dropout=1.0), r"dropout=1.0 must lie in \[0, 1\)"),
        (lambda: dcgan.Discriminator((1, 28, 28), width=0), "width=0"),
        (lambda: dcgan.Generator(4, (1, 28, 28), init_std=-1.0), "init_std=-1.0"),
        (lambda: resnet.Generator(0, (1, 28, 28)), "latent_dim=0"),
        (lambda: resnet.Discriminator((1, 28, 28), width=0), "width=0"),
        (lambda: r3gan.Generator(0, (1, 28, 28)), "latent_dim=0"),
        (lambda: r3gan.Generator(4, (1, 28, 28), blocks=0), "blocks=0, expansion=2 and"),
        (
            lambda: r3gan.Generator(4, (1, 28, 28), width=12),
            r"group_width=16 does not divide .* 24",
        ),
        (lambda: style.Generator(4, (1, 28, 28), mapping_layers=0), "mapping_layers=0 must be"),
        (lambda: style.Generator(4, (1, 28, 28), mixing=1.5), r"mixing=1.5 .* lie in \[0, 1\]"),
        (lambda: style.Discriminator((1, 28, 28), max_width=0), "max_width=0"),
        (lambda: r3gan.Discriminator((1, 28, 28), group_width=0), "group_width=0 must be"),
    ],
)
def test_bad_arguments_are_named(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_no_registry() -> None:
    """A new architecture is one file and one YAML: the package itself names none."""
    import gan_lab.networks

    assert not [n for n in vars(gan_lab.networks) if n.isupper()]
    for name in OPTIONS:
        node = OmegaConf.load(CONF / "networks" / f"{name}.yaml")
        assert node.generator._target_.rsplit(".", 2)[-2:][1] == "Generator"
