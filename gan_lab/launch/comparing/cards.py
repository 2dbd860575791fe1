"""By which protocol a run measured itself, and what evaluations say of theirs.

Numbers are ranked where they were measured alike; a difference is named, not overlooked.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gan_lab.launch.comparing.records import Record
from gan_lab.launch.runs import MODE_METRICS
from gan_lab.metrics.card import COMPARED

Card = dict[str, Any]
PLACES = ("root", "cache")  # where data lie, which is not what they are


def card_of(record: Record) -> Card:
    """What the value of `val/METRIC` depends on besides the generator, read from the config.

    The fields are those of an evaluation's card as far as a config knows them; the images
    themselves, which that names by hash, follow here from the source's settings.
    """
    settings, metric = record.settings, record.monitor
    data = {key.removeprefix("data."): value for key, value in settings.items()}
    known_modes = metric in MODE_METRICS
    return {
        "metric": metric,
        "data": str(data.get("source._target_", "?")).rpartition(".")[2],
        "source": source_of(settings),
        "classes": data.get("classes"),
        "num_classes": data.get("num_classes"),
        "split": "the modes, which are known" if known_modes else "validation",
        "num_real": None if known_modes else data.get("holdout"),
        "num_fake": settings.get("callbacks.evaluation.num_images"),
        "image_shape": data.get("image_shape"),
        "extractor": "none" if metric == "mode_misses" else "the data's own",
    }


def source_of(settings: Mapping[str, Any]) -> str:
    """The source's other settings, without the places where its files lie on this machine."""
    root, prefix = str(settings.get("data.root")), "data.source."
    given = {key.removeprefix(prefix): v for key, v in settings.items() if key.startswith(prefix)}
    told = [
        f"{key}={value.removeprefix(root) if isinstance(value, str) else value}"
        for key, value in sorted(given.items())
        if key not in (*PLACES, "_target_")
    ]
    return ", ".join(told)


def alike(one: Card, other: Card) -> bool:
    """Whether the cards agree; one that measured nothing yet may have had any metric."""
    unmeasured = one["metric"] is None or other["metric"] is None
    free = {"metric", "split", "num_real", "extractor"} if unmeasured else set()
    return all(one[name] == other[name] for name in one if name not in free)


def group(records: Sequence[Record]) -> list[list[Record]]:
    """Runs of one protocol each, the largest group first; the unmeasured join where they may."""
    groups: list[list[Record]] = []
    for record in sorted(records, key=lambda record: record.monitor is None):
        card = card_of(record)
        home = next((known for known in groups if alike(card_of(known[0]), card)), None)
        if home is None:
            groups.append([record])
        else:
            home.append(record)
    return sorted(groups, key=len, reverse=True)


def differences(cards: Sequence[Card]) -> dict[str, list[Any]]:
    """Field -> its value in each card, for the fields in which the cards are not all alike."""
    fields = cards[0] if cards else {}
    found = {name: [card.get(name) for card in cards] for name in fields}
    return {name: values for name, values in found.items() if len(set(map(text, values))) > 1}


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def refusal(cards: Sequence[Card], sizes: Sequence[int]) -> str | None:
    """Why there is no one ranking, naming each field with all its values; None where there is."""
    found = differences(cards)
    if not found:
        return None
    told = []
    for name, values in found.items():
        runs: dict[str, int] = {}
        for value, size in zip(values, sizes, strict=True):
            runs[text(value)] = runs.get(text(value), 0) + size
        told.append(f"{name}: " + " / ".join(f"{v or 'none'} ({many(n)})" for v, n in runs.items()))
    return (
        f"Not ranked against each other: these runs were measured in {len(cards)} ways, which "
        f"differ in {'; '.join(told)}. Each way has a table of its own; train or evaluate again in "
        "one way to compare across them."
    )


def many(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def disagreement(cards: Sequence[Card]) -> str:
    """The fields in which cards of evaluations differ, with their values; empty where in none."""
    found = differences([{name: card.get(name) for name in COMPARED} for card in cards])
    return "; ".join(
        f"{name}: {' / '.join(text(value)[:16] for value in values)}"
        for name, values in found.items()
    )


def evaluation_groups(results: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Evaluations whose protocol cards agree in all that must agree to be compared."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        key = json.dumps([result["card"].get(name) for name in COMPARED], default=str)
        groups.setdefault(key, []).append(result)
    return list(groups.values())
