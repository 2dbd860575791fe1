"""Latent recovery on a linear generator, whose smallest errors are known."""

import pytest
import torch

from gan_lab.metrics.recovery import kolmogorov_smirnov, recover, recovery_gap
from tests.metrics.conftest import normal

BASIS = normal(4, 36, seed=9) / 12


def linear(latents: torch.Tensor) -> torch.Tensor:
    return (latents @ BASIS).view(-1, 1, 6, 6)


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def test_recovery_finds_the_least_squares_error():
    targets = as_bytes(torch.cat([linear(normal(10, 4)), 0.3 * normal(10, 36).view(-1, 1, 6, 6)]))
    floats = targets.float().flatten(1) / 127.5 - 1
    best = torch.linalg.lstsq(BASIS.T, floats.T).solution.T @ BASIS
    expected = (best - floats).square().mean(1)
    errors = recover(linear, targets, latent_dim=4, restarts=2)
    torch.testing.assert_close(errors, expected, rtol=0.02, atol=1e-5)
    assert errors[:10].max() < errors[10:].min() / 10


def test_recovery_does_not_depend_on_the_batch_size_nor_touch_the_generator():
    targets = as_bytes(linear(normal(6, 4)))
    weight = BASIS.clone().requires_grad_(True)

    def generator(latents):
        return (latents @ weight).view(-1, 1, 6, 6)

    one = recover(generator, targets, 4, steps=20, restarts=1, batch_size=2)
    two = recover(generator, targets, 4, steps=20, restarts=1, batch_size=6)
    torch.testing.assert_close(one, two)
    assert weight.grad is None


def test_more_restarts_never_hurt():
    targets = as_bytes(linear(normal(6, 4)))

    def bumpy(latents):
        return linear(latents + latents.mul(5).sin())

    one = recover(bumpy, targets, 4, steps=30, restarts=1)
    three = recover(bumpy, targets, 4, steps=30, restarts=3)
    assert (three <= one).all()
    assert (three < one).any()


def test_gap_of_a_generator_that_knows_its_training_images():
    known, unknown = normal(200, 1)[:, 0].exp(), 2 * normal(200, 1, seed=1)[:, 0].exp()
    gap, p_value = recovery_gap(known, unknown)
    assert gap == pytest.approx(0.5, abs=0.15)
    assert p_value < 1e-4
    fair = recovery_gap(known, normal(200, 1, seed=2)[:, 0].exp())
    assert abs(fair.gap) < 0.2
    assert fair.p_value > 0.05


def test_kolmogorov_smirnov_against_plain_loops():
    x, y = normal(30, 1)[:, 0], normal(50, 1, seed=1)[:, 0] + 0.3
    places = torch.cat([x, y]).tolist()
    gaps = [abs(sum(x <= p).item() / 30 - sum(y <= p).item() / 50) for p in places]
    assert kolmogorov_smirnov(x, y)[0] == pytest.approx(max(gaps))


def test_p_values_are_uniform_under_the_null():
    values = [
        kolmogorov_smirnov(normal(300, 1, seed=2 * i)[:, 0], normal(300, 1, seed=2 * i + 1)[:, 0])[
            1
        ]
        for i in range(300)
    ]
    assert sum(value < 0.1 for value in values) / 300 == pytest.approx(0.1, abs=0.05)
    assert sum(value < 0.5 for value in values) / 300 == pytest.approx(0.5, abs=0.08)


@pytest.mark.slow
def test_a_generator_that_stores_its_training_images_is_caught():
    """Positive control: it can draw mixtures of 16 stored images, and nothing else."""
    images = 0.5 * normal(32, 36, seed=4).view(-1, 1, 6, 6)
    stored, unseen = images[:16], images[16:]

    def generator(latents):
        return torch.einsum("nk,kchw->nchw", (4 * latents).softmax(1), stored)

    errors = [recover(generator, as_bytes(part), 16, steps=300) for part in (stored, unseen)]
    gap, p_value = recovery_gap(*errors)
    assert gap > 0.9
    assert p_value < 0.01


def test_labels_of_the_targets_are_told_to_the_generator() -> None:
    """A generator whose images are their labels is recovered exactly by the right ones only."""

    def generator(latents, labels):
        return (latents.sum(1) * 0 + labels / 10)[:, None, None, None].expand(-1, 1, 2, 2)

    labels = torch.tensor([0, 5, 10])
    targets = ((labels / 10 + 1) * 127.5).round()[:, None, None, None].expand(-1, 1, 2, 2).byte()
    right = recover(generator, targets, 4, steps=1, restarts=1, batch_size=2, labels=labels)
    wrong = recover(generator, targets, 4, steps=1, restarts=1, batch_size=2, labels=labels.flip(0))
    assert (right < 1e-4).all()
    assert wrong[0] > 0.5
