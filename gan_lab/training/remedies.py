"""What to try against an illness: first what brings settings far outside the usual back to it, then
what helps in general. How often each of them cured is measured in docs/doctor.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gan_lab.training.verdicts import Verdict

Settings = Mapping[str, Any]  # the run's config with dotted keys
PLAYERS = ("generator", "discriminator")
USUAL_LR = (2e-5, 8e-3)  # of Adam
MOST_MOMENTUM = 0.9
STRONGEST_GAMMA = 20.0
SMALLEST_BATCH = 8
MOST_CRITIC_STEPS = 10
SMALLEST_LATENTS = 4
NARROWEST = 12  # filters or hidden units of a critic


def remedies(verdict: Verdict, settings: Settings) -> tuple[str, ...]:
    """Overrides worth trying, the likeliest first; each is an alternative of its own.

    Where settings are far outside the usual, nothing is worth trying before they are back.
    """
    if not settings:
        return ()
    if odd := list(unusual(settings)):
        return (" ".join(odd),)
    found = [text for text in dict.fromkeys(general(verdict, settings)) if changes(text, settings)]
    return tuple(found)[:3]


def changes(text: str, settings: Settings) -> bool:
    """Whether the overrides name what the config has, with another value."""
    pairs = [override.split("=", 1) for override in text.split()]
    nested = [(key, value) for key, value in pairs if "." in key]
    return all(key in settings and plain(settings[key]) != value for key, value in nested)


def plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def unusual(settings: Settings) -> Iterator[str]:
    """Settings that no healthy run had, brought back."""
    rates = {player: rate_of(settings, player) for player in PLAYERS}
    sound = [rate for rate in rates.values() if is_usual(rate)] or [1e-3]
    for player, rate in rates.items():
        adaptive = f"optimizer.{player}.betas" in settings  # others have other scales
        known = f"optimizer.{player}.lr" in settings
        if known and (rate == 0 or (adaptive and not is_usual(rate))):
            yield f"optimizer.{player}.lr={sound[0]:g}"
        betas = settings.get(f"optimizer.{player}.betas") or [0.0]
        momentum = settings.get(f"optimizer.{player}.momentum") or 0.0
        if betas[0] > MOST_MOMENTUM:
            yield f"optimizer.{player}.betas=[0.5,0.99]"
        if momentum > MOST_MOMENTUM:
            yield f"optimizer.{player}.momentum=0.5"
    yield from unusual_counts(settings)
    yield from unusual_networks(settings)


def unusual_counts(settings: Settings) -> Iterator[str]:
    if (settings.get("data.batch_size") or SMALLEST_BATCH) < SMALLEST_BATCH:
        yield "data.batch_size=64"
    if (settings.get("n_critic") or 1) >= MOST_CRITIC_STEPS:
        yield "n_critic=1"
    if len(settings.get("data.classes") or [0, 1]) == 1:
        yield "data.classes=null"
    for key, value in settings.items():
        if key.startswith("penalty.") and key.endswith(".gamma") and value > STRONGEST_GAMMA:
            yield f"{key}=0.2"


def unusual_networks(settings: Settings) -> Iterator[str]:
    width = settings.get("networks.discriminator.width")
    hidden = settings.get("networks.discriminator.hidden")
    if width is not None and width < NARROWEST:
        yield "networks.discriminator.width=32"
    if hidden and max(hidden) < NARROWEST:
        yield "networks.discriminator.hidden=[1024,512,256]"
    pictures = len(settings.get("data.image_shape") or [1, 28, 28]) == 3  # points need but two
    latents = settings.get("networks.generator.latent_dim") or SMALLEST_LATENTS
    if pictures and latents < SMALLEST_LATENTS:
        yield "networks.generator.latent_dim=100"


def is_usual(rate: float) -> bool:
    return USUAL_LR[0] <= rate <= USUAL_LR[1]


def general(verdict: Verdict, settings: Settings) -> Iterator[str]:
    """What helps against an illness whatever its cause."""
    gentler = " ".join(f"optimizer.{p}.lr={rate_of(settings, p) / 4:g}" for p in PLAYERS)
    penalty = next((k for k in settings if k.startswith("penalty.") and k.endswith("gamma")), None)
    gamma = min(5 * settings[penalty], STRONGEST_GAMMA) or 0.2 if penalty else 0.0
    stronger = f"{penalty}={gamma:g}" if penalty else a_penalty(settings)
    saturates = str(settings.get("objective._target_")).endswith("Minimax")
    if saturates and verdict in (Verdict.VANISHING_GRADIENT, Verdict.NOT_LEARNING):
        yield "objective=non_saturating"
    if verdict is Verdict.CRITIC_TOO_WEAK:
        yield f"optimizer.discriminator.lr={4 * rate_of(settings, 'discriminator'):g}"
        if not str(settings.get("optimizer.generator._target_")).endswith("ExtraAdam"):
            yield "n_critic=2"  # which a lookahead does not go with
        return
    if verdict is Verdict.CRITIC_TOO_STRONG:
        yield f"optimizer.discriminator.lr={rate_of(settings, 'discriminator') / 4:g}"
    if verdict is Verdict.CRITIC_MEMORISING and settings.get("data.subset") is not None:
        yield "data.subset=null"
    if verdict not in (Verdict.INSTABILITY, Verdict.OSCILLATION):
        yield stronger
    yield gentler
    yield stronger


def a_penalty(settings: Settings) -> str:
    """R1, with what it needs: batch norm in the critic does not go with it."""
    normed = settings.get("networks.discriminator.norm") == "batch"
    return "penalty=r1 networks.discriminator.norm=none" if normed else "penalty=r1"


def rate_of(settings: Settings, player: str) -> float:
    return float(settings.get(f"optimizer.{player}.lr") or 0.0)
