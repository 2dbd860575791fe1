"""A fresh critic sees what differs, and only guesses where nothing does."""

import pytest
import torch

from gan_lab import UserError
from gan_lab.metrics.two_sample import accuracy_curve, binomial_interval, two_sample_test
from tests.metrics.conftest import byte_images


@pytest.mark.slow
def test_equal_distributions_leave_the_critic_guessing():
    result = two_sample_test(byte_images(400), byte_images(400, seed=1), 200, 200, steps=60)
    assert result.interval[0] < 0.5 < result.interval[1]
    assert len(result.accuracies) == 3
    assert result.accuracy == pytest.approx(sum(result.accuracies) / 3)


def test_different_distributions_are_told_apart():
    fake = byte_images(400, seed=1) // 2
    result = two_sample_test(byte_images(400), fake, 200, 200, seeds=[0], steps=60)
    assert result.interval[0] > 0.9


def test_the_same_seed_gives_the_same_accuracy_and_no_global_randomness():
    state = torch.random.get_rng_state()
    real, fake = byte_images(60), byte_images(60, seed=1) + 10
    one = two_sample_test(real, fake, 30, 30, seeds=[5], steps=3)
    assert one == two_sample_test(real, fake, 30, 30, seeds=[5], steps=3)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.slow
def test_accuracy_rises_with_the_number_of_training_images():
    real, fake = byte_images(600), byte_images(600, seed=1) + 15
    curve = accuracy_curve(real, fake, sizes=[4, 400], num_test=200, seeds=[0], steps=60)
    assert curve[4].accuracy < curve[400].accuracy


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match=r"num_train=30 and num_test=30 .* at most 50"):
        two_sample_test(byte_images(50), byte_images(90), 30, 30)


def test_wilson_interval_covers_as_often_as_it_says():
    random = torch.Generator().manual_seed(0)
    trials = (torch.rand(2000, 80, generator=random) < 0.9).float().mean(1)
    hits = [low < 0.9 < high for low, high in (binomial_interval(t.item(), 80) for t in trials)]
    assert sum(hits) / 2000 == pytest.approx(0.95, abs=0.025)
