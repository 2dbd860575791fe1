"""From the logged history of a run to verdicts: what it suffers from, since when, what to try.

Each verdict is a condition on a few measures (gan_lab.metrics.health) that has to hold in the last
`PATIENCE` probes. The limits lie between what healthy runs and what ill ones showed: the table is
in docs/doctor.md, and `python benchmarks/doctor.py` makes it anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gan_lab.training.history import History, Series
from gan_lab.training.remedies import Settings, remedies
from gan_lab.training.verdicts import Diagnosis, Finding, Verdict

GRACE = 20_000  # images up to which a verdict would be a guess,
WARM_UP = 0.1  # as well as in this first share of the budget, as some recipes are slow,
LONGEST = 200_000  # but not for longer than this
PATIENCE = 2  # probes in a row that have to show it
FAR = 0.15  # distance from the data that anybody sees
Mask = np.ndarray


@dataclass(frozen=True)
class Rule:
    """A verdict, the probes at which it holds, and the sentence that gives the last figures."""

    verdict: Verdict
    holds: Callable[[History], Mask]
    evidence: Callable[[History], str]


def diagnose(history: History, settings: Settings, broken: str | None = None) -> Diagnosis:
    """All verdicts at the history's end; `broken` says what is not a number any more."""
    found = [] if broken is None else [divergence(history, settings, broken)]
    for rule in RULES:
        since = onset(history, rule.holds(history)) if len(history.probes) else None
        if since is not None and rule.verdict not in [finding.name for finding in found]:
            tries = remedies(rule.verdict, settings)
            found.append(Finding(rule.verdict, rule.evidence(history), since, tries))
    found.sort(key=lambda finding: list(Verdict).index(finding.name))
    if found:
        return Diagnosis(tuple(found), found[0].name, found[0].evidence)
    return Diagnosis((), *state(history))


def divergence(history: History, settings: Settings, broken: str) -> Finding:
    images = int(history.rows[-1]["images_seen"]) if history.rows else 0
    return Finding(Verdict.DIVERGENCE, broken, images, remedies(Verdict.DIVERGENCE, settings))


def onset(history: History, mask: Mask) -> int | None:
    """Images seen at the first probe of the streak that reaches the end; None where none does."""
    mask = np.asarray(mask, bool) & counting(history)
    if len(mask) < PATIENCE or not mask[-PATIENCE:].all():
        return None
    start = len(mask) - int(np.argmin(mask[::-1])) if not mask.all() else 0
    return int(history.images[start])


def counting(history: History) -> Mask:
    """The probes that are not too early to count."""
    warm = np.fmax.accumulate(history["progress"])  # falls where a resumed run's budget has grown
    early = (warm < WARM_UP) & (history.images < LONGEST)
    return (history.images > GRACE) & ~early


def state(history: History) -> tuple[Verdict, str]:
    """What to call a run without findings."""
    if counting(history).sum() < PATIENCE:
        when = f"{GRACE:,} images and {WARM_UP:.0%} of the budget"
        return Verdict.TOO_EARLY, f"verdicts need {PATIENCE} probes after {when}"
    text = f"distance to the data {last(history, 'distance'):.3f} (0 alike, 1 apart)"
    if "classes" in names(history):
        text += f", {classes_left(history)} present"
    done = converged(history)
    return (Verdict.CONVERGED if done[-PATIENCE:].all() else Verdict.HEALTHY), text


def names(history: History) -> set[str]:
    return {key.removeprefix("health/") for key in history.probes[-1]}


def last(history: History, name: str) -> float:
    return float(history[name][-1])


def classes_left(history: History) -> str:
    return f"{last(history, 'classes'):.0f} of {last(history, 'classes_expected'):.0f} classes"


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
    alike = (history["duplicates"] > 0.7) | (history["spread"] < 0.15)
    few = (history["effective_classes"] < 0.35) | (history["spread"] < 0.35)
    shown = (alike | (few & (distance < 0.75))) & ~improving(history)
    return shown | (alike & (distance < 0.5)) | (history["classes_expected"] == 1)


def partly_collapsed(history: History) -> Mask:
    """Classes are missing, or rare, and it does not get better."""
    missing = history["classes_expected"] - history["classes"]
    few = (history["effective_classes"] < 0.7) | (missing > 0.15 * history["classes_expected"])
    lasting = few & (earlier(few.astype(float), 1) > 0)
    return ~collapsed(history) & lasting & stalled(history) & (history["distance"] < 0.5)


def vanishing(history: History) -> Mask:
    return (history["loss_slope"] < 0.02) & (history["distance"] > FAR)


def too_strong(history: History) -> Mask:
    return (history["critic_auc"] > 0.998) & (history["distance"] > FAR) & stalled(history)


def too_weak(history: History) -> Mask:
    blind = (history["critic_auc"] < 0.6) & (history["distance"] > FAR)
    # Its loss stays where no logit tells anything, though there is much to tell.
    said = window_max(np.abs(history["discriminator_excess"]), 3)
    # A loss whose slope is always 1 (Wasserstein, hinge) knows no scale of logits, nor silence.
    silent = (said < 0.003) & (history["loss_slope"] < 0.99) & (history["distance"] > 0.03)
    return (blind & ~improving(history)) | silent | (highest(history["update_discriminator"]) == 0)


def memorising(history: History) -> Mask:
    return history["memorising"] > 0.65


def unstable(history: History) -> Mask:
    distance = history["distance"]
    jump = np.abs(distance - earlier(distance, 1))
    return (window_mean(jump, 3) > 0.15) & ~improving(history)


def diverged(history: History) -> Mask:
    distance = history["distance"]
    best = earlier(so_far(distance), 1)
    return distance > np.maximum(2.5 * best, best + FAR)


def oscillating(history: History) -> Mask:
    hopping = (window_mean(history["swing"], 3) > 0.4) & ~improving(history)
    # Noise around a place turns back by -0.5; motion that dies away is a schedule's end.
    to_and_fro = window_mean(history["reversal"], 3) < -0.75
    lasting = history["motion"] > 0.5 * earlier(history["motion"], 2)
    return hopping | (to_and_fro & lasting)


def not_learning(history: History) -> Mask:
    idle = highest(history["update_generator"]) == 0
    return idle | ((history["distance"] > 0.5) & stalled(history))


def converged(history: History) -> Mask:
    distance = history["distance"]
    near = window_mean(distance, 3) > 0.9 * earlier(window_mean(distance, 3), 3)
    return near & (distance < FAR)


def highest(values: Series) -> Series:
    """The largest value up to each probe: 0 only where nothing ever moved."""
    return np.fmax.accumulate(values)


def quality(history: History) -> str:
    return f"distance to the data {last(history, 'distance'):.2f} (0 alike, 1 apart)"


def say_collapsed(history: History) -> str:
    parts = [f"samples are {last(history, 'spread'):.0%} as far apart as the data"]
    if "classes" in names(history):
        data = " (the data hold no other)" if last(history, "classes_expected") == 1 else ""
        parts.insert(0, f"{classes_left(history)} left{data}")
    parts.append(f"{last(history, 'duplicates'):.0%} have a near-duplicate among them")
    return ", ".join(parts)


def say_vanishing(history: History) -> str:
    slope, reached = last(history, "loss_slope"), last(history, "output_gradient")
    return (
        f"the loss lets {slope:.1e} of the critic's gradient through, {reached:.1e} reach a "
        f"sample; {quality(history)}"
    )


def say_critic(history: History) -> str:
    return (
        f"the critic ranks a held-out real above a fake in {last(history, 'critic_auc'):.1%}, "
        f"logit gap {last(history, 'logit_gap'):.3g}; {quality(history)}"
    )


def say_weak(history: History) -> str:
    if highest(history["update_discriminator"])[-1] == 0:
        return f"the critic's weights have never moved; {quality(history)}"
    excess = last(history, "discriminator_excess")
    return f"{say_critic(history)}; its loss is {excess:+.1e} from where it tells nothing"


def say_memorising(history: History) -> str:
    share = last(history, "memorising")
    return f"the critic ranks a training real above a held-out one in {share:.1%} (50 % is ideal)"


def say_distances(history: History) -> str:
    shown = ", ".join(f"{value:.2f}" for value in history["distance"][-4:])
    text = f"distances to the data at the last probes: {shown} (0 alike, 1 apart)"
    for player in ("generator", "discriminator"):
        if f"spike_{player}" in names(history):
            times = last(history, f"spike_{player}")
            text += f", the {player}'s gradient up to {times:.3g} times its median"
    return text


def say_oscillating(history: History) -> str:
    turned = ", ".join(f"{value:.2f}" for value in history["reversal"][-3:])
    text = f"cosines of one motion of the same latents with the next: {turned} (-1 to and fro)"
    if "swing" not in names(history):
        return text
    swings = ", ".join(f"{value:.0%}" for value in history["swing"][-3:])
    return f"{swings} of the class counts changed between the last probes; {text}"


def say_not_learning(history: History) -> str:
    if highest(history["update_generator"])[-1] == 0:
        return f"the generator's weights have never moved; {quality(history)}"
    best = so_far(history["distance"])[-1]
    return f"{quality(history)}, best so far {best:.2f}"


RULES = (
    Rule(Verdict.DIVERGENCE, diverged, say_distances),
    Rule(Verdict.MODE_COLLAPSE, collapsed, say_collapsed),
    Rule(Verdict.PARTIAL_COLLAPSE, partly_collapsed, say_collapsed),
    Rule(Verdict.NOT_LEARNING, not_learning, say_not_learning),
    Rule(Verdict.VANISHING_GRADIENT, vanishing, say_vanishing),
    Rule(Verdict.CRITIC_TOO_STRONG, too_strong, say_critic),
    Rule(Verdict.CRITIC_TOO_WEAK, too_weak, say_weak),
    Rule(Verdict.CRITIC_MEMORISING, memorising, say_memorising),
    Rule(Verdict.INSTABILITY, unstable, say_distances),
    Rule(Verdict.OSCILLATION, oscillating, say_oscillating),
)
