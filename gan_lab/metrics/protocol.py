"""Generated images in, a result out: every metric with interval, floor, ceiling, and the card."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.anchors import Anchors
from gan_lab.metrics.card import Card
from gan_lab.metrics.coverage import class_counts
from gan_lab.metrics.features import ImageFeatures
from gan_lab.metrics.fidelity import fid_per_class
from gan_lab.metrics.intervals import mean_interval
from gan_lab.metrics.measures import MEASURES, MEMORIZATION, Comparison, check_usable
from gan_lab.metrics.memorization import closest_pairs, distance_quantiles
from gan_lab.metrics.reals import Neighbours, Reals, RealSide
from gan_lab.metrics.storage import Cache

Result = dict[str, Any]
CONFIRMED = "confirmed_labels"


def evaluate_images(
    fake: Tensor,
    reals: Reals,
    extractor: ImageFeatures,
    cache: Path | None = None,
    metrics: Sequence[str] | None = None,
    anchors: bool = True,
    details: bool = False,
    seed: int = 0,
    ema: bool | None = None,
    truncation: float | None = None,
    labels: Tensor | None = None,
) -> Result:
    """Measure uint8 images [N, C, H, W]; `metrics` defaults to all of MEASURES.

    With the `labels` [N] that were asked for, `confirmed_labels` stands beside them.

    Returns {"metrics": {name: {"value", "interval", "floor", "ceiling", "blurred"}}, "card": {..}},
    with `details` what `describe` adds, and in "left_out", name -> reason, the metrics that these
    images or this extractor do not allow; without `anchors` only values and intervals. Real
    features, distances and anchors are kept in the folder `cache`.

    Raises:
        UserError: where a metric is named in `metrics` that would be left out.
    """
    check_metrics(metrics)
    check_images(fake, reals)
    real = RealSide(reals, extractor, Cache(cache))
    these = Comparison(real.sample(fake), real, seed)
    around = Anchors(real, len(fake)) if anchors else None
    entries, left_out = measure_all(metrics, these, around)
    if labels is not None and "classes" in extractor.gives:
        if int(labels.max()) < these.fake.logits.shape[1]:
            entries[CONFIRMED] = confirm(labels, these)
        else:
            left_out[CONFIRMED] = (
                f"labels go up to {int(labels.max())}, and the feature network of {reals.name} "
                f"knows {these.fake.logits.shape[1]} classes"
            )
    card = Card(
        data=reals.name,
        split=reals.split,
        num_real=len(reals.reference),
        num_train=len(reals.train),
        num_fake=len(fake),
        image_shape=list(fake.shape[1:]),
        real_sha256=reals.reference_hash,
        train_sha256=reals.train_hash,
        extractor=extractor.identity,
        ema=ema,
        truncation=truncation,
        seed=seed,
    )
    result = {"metrics": entries, "card": asdict(card)}
    result |= {"left_out": left_out} if left_out else {}
    near = bool(set(MEMORIZATION) & set(check_metrics(metrics)))
    return {**result, "details": describe(these, near)} if details else result


def measure_all(
    metrics: Sequence[str] | None, these: Comparison, anchors: Anchors | None
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Name -> entry of what can be computed, and name -> reason of what cannot.

    Raises:
        UserError: instead of the latter where `metrics` names it.
    """
    entries, left_out = {}, {}
    for name in check_metrics(metrics):
        try:
            entries[name] = measure(name, these, anchors)
        except UserError as error:
            if metrics is not None:
                raise
            left_out[name] = str(error)
    return entries, left_out


def measure(name: str, these: Comparison, anchors: Anchors | None) -> dict[str, Any]:
    """Value and interval of one metric, and its anchors; UserError where any cannot be computed."""
    check_usable(name, these.real.extractor)
    entry = MEASURES[name](these)._asdict()
    return entry if anchors is None else {**entry, **anchors.values(name)}


def confirm(labels: Tensor, these: Comparison) -> dict[str, Any]:
    """The share of fakes in which the feature network sees the class that was asked for.

    Its floor is that of real images with their true labels, its ceiling that of labels which have
    nothing to do with the images.
    """
    agreed = (these.fake.classes == labels).double()
    num_classes = these.fake.logits.shape[1]
    asked, seen = (class_counts(c, num_classes) for c in (labels, these.reference.classes))
    truth = these.real.reals.reference_labels
    right = None if truth is None else (these.reference.classes == truth).double().mean().item()
    return {
        "value": agreed.mean().item(),
        "interval": mean_interval(agreed),
        "floor": math.nan if right is None else right,
        "ceiling": ((asked / asked.sum()) * (seen / seen.sum())).sum().item(),
    }


def check_metrics(metrics: Sequence[str] | None) -> list[str]:
    """Known names, in the order given; all by default."""
    names = list(MEASURES) if metrics is None else list(metrics)
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise UserError(f"unknown metrics {unknown}; choose among {', '.join(MEASURES)}")
    return names


def check_images(fake: Tensor, reals: Reals) -> None:
    """Images must have the reals' shape, and there must be enough for ten splits."""
    expected = reals.train.shape[1:]
    if fake.dtype != torch.uint8 or fake.shape[1:] != expected:
        raise UserError(
            f"generated images are {str(fake.dtype).removeprefix('torch.')} {list(fake.shape)}; "
            f"compared with {reals.name} they must be uint8 [N, {', '.join(map(str, expected))}]"
        )
    if len(fake) < 10:
        raise UserError(f"{len(fake)} generated images are too few; give at least 10, best 10000")


def describe(these: Comparison, near: bool = True, pairs: int = 20) -> dict[str, Any]:
    """What a picture shows beside the numbers: classes, distances to training data, closest pairs.

    Distances are given in features and in pixels, of generated and of held-out real images;
    classes where the extractor knows those of the data. Without `near`, which takes a comparison
    with every training image, classes alone.
    """
    by_class = _by_class(these) if "classes" in these.real.extractor.gives else {}
    return by_class | (_closeness(these, pairs) if near else {})


def _closeness(these: Comparison, pairs: int) -> dict[str, Any]:
    spaces = {
        "features": (these.neighbours, these.reference_neighbours),
        "pixels": (these.real.nearest_pixels(these.fake.images), these.real.pixel_neighbours),
    }
    return {
        "distances": {space: _quantiles(*found) for space, found in spaces.items()},
        "closest": {
            space: {k: v.tolist() for k, v in closest_pairs(*found[0], pairs)._asdict().items()}
            for space, found in spaces.items()
        },
    }


def _by_class(these: Comparison) -> dict[str, Any]:
    real, fake = these.reference, these.fake
    num_classes = fake.logits.shape[1]
    return {
        "classes": {
            side: class_counts(sample.classes, num_classes).long().tolist()
            for side, sample in {"generated": fake, "real": real}.items()
        },
        "fid_per_class": fid_per_class(real.features, real.classes, fake.features, fake.classes),
    }


def _quantiles(generated: Neighbours, real: Neighbours) -> dict[str, dict[float, float]]:
    return {
        "generated": distance_quantiles(generated.distances),
        "real": distance_quantiles(real.distances),
    }
