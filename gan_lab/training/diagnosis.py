"""From the logged history of a run to verdicts: what it suffers from, since when, what to try.

Each verdict is a condition (gan_lab.training.symptoms) that has to hold in the last `PATIENCE`
probes, and a sentence that gives its figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gan_lab.training import symptoms
from gan_lab.training.history import History
from gan_lab.training.remedies import Settings, remedies
from gan_lab.training.symptoms import GRACE, WARM_UP, Mask, counting
from gan_lab.training.verdicts import Diagnosis, Finding, Verdict

PATIENCE = 2  # probes in a row that have to show it


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
    if Verdict.DIVERGENCE in [finding.name for finding in found]:  # which says as much, and more
        found = [finding for finding in found if finding.name is not Verdict.DETERIORATION]
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


def state(history: History) -> tuple[Verdict, str]:
    """What to call a run without findings."""
    if counting(history).sum() < PATIENCE:
        when = f"{GRACE:,} images and {WARM_UP:.0%} of the budget"
        return Verdict.TOO_EARLY, f"verdicts need {PATIENCE} probes after {when}"
    text = f"distance to the data {last(history, 'distance'):.3f} (0 alike, 1 apart)"
    if "classes" in names(history):
        text += f", {classes_left(history)} present"
    if symptoms.past_best(history)[-1]:
        text += f"; it was {best_distance(history)}"
    done = symptoms.converged(history)
    return (Verdict.CONVERGED if done[-PATIENCE:].all() else Verdict.HEALTHY), text


def names(history: History) -> set[str]:
    return {key.removeprefix("health/") for key in history.probes[-1]}


def last(history: History, name: str) -> float:
    return float(history[name][-1])


def classes_left(history: History) -> str:
    return f"{last(history, 'classes'):.0f} of {last(history, 'classes_expected'):.0f} classes"


def quality(history: History) -> str:
    return f"distance to the data {last(history, 'distance'):.2f} (0 alike, 1 apart)"


def best_distance(history: History) -> str:
    """The best mean of three probes, and when."""
    best = symptoms.best_distance(history)
    place = int(np.argmax(best == best[-1]))
    return f"{best[-1]:.3f} at image {history.images[place]:,.0f}"


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
        f"the loss lets {slope:.1e} of the critic's gradient through: over the distance of two "
        f"reals a sample's loss would change by {reached:.1e}; {quality(history)}"
    )


def say_critic(history: History) -> str:
    return (
        f"the critic ranks a held-out real above a fake in {last(history, 'critic_auc'):.1%}, "
        f"logit gap {last(history, 'logit_gap'):.3g}; {quality(history)}"
    )


def say_weak(history: History) -> str:
    if symptoms.highest(history["update_discriminator"])[-1] == 0:
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


def say_deteriorating(history: History) -> str:
    now = symptoms.smooth_distance(history)[-1]
    return (
        f"distance to the data {now:.3f} (0 alike, 1 apart, mean of three probes), its best was "
        f"{best_distance(history)}; take best.ckpt, or a shorter budget"
    )


def say_not_learning(history: History) -> str:
    if symptoms.highest(history["update_generator"])[-1] == 0:
        return f"the generator's weights have never moved; {quality(history)}"
    best = symptoms.so_far(history["distance"])[-1]
    return f"{quality(history)}, best so far {best:.2f}"


RULES = (
    Rule(Verdict.DIVERGENCE, symptoms.diverged, say_distances),
    Rule(Verdict.MODE_COLLAPSE, symptoms.collapsed, say_collapsed),
    Rule(Verdict.PARTIAL_COLLAPSE, symptoms.partly_collapsed, say_collapsed),
    Rule(Verdict.NOT_LEARNING, symptoms.not_learning, say_not_learning),
    Rule(Verdict.VANISHING_GRADIENT, symptoms.vanishing, say_vanishing),
    Rule(Verdict.CRITIC_TOO_STRONG, symptoms.too_strong, say_critic),
    Rule(Verdict.CRITIC_TOO_WEAK, symptoms.too_weak, say_weak),
    Rule(Verdict.CRITIC_MEMORISING, symptoms.memorising, say_memorising),
    Rule(Verdict.INSTABILITY, symptoms.unstable, say_distances),
    Rule(Verdict.OSCILLATION, symptoms.oscillating, say_oscillating),
    Rule(Verdict.DETERIORATION, symptoms.deteriorating, say_deteriorating),
)
