"""The measures that tell a healthy game from an ill one, on samples whose answer is known."""

import pytest
import torch

from gan_lab.metrics.health import (
    Reference,
    auc,
    class_balance,
    diversity,
    effective_number,
    energy_coefficient,
    motion,
    reversal,
)


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(400, 5, generator=torch.Generator().manual_seed(0))


def test_energy_coefficient_orders_shifts_and_is_near_zero_for_equals(points) -> None:
    first, second = points[:200], points[200:]
    values = [energy_coefficient(first + shift, second) for shift in (0, 0.5, 2, 20)]
    assert abs(values[0]) < 0.01
    assert values == sorted(values)
    assert values[-1] > 0.9


def test_energy_coefficient_of_gaussians_has_its_closed_form() -> None:
    draws = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1)).double()
    fake, real = draws[:, :1] + 10, draws[:, 1:]
    # Far apart: E|X - Y| = 10, E|X - X'| = 2 / sqrt(pi).
    assert energy_coefficient(fake, real) == pytest.approx(1 - 2 / torch.pi**0.5 / 10, abs=0.01)


def test_repeated_samples_are_less_diverse(points) -> None:
    real = Reference(points[:200], None)
    healthy = diversity(points[200:], real)
    few = diversity(points[200:205].repeat(40, 1), real)
    assert healthy["duplicates"] < 0.1
    assert few["duplicates"] == 1.0
    assert few["spread"] < healthy["spread"]
    assert few["distance"] > healthy["distance"]


def test_missing_classes_are_counted_beside_those_of_the_data() -> None:
    expected = torch.tensor([10, 10, 10, 0])
    assert class_balance(torch.tensor([10, 10, 10, 0]), expected) == {
        "classes": 3,
        "classes_expected": 3,
        "effective_classes": pytest.approx(1.0),
    }
    misread = class_balance(torch.tensor([10, 10, 10, 0]), torch.tensor([10, 10, 10, 1]))
    assert misread["classes_expected"] == 3
    lost = class_balance(torch.tensor([30, 0, 0, 3]), expected)
    assert lost["classes"] == 1  # a class that the data do not have does not count
    assert lost["effective_classes"] < 0.5


def test_auc_needs_no_scale_and_no_threshold() -> None:
    assert auc(torch.tensor([5.0, 6.0]), torch.tensor([-1e3, 4.0])) == 1.0
    assert auc(torch.zeros(7), torch.zeros(5)) == 0.5
    assert auc(torch.tensor([0.0]), torch.tensor([1.0])) == 0.0


def test_effective_number_of_even_classes_is_their_number() -> None:
    assert effective_number(torch.full((10,), 7)) == pytest.approx(10.0)


def test_motion_is_per_thousand_images_in_units_of_the_data() -> None:
    before, now = torch.zeros(4, 3), torch.full((4, 3), 2.0)
    assert motion(now, before, scale=12**0.5, images=500) == pytest.approx(2.0)


def test_reversal_of_noise_around_a_place_is_minus_a_half() -> None:
    places = torch.randn(3, 500, 200, generator=torch.Generator().manual_seed(2))
    assert reversal(places[2] - places[1], places[1] - places[0]) == pytest.approx(-0.5, abs=0.02)
