"""Every metric of the protocol by name: one function from a comparison to a value with interval.

Each raises UserError where there are too few images for it.
"""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics import coverage, fidelity, memorization
from gan_lab.metrics.features import ImageFeatures
from gan_lab.metrics.intervals import (
    Interval,
    centred_interval,
    fid_interval,
    mean_interval,
    resamples,
    spread_interval,
)
from gan_lab.metrics.reals import Neighbours, RealSide, Sample


class Measure(NamedTuple):
    """A value, and its 95 % interval where one was asked for."""

    value: float
    interval: Interval | None


class Comparison:
    """One sample against the reals; what several metrics need is computed once.

    `reference` and its neighbours default to the whole held-out split. Without `replicates` the
    intervals that take resampling are left out.
    """

    def __init__(self, fake: Sample, real: RealSide, seed: int = 0, replicates: int = 100):
        self.fake = fake
        self.real = real
        self.seed = seed
        self.replicates = replicates

    @cached_property
    def reference(self) -> Sample:
        return self.real.reference

    @cached_property
    def reference_neighbours(self) -> Neighbours:
        return self.real.neighbours

    @cached_property
    def neighbours(self) -> Neighbours:
        return self.real.nearest(self.fake)

    @cached_property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Features of the reference and of the fakes."""
        return self.reference.features, self.fake.features

    @cached_property
    def precision_recall(self) -> tuple[Tensor, Tensor]:
        return coverage.precision_recall(*self.pair)

    @cached_property
    def density_coverage(self) -> tuple[Tensor, Tensor]:
        return coverage.density_coverage(*self.pair)


def fid(these: Comparison) -> Measure:
    value = fidelity.fid(*these.pair)
    if not these.replicates:
        return Measure(value, None)
    return Measure(value, fid_interval(*these.pair, value, these.replicates, these.seed))


def fid_infinity(these: Comparison) -> Measure:
    """Mean over ten draws of the subsets; the interval is over these draws."""
    draws = range(10) if these.replicates else range(1)
    values = [fidelity.fid_infinity(*these.pair, seed=these.seed + draw) for draw in draws]
    return _over_parts(torch.tensor(values, dtype=torch.float64))


def kid(these: Comparison) -> Measure:
    size = min(1000, *(len(features) for features in these.pair))
    mean, deviation = fidelity.kid(*these.pair, subset_size=size, seed=these.seed)
    # a sample holds this many disjoint subsets; the drawn ones overlap
    return Measure(mean, spread_interval(mean, deviation, len(these.fake.images) / size))


def inception_score(these: Comparison) -> Measure:
    mean, deviation = fidelity.inception_score(these.fake.logits, seed=these.seed)
    return Measure(mean, spread_interval(mean, deviation, 10))


def class_kl(these: Comparison) -> Measure:
    num_classes = these.fake.logits.shape[1]
    real, classes = _counts(these.reference.classes, num_classes), these.fake.classes
    foreign = (_counts(classes, num_classes) > 0) & (real == 0)
    if foreign.any():
        raise UserError(
            f"class_kl is infinite: none of {len(these.reference.images)} real images shows the "
            f"classes {foreign.nonzero().flatten().tolist()}; compare with more of them"
        )
    value = coverage.class_kl(_counts(classes, num_classes), real)
    draws = [
        coverage.class_kl(_counts(classes[rows], num_classes), real)
        for rows in resamples(len(classes), these.replicates, these.seed)
    ]
    return Measure(value, centred_interval(value, draws) if draws else None)


def precision(these: Comparison) -> Measure:
    return _mean(these.precision_recall[0])


def recall(these: Comparison) -> Measure:
    return _mean(these.precision_recall[1])


def density(these: Comparison) -> Measure:
    return _mean(these.density_coverage[0])


def covered(these: Comparison) -> Measure:
    return _mean(these.density_coverage[1])


def c_t(these: Comparison) -> Measure:
    ours, theirs = these.neighbours.distances, these.reference_neighbours.distances
    our_cells = memorization.assign(these.fake.features, these.real.cells)
    their_cells = memorization.assign(these.reference.features, these.real.cells)
    value = memorization.c_t(ours, theirs, our_cells, their_cells)
    draws = [
        memorization.c_t(ours[a], theirs[b], our_cells[a], their_cells[b])
        for a, b in zip(
            resamples(len(ours), these.replicates, these.seed),
            resamples(len(theirs), these.replicates, these.seed + 1),
            strict=True,
        )
    ]
    return Measure(value, centred_interval(value, draws) if draws else None)


def authenticity(these: Comparison) -> Measure:
    train = these.real.train.features
    return _mean(memorization.authentic(*these.neighbours, train))


def near_copies(these: Comparison) -> Measure:
    ours, theirs = these.neighbours.distances, these.reference_neighbours.distances
    return _mean(memorization.near_copies(ours, theirs))


MEASURES: dict[str, Callable[[Comparison], Measure]] = {
    "fid": fid,
    "fid_infinity": fid_infinity,
    "kid": kid,
    "inception_score": inception_score,
    "class_kl": class_kl,
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": covered,
    "c_t": c_t,
    "authenticity": authenticity,
    "near_copies": near_copies,
}
# Their floor is real images that the generator has not seen, their ceiling plain copies.
MEMORIZATION = ("c_t", "authenticity", "near_copies")
# What of an extractor's `gives` these cannot do without, and how the lack of it is said.
NEEDS = {"inception_score": "logits", "class_kl": "classes"}
LACKS = {"logits": "has no logits", "classes": "does not know the classes of these data"}


def check_usable(name: str, extractor: ImageFeatures) -> None:
    """Raise UserError where the features of this network do not allow a metric."""
    need = NEEDS.get(name)
    if need is not None and need not in extractor.gives:
        raise UserError(f"{name} cannot be measured: the feature network {LACKS[need]}")


def _mean(values: Tensor) -> Measure:
    return Measure(values.mean().item(), mean_interval(values))


def _over_parts(values: Tensor) -> Measure:
    interval = mean_interval(values) if len(values) > 1 else None
    return Measure(values.mean().item(), interval)


def _counts(classes: Tensor, num_classes: int) -> Tensor:
    return coverage.class_counts(classes, num_classes)
