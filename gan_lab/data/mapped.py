"""uint8 images in a file that is written once and memory-mapped ever after."""

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.sources import exclusive, publish

log = logging.getLogger(__name__)

Shape = tuple[int, int, int, int]


def mapped_images(
    folder: Path, key: str, shape: Shape, chunks: Callable[[], Iterator[Tensor]]
) -> Tensor:
    """uint8 [N, C, H, W], read from the file for `key` or made of `chunks` the first time.

    `key` must contain everything that the images depend on, for nothing else is compared later.
    Channels lie last in the file, as in the batches.
    """
    path = folder / f"{hashlib.sha256(f'{key} {shape}'.encode()).hexdigest()[:32]}.npy"
    if not path.exists():
        with exclusive(folder):
            if not path.exists():  # another process may have been faster
                _write(path, shape, chunks())
    return _open(path, shape)


def _write(path: Path, shape: Shape, chunks: Iterator[Tensor]) -> None:
    """Plain writes: a full disk is an error here, but a crash where a map is written to."""
    count, channels, height, width = shape
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
        "fortran_order": False,
        "shape": (count, height, width, channels),
    }
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            done = 0
            for chunk in chunks:
                file.write(chunk.permute(0, 2, 3, 1).contiguous().numpy().data)
                done += len(chunk)
                log.info("prepared %d of %d images", done, count)
        publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _open(path: Path, shape: Shape) -> Tensor:
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"the cache {path} is damaged: {error}; delete it") from error
    assert array.shape == tuple(shape[axis] for axis in (0, 2, 3, 1)), (path, array.shape)
    with warnings.catch_warnings():
        # A private writable map would be accounted as memory; nobody writes to images.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array).permute(0, 3, 1, 2)
