"""How samples of data with known modes are judged; the counterpart of feature metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor

from gan_lab import UserError
from gan_lab.launch import drawing
from gan_lab.metrics.modes import KnownModes, evaluate_modes, known_modes


@dataclass
class ModeSubject:
    """What is judged, and by what."""

    images: Tensor  # points float32 [N, 2], or uint8 [N, 3, H, W]
    data: Any  # a datamodule
    known: KnownModes
    is_generated: bool  # by a checkpoint's averaged generator; False: from elsewhere


def find(config: DictConfig, data: Any) -> KnownModes | None:
    """The judge of data whose modes are known; None where features are to be compared.

    Raises:
        UserError: where the config asks for what needs features.
    """
    known = known_modes(data, drawing.choose_device(config.device))
    if known is None or (config.extractor != "own" and len(data.image_shape) == 3):
        return None  # stacked digits are pictures as well
    idle = {"metrics": None, "extractor": "own", "two_sample": False, "recovery": False}
    for key, value in idle.items():
        if config[key] != value:
            raise UserError(
                f"{key}={config[key]} compares images by their features, but of "
                f"{data.source.name} the known modes are counted; leave {key} out"
            )
    return known


def measure(subject: ModeSubject, config: DictConfig) -> dict[str, Any]:
    """Modes found, share of good samples, KL; floor and ceiling beside each."""
    return evaluate_modes(
        subject.images,
        subject.data,
        subject.known,
        config.split,
        config.seed,
        ema=True if subject.is_generated else None,
        truncation=config.truncation,
    )


def draw(path: Path, subject: ModeSubject, result: dict[str, Any]) -> None:
    """The samples, and each metric between floor and ceiling."""
    from gan_lab.metrics.picture import draw_mode_report

    draw_mode_report(path, subject.images, subject.data.images("train")[0], result)
