"""Value ranges, sizes and picture files: no other place turns uint8 into floats or back."""

import contextlib
import math
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_lab import RunError


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1]."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Floats in [-1, 1] -> the nearest uint8; what lies outside is clamped."""
    return images.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, C, size, size]."""
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    if (height, width, size) == (28, 28, 32):
        # A frame of background keeps the strokes of handwritten digits as they were written.
        return F.pad(images, (2, 2, 2, 2))
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, channels, H, W]: grey is repeated, colour becomes luma."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return images.repeat(1, channels, 1, 1)
    if images.shape[1] == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601
        return (images * weights).sum(1, keepdim=True).round().to(torch.uint8)
    raise ValueError(f"{images.shape[1]} channels cannot become {channels}")


def make_grid(images: Tensor, columns: int | None = None, padding: int = 2) -> np.ndarray:
    """uint8 [N, C, H, W] -> one uint8 picture [H', W', C], row by row, on a black ground.

    Without `columns` the grid is as square as it can be.
    """
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = images.new_zeros(rows * columns, channels, height + padding, width + padding)
    cells[:count, :, :height, :width] = images
    cells = cells.view(rows, columns, channels, height + padding, width + padding)
    grid = cells.permute(0, 3, 1, 4, 2).reshape(
        rows * (height + padding), columns * (width + padding), channels
    )
    # Cells are padded below and to the right: the frame's other two sides are added here.
    return np.pad(grid.cpu().numpy(), ((padding, 0), (padding, 0), (0, 0)))


def save_png(path: Path | str, image: np.ndarray) -> None:
    """Write uint8 [H, W], [H, W, 1] or [H, W, 3]; a reader never sees half a file.

    The folder is made, but not its parents: a mount that vanished stays away.
    """
    path = Path(path)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise RunError(f"cannot write {path}: {error}") from error
