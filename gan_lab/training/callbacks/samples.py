"""Grids of the same latents through the whole run, and how they evolved, in one picture.

Of points, scatter plots take the place of grids.
"""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer

from gan_lab import UserError
from gan_lab.data.images import make_grid, save_png
from gan_lab.data.points import draw_points
from gan_lab.training.callbacks.checkpoints import stopped_by_signal
from gan_lab.training.module import GAN
from gan_lab.training.sampling import generate_images

PADDING = 2
FIRST_MARK = 1_000
MOST_COLUMNS = 26
MOST_ROWS = 12  # of evolution.png


class Samples(Callback):
    """Save a grid at image 0, 1,000, 2,000, 4,000, ... and from `every` on at its multiples.

    The latents are those of the first images that `generate` draws with the run's seed.

    Args:
        num_images: images in a grid.
        every: images seen between two grids; null for an epoch.
    """

    def __init__(self, num_images: int = 64, every: int | None = None) -> None:
        if num_images < 1 or (every is not None and every < 1):
            raise UserError(
                f"callbacks.samples: num_images={num_images} and every={every} must be at least 1"
            )
        self.num_images = num_images
        self.every = every
        self.written_at = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        num_train = trainer.datamodule.num_train  # type: ignore[attr-defined]
        self.interval = self.every or max(num_train, 1)
        self.due = mark_after(pl_module.images_seen, self.interval)
        if pl_module.images_seen == 0:
            self.write(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if pl_module.images_seen >= self.due:
            self.due = mark_after(pl_module.images_seen, self.interval)
            self.write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """The last grid and the evolution; not for a run that was interrupted and may go on."""
        if trainer.is_global_zero and not stopped_by_signal(trainer):
            self.write(trainer, pl_module)
            shape = trainer.datamodule.image_shape  # type: ignore[attr-defined]
            write_evolution(self.folder, shape[1] + PADDING if len(shape) == 3 else None)

    def write(self, trainer: Trainer, module: GAN) -> None:
        if not trainer.is_global_zero or self.written_at == module.images_seen:
            return
        images = generate_images(module.generator_ema, self.num_images, module.seed)
        if images.ndim == 2:
            real, _ = trainer.datamodule.images("train")  # type: ignore[attr-defined]
            grid = draw_points(images, real)
        else:
            grid = make_grid(images, columns_for(module, len(images)), PADDING)
        save_png(self.folder / "samples" / f"images_{module.images_seen:010d}.png", grid)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("samples", [grid], step=module.images_seen)
        self.written_at = module.images_seen


def columns_for(module: GAN, count: int) -> int | None:
    """A column a class where the generator draws classes in turn; None for a square."""
    num_classes = cast(int, module.generator.num_classes)
    return num_classes if 2 <= num_classes <= min(count, MOST_COLUMNS) else None


def mark_after(images: int, every: int, first: int = FIRST_MARK) -> int:
    """The first mark beyond `images`: doubling from `first` up to `every`, then its multiples."""
    if images >= every:
        return (images // every + 1) * every
    mark = first
    while mark <= images:
        mark *= 2
    return min(mark, every)


def write_evolution(
    folder: Path, cell: int | None, max_rows: int = MOST_ROWS, max_frames: int = 60
) -> None:
    """evolution.png: a row per moment, a column per latent; evolution.gif: the grids in turn.

    `cell` is the height of an image in a grid with its padding; None for a whole picture.
    """
    paths = grid_paths(folder)
    if not paths:
        return
    grids = [np.asarray(Image.open(path)) for path in thin(paths, max_frames)]
    first_rows = [np.asarray(Image.open(path))[:cell] for path in thin(paths, max_rows)]
    save_png(folder / "evolution.png", np.concatenate(first_rows))
    frames = [Image.fromarray(grid) for grid in grids]
    durations = [150] * (len(frames) - 1) + [2000]  # milliseconds; the last one stays
    partial = folder / ".evolution.gif"
    frames[0].save(
        partial, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    partial.replace(folder / "evolution.gif")


def grid_paths(folder: Path) -> list[Path]:
    """The grids of a run, in the order of the images seen."""
    paths = sorted((folder / "samples").glob("images_*.png"))
    return [path for path in paths if re.fullmatch(r"images_\d+", path.stem)]


def evolution_moments(folder: Path) -> list[int]:
    """Images seen at each row of evolution.png."""
    return [int(path.stem.split("_")[1]) for path in thin(grid_paths(folder), MOST_ROWS)]


def thin(items: list[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly, always with the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
