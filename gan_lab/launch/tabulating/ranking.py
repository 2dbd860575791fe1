"""Which recipes differ by more than chance: ranks with the places that they may as well have."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gan_lab.launch.comparing.statistics import two_sided

LEVEL = 0.05


@dataclass(frozen=True)
class Rank:
    """A place, and the best and worst one that the seeds do not rule out."""

    place: int
    best: int
    worst: int

    def __str__(self) -> str:
        alone = self.best == self.worst
        return f"{self.place}" if alone else f"{self.place} ({self.best}–{self.worst})"


def rank(scores: Mapping[str, Sequence[float]]) -> dict[str, Rank]:
    """Name -> rank by the geometric mean of positive scores, the lowest first.

    Pairs are compared by t tests on the logarithms, with the standard deviation pooled over all
    recipes (three seeds alone say little of their own), and Holm's correction for their number: all
    statements hold together at 5 %.

    >>> {k: str(v) for k, v in rank({"a": [1.0, 1.1], "b": [9.0, 9.5], "c": [1.1, 1.05]}).items()}
    {'a': '1 (1–2)', 'c': '2 (1–2)', 'b': '3'}
    """
    logs = {name: [math.log(value) for value in values] for name, values in scores.items()}
    order = sorted(logs, key=lambda name: statistics.fmean(logs[name]))
    apart = different(logs)
    ranks = {}
    for place, name in enumerate(order):
        better = sum((name, other) in apart for other in order[:place])
        worse = sum((name, other) in apart for other in order[place + 1 :])
        ranks[name] = Rank(place + 1, better + 1, len(order) - worse)
    return ranks


def different(groups: Mapping[str, Sequence[float]]) -> set[tuple[str, str]]:
    """Pairs, in both orders, whose means differ at 5 % after Holm's correction."""
    freedom = sum(len(values) - 1 for values in groups.values())
    if freedom < 1:
        return set()  # one seed each proves nothing
    within = sum((value - statistics.fmean(v)) ** 2 for v in groups.values() for value in v)
    deviation = math.sqrt(within / freedom)
    names = list(groups)
    tests = sorted(
        (p_value(groups[a], groups[b], deviation, freedom), a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    )
    found: set[tuple[str, str]] = set()
    for done, (p, a, b) in enumerate(tests):
        if p * (len(tests) - done) >= LEVEL:
            break
        found |= {(a, b), (b, a)}
    return found


def p_value(a: Sequence[float], b: Sequence[float], deviation: float, freedom: int) -> float:
    """Two-sided, of the difference of two means by the pooled standard deviation."""
    gap = abs(statistics.fmean(a) - statistics.fmean(b))
    if deviation == 0:
        return float(gap == 0)
    return two_sided(gap / (deviation * math.sqrt(1 / len(a) + 1 / len(b))), freedom)
