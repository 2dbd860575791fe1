"""Can a fresh critic tell generated images from real ones? (Lopez-Paz & Oquab 2017)

50 % is a perfect generator; accuracy a bounds the total variation from below by 2 a - 1.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.data.images import to_float
from gan_lab.data.seeds import mix


class TwoSample(NamedTuple):
    """Accuracy on images that no critic has seen: mean over seeds, each seed, 95 % interval."""

    accuracy: float
    accuracies: list[float]
    interval: tuple[float, float]


def two_sample_test(
    real: Tensor,
    fake: Tensor,
    num_train: int,
    num_test: int,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 500,
) -> TwoSample:
    """Train a critic per seed on `num_train` of each kind, test it on `num_test` others of each.

    Takes uint8 images [N, C, H, W] that the generator was not trained on, and fakes that went
    through the same rounding. Each critic gets the same number of steps, so that accuracy over
    `num_train` shows what the images give away. The binomial interval counts one seed's test
    images, since the seeds share some of them.
    """
    available = min(len(real), len(fake))
    if num_train < 1 or num_test < 1 or num_train + num_test > available:
        raise UserError(
            f"num_train={num_train} and num_test={num_test} must each be at least 1 and add up to "
            f"at most {available}, the images there are of each kind; give more or ask for fewer"
        )
    accuracies = [_one_seed(real, fake, num_train, num_test, seed, steps) for seed in seeds]
    accuracy = sum(accuracies) / len(accuracies)
    return TwoSample(accuracy, accuracies, binomial_interval(accuracy, 2 * num_test))


def accuracy_curve(
    real: Tensor, fake: Tensor, sizes: Sequence[int], num_test: int, **options: Any
) -> dict[int, TwoSample]:
    """The test for several training sizes: how many images does it take to see a difference?"""
    return {size: two_sample_test(real, fake, size, num_test, **options) for size in sizes}


def binomial_interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval (1927) for a share among `count` independent trials.

    >>> [round(bound, 3) for bound in binomial_interval(0.5, 100)]
    [0.404, 0.596]
    """
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    half = z / (1 + z**2 / count) * spread
    return centre - half, centre + half


def build_critic(channels: int) -> nn.Sequential:
    """Images [N, C, H, W] of any size from 8 up -> logits [N]: above 0 for real."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 24), (24, 48), (48, 96)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
        ]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 96, 1), nn.Flatten(0)]
    return nn.Sequential(*layers, *head)


def _one_seed(
    real: Tensor, fake: Tensor, num_train: int, num_test: int, seed: int, steps: int
) -> float:
    random = torch.Generator().manual_seed(mix(seed))
    parts = [
        kind[torch.randperm(len(kind), generator=random)[: num_train + num_test]]
        for kind in (real, fake)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, 1))
        critic = build_critic(real.shape[1])
    _train(critic, parts[0][:num_train], parts[1][:num_train], steps, random)
    right = [
        (_logits(critic, part[num_train:]) > 0) == is_real
        for part, is_real in zip(parts, (True, False), strict=True)
    ]
    return torch.cat(right).float().mean().item()


def _train(
    critic: nn.Module, real: Tensor, fake: Tensor, steps: int, random: torch.Generator
) -> None:
    images = torch.cat([real, fake])
    targets = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
    optimizer = torch.optim.AdamW(critic.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    critic.train()
    for rows in _batches(len(images), steps, random):
        loss = F.binary_cross_entropy_with_logits(critic(to_float(images[rows])), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _batches(count: int, steps: int, random: torch.Generator) -> Iterator[Tensor]:
    """`steps` batches of about 128 rows, epoch after epoch; two rows at least, for batch norm."""
    per_epoch = max(1, count // 128)
    for step in range(steps):
        if step % per_epoch == 0:
            parts = torch.randperm(count, generator=random).tensor_split(per_epoch)
        yield parts[step % per_epoch]


@torch.no_grad()
def _logits(critic: nn.Module, images: Tensor) -> Tensor:
    critic.eval()
    return torch.cat([critic(to_float(batch)) for batch in images.split(500)])
