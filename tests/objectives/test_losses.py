"""Losses at known values, and the direction in which they push."""

import math

import pytest
import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.launch.entry import CONF
from gan_lab.launch.schema import build
from gan_lab.objectives.losses import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    RelativisticPaired,
    Wasserstein,
    centred,
)
from gan_lab.training import measures
from tests.conftest import tiny_config

OPTIONS = sorted(path.stem for path in (CONF / "objective").glob("*.yaml"))
REAL, FAKE = torch.tensor([0.7, -0.4, 2.0]), torch.tensor([-1.2, 0.3, -2.5])


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


@pytest.mark.parametrize("name", OPTIONS)
def test_64_bit_logits_stay_so(name: str) -> None:
    loss = make(name)
    assert loss.discriminator(REAL.double(), FAKE.double()).dtype == torch.float64
    assert loss.generator(FAKE.double(), REAL.double()).dtype == torch.float64


def test_equilibrium_values() -> None:
    zero = torch.zeros(1)
    assert NonSaturating().discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert NonSaturating().generator(zero).item() == pytest.approx(math.log(2))
    assert Minimax().generator(zero).item() == pytest.approx(-math.log(2))
    half = torch.full((1,), 0.5)
    assert LeastSquares().discriminator(half, half).item() == pytest.approx(0.25)
    assert LeastSquares().generator(half).item() == pytest.approx(0.125)
    anywhere = torch.full((1,), -0.3)
    assert Hinge().discriminator(anywhere, anywhere).item() == pytest.approx(2)
    assert Wasserstein().discriminator(anywhere, anywhere).item() == 0
    for loss, value in ((RelativisticPaired(), 1), (RelativisticAverage(), 2)):
        assert loss.discriminator(anywhere, anywhere).item() == pytest.approx(value * math.log(2))
        assert loss.generator(anywhere, anywhere).item() == pytest.approx(value * math.log(2))


def test_values_against_the_definition() -> None:
    real, fake = torch.tensor([0.7]), torch.tensor([-1.2])
    p_real, p_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(p_real.log() + (1 - p_fake).log())
    torch.testing.assert_close(NonSaturating().discriminator(real, fake), expected)
    torch.testing.assert_close(Minimax().discriminator(real, fake), expected)
    torch.testing.assert_close(NonSaturating().generator(fake), -p_fake.log())
    torch.testing.assert_close(Minimax().generator(fake), (1 - p_fake).log())


def test_hinge_and_wasserstein_against_the_definition() -> None:
    # max(0, 1 - r) + max(0, 1 + f) by hand
    torch.testing.assert_close(
        Hinge().discriminator(REAL, FAKE), torch.tensor([0.3 + 0.0, 1.4 + 1.3, 0.0 + 0.0])
    )
    torch.testing.assert_close(Hinge().generator(FAKE), -FAKE)
    torch.testing.assert_close(
        Wasserstein().discriminator(REAL, FAKE), torch.tensor([-1.9, 0.7, -4.5])
    )
    torch.testing.assert_close(Wasserstein().generator(FAKE), -FAKE)


def log_sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x.double()).log().float()


def test_relativistic_losses_against_the_definition() -> None:
    paired, average = RelativisticPaired(), RelativisticAverage()
    torch.testing.assert_close(paired.discriminator(REAL, FAKE), -log_sigmoid(REAL - FAKE))
    torch.testing.assert_close(paired.generator(FAKE, REAL), -log_sigmoid(FAKE - REAL))
    # The paper: -E log D~(r) - E log(1 - D~(f)), D~(x) = sigmoid(C(x) - mean of the other kind)
    real, fake = REAL - FAKE.mean(), FAKE - REAL.mean()
    torch.testing.assert_close(
        average.discriminator(REAL, FAKE).mean(),
        -log_sigmoid(real).mean() - log_sigmoid(-fake).mean(),
    )
    torch.testing.assert_close(
        average.generator(FAKE, REAL).mean(), -log_sigmoid(fake).mean() - log_sigmoid(-real).mean()
    )


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


@pytest.mark.parametrize("name", OPTIONS)
def test_belief_rises_with_the_logit_and_is_a_probability(name: str) -> None:
    beliefs = make(name).probability(torch.linspace(-5, 5, 101))
    assert (beliefs.diff() >= 0).all()
    assert 0 <= beliefs[0] < 0.01
    assert 0.99 < beliefs[-1] <= 1


@pytest.mark.parametrize("name", OPTIONS)
def test_a_level_without_meaning_is_not_measured(name: str) -> None:
    """Where only differences count for the loss, adding a constant changes no measure."""
    loss = make(name)
    before, after = (measures.of_logits(loss, REAL + c, FAKE + c) for c in (0.0, 1000.0))
    floating = torch.equal(  # both means move by the same
        loss.discriminator(REAL, FAKE).mean().round(decimals=3),
        loss.discriminator(REAL + 1000, FAKE + 1000).mean().round(decimals=3),
    )
    accuracy = before["discriminator/accuracy_fake"], after["discriminator/accuracy_fake"]
    assert (accuracy[0] == accuracy[1]) == floating
    assert getattr(loss, "floating", False) == floating
    for mine, moved in zip(centred(loss, REAL, FAKE), (REAL, FAKE), strict=True):
        shift = (REAL.mean() + FAKE.mean()) / 2 if floating else 0.0
        torch.testing.assert_close(mine, moved - shift)


def test_smoothing_at_1_and_0_is_none() -> None:
    torch.manual_seed(0)
    real, fake = 3 * torch.randn(100), 3 * torch.randn(100)
    for loss in (NonSaturating(), NonSaturating(1, 0), Minimax()):
        plain = torch.nn.functional.softplus(-real) + torch.nn.functional.softplus(fake)
        assert torch.equal(loss.discriminator(real, fake), plain)
        assert torch.equal(loss.probability(real), torch.sigmoid(real))
        assert loss.threshold == 0
    squares = 0.5 * (real - 1).square() + 0.5 * fake.square()
    assert torch.equal(LeastSquares().discriminator(real, fake), squares)


@pytest.mark.parametrize(("a", "b"), [(0.9, 0.0), (0.9, 0.1), (1.0, 0.2)])
@pytest.mark.parametrize("kind", [NonSaturating, Minimax, LeastSquares])
def test_smoothed_equilibrium(kind, a: float, b: float) -> None:
    """Where reals and fakes are alike the best logit is the threshold, with the stated loss."""
    loss = kind(real_target=a, fake_target=b)
    middle = (a + b) / 2
    logit = torch.tensor([loss.threshold], dtype=torch.float64, requires_grad=True)
    value = loss.discriminator(logit, logit)
    (slope,) = torch.autograd.grad(value, logit)
    assert slope.item() == pytest.approx(0, abs=1e-12)
    entropy = -middle * math.log(middle) - (1 - middle) * math.log(1 - middle)
    stated = {
        NonSaturating: (2 * entropy, -math.log(middle)),
        Minimax: (2 * entropy, math.log(1 - middle)),
        LeastSquares: ((a - b) ** 2 / 4, (a - b) ** 2 / 8),
    }[kind]
    assert value.item() == pytest.approx(stated[0])
    assert loss.generator(logit).item() == pytest.approx(stated[1])


@pytest.mark.parametrize("kind", [NonSaturating, Minimax, LeastSquares])
def test_smoothed_targets_are_where_the_discriminator_stops(kind) -> None:
    loss = kind(real_target=0.9, fake_target=0.2)
    raw = kind is LeastSquares
    real, fake = (torch.tensor([t if raw else math.log(t / (1 - t))]) for t in (0.9, 0.2))
    real.requires_grad_(), fake.requires_grad_()
    loss.discriminator(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() == pytest.approx(0, abs=1e-6)
    assert fake.grad.item() == pytest.approx(0, abs=1e-6)
    assert loss.probability(real).item() == pytest.approx(1)
    assert loss.probability(fake).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", [NonSaturating, Minimax])
@pytest.mark.parametrize("targets", [(1.1, 0.0), (1.0, -0.1), (0.5, 0.5), (0.1, 0.9)])
def test_targets_that_are_refused(kind, targets: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"_target=.*(probability|below)"):
        kind(*targets)


@pytest.mark.parametrize("targets", [(0.5, 0.5), (-1.0, 1.0)])
def test_least_squares_has_only_an_order(targets: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"fake_target=.* must lie below real_target="):
        LeastSquares(*targets)


def test_least_squares_takes_the_papers_other_targets() -> None:
    """a = -1 for fakes, b = 1 for reals, c = 0 for the generator (Mao et al. 2017, eq. 8)."""
    loss = LeastSquares(real_target=1.0, fake_target=-1.0, generator_target=0.0)
    logits = torch.tensor([0.5])
    assert loss.discriminator(logits, logits).item() == pytest.approx(0.5 * 0.25 + 0.5 * 2.25)
    assert loss.generator(logits).item() == pytest.approx(0.125)
    assert loss.threshold == 0
