"""Losses at known values, and the direction in which they push."""

import math

import pytest
import torch

from gan_lab.launch.entry import CONF
from gan_lab.launch.schema import build
from gan_lab.objectives.losses import LeastSquares, Minimax, NonSaturating
from tests.conftest import tiny_config

OPTIONS = sorted(path.stem for path in (CONF / "objective").glob("*.yaml"))


def make(name: str):
    return build(tiny_config(f"objective={name}").objective, "objective")


@pytest.mark.parametrize("name", OPTIONS)
def test_contract_and_direction(name: str) -> None:
    loss = make(name)
    real = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    fake = torch.tensor([0.1, 0.2, 0.4], requires_grad=True)
    values = loss.discriminator(real, fake)
    assert values.shape == (3,)
    values.sum().backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad < 0).all()  # descending raises the logits of reals
    assert (fake.grad > 0).all()  # and lowers those of fakes
    (slope,) = torch.autograd.grad(loss.generator(fake, real.detach()).sum(), fake)
    assert (slope < 0).all()  # the generator raises those of its fakes


@pytest.mark.parametrize("name", OPTIONS)
def test_large_logits_stay_finite(name: str) -> None:
    loss = make(name)
    huge = torch.tensor([1e4, -1e4])
    assert torch.isfinite(loss.discriminator(huge, -huge)).all()
    assert torch.isfinite(loss.generator(huge, -huge)).all()


def test_equilibrium_values() -> None:
    zero = torch.zeros(1)
    assert NonSaturating().discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert NonSaturating().generator(zero).item() == pytest.approx(math.log(2))
    assert Minimax().generator(zero).item() == pytest.approx(-math.log(2))
    half = torch.full((1,), 0.5)
    assert LeastSquares().discriminator(half, half).item() == pytest.approx(0.25)
    assert LeastSquares().generator(half).item() == pytest.approx(0.125)


def test_values_against_the_definition() -> None:
    real, fake = torch.tensor([0.7]), torch.tensor([-1.2])
    p_real, p_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(p_real.log() + (1 - p_fake).log())
    torch.testing.assert_close(NonSaturating().discriminator(real, fake), expected)
    torch.testing.assert_close(Minimax().discriminator(real, fake), expected)
    torch.testing.assert_close(NonSaturating().generator(fake), -p_fake.log())
    torch.testing.assert_close(Minimax().generator(fake), (1 - p_fake).log())


def test_minimax_gradient_vanishes_where_the_discriminator_wins() -> None:
    def slope(loss) -> float:
        fake = torch.tensor([-8.0], requires_grad=True)
        loss.generator(fake).backward()
        assert fake.grad is not None
        return abs(fake.grad.item())

    assert slope(Minimax()) < 1e-3
    assert slope(NonSaturating()) > 0.99


@pytest.mark.parametrize("name", OPTIONS)
def test_probability_and_threshold_agree(name: str) -> None:
    loss = make(name)
    at = torch.tensor([loss.threshold])
    assert loss.probability(at).item() == pytest.approx(0.5)
