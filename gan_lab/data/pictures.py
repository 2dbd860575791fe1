"""Picture files of any format and size, decoded once into a memory-mapped file."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.formats import reading
from gan_lab.data.mapped import mapped_images

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Recipe:
    """How a picture becomes [channels, image_size, image_size]."""

    image_size: int
    channels: int  # 1 or 3
    crop: int | None  # side of the square cut from the middle; None: as large as it can be

    def check(self) -> None:
        """Raise UserError for what no picture can become."""
        if self.channels not in (1, 3):
            raise UserError(f"data.channels={self.channels!r} must be 1 (grey) or 3 (colour)")
        if self.crop is not None and (type(self.crop) is not int or self.crop < 1):
            raise UserError(
                f"data.source.crop={self.crop!r} must be a number of pixels from 1, or null for "
                "the largest square in the middle"
            )

    def decode(self, path: Path) -> np.ndarray:  # -> uint8 [H, W, C]
        with Image.open(path) as file:
            picture = _plain(ImageOps.exif_transpose(file)).convert("RGB")
        side = min(*picture.size, self.crop or max(picture.size))
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
        # Pillow widens the filter when it makes smaller, which is what antialiasing means.
        picture = picture.resize((self.image_size,) * 2, Image.Resampling.BILINEAR)
        array = np.asarray(picture.convert("L" if self.channels == 1 else "RGB"))
        return array.reshape(self.image_size, self.image_size, self.channels)


def _plain(picture: Image.Image) -> Image.Image:
    """What a plain conversion would get wrong: 16 bits per pixel, and transparency."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, "black")
        return Image.alpha_composite(ground, picture.convert("RGBA"))
    return picture


def fingerprint(paths: Sequence[Path], recipe: Recipe) -> str:
    """A key for what `decode_all` returns: changes with every file, the recipe and the decoder."""
    digest = hashlib.sha256(f"{astuple(recipe)} Pillow {PIL.__version__}".encode())
    for path in paths:
        with reading(path):
            facts = path.stat()
        digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def decode_all(paths: Sequence[Path], recipe: Recipe, cache: Path) -> Tensor:
    """uint8 [N, C, H, W], memory-mapped; files that cannot be read are all named at once."""
    shape = (len(paths), recipe.channels, recipe.image_size, recipe.image_size)
    key = f"pictures {fingerprint(paths, recipe)}"
    return mapped_images(cache, key, shape, lambda: _chunks(paths, recipe))


def _chunks(paths: Sequence[Path], recipe: Recipe, size: int = 1024) -> Iterator[Tensor]:
    faults: list[str] = []
    # Pillow lets other threads run while it decodes; as many as torch was given.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(paths), size):
            attempts = pool.map(functools.partial(_attempt, recipe), paths[start : start + size])
            decoded = list(attempts)
            faults += [fault for fault in decoded if isinstance(fault, str)]
            if not faults:  # afterwards only the remaining faults are looked for
                yield torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    if faults:
        shown = "\n  ".join(faults[:20])
        raise UserError(
            f"{len(faults)} of {len(paths)} files cannot be read as pictures:\n  {shown}\n"
            "repair them or move them out of the folder"
        )


def _attempt(recipe: Recipe, path: Path) -> np.ndarray | str:
    """The decoded picture, or what is wrong with its file."""
    try:
        return recipe.decode(path)
    except Exception as error:  # decoders raise whatever a file makes them stumble over
        return f"{path}: {error}"
