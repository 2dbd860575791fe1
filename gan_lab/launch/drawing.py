"""From a checkpoint to picture files."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab import RunError, UserError
from gan_lab.data.images import make_grid, save_png
from gan_lab.data.points import draw_points
from gan_lab.launch.schema import build
from gan_lab.launch.trust import require_networks, require_sources
from gan_lab.training import checkpoint as checkpoints
from gan_lab.training.sampling import generate_images


def load_generator(source: str | Path, device: str = "auto") -> nn.Module:
    """The averaged generator of a checkpoint file or a run folder, in evaluation mode.

    Raises:
        UserError: where it is missing, damaged, or its weights do not fit its config.
    """
    return generator_of(load_content(source), source, device)


def load_content(source: str | Path) -> dict[str, Any]:
    """What a checkpoint file, or the best of a run folder, holds."""
    content = checkpoints.load(find(source))
    networks = content["config"].get("networks") if isinstance(content["config"], dict) else None
    node = networks.get("generator") if isinstance(networks, dict) else None
    if not isinstance(node, dict) or "_target_" not in node or "state_dict" not in content:
        raise UserError(f"checkpoint={source} names no generator in its config; give another")
    with naming(source):
        require_networks(node, "networks.generator")
        require_sources(content["config"].get("data"), "data")
    return content


@contextlib.contextmanager
def naming(source: str | Path) -> Iterator[None]:
    """Say of which file a message is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"checkpoint={source}: {error}") from error


def generator_of(content: dict[str, Any], source: str | Path, device: str = "auto") -> nn.Module:
    """The averaged generator in the content of the checkpoint `source`.

    Raises:
        UserError: whatever is wrong with it: a file may come from anywhere.
    """
    place = choose_device(device)
    try:
        generator = build(content["config"]["networks"]["generator"], "networks.generator")
        for name in ("latent_dim", "num_classes"):
            if not isinstance(getattr(generator, name), int):
                raise TypeError(f"its {name} is no whole number")
        checkpoints.load_weights(generator, content, "generator_ema")
        return generator.eval().requires_grad_(False).to(place)
    except UserError as error:
        raise UserError(f"checkpoint={source}: {error}") from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"checkpoint={source} holds no generator that can be built ({reason}); give one that "
            "train wrote"
        ) from error


def find(source: str | Path) -> Path:
    """The checkpoint file that a file or a run folder stands for; it must exist."""
    path = checkpoints.find(Path(str(source)))
    if not path.is_file():
        raise UserError(f"checkpoint={source} does not exist; give a .ckpt file or a run folder")
    return path


def choose_device(name: str) -> torch.device:
    if not isinstance(name, str) or name == "meta":
        raise UserError(f"device={name} computes nothing; use auto, cpu or cuda")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} is not to be had here; use auto, cpu or cuda") from error


def check(config: DictConfig, output: Path) -> None:
    """Refuse what can be seen to be wrong before a checkpoint is read."""
    for key in ("num_images", "batch_size"):
        if not isinstance(config[key], int) or isinstance(config[key], bool) or config[key] < 1:
            raise UserError(f"{key}={config[key]} must be a whole number of at least 1")
    if not isinstance(config.seed, int) or config.seed < 0:
        raise UserError(f"seed={config.seed} must be a whole number of at least 0")
    check_truncation(config.truncation)
    check_place(output)
    is_file = output.suffix in (".npz", ".png")
    if output.exists() and is_file != output.is_file():
        kind = "a folder" if output.is_dir() else "a file"
        raise UserError(f"output={output} is {kind}; give FILE.npz, FILE.png or a folder's name")
    if not is_file and (output.suffix or (output.is_dir() and any(output.iterdir()))):
        what = "has an unknown ending" if output.suffix else "is a folder with files in it"
        raise UserError(f"output={output} {what}; give FILE.npz, FILE.png or a new folder's name")


def check_truncation(bound: Any) -> None:
    number = isinstance(bound, (int, float)) and not isinstance(bound, bool)
    if bound is not None and not (number and 0 < bound < np.inf):
        raise UserError(f"truncation={bound} must be a positive number, or null for none")


def check_place(output: Path) -> None:
    parent = next(place for place in output.absolute().parents if place.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"output={output} cannot be written below {parent}; choose another place")


def draw(generator: nn.Module, config: DictConfig) -> tuple[Tensor, Tensor]:
    """uint8 images [N, C, H, W] or float32 points [N, 2], and int64 labels [N], -1 for none."""
    num_classes = cast(int, generator.num_classes)
    labels = wanted_labels(config.labels, num_classes, config.num_images)
    code = wanted_code(config.code, generator)
    images = generate_images(
        generator,
        config.num_images,
        config.seed,
        config.batch_size,
        config.truncation,
        labels,
        code,
    )
    return images, torch.full((len(images),), -1) if labels is None else labels


def wanted_labels(labels: Any, num_classes: int, count: int) -> Tensor | None:
    """`labels=7`, `labels=balanced` or `labels=[0,1,2]`, repeated to `count` images."""
    if num_classes == 0:
        if labels is not None:
            raise UserError(f"labels={labels}: this generator is unconditional; leave labels out")
        return None
    given = OmegaConf.to_container(labels) if OmegaConf.is_list(labels) else labels
    chosen: Any = list(range(num_classes)) if given in (None, "balanced") else given
    chosen = chosen if isinstance(chosen, list) else [chosen]
    if not chosen or not all(type(label) is int and 0 <= label < num_classes for label in chosen):
        raise UserError(f"labels={labels} must be balanced, or whole numbers below {num_classes}")
    return torch.tensor([chosen[i % len(chosen)] for i in range(count)])


def wanted_code(values: Any, generator: nn.Module) -> list[float | None] | None:
    """`code=[3,0.5,null]`: one value for each latent that means something, null for chance."""
    if values is None:
        return None
    if getattr(generator, "code", None) is None:
        raise UserError(
            f"code={values}: this generator has no code; leave code out, or train one with "
            "conditioning=infogan"
        )
    given: Any = OmegaConf.to_container(values) if OmegaConf.is_list(values) else values
    return list(given) if isinstance(given, list) else [given]


def write(output: Path, images: Tensor, labels: Tensor) -> None:
    """Write an .npz, a grid (points: a scatter plot) or a folder of PNGs, by the output's name."""
    if images.ndim == 2 and output.suffix not in (".npz", ".png"):
        raise UserError(f"output={output}: points go into FILE.npz or FILE.png, not into a folder")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".npz":
            write_npz(output, images, labels)
        elif output.suffix == ".png":
            save_png(output, draw_points(images) if images.ndim == 2 else make_grid(images))
        else:
            width = len(str(len(images) - 1))
            for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
                save_png(output / f"{i:0{width}d}.png", image)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error}") from error


def write_npz(output: Path, images: Tensor, labels: Tensor) -> None:
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            if images.ndim == 2:
                np.savez(file, points=images.numpy(), labels=labels.numpy())
            else:
                np.savez(file, images=images.permute(0, 2, 3, 1).numpy(), labels=labels.numpy())
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
