"""Learning-rate schedules as functions of the progress through the run's budget, 0 to 1.

A function, not a state: nothing has to be saved, and a resumed run continues exactly.
"""

from math import cos, pi

from gan_lab import UserError


class Constant:
    """Full rate to the end, after an optional linear warm-up (a share of the budget)."""

    def __init__(self, warmup: float = 0.0) -> None:
        self.warmup = share("warmup", warmup)

    def __call__(self, progress: float) -> float:
        return warm(progress, self.warmup)


class Linear:
    """Full rate for `hold` of the budget, then a straight line down to `final` of the rate."""

    def __init__(self, hold: float = 0.5, final: float = 0.0, warmup: float = 0.0) -> None:
        self.hold, self.final = share("hold", hold), share("final", final)
        self.warmup = share("warmup", warmup)

    def __call__(self, progress: float) -> float:
        fallen = (progress - self.hold) / (1 - self.hold) if self.hold < 1 else 0.0
        return warm(progress, self.warmup) * (1 - (1 - self.final) * min(max(fallen, 0.0), 1.0))


class Cosine:
    """Half a cosine from the full rate down to `final` of it (Loshchilov and Hutter 2017)."""

    def __init__(self, final: float = 0.0, warmup: float = 0.0) -> None:
        self.final, self.warmup = share("final", final), share("warmup", warmup)

    def __call__(self, progress: float) -> float:
        fallen = 0.5 - 0.5 * cos(pi * min(max(progress, 0.0), 1.0))
        return warm(progress, self.warmup) * (1 - (1 - self.final) * fallen)


def warm(progress: float, warmup: float) -> float:
    return min(1.0, progress / warmup) if warmup > 0 else 1.0


def share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise UserError(f"schedule.{name}={value} must lie in [0, 1], a share of the budget")
    return value
