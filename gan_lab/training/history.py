"""The logged history of a run, as the verdicts read it: one value of each measure per probe."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Series = np.ndarray[Any, np.dtype[np.float64]]  # a value per probe, NaN where there is none


def is_probe(row: Mapping[str, float]) -> bool:
    """Whether the row holds what the health monitor measured."""
    return "health/critic_auc" in row


class History:
    """All scalars that a run has logged, in order."""

    def __init__(self, rows: Iterable[Mapping[str, float]] = ()) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.probes: list[Mapping[str, float]] = []
        for row in rows:
            self.add(row)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]], images: float = np.inf) -> "History":
        """From the rows of metrics.csv up to so many images seen."""
        read = ({k: float(v) for k, v in row.items() if v} for row in rows)
        return cls(row for row in read if row["images_seen"] <= images)

    def add(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)
        if is_probe(row):
            self.probes.append(row)

    def __getitem__(self, name: str) -> Series:
        """`health/NAME` at each probe."""
        return np.array([row.get(f"health/{name}", np.nan) for row in self.probes])

    @property
    def images(self) -> Series:
        return np.array([row["images_seen"] for row in self.probes], dtype=float)

    def logged(self, name: str) -> tuple[Series, Series]:
        """Images seen and values of any logged scalar."""
        found = [(row["images_seen"], row[name]) for row in self.rows if name in row]
        images, values = zip(*found, strict=True) if found else ((), ())
        return np.array(images), np.array(values)

    def spike(self, name: str) -> float:
        """The largest value logged since the last probe over the median so far, NaN without any."""
        images, values = self.logged(name)
        since = values[images > (self.images[-1] if self.probes else -np.inf)]
        return float(since.max() / max(np.median(values), 1e-12)) if len(since) else np.nan
