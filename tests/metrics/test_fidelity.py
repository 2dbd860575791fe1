"""FID, KID and Inception Score against torchmetrics, closed forms and plain loops."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from gan_lab import UserError
from gan_lab.metrics import fidelity
from gan_lab.metrics.intervals import centred_interval, fid_interval
from tests.metrics.conftest import normal

REAL = normal(300, 8).double()
FAKE = normal(300, 8, seed=1).double() * 1.3 + 0.2


class Passing(nn.Module):
    """torchmetrics wants a network: this one returns the features that it is given."""

    num_features = 8

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_fid_agrees_with_torchmetrics():
    theirs = FrechetInceptionDistance(feature=Passing())
    theirs.update(REAL, real=True)
    theirs.update(FAKE, real=False)
    assert fidelity.fid(REAL, FAKE) == pytest.approx(theirs.compute().item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kid_agrees_with_torchmetrics():
    theirs = KernelInceptionDistance(feature=Passing(), subsets=7, subset_size=50)
    theirs.update(REAL, real=True)
    theirs.update(FAKE, real=False)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = [value.item() for value in theirs.compute()]
    ours = fidelity.kid(REAL, FAKE, subsets=7, subset_size=50, seed=3)
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore`")
def test_inception_score_agrees_with_torchmetrics():
    logits = 3 * normal(200, 8).double()
    theirs = InceptionScore(feature=Passing(), splits=5)
    theirs.update(logits)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        expected = [value.item() for value in theirs.compute()]
    ours = fidelity.inception_score(logits, splits=5, seed=4)
    assert ours == pytest.approx(expected, abs=1e-6)


def test_frechet_distance_of_commuting_gaussians():
    """Diagonal covariances: sum of (m1 - m2)^2 + (s1 - s2)^2 over the axes."""
    one, two = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 4.0, 1.0])
    real = fidelity.Moments(torch.zeros(3).double(), one.square().diag().double())
    fake = fidelity.Moments(torch.full((3,), 2.0).double(), two.square().diag().double())
    assert fidelity.frechet_distance(real, fake) == pytest.approx(12 + 9 + 4 + 4)


def test_fid_of_rotated_gaussians():
    """tr(S1 + S2 - 2 (S1 S2)^1/2) where S2 is S1 turned by 90 degrees: 2 (a - b)^2."""
    real = fidelity.Moments(torch.zeros(2).double(), torch.tensor([9.0, 1.0]).diag().double())
    fake = fidelity.Moments(torch.zeros(2).double(), torch.tensor([1.0, 9.0]).diag().double())
    assert fidelity.frechet_distance(real, fake) == pytest.approx(2 * (3 - 1) ** 2)


def test_fid_of_fewer_samples_than_features():
    """Orthogonal rank-one covariances share nothing, so that only the traces remain."""
    line = torch.linspace(-1, 1, 5).double()
    real, fake = torch.zeros(2, 5, 64).double().unbind()
    real[:, 0], fake[:, 1] = line, 2 * line
    assert fidelity.fid(real, real) == pytest.approx(0, abs=1e-9)
    assert fidelity.fid(real, fake) == pytest.approx(5 * line.var().item(), rel=1e-9)


def test_fid_of_float32_features_is_computed_in_float64():
    real, fake = 1000 + REAL, 1000 + FAKE
    assert fidelity.fid(real.float(), fake.float()) == pytest.approx(
        fidelity.fid(REAL, FAKE), rel=1e-3
    )


def test_weights_count_repeated_rows():
    rows = torch.tensor([0, 0, 3, 5, 5, 5])
    weights = torch.bincount(rows, minlength=len(REAL))
    weighted, repeated = fidelity.moments(REAL, weights), fidelity.moments(REAL[rows])
    torch.testing.assert_close(weighted.mean, repeated.mean)
    torch.testing.assert_close(weighted.covariance, repeated.covariance)


def test_fid_infinity_removes_most_of_the_bias():
    real, fake = normal(20000, 16), normal(3000, 16, seed=1)
    biased = fidelity.fid(real, fake)
    unbiased = fidelity.fid_infinity(real, fake)
    assert abs(unbiased) < biased / 3 + 0.001
    assert unbiased == fidelity.fid_infinity(real, fake)


def test_fid_infinity_refuses_too_few_samples():
    with pytest.raises(UserError, match="more than 16 generated samples of 8 features, got 10"):
        fidelity.fid_infinity(REAL, FAKE[:10])


def test_fid_per_class_sees_the_class_that_is_wrong():
    labels = torch.arange(300) % 3
    fake = REAL.clone()
    fake[labels == 1] += 5
    values = fidelity.fid_per_class(REAL, labels, fake, labels)
    assert [values[0], values[2]] == pytest.approx([0, 0], abs=1e-9)
    assert values[1] == pytest.approx(8 * 25)
    missing = fidelity.fid_per_class(REAL, labels, fake[labels > 0], labels[labels > 0])
    assert math.isnan(missing[0])


def test_kid_against_plain_loops():
    real, fake = REAL[:6], FAKE[:6]

    def kernel(x, y):
        return (float(x @ y) / 8 + 1) ** 3

    def within(points):
        pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
        return sum(kernel(points[i], points[j]) for i, j in pairs) / len(pairs)

    between = sum(kernel(x, y) for x in real for y in fake) / 36
    expected = within(real) + within(fake) - 2 * between
    value, deviation = fidelity.kid(real, fake, subsets=2, subset_size=6)
    assert value == pytest.approx(expected, rel=1e-12)
    assert deviation == pytest.approx(0, abs=1e-12)


def test_kid_is_unbiased_and_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    mean, deviation = fidelity.kid(normal(2000, 8), normal(2000, 8, seed=1), 50, 200)
    assert abs(mean) < deviation
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("size", [1, 301])
def test_kid_refuses_a_wrong_subset_size(size):
    with pytest.raises(UserError, match=rf"subset_size is {size}; it must lie in \[2, 300\]"):
        fidelity.kid(REAL, FAKE, subset_size=size)


def test_inception_score_of_one_class_is_one():
    logits = torch.zeros(100, 10)
    logits[:, 3] = 50
    assert fidelity.inception_score(logits)[0] == pytest.approx(1)


def test_wrong_shapes_are_named():
    with pytest.raises(UserError, match=r"features have shape \[1, 8\]; at least \[2, F\]"):
        fidelity.fid(REAL[:1], FAKE)


def test_fid_interval_contains_the_value_and_narrows_with_more_samples():
    widths = []
    for count in (100, 3000):
        fake = normal(count, 8, seed=1) + 0.5
        value = fidelity.fid(REAL, fake)
        low, high = fid_interval(REAL, fake, value, replicates=40)
        assert low < value < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_centred_interval_ignores_a_common_shift():
    draws = [float(i) for i in range(101)]
    assert centred_interval(0.0, draws) == pytest.approx((-47.5, 47.5))
    assert centred_interval(0.0, [100 + draw for draw in draws]) == pytest.approx((-47.5, 47.5))
