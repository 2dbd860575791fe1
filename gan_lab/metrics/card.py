"""The protocol card: what a number was measured with, and whether two numbers may be compared."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from gan_lab import UserError, __version__
from gan_lab.metrics.storage import write_atomically

PROTOCOL = 1  # counts up when the definition of any metric changes


def library_versions() -> dict[str, str]:
    """The versions that a value may depend on."""
    versions = {"gan_lab": __version__, "torch": str(torch.__version__)}
    return {**versions, "python": platform.python_version()}


@dataclass(frozen=True)
class Card:
    """Everything that the metrics of one evaluation share.

    `real_sha256` names the images compared with, `train_sha256` those that copies are looked for
    in; `ema` and `truncation` are None where nobody knows, as for images from elsewhere.
    """

    data: str
    split: str
    num_real: int
    num_train: int
    num_fake: int
    image_shape: list[int]
    real_sha256: str
    train_sha256: str
    extractor: str
    ema: bool | None = None
    truncation: float | None = None
    protocol: int = PROTOCOL
    seed: int = 0
    versions: dict[str, str] = field(default_factory=library_versions)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Card":
        """The inverse of `dataclasses.asdict`; UserError where a field is missing or unknown."""
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            given = sorted(values) if isinstance(values, Mapping) else values
            raise UserError(f"a protocol card has the fields {sorted(names)}, this one {given}")
        return cls(**values)


# Chance and software may differ between results that are compared; nothing else may.
FREE = ("seed", "versions")
COMPARED = tuple(entry.name for entry in fields(Card) if entry.name not in FREE)


def to_json(result: Mapping[str, Any]) -> str:
    """Text of a result {"metrics": .., "card": ..}; what is not finite becomes null."""
    return json.dumps(_plain(result), indent=2, allow_nan=False) + "\n"


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, whole or not at all."""
    write_atomically(path, to_json(result).encode())


def read_result(path: Path) -> dict[str, Any]:
    """Read a result back; UserError where the file is none."""
    try:
        result = json.loads(path.read_text())
        metrics, card = result["metrics"], result["card"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no result of an evaluation: {error!r}") from error
    return {**result, "metrics": dict(metrics), "card": asdict(Card.from_dict(card))}


def compare(
    results: Sequence[Mapping[str, Any]], ignore: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Metric -> its entries, result by result, for the metrics that all of them have.

    Raises:
        UserError: naming the fields in which the cards differ, unless `ignore` lists them.
    """
    if len(results) < 2:
        raise UserError(f"{len(results)} results given; comparing takes at least two")
    cards = [asdict(Card.from_dict(result["card"])) for result in results]
    unknown = set(ignore) - set(COMPARED)
    if unknown:
        raise UserError(f"ignore={sorted(unknown)} are no fields; choose among {list(COMPARED)}")
    differing = [
        f"{name}: {' / '.join(str(card[name]) for card in cards)}"
        for name in COMPARED
        if name not in ignore and any(card[name] != cards[0][name] for card in cards)
    ]
    if differing:
        raise UserError(
            "results that were measured differently cannot be compared; their cards differ in "
            f"{'; '.join(differing)}. Measure again in the same way, or list in ignore= "
            "what is meant to differ"
        )
    shared = [name for name in results[0]["metrics"] if all(name in r["metrics"] for r in results)]
    return {name: [result["metrics"][name] for result in results] for name in shared}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
