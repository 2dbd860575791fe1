"""What a probe has to show for each verdict: conditions on the measures of gan_lab.metrics.health.

A condition gives a bool per probe, from that probe and those before it. The limits lie between what
healthy runs and what ill ones showed: the table is in docs/doctor.md, and `python
benchmarks/doctor.py` makes it anew from these very constants.
"""

from typing import Any

import numpy as np

from gan_lab.training.history import History, Series

Mask = np.ndarray[Any, np.dtype[np.bool_]]

GRACE = 20_000  # images up to which a verdict would be a guess,
WARM_UP = 0.1  # as well as in this first share of the budget, as some recipes are slow,
LONGEST = 200_000  # but not for longer than this

FAR = 0.15  # distance from the data that anybody sees
VERY_FAR = 0.5
DUPLICATES = 0.7  # share of samples with a near-duplicate
ALIKE, NARROW = 0.15, 0.35  # spread, beside the data's
FEW, FEWER = 0.35, 0.7  # effective classes, beside the data's: collapsed, partly collapsed
SLOPE = 0.02  # share of the critic's gradient that the loss lets through
WON, BLIND = 0.998, 0.6  # how surely a held-out real is ranked above a fake
BY_HEART = 0.65  # how surely a training real is ranked above a held-out one
JUMP = 0.15  # of the distance from probe to probe
SWING = 0.4  # share of the class counts that changes from probe to probe
TO_AND_FRO = -0.75  # cosine of consecutive motions; noise around a place has -0.5
PAST_BEST, LOST = 1.5, 0.01  # times the best distance, and distance above it
STILL = 0.001  # of the distance, by which chance moves the mean of three probes


def so_far(values: Series) -> Series:
    """The smallest value up to each probe."""
    return np.fmin.accumulate(values)


def earlier(values: Series, probes: int) -> Series:
    """The values of so many probes before; NaN where there were none."""
    return np.concatenate([np.full(probes, np.nan), values])[: len(values)]


def window(values: Series, probes: int) -> Series:
    """The last values at each probe [probes, P]; NaN where there are not so many."""
    return np.stack([earlier(values, k) for k in range(probes)])


def window_mean(values: Series, probes: int) -> Series:
    return np.asarray(window(values, probes).mean(0))


def window_max(values: Series, probes: int) -> Series:
    return np.asarray(window(values, probes).max(0))


def stalled(history: History) -> Mask:
    """No better than 0.9 times the best distance of three probes ago."""
    distance = history["distance"]
    return distance > 0.9 * earlier(so_far(distance), 3)


def improving(history: History) -> Mask:
    """A tenth better than anything up to two probes ago: let it go on, while it can."""
    distance = history["distance"]
    return (distance < 0.9 * earlier(so_far(distance), 2)) & ~(history["progress"] >= 1)


def collapsed(history: History) -> Mask:
    """Samples that are all alike; few classes count where samples resemble the data at all."""
    distance = history["distance"]
    alike = (history["duplicates"] > DUPLICATES) | (history["spread"] < ALIKE)
    few = (history["effective_classes"] < FEW) | (history["spread"] < NARROW)
    shown = (alike | (few & (distance < 0.75))) & ~improving(history)
    return shown | (alike & (distance < VERY_FAR)) | (history["classes_expected"] == 1)


def partly_collapsed(history: History) -> Mask:
    """Classes are missing, or rare, and it does not get better."""
    missing = history["classes_expected"] - history["classes"]
    few = (history["effective_classes"] < FEWER) | (missing > 0.15 * history["classes_expected"])
    lasting = few & (earlier(few.astype(float), 1) > 0)
    return ~collapsed(history) & lasting & stalled(history) & (history["distance"] < VERY_FAR)


def vanishing(history: History) -> Mask:
    return (history["loss_slope"] < SLOPE) & (history["distance"] > FAR)


def too_strong(history: History) -> Mask:
    return (history["critic_auc"] > WON) & (history["distance"] > FAR) & stalled(history)


def too_weak(history: History) -> Mask:
    blind = (history["critic_auc"] < BLIND) & (history["distance"] > FAR)
    # Its loss stays where no logit tells anything, though there is much to tell.
    said = window_max(np.abs(history["discriminator_excess"]), 3)
    # A loss whose slope is always 1 (Wasserstein, hinge) knows no scale of logits, nor silence.
    silent = (said < 0.003) & (history["loss_slope"] < 0.99) & (history["distance"] > 0.03)
    return (blind & ~improving(history)) | silent | (highest(history["update_discriminator"]) == 0)


def memorising(history: History) -> Mask:
    return history["memorising"] > BY_HEART


def unstable(history: History) -> Mask:
    distance = history["distance"]
    jump = np.abs(distance - earlier(distance, 1))
    return (window_mean(jump, 3) > JUMP) & ~improving(history)


def diverged(history: History) -> Mask:
    distance = history["distance"]
    best = earlier(so_far(distance), 1)
    return distance > np.maximum(2.5 * best, best + FAR)


def oscillating(history: History) -> Mask:
    hopping = (window_mean(history["swing"], 3) > SWING) & ~improving(history)
    # Motion that dies away is a schedule's end.
    to_and_fro = window_mean(history["reversal"], 3) < TO_AND_FRO
    lasting = history["motion"] > 0.5 * earlier(history["motion"], 2)
    return hopping | (to_and_fro & lasting)


def not_learning(history: History) -> Mask:
    idle = highest(history["update_generator"]) == 0
    return idle | ((history["distance"] > VERY_FAR) & stalled(history))


def deteriorating(history: History) -> Mask:
    """Well past its best, slowly as it may have come, and not on its way back."""
    smooth = smooth_distance(history)
    recovering = (smooth < 0.9 * earlier(smooth, 2)) & ~(history["progress"] >= 1)
    return risen(history, PAST_BEST, LOST) & ~recovering


def converged(history: History) -> Mask:
    """Near the data, no better than three probes ago by a tenth, and not past its best."""
    smooth = smooth_distance(history)
    before = earlier(smooth, 3)
    still = smooth > before - np.maximum(0.1 * before, STILL)  # near 0 a tenth is nothing
    return still & ~past_best(history) & (history["distance"] < FAR)


def past_best(history: History) -> Mask:
    """Farther from the data than it has been, by more than chance from probe to probe."""
    return risen(history, 1.25, LOST / 2)


def risen(history: History, times: float, by: float) -> Mask:
    """Beyond the best mean of three probes; one probe alone, high or low, does not decide."""
    present, best = present_distance(history), np.maximum(best_distance(history), 0)
    return (present > times * best) & (present > best + by)


def present_distance(history: History) -> Series:
    """The mean of three probes, or the last of them where that is smaller."""
    return np.minimum(smooth_distance(history), history["distance"])


def best_distance(history: History) -> Series:
    """The smallest mean of three probes up to each, of those that count."""
    return so_far(np.where(counting(history), smooth_distance(history), np.nan))


def smooth_distance(history: History) -> Series:
    return window_mean(history["distance"], 3)


def counting(history: History) -> Mask:
    """The probes that are not too early to count."""
    warm = np.fmax.accumulate(history["progress"])  # falls where a resumed run's budget has grown
    early = (warm < WARM_UP) & (history.images < LONGEST)
    return (history.images > GRACE) & ~early


def highest(values: Series) -> Series:
    """The largest value up to each probe: 0 only where nothing ever moved."""
    return np.fmax.accumulate(values)
