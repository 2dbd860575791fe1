"""The game of two players with one parameter each: its field, its eigenvalues, where it leads.

Mescheder, Geiger and Nowozin 2018, "Which Training Methods for GANs do actually Converge?". A point
of the game is (theta, psi), the generator's parameter and the critic's; both follow the field
v = -(d loss_G / d theta, d loss_D / d psi). Near a point where v = 0 its Jacobian decides.
"""

import copy
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gan_lab import UserError
from gan_lab.objectives.objective import Objective

EXACT = 1e-6  # rounding of losses, which are computed in float32
NEAR = 1e-6  # of an equilibrium, where a continuous field has hardly changed
STEADY = 0.05  # share by which a circle's radius may change from quarter to quarter
STILL = 0.01  # of the distance: the motion of what rests
FEWEST = 8  # places of a path that say anything
ARRIVED = 1e-3  # of the distance at the start
TIRING = 0.8  # a spiral shrinks by the same factor in every quarter, what creeps by less and less


class Fate(StrEnum):
    """Where a game leads."""

    CONVERGES = "converges"
    CREEPS = "creeps in"  # ever slower, like a root of the time; only measured
    CIRCLES = "circles"
    DIVERGES = "diverges"
    RESTS = "rests elsewhere"  # only measured
    JUMPS = "has no equilibrium"  # only of a field: it is another on either side
    UNDECIDED = "undecided"  # the eigenvalues, or so few steps, do not tell


class Game(nn.Module):
    """The field of an objective on a batch of reals [N, ...], computed in float64 on copies.

    A lazy penalty counts with its mean over the steps. What a penalty or an augmentation remembers
    stays as it is, what it draws at random is the same everywhere, and where it detaches samples it
    does not see the generator move; for a linear critic that makes no difference.

    Raises:
        UserError: where a player has more than one parameter.
    """

    real: Tensor
    generator: nn.Module
    discriminator: nn.Module
    objective: Any

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, objective: Objective, real: Tensor
    ) -> None:
        super().__init__()
        self.generator, self.discriminator, self.objective = (
            copy.deepcopy(part).double() for part in (generator, discriminator, objective)
        )
        self.register_buffer("real", real.double())
        self.places = [
            f"{name}.{place_of_one(name, getattr(self, name))}"
            for name in ("generator", "discriminator")
        ]

    @property
    def equilibrium(self) -> Tensor:  # [2]: samples like the reals, and a critic that says nothing
        return torch.stack([self.real.mean(), self.real.new_zeros(())])

    @property
    def position(self) -> Tensor:  # [2]
        return position(self.generator, self.discriminator)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The losses of generator and discriminator, scalars."""
        latents = self.real.new_zeros(len(self.real), getattr(self.generator, "latent_dim", 1))
        fake = self.generator(latents, None)
        terms, _, _ = self.objective.discriminator_terms(
            self.discriminator, self.real, fake, None, 0
        )
        mean = [term / self.interval(name) for name, term in terms.items()]
        told = self.objective.generator_terms(self.discriminator, self.real, fake, None)
        return torch.stack(list(told.values())).sum(), torch.stack(mean).sum()

    def interval(self, term: str) -> int:
        return getattr(self.objective.penalties.get(term), "interval", 1)

    def field(self, point: Tensor) -> Tensor:
        """v at (theta, psi) [2] -> [2], differentiable."""
        point = point if point.requires_grad else point.detach().requires_grad_(True)
        state: dict[str, Tensor] = {name: kept.clone() for name, kept in self.named_buffers()}
        for name, value in zip(self.places, point, strict=True):
            state[name] = value.expand_as(self.get_parameter(name))
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            losses = functional_call(self, state, ())
        options: Any = {"create_graph": True, "materialize_grads": True}
        gradients = [torch.autograd.grad(loss, point, **options)[0] for loss in losses]
        return -torch.stack([gradients[0][0], gradients[1][1]])

    def jacobian(self, point: Tensor) -> Tensor:
        """Of the field at (theta, psi) [2] -> [2, 2], float64."""
        point = point.detach().clone().requires_grad_(True)
        field = self.field(point)
        rows = [
            torch.autograd.grad(side, point, retain_graph=True, materialize_grads=True)[0]
            for side in field
        ]
        return torch.stack(rows).detach()

    def jumps(self) -> bool:
        """Whether the field differs from one side of the equilibrium to the other.

        Its size there says nothing: under noise the means of few samples are never alike.
        """
        sides = NEAR * torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
        across = [
            self.field(self.equilibrium + s) - self.field(self.equilibrium - s) for s in sides
        ]
        return bool(torch.stack(across).abs().max() > 1e3 * NEAR)


def place_of_one(name: str, player: nn.Module) -> str:
    """The name of a player's only parameter."""
    trained = [(key, p) for key, p in player.named_parameters() if p.requires_grad]
    if len(trained) != 1 or trained[0][1].numel() != 1:
        count = sum(parameter.numel() for _, parameter in trained)
        raise UserError(
            f"networks.{name} has {count:,} parameters, and only games of one parameter for each "
            "player can be drawn; use networks=dirac"
        )
    return trained[0][0]


@torch.no_grad()
def position(generator: nn.Module, discriminator: nn.Module) -> Tensor:  # -> [2] float64
    """Where two players of one parameter each stand."""
    trained = [p for n in (generator, discriminator) for p in n.parameters() if p.requires_grad]
    return torch.stack([parameter.detach().double().reshape(()) for parameter in trained])


def eigenvalues(matrix: Tensor) -> list[complex]:
    """Of [2, 2]; the one with the larger real part first, then the larger imaginary part."""
    found = [complex(value) for value in torch.linalg.eigvals(matrix).tolist()]
    return sorted(found, key=lambda value: (value.real, value.imag), reverse=True)


def simultaneous(jacobian: Tensor, rates: tuple[float, float]) -> Tensor:
    """The update of both players at once, linearised; rates of generator and critic."""
    return torch.eye(2, dtype=jacobian.dtype) + torch.diag(jacobian.new_tensor(rates)) @ jacobian


def alternating(jacobian: Tensor, rates: tuple[float, float], n_critic: int = 1) -> Tensor:
    """`n_critic` updates of the critic and then one of the generator, which sees the new critic."""
    generator = simultaneous(jacobian, (rates[0], 0.0))
    critic = simultaneous(jacobian, (0.0, rates[1]))
    return generator @ torch.linalg.matrix_power(critic, n_critic)


def flow(values: list[complex]) -> Fate:
    """What the eigenvalues of a Jacobian say of the continuous game, by their real parts."""
    return sort_out(max(value.real for value in values), values)


def steps(values: list[complex]) -> Fate:
    """What the eigenvalues of an update say of discrete steps, by the spectral radius."""
    return sort_out(max(abs(value) for value in values) - 1, values)


def sort_out(growth: float, values: list[complex]) -> Fate:
    if abs(growth) > EXACT:
        return Fate.DIVERGES if growth > 0 else Fate.CONVERGES
    turns = all(abs(value.imag) > EXACT for value in values)
    return Fate.CIRCLES if turns else Fate.UNDECIDED


class Updates(NamedTuple):
    """Plain gradient descent: rates of generator and critic, and who moves how often."""

    rates: tuple[float, float]
    n_critic: int = 1


@dataclass(frozen=True)
class Theory:
    """What linearisation at the equilibrium says; `continuous` of infinitely small steps."""

    eigenvalues: list[complex]
    continuous: Fate
    radius: dict[str, float]  # spectral radius of either way to take steps; empty without `Updates`
    discrete: dict[str, Fate]


def theory(game: Game, updates: Updates | None = None) -> Theory:
    """The Jacobian at the equilibrium, read for the flow and, given `updates`, for steps."""
    if game.jumps():
        return Theory([], Fate.JUMPS, {}, {})
    jacobian = game.jacobian(game.equilibrium)
    values = eigenvalues(jacobian)
    if updates is None:
        return Theory(values, flow(values), {}, {})
    operators = {
        "alternating": eigenvalues(alternating(jacobian, *updates)),
        "simultaneous": eigenvalues(simultaneous(jacobian, updates.rates)),
    }
    radius = {name: max(abs(value) for value in found) for name, found in operators.items()}
    discrete = {name: steps(found) for name, found in operators.items()}
    return Theory(values, flow(values), radius, discrete)


def distances(trajectory: Tensor, equilibrium: Tensor) -> Tensor:  # [T, 2], [2] -> [T]
    return (trajectory - equilibrium).norm(dim=1)


def fate_of(trajectory: Tensor, equilibrium: Tensor) -> Fate:
    """What a path [T, 2] did: the largest distance in its last quarter beside those before it.

    A circle has to be run through at least half within a quarter to be told from a spiral.
    """
    if not bool(trajectory.isfinite().all()):
        return Fate.DIVERGES
    if len(trajectory) < FEWEST:
        return Fate.UNDECIDED
    away = distances(trajectory, equilibrium)
    early, before, last = (part.max().item() for part in away.tensor_split(4)[1:])
    if last <= ARRIVED * away[0]:
        return Fate.CONVERGES
    if (trajectory[-len(trajectory) // 4 :].std(0) < STILL * last).all():
        return Fate.RESTS
    if abs(last - before) <= STEADY * before:
        return Fate.CIRCLES
    if last > before:
        return Fate.DIVERGES
    tires = math.log(before / last) < TIRING * math.log(early / before)
    return Fate.CREEPS if tires else Fate.CONVERGES
