"""Generated images in, a result out: every metric with interval, floor, ceiling, and the card."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.anchors import measure_anchors
from gan_lab.metrics.card import Card
from gan_lab.metrics.coverage import class_counts
from gan_lab.metrics.features import ImageFeatures
from gan_lab.metrics.fidelity import fid_per_class
from gan_lab.metrics.measures import MEASURES, Comparison, usable
from gan_lab.metrics.memorization import closest_pairs, distance_quantiles
from gan_lab.metrics.reals import Neighbours, Reals, RealSide
from gan_lab.metrics.storage import Cache

Result = dict[str, Any]


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
) -> Result:
    """Measure uint8 images [N, C, H, W]; `metrics` defaults to all of MEASURES.

    Those that the extractor has no logits for are left out.

    Returns {"metrics": {name: {"value", "interval", "floor", "ceiling", "blurred"}}, "card": {..}}
    and, with `details`, what `describe` adds; without `anchors` only values and intervals. Real
    features, distances and anchors are kept in the folder `cache`.
    """
    names = usable(check_metrics(metrics), extractor)
    if not names:
        raise UserError(f"metrics={metrics} all need class logits, which this extractor lacks")
    check_images(fake, reals)
    real = RealSide(reals, extractor, Cache(cache))
    these = Comparison(real.sample(fake), real, seed)
    entries = {name: MEASURES[name](these)._asdict() for name in names}
    if anchors:
        for name, values in measure_anchors(real, names, len(fake)).items():
            entries[name].update(values)
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
    return {**result, "details": describe(these)} if details else result


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


def describe(these: Comparison, pairs: int = 20) -> dict[str, Any]:
    """What a picture shows beside the numbers: classes, distances to training data, closest pairs.

    Distances are given in features and in pixels, of generated and of held-out real images;
    classes where the extractor knows those of the data.
    """
    spaces = {
        "features": (these.neighbours, these.reference_neighbours),
        "pixels": (these.real.nearest_pixels(these.fake.images), these.real.pixel_neighbours),
    }
    by_class = _by_class(these) if "classes" in these.real.extractor.gives else {}
    return {
        **by_class,
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
