"""The names of what a run can suffer from, what a diagnosis is made of, and how it is told."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """In the order in which they are told: the gravest first."""

    DIVERGENCE = "divergence"
    MODE_COLLAPSE = "mode collapse"
    NOT_LEARNING = "not learning"
    VANISHING_GRADIENT = "vanishing generator gradient"
    CRITIC_TOO_STRONG = "critic too strong"
    CRITIC_TOO_WEAK = "critic too weak"
    CRITIC_MEMORISING = "critic memorising"
    INSTABILITY = "instability"
    OSCILLATION = "oscillation"
    PARTIAL_COLLAPSE = "partial collapse"
    DETERIORATION = "deterioration"
    CONVERGED = "converged"
    HEALTHY = "healthy"
    TOO_EARLY = "too early to tell"

    @property
    def key(self) -> str:
        """The name of its scalar in the logs."""
        return f"verdict/{self.value.replace(' ', '_')}"

    @classmethod
    def ills(cls) -> list["Verdict"]:
        """Those that call for something to be done."""
        return [v for v in cls if v not in (cls.CONVERGED, cls.HEALTHY, cls.TOO_EARLY)]


@dataclass(frozen=True)
class Finding:
    """An illness: the figures that show it, images seen since when, overrides to try."""

    name: Verdict
    evidence: str
    since: int
    remedies: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name.value,
            "evidence": self.evidence,
            "since": self.since,
            "try": list(self.remedies),
        }

    def __str__(self) -> str:
        tries = f"; try {', or '.join(self.remedies)}" if self.remedies else ""
        return f"{self.name} since image {self.since:,}: {self.evidence}{tries}"


@dataclass(frozen=True)
class Diagnosis:
    """All that is wrong, the gravest first; `verdict` is what the run is called in one word."""

    findings: tuple[Finding, ...]
    verdict: Verdict
    evidence: str

    @property
    def healthy(self) -> bool:
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        return {
            "healthy": self.healthy,
            "verdict": self.verdict.value,
            "evidence": self.evidence,
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def lines(self) -> list[str]:
        """A line for each finding, or one that says how well it goes."""
        return [str(f) for f in self.findings] or [f"{self.verdict}: {self.evidence}"]
