"""How the next point of a space is chosen."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def tpe(seed: int, trials: int) -> "BaseSampler":
    """Where the good ones were denser than the bad ones (Bergstra et al. 2011).

    The first fifth is random, to have something to learn from.
    """
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=min(10, max(3, trials // 5)))


def random(seed: int, trials: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def nsgaii(seed: int, trials: int) -> "BaseSampler":
    """Generations (Deb et al. 2002), for several objectives: a quarter of the trials each."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=min(50, max(4, trials // 4)))


SAMPLERS: dict[str, Callable[[int, int], "BaseSampler"]] = {
    "tpe": tpe,
    "random": random,
    "nsgaii": nsgaii,
    "grid": random,  # never asked: every point of the grid stands in the study beforehand
}
