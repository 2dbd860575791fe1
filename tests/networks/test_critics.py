"""The options of all critics: spectral norm, minibatch deviation and packing."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from gan_lab import UserError
from gan_lab.networks.layers import MinibatchStd, normalise, pack
from tests.networks.test_conditioning import shape_of
from tests.networks.test_networks import OPTIONS, build_pair

REFUSE_SPECTRAL_NORM = {
    "r3gan": "blocks of networks=r3gan start from zero.* use spectral_norm=false",
    "style": "would undo the equalised learning rate of networks=style; use spectral_norm=false",
}


def critic_of(name: str, *settings: str) -> Any:
    return build_pair(name, *[f"networks.discriminator.{setting}" for setting in settings])[1]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("packing", "count"), [(2, 3), (3, 2), (4, 1), (7, 0)])
@pytest.mark.slow
def test_packing_counts(name: str, packing: int, count: int) -> None:
    """Six samples make count packs, and the rest is dropped."""
    critic = critic_of(name, f"packing={packing}").eval()
    images = torch.rand(6, *shape_of(name))
    logits = critic(images)
    assert critic.packing == packing
    assert logits.shape == (count,)
    torch.testing.assert_close(critic(images[: count * packing]), logits)


def test_packs_are_of_consecutive_samples() -> None:
    images = torch.arange(10.0).reshape(5, 2, 1, 1)
    packed = pack(images, 2)
    assert packed.shape == (2, 4, 1, 1)
    assert packed.flatten(1).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("told", ["embedding", "projection"])
@pytest.mark.slow
def test_packs_have_no_label(name: str, told: str) -> None:
    with pytest.raises(UserError, match=f"packing=2 .* conditioning={told} cannot; use packing=1"):
        critic_of(name, "packing=2", f"conditioning={told}")
    with pytest.raises(UserError, match="packing=0 must be at least 1"):
        critic_of(name, "packing=0")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.slow
def test_minibatch_std_sees_the_batch(name: str) -> None:
    """An image's logit depends on the others of its group, and only with the option."""
    image, others = torch.rand(1, *shape_of(name)), torch.rand(3, *shape_of(name))
    crowds = torch.cat([image, image, image, image]), torch.cat([image, others])
    with_it = critic_of(name, "minibatch_std=4").eval()
    without = critic_of(name, "minibatch_std=0").eval()
    assert (with_it(crowds[0])[0] - with_it(crowds[1])[0]).abs() > 1e-6
    torch.testing.assert_close(without(crowds[0])[0], without(crowds[1])[0])
    assert with_it.features(crowds[0]).shape == (4, with_it.num_features)


def test_deviation_of_identical_samples() -> None:
    """Nothing but the 1e-8 under the root."""
    out = MinibatchStd(4)(torch.rand(1, 3, 5, 5).expand(8, -1, -1, -1))
    assert out.shape == (8, 4, 5, 5)
    torch.testing.assert_close(out[:, 3], torch.full((8, 5, 5), 1e-4))


def test_deviation_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0], [2.0, 6.0], [5.0, 5.0], [5.0, 9.0]])
    out = MinibatchStd(2)(x)
    assert torch.equal(out[:, :2], x)
    assert out[:, 2].tolist() == pytest.approx([2, 2, 1, 1], abs=1e-3)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6, 7, 8])
def test_groups_that_do_not_divide_the_batch(batch: int) -> None:
    x = torch.randn(batch, 3)
    deviation = MinibatchStd(4)(x)[:, 3]
    size = min(4, batch)
    for i in range(batch):
        whole = i // size * size + size <= batch
        group = x[i // size * size :][:size] if whole else x[-size:]
        expected = group.std(0, correction=0).mean() if size > 1 else 0
        assert float(deviation[i]) == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize("name", OPTIONS)
def test_one_sample_is_no_group(name: str) -> None:
    with pytest.raises(UserError, match="minibatch_std=1 must be at least 2"):
        critic_of(name, "minibatch_std=1")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("told", ["none", "embedding", "projection"])
@pytest.mark.slow
def test_spectral_norm_of_every_layer(name: str, told: str) -> None:
    if name in REFUSE_SPECTRAL_NORM:
        with pytest.raises(UserError, match=REFUSE_SPECTRAL_NORM[name]):
            critic_of(name, "spectral_norm=true")
        return
    critic = critic_of(name, "spectral_norm=true", f"conditioning={told}")
    images, labels = torch.rand(2, *shape_of(name)), torch.tensor([0, 1])
    with torch.no_grad():
        for _ in range(30):  # the power iteration converges
            critic(images, labels)
    critic.eval()
    layers = [m for m in critic.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    layers += [critic.projection.embedding] if told == "projection" else []
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"resnet"}))
def test_spectral_norm_is_off_by_default(name: str) -> None:
    assert not any(parametrize.is_parametrized(layer) for layer in critic_of(name).modules())


def test_a_plane_of_labels_is_not_normalised() -> None:
    critic = critic_of("dcgan", "conditioning=embedding")
    normalise(critic)
    assert not parametrize.is_parametrized(critic.inputs.embedding)
    assert parametrize.is_parametrized(critic.layers[0])


MIXING = [
    *[(name, setting) for name in OPTIONS for setting in ("packing=1", "minibatch_std=4")],
    *[(name, "packing=2") for name in OPTIONS],
    ("dcgan", "norm=batch"),
]


@pytest.mark.parametrize(("name", "setting"), MIXING)
@pytest.mark.slow
def test_only_a_critic_that_judges_each_image_alone_says_so(name: str, setting: str) -> None:
    """While it trains; dropout is random, and says nothing of other images."""
    critic = critic_of(name, setting)
    if not getattr(critic, "solitary", False):
        assert name not in ("dcgan", "mlp", "r3gan") or setting != "packing=1"
        return  # two passes are right for every critic
    critic.apply(lambda m: m.eval() if isinstance(m, nn.Dropout) else None)
    real, fake = torch.rand(4, *shape_of(name)), torch.rand(4, *shape_of(name))
    together = critic(torch.cat([real, fake]))
    torch.testing.assert_close(together, torch.cat([critic(real), critic(fake)]))
