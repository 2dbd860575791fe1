"""Verdicts on histories made by hand: each illness is named, and only when it lasts."""

from typing import Any

import pytest

from gan_lab.training.diagnosis import RULES, diagnose
from gan_lab.training.history import History
from gan_lab.training.remedies import remedies
from gan_lab.training.symptoms import GRACE
from gan_lab.training.verdicts import Verdict

HEALTHY: dict[str, Any] = {
    "distance": [0.5, 0.2, 0.1, 0.08, 0.06, 0.05],
    "spread": 0.9,
    "duplicates": 0.02,
    "classes": 10,
    "classes_expected": 10,
    "effective_classes": 0.97,
    "critic_auc": 0.8,
    "memorising": 0.51,
    "logit_gap": 1.0,
    "loss_slope": 0.6,
    "discriminator_excess": -0.2,
    "motion": 0.1,
    "reversal": -0.3,
    "progress": 0.5,
    "output_gradient": 0.1,
    "update_generator": 0.01,
    "update_discriminator": 0.01,
    "swing": 0.1,
}
STUCK = [0.7, 0.72, 0.7, 0.71, 0.72, 0.7]
SYMPTOMS: dict[Verdict, dict[str, Any]] = {
    Verdict.MODE_COLLAPSE: {"effective_classes": 0.15, "classes": 1, "distance": 0.4},
    Verdict.PARTIAL_COLLAPSE: {"effective_classes": 0.6, "classes": 7, "distance": 0.2},
    Verdict.NOT_LEARNING: {"distance": STUCK},
    Verdict.VANISHING_GRADIENT: {"loss_slope": 1e-4, "distance": STUCK},
    Verdict.CRITIC_TOO_STRONG: {"critic_auc": 1.0, "distance": STUCK},
    Verdict.CRITIC_TOO_WEAK: {"critic_auc": 0.5, "distance": STUCK},
    Verdict.CRITIC_MEMORISING: {"memorising": 0.8},
    Verdict.INSTABILITY: {"distance": [0.5, 0.2, 0.6, 0.2, 0.6, 0.2]},
    Verdict.DIVERGENCE: {"distance": [0.5, 0.2, 0.1, 0.1, 0.6, 0.65]},
    Verdict.OSCILLATION: {"swing": 0.6, "distance": 0.2},
    Verdict.DETERIORATION: {"distance": [0.02, 0.02, 0.02, 0.05, 0.06, 0.06, 0.06], "probes": 7},
}


def history(images: int = 25_000, probes: int = 6, **changed: Any) -> History:
    """Probes that are `images` apart."""
    measures = HEALTHY | changed
    rows = []
    for place in range(probes):
        values = {k: v[place] if isinstance(v, list) else v for k, v in measures.items()}
        row = {f"health/{name}": float(value) for name, value in values.items()}
        rows.append({"images_seen": float(images * (place + 1)), **row})
    return History(rows)


def names(found: Any) -> set[Verdict]:
    return {finding.name for finding in found.findings}


def test_a_healthy_history_is_healthy() -> None:
    found = diagnose(history(), {})
    assert found.healthy
    assert found.verdict is Verdict.HEALTHY


def test_a_history_that_stands_still_near_the_data_has_converged() -> None:
    assert diagnose(history(probes=8, distance=0.05), {}).verdict is Verdict.CONVERGED


def test_a_history_past_its_best_has_not_converged() -> None:
    rise = [0.5, 0.1, 0.02, 0.02, 0.02, 0.025, 0.027, 0.028, 0.028, 0.028, 0.028]
    found = diagnose(history(probes=len(rise), distance=rise), {})
    assert found.healthy
    assert found.verdict is Verdict.HEALTHY
    assert found.evidence.endswith("it was 0.020 at image 125,000")


def test_a_slow_decline_far_from_divergence_is_named_with_its_best() -> None:
    rise = [0.5, 0.1, 0.016, 0.016, 0.016, *(0.016 + 0.003 * step for step in range(1, 13))]
    (finding,) = diagnose(history(probes=len(rise), distance=rise), {}).findings
    assert finding.name is Verdict.DETERIORATION
    assert "its best was 0.016 at image 125,000" in finding.evidence


def named(*distance: float, **changed: Any) -> Verdict:
    """What a run of these distances is called."""
    return diagnose(history(probes=len(distance), distance=list(distance), **changed), {}).verdict


@pytest.mark.parametrize(
    "end", [[0.001, -0.001, 0.0, 0.004, 0.003, 0.006, 0.002, 0.004], [-0.002] * 8], ids=str
)
def test_noise_near_the_data_is_no_decline(end: list[float]) -> None:
    assert named(0.5, 0.1, *end) is Verdict.CONVERGED


def test_a_decline_is_told_until_it_is_a_divergence() -> None:
    falling_apart = [0.5, 0.02, 0.02, 0.02, 0.1, 0.13, 0.16]
    assert named(*falling_apart) is Verdict.DETERIORATION
    assert named(*falling_apart, 0.19) is Verdict.DETERIORATION
    assert named(*falling_apart, 0.19, 0.2) is Verdict.DIVERGENCE
    assert named(*falling_apart, 0.18, 0.16, 0.18, 0.16) is Verdict.DETERIORATION
    broken = diagnose(history(distance=falling_apart, probes=7), {}, broken="loss not finite")
    assert names(broken) == {Verdict.DIVERGENCE}


@pytest.mark.parametrize("spike", [0.1, 0.5])
def test_one_probe_apart_is_no_decline(spike: float) -> None:
    for after in (1, 2, 3):
        rise = [0.5, 0.1, 0.02, 0.02, 0.02, 0.02, spike, *[0.02] * after]
        found = diagnose(history(probes=len(rise), distance=rise), {})
        assert Verdict.DETERIORATION not in names(found)


def test_a_run_on_its_way_back_is_left_to_go_on() -> None:
    back = [0.5, 0.02, 0.02, 0.02, 0.08, 0.08, 0.08, 0.07, 0.06, 0.05, 0.04]
    assert named(*back) is Verdict.HEALTHY
    assert named(*back, progress=1.0) is Verdict.DETERIORATION


def test_what_was_nearer_before_verdicts_count_is_no_best() -> None:
    early = [0.01, 0.02, 0.02, *[0.05] * 9]
    slow = [0.02 * (place + 1) for place in range(len(early))]
    assert named(*early, images=10_000, progress=slow) is Verdict.CONVERGED


@pytest.mark.parametrize("verdict", SYMPTOMS, ids=str)
def test_each_illness_is_named(verdict: Verdict) -> None:
    found = diagnose(history(**SYMPTOMS[verdict]), {})
    assert verdict in names(found)
    assert not found.healthy
    assert all(any(sign.isdigit() for sign in finding.evidence) for finding in found.findings)


def test_every_verdict_has_a_rule_and_a_symptom() -> None:
    assert {rule.verdict for rule in RULES} == set(Verdict.ills()) == set(SYMPTOMS)


@pytest.mark.parametrize("verdict", SYMPTOMS, ids=str)
def test_nothing_is_said_in_the_first_thousands_of_images(verdict: Verdict) -> None:
    found = diagnose(history(images=GRACE // 6, **SYMPTOMS[verdict]), {})
    assert found.verdict is Verdict.TOO_EARLY


def test_a_symptom_has_to_last() -> None:
    passing = history(effective_classes=[0.9, 0.9, 0.9, 0.9, 0.1, 0.9], distance=0.3)
    assert Verdict.MODE_COLLAPSE not in names(diagnose(passing, {}))
    lasting = history(effective_classes=[0.9, 0.9, 0.9, 0.1, 0.1, 0.1], distance=0.3)
    (finding,) = diagnose(lasting, {}).findings
    assert (finding.name, finding.since) == (Verdict.MODE_COLLAPSE, 100_000)


def test_what_still_gets_better_is_left_to_go_on() -> None:
    few: dict[str, Any] = {"effective_classes": 0.2, "swing": 0.6, "critic_auc": 0.5}
    falling = [0.9, 0.75, 0.6, 0.5, 0.4, 0.3]
    assert diagnose(history(distance=falling, **few), {}).healthy
    assert not diagnose(history(distance=0.5, **few), {}).healthy


def test_a_slow_recipe_has_a_tenth_of_its_budget_to_warm_up() -> None:
    early = [0.01 * (place + 1) for place in range(6)]
    symptoms = SYMPTOMS[Verdict.MODE_COLLAPSE]
    assert diagnose(history(progress=early, **symptoms), {}).verdict is Verdict.TOO_EARLY
    late = [0.15 * (place + 1) for place in range(6)]
    assert not diagnose(history(progress=late, **symptoms), {}).healthy


def test_a_budget_that_grew_does_not_silence_the_monitor() -> None:
    grown = [0.25, 0.5, 0.75, 1.0, 0.06, 0.07]
    assert not diagnose(history(progress=grown, **SYMPTOMS[Verdict.NOT_LEARNING]), {}).healthy


def test_a_long_budget_does_not_silence_it_for_hours() -> None:
    early = [0.01 * (place + 1) for place in range(6)]
    symptoms = SYMPTOMS[Verdict.NOT_LEARNING]
    assert not diagnose(history(images=500_000, progress=early, **symptoms), {}).healthy


def test_at_the_end_nothing_is_forgiven_for_still_improving() -> None:
    few: dict[str, Any] = {"effective_classes": 0.2, "distance": [0.9, 0.75, 0.6, 0.5, 0.4, 0.3]}
    ending = [0.5, 0.6, 0.7, 0.8, 1.0, 1.0]
    assert Verdict.MODE_COLLAPSE in names(diagnose(history(progress=ending, **few), {}))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_critic_without_a_scale_of_logits_is_judged_alike_on_any(scale: float) -> None:
    linear: dict[str, Any] = {"loss_slope": 1.0, "discriminator_excess": -scale, "logit_gap": scale}
    assert diagnose(history(**linear), {}).healthy
    silent: dict[str, Any] = {"discriminator_excess": -1e-4, "distance": 0.08}
    assert Verdict.CRITIC_TOO_WEAK in names(diagnose(history(**silent), {}))


def test_to_and_fro_without_classes_is_oscillation() -> None:
    assert Verdict.OSCILLATION in names(diagnose(history(reversal=-0.95, motion=0.1), {}))
    assert diagnose(history(reversal=-0.5, motion=0.1), {}).healthy


def test_frozen_players_are_seen() -> None:
    assert Verdict.NOT_LEARNING in names(diagnose(history(update_generator=0.0), {}))
    assert Verdict.CRITIC_TOO_WEAK in names(diagnose(history(update_discriminator=0.0), {}))
    ending = [0.01, 0.01, 0.01, 0.01, 0.0, 0.0]  # a schedule that ends at 0 is no illness
    assert diagnose(history(update_generator=ending), {}).healthy


def test_data_without_classes_are_judged_without() -> None:
    without = {name: None for name in ("classes", "classes_expected", "effective_classes", "swing")}
    kept = {name: value for name, value in HEALTHY.items() if name not in without}
    rows = [
        {
            "images_seen": 25_000.0 * (place + 1),
            **{
                f"health/{k}": float(v[place] if isinstance(v, list) else v)
                for k, v in kept.items()
            },
        }
        for place in range(6)
    ]
    assert diagnose(History(rows), {}).healthy
    for row in rows:
        row |= {"health/spread": 0.05, "health/distance": 0.4}
    assert names(diagnose(History(rows), {})) == {Verdict.MODE_COLLAPSE}


def test_what_is_not_a_number_is_a_divergence_whenever_it_comes() -> None:
    found = diagnose(History([{"images_seen": 128.0}]), {}, broken="discriminator/loss not finite")
    assert names(found) == {Verdict.DIVERGENCE}
    assert "not finite" in found.evidence


def test_no_history_is_too_early() -> None:
    assert diagnose(History(), {}).verdict is Verdict.TOO_EARLY


SETTINGS: dict[str, Any] = {
    "optimizer.generator.lr": 2e-3,
    "optimizer.discriminator.lr": 2e-3,
    "optimizer.generator.betas": [0.0, 0.99],
    "optimizer.discriminator.betas": [0.0, 0.99],
    "objective._target_": "gan_lab.objectives.losses.NonSaturating",
    "data.batch_size": 128,
    "penalty.r1.gamma": 0.2,
    "n_critic": 1,
}
UNUSUAL: dict[str, dict[str, Any]] = {
    "optimizer.generator.lr=0.002": {"optimizer.generator.lr": 0.2},
    "optimizer.discriminator.lr=0.002": {"optimizer.discriminator.lr": 0},
    "optimizer.generator.betas=[0.5,0.99]": {"optimizer.generator.betas": [0.99, 0.999]},
    "data.batch_size=64": {"data.batch_size": 2},
    "n_critic=1": {"n_critic": 20},
    "penalty.r1.gamma=0.2": {"penalty.r1.gamma": 200.0},
    "data.classes=null": {"data.classes": [3]},
    "networks.discriminator.hidden=[1024,512,256]": {"networks.discriminator.hidden": [8]},
    "networks.generator.latent_dim=100": {"networks.generator.latent_dim": 1},
}


@pytest.mark.parametrize("override", UNUSUAL)
def test_what_is_unusual_is_brought_back_first(override: str) -> None:
    for verdict in Verdict.ills():
        assert remedies(verdict, SETTINGS | UNUSUAL[override])[0] == override


def test_a_strong_penalty_is_not_made_stronger_than_what_counts_as_too_strong() -> None:
    for gamma in (0.0, 10.0, 20.0):
        found = remedies(Verdict.MODE_COLLAPSE, SETTINGS | {"penalty.r1.gamma": gamma})
        assert f"penalty.r1.gamma={gamma:g}" not in found
        assert not any(text.startswith("penalty.r1.gamma=5") for text in found)


def test_usual_settings_get_general_advice_that_changes_something() -> None:
    for verdict in Verdict.ills():
        found = remedies(verdict, SETTINGS)
        assert 1 <= len(found) <= 3
        for text in found:
            for override in text.split():
                key, value = override.split("=", 1)
                assert str(SETTINGS.get(key)) != value
