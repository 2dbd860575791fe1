"""Penalties in closed form on a linear and on a quadratic critic, in any shape and precision."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.launch.entry import compose_run
from gan_lab.launch.schema import build
from gan_lab.objectives.augment import Identity
from gan_lab.objectives.consistency import BalancedConsistency, LeCam
from gan_lab.objectives.losses import NonSaturating
from gan_lab.objectives.objective import Objective
from gan_lab.objectives.penalties import DRAGAN, R1, R2, GradientPenalty, WeightClipping

SHAPES = [(5, 1, 2, 2), (5, 3, 4, 4), (5, 2)]
DTYPES = [torch.float32, torch.float64]


def linear(x: Tensor) -> Tensor:
    return 3 * x.flatten(1).sum(1)


def quadratic(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1)


def drawn(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(shape, dtype=dtype), 2 + torch.randn(shape, dtype=dtype)


def length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_linear_critic(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """The gradient is 3 in each of d places: |g|^2 = 9 d, wherever it is taken."""
    real, fake = drawn(shape, dtype)
    d = real[0].numel()
    expected: dict[Any, float] = {R1(2.0): 9.0 * d, R2(2.0): 9.0 * d}
    expected |= {p: 10 * (3 * math.sqrt(d) - 1) ** 2 for p in (GradientPenalty(), DRAGAN())}
    for penalty, value in expected.items():
        found = penalty(linear, real, fake)
        torch.testing.assert_close(found, torch.full((5,), value, dtype=dtype))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_quadratic_critic(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """The gradient of |x|^2 is 2 x, taken where the penalty takes it."""
    real, fake = drawn(shape, dtype)
    torch.testing.assert_close(R1(0.5)(quadratic, real, fake), length(real).square())
    torch.testing.assert_close(R2(0.5)(quadratic, real, fake), length(fake).square())
    around = DRAGAN(weight=4.0, spread=0.0)(quadratic, real, fake)
    torch.testing.assert_close(around, 4 * (2 * length(real) - 1).square())
    between = GradientPenalty(weight=4.0)(quadratic, real, real)
    torch.testing.assert_close(between, 4 * (2 * length(real) - 1).square())


def places(penalty, real: Tensor, fake: Tensor) -> Tensor:
    """Where the penalty takes the critic's gradient."""
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return linear(x)

    penalty(critic, real, fake)
    return seen[0]


def test_gradient_penalty_looks_between_with_one_share_for_each_sample() -> None:
    torch.manual_seed(0)
    real, fake = torch.zeros(1000, 1, 2, 2), torch.ones(1000, 1, 2, 2)
    share = places(GradientPenalty(), real, fake).flatten(1)
    assert torch.equal(share, share[:, :1].expand(-1, 4))
    assert share.min() >= 0
    assert share.max() <= 1
    assert share[:, 0].mean().item() == pytest.approx(0.5, abs=0.04)
    assert share[:, 0].var().item() == pytest.approx(1 / 12, abs=0.01)  # of a uniform number


def test_dragan_looks_around_the_data_by_their_spread() -> None:
    torch.manual_seed(0)
    real = 5 + 3 * torch.randn(2000, 2)
    noise = places(DRAGAN(spread=0.5), real, real) - real
    reach = 0.25 * real.std()
    assert noise.abs().max() <= reach * 1.0001
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert (noise.std() / reach).item() == pytest.approx(1 / math.sqrt(3), abs=0.01)
    # in another unit everything is as before
    torch.manual_seed(1)
    small = places(DRAGAN(), real, real) / 100
    torch.manual_seed(1)
    torch.testing.assert_close(places(DRAGAN(), real / 100, real), small)


@pytest.mark.parametrize("penalty", [R1(2.0), R2(2.0), GradientPenalty(), DRAGAN()])
def test_gradient_penalties_train_the_critic(penalty) -> None:
    """With g = w in 4 places: d/dw of 4 w^2, or of 10 (2 |w| - 1)^2."""
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(2, 1, 2, 2)
    penalty(lambda x: weight * x.flatten(1).sum(1), images, images).mean().backward()
    assert weight.grad is not None
    expected = 24.0 if isinstance(penalty, (R1, R2)) else 20 * (2 * 3 - 1) * 2
    assert weight.grad.item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [R1(2.0), R2(2.0), GradientPenalty(), DRAGAN()])
def test_a_critic_without_slope_gives_no_nan(penalty) -> None:
    weight = torch.zeros((), requires_grad=True)
    images = torch.ones(2, 1, 2, 2)
    penalty(lambda x: weight * x.flatten(1).sum(1), images, images).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 0


def test_weight_clipping_bounds_weights_and_leaves_statistics() -> None:
    layer, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.5], [0.003, -0.004]]))
    norm.register_buffer("running_mean", torch.full((2,), 7.0))
    penalty = WeightClipping(0.01)
    penalty.constrain(nn.Sequential(layer, norm))
    expected = torch.tensor([[0.01, -0.01], [0.003, -0.004]])
    torch.testing.assert_close(layer.weight.detach(), expected)
    assert norm.state_dict()["running_mean"].tolist() == [7.0, 7.0]
    assert not callable(penalty)  # it is no term of the loss


def centre_pixel(x: Tensor) -> Tensor:
    return x[:, 0, 8, 8]


@pytest.mark.parametrize("dtype", DTYPES)
def test_consistency_of_linear_and_quadratic_critics(dtype: torch.dtype) -> None:
    """A ramp's pixel changes by the shift k, |k| <= 4, and its square by 64 - (8 - k)^2."""
    torch.manual_seed(0)
    real = torch.arange(17.0, dtype=dtype).expand(2000, 1, 17, 17)  # its value is the column's
    flat = torch.zeros_like(real)
    values = BalancedConsistency(10.0, 7.0)(centre_pixel, real, flat)
    assert values.dtype == dtype
    assert set(values.tolist()) == {0.0, 10.0, 40.0, 90.0, 160.0}
    assert values.mean().item() == pytest.approx(10 * 60 / 9, rel=0.05)  # mean of k^2
    on_fakes = BalancedConsistency(10.0, 7.0)(centre_pixel, flat, real)
    assert set(on_fakes.tolist()) == {0.0, 7.0, 28.0, 63.0, 112.0}
    squares = BalancedConsistency(1.0, 0.0)(lambda x: centre_pixel(x).square(), real, flat)
    assert set(squares.tolist()) == {float((64 - (8 - k) ** 2) ** 2) for k in range(-4, 5)}


def test_consistency_of_a_critic_that_cannot_see_shifts_is_0() -> None:
    real, fake = torch.rand(2, 4, 1, 1, 1).expand(2, 4, 1, 9, 9)
    values = BalancedConsistency()(linear, real, fake)
    torch.testing.assert_close(values, torch.zeros(4))


def test_consistency_flips_only_where_asked() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(9.0).expand(400, 1, 9, 9)

    def slope(x: Tensor) -> Tensor:
        return x[:, 0, 4, 5] - x[:, 0, 4, 4]

    kept = BalancedConsistency(pixels=3).transform(ramp)
    assert (slope(kept) == 1).all()
    mirrored = slope(BalancedConsistency(pixels=3, flip=True).transform(ramp)) == -1
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_consistency_refuses_points() -> None:
    points = torch.zeros(3, 2)
    with pytest.raises(UserError, match="penalty=balanced_consistency moves pixels"):
        BalancedConsistency()(linear, points, points)


def test_lecam_against_hand_computation() -> None:
    """Averages 1 and -1 from the first call, 0.5 * old + 0.5 * new afterwards."""
    penalty = LeCam(weight=2.0, decay=0.5, start=1)
    first = penalty(torch.tensor([0.0, 2.0]), torch.tensor([-1.0, -1.0]))
    assert first.tolist() == [0.0, 0.0]  # only averages
    second = penalty(torch.tensor([3.0, 1.0]), torch.tensor([0.0, -2.0]))
    # 2 ((r + 1)^2 + (f - 1)^2)
    assert second.tolist() == [2 * (16 + 1), 2 * (4 + 9)]
    assert penalty.real_mean.item() == pytest.approx(0.5 * 1 + 0.5 * 2)
    assert penalty.fake_mean.item() == pytest.approx(0.5 * -1 + 0.5 * -1)


def test_lecam_starts_after_so_many_calls_and_goes_on_from_its_state() -> None:
    logits = torch.ones(2), torch.zeros(2)
    penalty = LeCam(start=3)
    assert [bool(penalty(*logits).any()) for _ in range(5)] == [False] * 3 + [True] * 2
    other = LeCam(start=3)
    other.load_state_dict(penalty.state_dict())
    further = 2 * torch.ones(2), -torch.ones(2)
    assert torch.equal(other(*further), penalty(*further))
    assert torch.equal(other.real_mean, penalty.real_mean)


def test_lecam_holds_the_critic_back() -> None:
    penalty = LeCam(start=0)
    penalty(torch.ones(2), -torch.ones(2))
    real, fake = torch.ones(2, requires_grad=True), (-torch.ones(2)).requires_grad_()
    penalty(real, fake).sum().backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert torch.equal(real.grad, torch.full((2,), 0.3 * 2 * 2))
    assert torch.equal(fake.grad, -real.grad)


REFUSED = [
    (R1, {"gamma": -0.1}),
    (R1, {"gamma": 1.0, "interval": 0}),
    (R2, {"gamma": -0.1}),
    (R2, {"gamma": 1.0, "interval": 0}),
    (GradientPenalty, {"weight": -1.0}),
    (GradientPenalty, {"interval": -3}),
    (DRAGAN, {"weight": -1.0}),
    (DRAGAN, {"spread": -1.0}),
    (DRAGAN, {"interval": 0}),
    (WeightClipping, {"bound": 0.0}),
    (BalancedConsistency, {"lambda_real": -1.0}),
    (BalancedConsistency, {"lambda_fake": -1.0}),
    (BalancedConsistency, {"pixels": -1}),
    (BalancedConsistency, {"interval": 0}),
    (LeCam, {"weight": -1.0}),
    (LeCam, {"decay": 1.0}),
    (LeCam, {"start": -1}),
]


@pytest.mark.parametrize(("kind", "arguments"), REFUSED)
def test_arguments_that_are_refused(kind, arguments: dict[str, float]) -> None:
    name, value = list(arguments.items())[-1]
    with pytest.raises(UserError, match=f"penalty {name}={value} must"):
        kind(**arguments)


class Linear(nn.Module):
    """0.1 * sum(x), in the precision that autocast asks for."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 1, bias=False)
        nn.init.constant_(self.layer.weight, 0.1)  # not a number of bfloat16

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layer(images.flatten(1)).squeeze(1)


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        (R1(2.0, 4), 4 * 81 * 0.01),
        (R2(2.0, 4), 4 * 81 * 0.01),
        (GradientPenalty(interval=4), 4 * 10 * (0.1 * 9 - 1) ** 2),
        (DRAGAN(interval=4), 4 * 10 * (0.1 * 9 - 1) ** 2),
        (BalancedConsistency(pixels=0, interval=4), 0.0),
    ],
)
def test_objective_computes_them_in_float32_and_weighs_their_interval(
    penalty, value: float
) -> None:
    objective = Objective(NonSaturating(), {"term": penalty}, Identity())
    critic, (real, fake) = Linear(81), drawn((4, 1, 9, 9))
    with torch.autocast("cpu", torch.bfloat16):
        all_terms = [
            objective.discriminator_terms(critic, real, fake, None, step)[0] for step in range(5)
        ]
    assert [step for step, terms in enumerate(all_terms) if "term" in terms] == [0, 4]
    assert all_terms[4]["term"].dtype == torch.float32
    # bfloat16 would make 0.1 of it 0.10009765625, and be a tenth of a percent off
    assert all_terms[4]["term"].item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ["r1"]),
        (["penalty=none"], []),
        (["penalty=r2"], ["r2"]),
        (["penalty=[r1,r2]"], ["r1", "r2"]),
        (["penalty=[gradient_penalty,lecam,balanced_consistency]"], None),
        (["experiment=dcgan_mnist", "penalty=[r1,r2]"], ["r1", "r2"]),
        (["experiment=mlp_mnist", "penalty=[r1,r2]", "penalty.r2.gamma=3"], ["r1", "r2"]),
    ],
)
def test_penalties_compose(overrides: list[str], names: list[str] | None) -> None:
    config, _ = compose_run("train", overrides)
    expected = ["gradient_penalty", "lecam", "balanced_consistency"] if names is None else names
    assert list(config.penalty) == expected
    for name, node in config.penalty.items():
        build(node, f"penalty.{name}")
    if "penalty.r2.gamma=3" in overrides:
        assert config.penalty.r2.gamma == 3


def test_a_packed_critic_has_one_gradient_a_pack() -> None:
    """Linear with |w| = 1 over two images together: R1 is gamma / 2, and WGAN-GP finds nothing."""
    weight = torch.full((2, 1, 2, 2), 8**-0.5)

    def critic(images: Tensor) -> Tensor:
        return (images.unflatten(0, (-1, 2)) * weight).flatten(1).sum(1)

    images = torch.randn(6, 1, 2, 2)
    torch.testing.assert_close(R1(gamma=2.0)(critic, images, images), torch.ones(3))
    found = GradientPenalty()(critic, images, images)
    torch.testing.assert_close(found, torch.zeros(3), atol=1e-10, rtol=0)
