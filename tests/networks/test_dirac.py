"""Players of one parameter each."""

import pytest
import torch

from gan_lab import UserError
from gan_lab.networks.dirac import Discriminator, Generator


@pytest.mark.parametrize("shape", [(1,), (3, 8, 8)])
def test_all_samples_lie_at_theta_and_the_critic_is_a_line(shape: tuple[int, ...]) -> None:
    generator, discriminator = Generator(shape, start=-0.7), Discriminator(start=2.0, offset=0.5)
    samples = generator(torch.randn(5, 1))
    assert samples.shape == (5, *shape)
    assert torch.equal(samples, torch.full_like(samples, -0.7))
    torch.testing.assert_close(discriminator(samples), torch.full((5,), 0.5 - 1.4))


def test_either_has_one_parameter_to_train() -> None:
    for player in (Generator((1,)), Discriminator(offset=0.5)):
        assert sum(p.numel() for p in player.parameters() if p.requires_grad) == 1


def test_a_shape_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"image_shape=\[0\] must have at least one place"):
        Generator((0,))


def test_labels_are_refused() -> None:
    for make in (lambda: Generator((1,), conditioning="embedding"), projecting):
        with pytest.raises(UserError, match="know no labels; use conditioning=none"):
            make()


def projecting() -> Discriminator:
    return Discriminator(conditioning="projection")
