"""From a checkpoint or a file of images to a result with its protocol card, a table, a picture."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab import RunError, UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.launch import drawing, hardware, judging_modes
from gan_lab.launch.image_files import read_images, read_labels
from gan_lab.launch.judging_modes import ModeSubject
from gan_lab.launch.schema import build, conform
from gan_lab.metrics.card import write_result
from gan_lab.metrics.features import ImageFeatures, find_weights, load_extractor
from gan_lab.metrics.foundation import FOUNDATIONS, load_foundation
from gan_lab.metrics.protocol import check_metrics, evaluate_images
from gan_lab.metrics.reals import Reals
from gan_lab.metrics.recovery import recover, recovery_gap
from gan_lab.metrics.two_sample import accuracy_curve
from gan_lab.training.sampling import generate_images, labels_like

SPLITS = ("test", "validation")
EXTRACTORS = ("own", *FOUNDATIONS)
NUM_IMAGES = 10_000  # of images; judging_modes knows how many points the papers compare


@dataclass
class Subject:
    """What is judged, and what it is compared with."""

    images: Tensor  # uint8 [N, C, H, W]
    reals: Reals
    extractor: ImageFeatures
    cache: Path
    generator: nn.Module | None  # None for images from elsewhere
    labels: Tensor | None = None  # that were asked for [N]


def prepare(config: DictConfig, overrides: list[str]) -> Subject | ModeSubject:
    """Check all settings, load or draw the images, and find the reals and their feature network.

    A checkpoint is compared with the data that it was trained on, unless `data=` says otherwise.
    """
    check(config)
    hardware.spare_overhead()
    generator, node, labels = None, config.data, None
    if config.images is not None:
        images = read_images(Path(config.images))
        labels = read_labels(Path(config.images), len(images))
    else:
        content = drawing.load_content(config.checkpoint)
        generator = drawing.generator_of(content, config.checkpoint, config.device)
        if not any(text.startswith("data=") for text in overrides):
            node = OmegaConf.create(content["config"]["data"])
            if "root" in node and "root" in config.data:
                node.root = config.data.root
    data: ImageData = build(node, "data")
    data.check()
    known = judging_modes.find(config, data)
    if config.num_images is None:
        config.num_images = NUM_IMAGES if known is None else known.num_samples
    extractor = None if known is not None else find_extractor(config, data)
    data.prepare_data()
    reals = None if extractor is None else Reals.of(data, config.split)
    if generator is not None:
        if cast(int, generator.num_classes):
            labels = labels_like(data.images("train")[1], config.num_images, config.seed)
        images = draw(generator, config, labels)
    if known is not None:
        return ModeSubject(images, data, known, generator is not None)
    assert extractor is not None
    assert reals is not None
    return Subject(
        images, reals, extractor, Path(data.root).expanduser() / "metrics", generator, labels
    )


def find_extractor(config: DictConfig, data: ImageData) -> ImageFeatures:
    """The data's own network, or a large one for photographs."""
    device = drawing.choose_device(config.device)
    if config.extractor == "own":
        return load_extractor(find_weights(data), device)
    return load_foundation(config.extractor, device)


def check(config: DictConfig) -> None:
    """Refuse what can be seen to be wrong before anything is read."""
    if (config.checkpoint is None) == (config.images is None):
        raise UserError(
            "give checkpoint= (a .ckpt file or a run folder) or images=FILE.npz, and not both"
        )
    for key, low in {"num_images": 10, "batch_size": 1, "seed": 0}.items():
        given = low if config[key] is None and key == "num_images" else config[key]
        if conform(given, int, key) < low:
            raise UserError(f"{key}={config[key]} must be a whole number of at least {low}")
    drawing.check_truncation(config.truncation)
    check_metrics(None if config.metrics is None else conform_names(config.metrics))
    if config.split not in SPLITS:
        raise UserError(f"split={config.split} must be one of {', '.join(SPLITS)}")
    if config.extractor not in EXTRACTORS:
        raise UserError(f"extractor={config.extractor} must be one of {', '.join(EXTRACTORS)}")
    if config.recovery and config.checkpoint is None:
        raise UserError(
            "recovery=true searches a generator's latents: it needs checkpoint=; give that"
        )
    output = Path(config.output)
    if output.suffix != ".json":
        raise UserError(f"output={output} must be named FILE.json")
    drawing.check_place(output)


def conform_names(names: Any) -> list[str]:
    plain = OmegaConf.to_container(names) if OmegaConf.is_list(names) else [names]
    return list(conform(plain, list[str], "metrics"))


def draw(generator: nn.Module, config: DictConfig, labels: Tensor | None) -> Tensor:
    return generate_images(
        generator, config.num_images, config.seed, config.batch_size, config.truncation, labels
    )


def measure(subject: Subject | ModeSubject, config: DictConfig) -> dict[str, Any]:
    """All metrics asked for, the picture's details, and what takes training of its own."""
    if isinstance(subject, ModeSubject):
        return judging_modes.measure(subject, config)
    names = None if config.metrics is None else conform_names(config.metrics)
    result = evaluate_images(
        subject.images,
        subject.reals,
        subject.extractor,
        subject.cache,
        metrics=names,
        details=True,
        seed=config.seed,
        ema=None if subject.generator is None else True,
        truncation=config.truncation,
        labels=subject.labels,
    )
    if config.two_sample:
        half = min(len(subject.images), len(subject.reals.reference)) // 2
        sizes = [size for size in (100, 500, 2000) if size < half] + [half]
        curve = accuracy_curve(subject.reals.reference, subject.images, sizes, half)
        result["two_sample"] = {size: test._asdict() for size, test in curve.items()}
    if config.recovery:
        result["recovery"] = recovery(subject)
    return result


def recovery(subject: Subject, count: int = 250) -> dict[str, float]:
    """The latent-recovery gap between training and held-out images."""
    generator = subject.generator
    assert generator is not None
    parts = (subject.reals.train[:count], subject.reals.reference[:count])
    labels = [seen_classes(subject, part) for part in parts]
    cpu = generator.cpu()
    errors = [
        recover(cpu, part, cast(int, cpu.latent_dim), labels=known)
        for part, known in zip(parts, labels, strict=True)
    ]
    medians = {"median_train": errors[0].median().item(), "median_test": errors[1].median().item()}
    return {**recovery_gap(*errors)._asdict(), **medians}


def seen_classes(subject: Subject, images: Tensor) -> Tensor | None:
    """What a conditional generator is told of images to recover: the classes seen in them."""
    if not cast(int, cast(nn.Module, subject.generator).num_classes):
        return None
    if "classes" not in subject.extractor.gives:
        raise UserError(
            "recovery=true of a conditional generator needs classes, which this feature network "
            "does not know; use extractor=own"
        )
    return subject.extractor.features(images)[1].argmax(1)


def table(result: Mapping[str, Any]) -> str:
    """One line a metric: value, interval, floor, ceiling."""
    lines = [f"{'metric':<16} {'value':>10} {'95 % interval':>21} {'floor':>10} {'ceiling':>10}"]
    for name, entry in result["metrics"].items():
        low_high = entry["interval"]
        interval = "" if low_high is None else f"{low_high[0]:.4g} .. {low_high[1]:.4g}"
        lines.append(
            f"{name:<16} {entry['value']:>10.4g} {interval:>21} "
            f"{entry['floor']:>10.4g} {entry['ceiling']:>10.4g}"
        )
    for size, test in result.get("two_sample", {}).items():
        low, high = test["interval"]
        lines.append(
            f"fresh critics trained on {size} + {size} images tell them apart in "
            f"{test['accuracy']:.1%} ({low:.1%} .. {high:.1%}); chance is 50 %"
        )
    if "recovery" in result:
        gap = result["recovery"]
        lines.append(f"latent-recovery gap {gap['gap']:.3f}, p = {gap['p_value']:.3g}")
    lines += [f"{name} left out: {why}" for name, why in result.get("left_out", {}).items()]
    card = result["card"]
    lines.append(
        f"{card['num_fake']} generated images against {card['num_real']} {card['split']} images of "
        f"{card['data']}; floor: real images, ceiling: noise (memorisation: copies)"
    )
    return "\n".join(lines)


def write(output: Path, subject: Subject | ModeSubject, result: dict[str, Any]) -> None:
    """FILE.json with the numbers and FILE.png with the picture."""
    from gan_lab.metrics.picture import draw_report

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_result(output, result)
        partial = output.with_name(f".{output.stem}.{os.getpid()}.png")
        if isinstance(subject, ModeSubject):
            judging_modes.draw(partial, subject, result)
        else:
            draw_report(partial, subject.images, subject.reals.train, result)
        partial.replace(output.with_suffix(".png"))
    except OSError as error:
        raise RunError(f"cannot write {output}: {error}") from error
