"""Penalties in closed form; the sum of terms; lazy intervals; what each player's step may touch."""

import pytest
import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.objectives.augment import Identity
from gan_lab.objectives.losses import LeastSquares, NonSaturating
from gan_lab.objectives.objective import Critic, Objective
from gan_lab.objectives.penalties import R1


def test_r1_of_a_linear_critic() -> None:
    """The gradient of 3 * sum(x) is 3 in each of 4 pixels: gamma / 2 * 4 * 9 = 36 for gamma 2."""
    images = torch.randn(5, 1, 2, 2)
    values = R1(gamma=2.0)(lambda x: 3 * x.flatten(1).sum(1), images, images)
    torch.testing.assert_close(values, torch.full((5,), 36.0))


def test_r1_of_a_quadratic_critic() -> None:
    """The gradient of sum(x^2) is 2x: gamma / 2 * 4 |x|^2."""
    real = torch.randn(3, 1, 4, 4)
    values = R1(gamma=0.5)(lambda x: x.square().flatten(1).sum(1), real, real)
    torch.testing.assert_close(values, real.square().flatten(1).sum(1))


def test_r1_trains_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(1, 1, 2, 2)
    R1(2.0)(lambda x: weight * x.flatten(1).sum(1), images, images).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(24.0)  # d/dw of 4 w^2


@pytest.mark.parametrize(("gamma", "interval"), [(-0.1, 1), (1.0, 0)])
def test_r1_refuses(gamma: float, interval: int) -> None:
    with pytest.raises(UserError, match=r"must"):
        R1(gamma, interval)


class Linear(nn.Module):
    """3 * sum(x) with a weight to train, for 2x2 images."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1, bias=False)
        nn.init.constant_(self.layer.weight, 3.0)

    def forward(self, images, labels=None):
        return self.layer(images.flatten(1)).squeeze(1)


def terms_at(step: int, interval: int = 4):
    objective = Objective(NonSaturating(), {"r1": R1(2.0, interval)}, Identity())
    real, fake = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    return objective.discriminator_terms(Linear(), real, fake, None, step)[0]


def test_lazy_penalty_is_due_every_interval_and_scaled() -> None:
    due = [step for step in range(9) if "r1" in terms_at(step)]
    assert due == [0, 4, 8]
    assert terms_at(0)["r1"].item() == pytest.approx(4 * 36.0)
    assert terms_at(0, interval=1)["r1"].item() == pytest.approx(36.0)


def test_penalty_computes_in_float32_under_autocast() -> None:
    seen = []

    class Probe:
        interval = 1

        def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
            seen.append((critic(real).dtype, real.dtype))
            return critic(real)

    objective = Objective(NonSaturating(), {"probe": Probe()}, Identity())
    images = torch.zeros(2, 1, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        _, real_logits, _ = objective.discriminator_terms(Linear(), images, images, None, 0)
    assert real_logits.dtype == torch.bfloat16
    assert seen == [(torch.float32, torch.float32)]


def test_real_images_cost_nothing_in_the_generator_step_unless_relativistic() -> None:
    calls = []

    class Counting(Linear):
        def forward(self, images, labels=None):
            calls.append(len(images))
            return super().forward(images, labels)

    objective = Objective(NonSaturating(), {}, Identity())
    objective.generator_terms(Counting(), torch.zeros(2, 1, 2, 2), torch.zeros(3, 1, 2, 2), None)
    assert calls == [3]
    objective.loss.relativistic = True
    objective.generator_terms(Counting(), torch.zeros(2, 1, 2, 2), torch.zeros(3, 1, 2, 2), None)
    assert calls == [3, 2, 3]


class OfPoints(nn.Module):
    """A small discriminator of points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))

    def forward(self, points: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(points)


def test_two_dimensional_game_learns() -> None:
    """The objective alone moves a generator of points to the data's mean."""
    torch.manual_seed(0)
    mean = nn.Parameter(torch.zeros(2))
    discriminator = OfPoints()
    objective = Objective(NonSaturating(), {"r1": R1(0.5)}, Identity())
    optimizer_d = torch.optim.Adam(discriminator.parameters(), 1e-2, betas=(0.0, 0.9))
    optimizer_g = torch.optim.Adam([mean], 1e-2, betas=(0.0, 0.9))
    for step in range(600):
        real = torch.randn(64, 2) * 0.3 + torch.tensor([1.0, -0.5])
        fake = torch.randn(64, 2) * 0.3 + mean
        terms, *_ = objective.discriminator_terms(discriminator, real, fake.detach(), None, step)
        optimizer_d.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        objective.generator_terms(discriminator, real, fake, None)["loss"].backward()
        optimizer_g.step()
    torch.testing.assert_close(mean.detach(), torch.tensor([1.0, -0.5]), atol=0.25, rtol=0)


class Watching(Identity):
    """Keeps what an adaptive augmentation is told."""

    def observe(self, real_logits: Tensor) -> None:
        self.told = real_logits


def test_an_augmentation_is_told_logits_from_the_threshold_up() -> None:
    """Least squares decides at 0.5: what is above counts as sure of reals."""
    objective = Objective(LeastSquares(), {}, Watching())
    images = torch.full((2, 1, 2, 2), 0.05)  # 3 * 4 * 0.05 = 0.6
    objective.discriminator_terms(Linear(), images, images, None, 0)
    torch.testing.assert_close(objective.augment.told, torch.full((2,), 0.1))


class Counting(Linear):
    """Counts the passes through it; `solitary` says that one may serve both kinds of images."""

    def __init__(self, solitary: bool) -> None:
        super().__init__()
        self.solitary = solitary
        self.passes = 0

    def forward(self, images, labels=None):
        self.passes += 1
        assert labels is None or len(labels) == len(images)
        return super().forward(images, labels)


@pytest.mark.parametrize("labels", [None, torch.arange(3)])
def test_one_pass_serves_real_and_fake_where_the_critic_allows_it(labels: Tensor | None) -> None:
    objective = Objective(NonSaturating(), {}, Identity())
    real, fake = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    found = {}
    for solitary, passes in ((True, 1), (False, 2)):
        critic = Counting(solitary)
        terms, *logits = objective.discriminator_terms(critic, real, fake, labels, 0)
        assert critic.passes == passes
        found[solitary] = terms["loss"], *logits
    for one, two in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, two)
