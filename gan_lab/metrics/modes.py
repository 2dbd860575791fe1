"""Data whose modes are known: how many a generator finds, how closely, and how evenly."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.points import Mixture
from gan_lab.data.seeds import mix
from gan_lab.data.stacked_mnist import StackedMNIST
from gan_lab.metrics.card import Card
from gan_lab.metrics.coverage import Modes, mixture_modes, stacked_modes
from gan_lab.metrics.features import channel_classes, load_extractor
from gan_lab.metrics.intervals import Interval, centred_interval, mean_interval, resamples
from gan_lab.metrics.storage import content_hash

FIELDS = {
    "modes": "found",
    "high_quality": "high_quality",
    "mode_kl": "kl",
    "mode_misses": "misses",
}


@dataclass(frozen=True)
class KnownModes:
    """The judge of one data set.

    `read` turns samples into what modes are counted in [N, D]; `identity` names it in the card.
    """

    read: Callable[[Tensor], Tensor]
    count: Callable[[Tensor], Modes]
    names: tuple[str, ...]  # metrics that tell something about these data
    monitor: str  # what decides which checkpoint is best: one of them, or mode_misses
    num_samples: int  # as many as the papers compare
    identity: str

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Metric -> value; the monitor's as well, which reports need not repeat."""
        return self.values(self.read(samples))

    def values(self, readings: Tensor) -> dict[str, float]:
        modes, wanted = self.count(readings), dict.fromkeys([*self.names, self.monitor])
        return {name: getattr(modes, FIELDS[name]) for name in wanted}

    def intervals(self, readings: Tensor, seed: int) -> dict[str, Interval | None]:
        """By the bootstrap; a count of modes has none, for resampling only loses some."""
        draws = [self.count(readings[rows]).kl for rows in resamples(len(readings), 100, seed)]
        modes = self.count(readings)
        hits = (torch.arange(len(readings)) < round(modes.high_quality * len(readings))).double()
        found = {"high_quality": mean_interval(hits), "mode_kl": centred_interval(modes.kl, draws)}
        return {name: found.get(name) for name in self.names}


def known_modes(data: Any, device: torch.device | str = "cpu") -> KnownModes | None:
    """The judge of a datamodule's modes; None where nobody knows them.

    Raises:
        UserError: where the digits of stacked images cannot be read.
    """
    source = data.source
    if isinstance(source, Mixture):
        count = partial(mixture_modes, centres=source.centres, sigma=source.sigma)
        names: tuple[str, ...] = ("modes", "high_quality", "mode_kl")
        identity = "3 sigma of the centres"
        # The KL counts hits only: a generator that hits seldom but evenly would be the best one.
        return KnownModes(_itself, count, names, "mode_misses", 2_500, identity)
    if not isinstance(source, StackedMNIST):
        return None
    if data.image_shape not in ((3, 28, 28), (3, 32, 32)):
        raise UserError(
            f"data.image_shape={list(data.image_shape)}: stacked digits can be read in three "
            "channels of 28x28 or 32x32 only; set data.channels and data.image_size"
        )
    extractor = load_extractor(device=device)
    read = partial(channel_classes, extractor)
    names = ("modes", "mode_kl")  # every image shows some digit
    return KnownModes(read, stacked_modes, names, "mode_kl", 26_000, extractor.identity)


def _itself(points: Tensor) -> Tensor:
    return points


def evaluate_modes(
    fake: Tensor,
    data: Any,
    known: KnownModes,
    split: str = "test",
    seed: int = 0,
    ema: bool | None = None,
    truncation: float | None = None,
) -> dict[str, Any]:
    """The counterpart of `evaluate_images`: metrics with interval, floor and ceiling, and the card.

    The floor is as many real samples of `split`, the ceiling as much uniform noise.

    Raises:
        UserError: where the samples have another shape or type than the data.
    """
    train, reference = data.images("train")[0], data.images(split)[0]
    if fake.dtype != train.dtype or fake.shape[1:] != train.shape[1:] or len(fake) < 10:
        raise UserError(
            f"{len(fake)} samples {fake.dtype} {list(fake.shape[1:])} are given; compared with "
            f"{data.source.name} there must be 10 or more {train.dtype} {list(train.shape[1:])}"
        )
    random = torch.Generator().manual_seed(mix(0))
    real = reference[torch.randperm(len(reference), generator=random)[: len(fake)]]
    readings = known.read(fake)
    values, intervals = known.values(readings), known.intervals(readings, seed)
    floor, ceiling = known.measure(real), known.measure(noise_like(real, random))
    entries = {
        name: {
            "value": values[name],
            "interval": intervals[name],
            "floor": floor[name],
            "ceiling": ceiling[name],
        }
        for name in known.names
    }
    card = Card(
        data=data.source.name,
        split=split,
        num_real=len(real),
        num_train=len(train),
        num_fake=len(fake),
        image_shape=list(train.shape[1:]),
        real_sha256=content_hash(real),
        train_sha256=content_hash(train),
        extractor=known.identity,
        ema=ema,
        truncation=truncation,
        seed=seed,
    )
    return {"metrics": entries, "card": asdict(card)}


def noise_like(real: Tensor, random: torch.Generator) -> Tensor:
    """Uniform noise: pixels, or points in the rectangle that the real ones span.

    Where that has no width, it gets one of 1 to either side.
    """
    if real.dtype == torch.uint8:
        return torch.randint(256, real.shape, generator=random, dtype=torch.uint8)
    low, high = real.aminmax(dim=0)
    flat = (low == high).to(low.dtype)
    low, high = low - flat, high + flat
    return low + (high - low) * torch.rand(real.shape, generator=random)
