"""The field, the eigenvalues and the verdicts against the closed forms of Mescheder et al. 2018."""

import cmath
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.metrics.game import (
    Fate,
    Game,
    Theory,
    Updates,
    alternating,
    eigenvalues,
    fate_of,
    flow,
    simultaneous,
    steps,
    theory,
)
from gan_lab.networks import mlp_points
from gan_lab.networks.dirac import Discriminator, Generator
from gan_lab.objectives.augment import Identity
from gan_lab.objectives.augment import InstanceNoise as InstanceNoiseDrawn
from gan_lab.objectives.losses import LeastSquares, Minimax, NonSaturating
from gan_lab.objectives.objective import Objective
from gan_lab.objectives.penalties import R1


class Wasserstein:
    relativistic = False
    threshold = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits - real_logits

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits

    def probability(self, logits: Tensor) -> Tensor:
        return logits


class UnitSlope:
    """(|grad D| - 1)^2 on the reals, what WGAN-GP asks of a line."""

    interval = 1

    def __call__(self, critic: Callable, real: Tensor, fake: Tensor) -> Tensor:
        real = real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square()


class InstanceNoise(nn.Module):
    """As many samples moved up as down, so that the variance is exact."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, samples: Tensor) -> Tensor:
        sign = torch.ones(len(samples), 1, dtype=samples.dtype)
        sign[::2] = -1
        return samples + self.sigma * sign


def game(loss: Any, penalties: dict | None = None, augment: nn.Module | None = None) -> Game:
    objective = Objective(loss, penalties or {}, augment or Identity())
    players = Generator((1,)), Discriminator(offset=loss.threshold)
    return Game(*players, objective, torch.zeros(4, 1))


SLOPES = {NonSaturating: 0.5, Minimax: 0.5, LeastSquares: 0.5, Wasserstein: 1.0}  # f'(0)
POINTS = [(1.0, 1.0), (0.3, -2.0), (-1.5, 0.2)]


@pytest.mark.parametrize("loss", SLOPES, ids=lambda loss: loss.__name__)
def test_without_a_penalty_both_eigenvalues_are_imaginary(loss: type) -> None:
    found = theory(game(loss()), Updates((0.1, 0.1)))
    expected = [1j * SLOPES[loss], -1j * SLOPES[loss]]
    assert found.eigenvalues == pytest.approx(expected, abs=1e-7)
    assert found.continuous is Fate.CIRCLES
    radius = math.sqrt(1 + (0.1 * SLOPES[loss]) ** 2)
    assert found.radius == pytest.approx({"simultaneous": radius, "alternating": 1.0}, abs=1e-7)
    assert found.discrete == {"simultaneous": Fate.DIVERGES, "alternating": Fate.CIRCLES}


@pytest.mark.parametrize("loss", SLOPES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("gamma", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("interval", [1, 8])
def test_r1_moves_them_to_the_left(loss: type, gamma: float, interval: int) -> None:
    found = theory(game(loss(), {"r1": R1(gamma, interval)}))
    root = cmath.sqrt(gamma**2 - 4 * SLOPES[loss] ** 2)
    expected = [(-gamma + root) / 2, (-gamma - root) / 2]
    # Where both coincide a root is taken of rounding.
    assert found.eigenvalues == pytest.approx(expected, abs=1e-7 if abs(root) > 0.1 else 1e-3)
    assert found.continuous is Fate.CONVERGES


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_so_does_instance_noise(sigma: float) -> None:
    first, second = 0.5, -0.25  # derivatives of -log(1 + exp(-t)) at 0
    found = theory(game(NonSaturating(), augment=InstanceNoise(sigma)))
    root = cmath.sqrt((second * sigma**2) ** 2 - first**2)
    expected = [second * sigma**2 + root, second * sigma**2 - root]
    assert found.eigenvalues == pytest.approx(expected, abs=1e-6)


def test_noise_that_is_drawn_is_read_up_to_its_luck() -> None:
    objective = Objective(NonSaturating(), {}, InstanceNoiseDrawn(std=1.0))
    found = theory(Game(Generator((1,)), Discriminator(), objective, torch.zeros(20_000, 1)))
    assert found.continuous is Fate.CONVERGES
    assert found.eigenvalues[0] == pytest.approx(-0.25 + 1j * math.sqrt(3) / 4, abs=0.01)


@pytest.mark.parametrize("loss", [NonSaturating, Wasserstein])
def test_a_slope_of_one_allows_no_equilibrium(loss: type) -> None:
    assert theory(game(loss(), {"unit": UnitSlope()})) == Theory([], Fate.JUMPS, {}, {})


INWARDS = {  # v . x, by which the squared distance shrinks
    Wasserstein: lambda theta, psi: 0.0,
    Minimax: lambda theta, psi: 0.0,
    NonSaturating: lambda theta, psi: -theta * psi * math.tanh(theta * psi / 2),
    LeastSquares: lambda theta, psi: -2 * (theta * psi) ** 2,
}


@pytest.mark.parametrize("loss", INWARDS, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("place", POINTS)
def test_how_far_the_field_points_inwards(loss: type, place: tuple[float, float]) -> None:
    """Two losses draw inwards by a higher term, which the eigenvalues do not know of."""
    point = torch.tensor(place).double()
    inwards = game(loss()).field(point) @ point
    assert inwards.item() == pytest.approx(INWARDS[loss](*place), abs=1e-6)


def test_the_jacobian_is_that_of_the_field_anywhere() -> None:
    this, point, small = game(NonSaturating(), {"r1": R1(0.3)}), torch.tensor([0.4, -0.9]), 1e-2
    sides = small * torch.eye(2).double()
    columns = [
        (this.field(point.double() + side) - this.field(point.double() - side)) / (2 * small)
        for side in sides
    ]
    expected = torch.stack(columns, 1).detach()
    torch.testing.assert_close(this.jacobian(point.double()), expected, atol=1e-4, rtol=0)


def test_the_goal_is_where_the_data_are() -> None:
    objective = Objective(NonSaturating(), {}, Identity())
    moved = Game(Generator((1,)), Discriminator(), objective, torch.full((4, 1), 0.3))
    torch.testing.assert_close(moved.equilibrium, torch.tensor([0.3, 0.0]).double())
    # A line through 0 that says the same of data and samples, not 0: as with noise of 0.3.
    assert theory(moved).eigenvalues[0].real == pytest.approx(-(0.3**2) / 4, abs=1e-6)


def test_the_players_stay_as_they_are() -> None:
    players = Generator((1,)), Discriminator()
    this = Game(
        *players, Objective(NonSaturating(), {"r1": R1(1.0)}, Identity()), torch.zeros(4, 1)
    )
    state = torch.random.get_rng_state()
    theory(this)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert this.position.tolist() == [1.0, 1.0]
    assert all(p.dtype == torch.float32 and p.grad is None for p in players[1].parameters())


def test_larger_players_are_refused() -> None:
    players = mlp_points.Generator(2, (2,), [4]), mlp_points.Discriminator((2,), [4])
    with pytest.raises(UserError, match=r"generator has 30 parameters.*use networks=dirac"):
        Game(*players, Objective(NonSaturating(), {}, Identity()), torch.zeros(4, 2))


def test_verdicts_of_eigenvalues() -> None:
    assert flow([-0.1 + 1j, -0.1 - 1j]) is Fate.CONVERGES
    assert flow([0.1 + 0j, -5 + 0j]) is Fate.DIVERGES
    assert flow([1j, -1j]) is Fate.CIRCLES
    assert flow([0j, -1 + 0j]) is Fate.UNDECIDED
    assert steps([0.6 + 0.8j, 0.6 - 0.8j]) is Fate.CIRCLES
    assert steps([0.5 + 0j, -1.1 + 0j]) is Fate.DIVERGES
    assert steps([0.5 + 0j, -0.9 + 0j]) is Fate.CONVERGES


def test_the_operators_are_those_of_the_steps() -> None:
    jacobian, rates = torch.tensor([[-0.1, 0.5], [-0.7, -0.3]]).double(), (0.2, 0.3)
    theta, psi = 0.4, -1.1
    both = simultaneous(jacobian, rates) @ torch.tensor([theta, psi]).double()
    expected = [theta + 0.2 * (-0.1 * theta + 0.5 * psi), psi + 0.3 * (-0.7 * theta - 0.3 * psi)]
    assert both.tolist() == pytest.approx(expected)
    in_turn = alternating(jacobian, rates, n_critic=2) @ torch.tensor([theta, psi]).double()
    for _ in range(2):
        psi += 0.3 * (-0.7 * theta - 0.3 * psi)
    theta += 0.2 * (-0.1 * theta + 0.5 * psi)
    assert in_turn.tolist() == pytest.approx([theta, psi])


def test_eigenvalues_come_in_order() -> None:
    assert eigenvalues(torch.tensor([[-3.0, 0.0], [0.0, 2.0]])) == [2, -3]
    assert eigenvalues(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])) == [1j, -1j]


def turning(radius: Callable[[Tensor], Tensor]) -> Tensor:
    time = torch.arange(2000, dtype=torch.float64)
    return radius(time)[:, None] * torch.stack([(0.05 * time).cos(), (0.05 * time).sin()], 1)


@pytest.mark.parametrize(
    ("radius", "fate"),
    [
        (lambda t: 1 + 0 * t, Fate.CIRCLES),
        (lambda t: 0.01 + 0 * t, Fate.CIRCLES),
        (lambda t: torch.exp(-t / 1000), Fate.CONVERGES),
        (lambda t: torch.exp(-t / 50), Fate.CONVERGES),
        (lambda t: torch.exp(t / 1000), Fate.DIVERGES),
        (lambda t: (1 + t / 10) ** -0.5, Fate.CREEPS),
        (lambda t: torch.where(t > 1500, torch.inf, 1.0), Fate.DIVERGES),
    ],
)
def test_verdicts_of_paths(radius: Callable[[Tensor], Tensor], fate: Fate) -> None:
    assert fate_of(turning(radius), torch.zeros(2).double()) is fate
    moved = torch.tensor([3.0, 0.0]).double()
    assert fate_of(turning(radius) + moved, moved) is fate


def test_a_few_steps_say_nothing() -> None:
    path = turning(lambda t: 1 + 0 * t)
    assert fate_of(path[:7], torch.zeros(2).double()) is Fate.UNDECIDED
    assert fate_of(path[:1] / 0, torch.zeros(2).double()) is Fate.DIVERGES


def test_a_path_may_rest_elsewhere() -> None:
    time = torch.arange(2000, dtype=torch.float64)
    path = torch.stack([1.3 + torch.exp(-time / 50), torch.exp(-time / 50)], 1)
    assert fate_of(path, torch.zeros(2).double()) is Fate.RESTS
