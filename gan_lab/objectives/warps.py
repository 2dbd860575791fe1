"""Images moved about: differentiable any number of times, without waiting for the device."""

import torch
from torch import Tensor

from gan_lab import UserError


def translate(images: Tensor, down: Tensor, right: Tensor, reflected: bool) -> Tensor:
    """Shift each image by so many pixels (int64 [N]); what comes in is its reflection, or 0."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)[:, None] - down[:, None, None]
    columns = torch.arange(width, device=images.device) - right[:, None, None]
    moved = pick(images, *torch.broadcast_tensors(rows, columns))
    if reflected:
        return moved
    inside = (rows == rows.clamp(0, height - 1)) & (columns == columns.clamp(0, width - 1))
    return moved * inside[:, None]


def resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each image at places [N, H, W] in pixels, bilinear, reflected at its border.

    Whole numbers give the pixels themselves, to the bit.
    """
    top, left = rows.floor(), columns.floor()
    below, beside = (rows - top)[:, None].to(images), (columns - left)[:, None].to(images)
    y, x = top.long(), left.long()
    upper = pick(images, y, x) * (1 - beside) + pick(images, y, x + 1) * beside
    lower = pick(images, y + 1, x) * (1 - beside) + pick(images, y + 1, x + 1) * beside
    return upper * (1 - below) + lower * below


def pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels [N, C, H, W] at places [N, H, W], reflected at the border."""
    height, width = images.shape[-2:]
    places = reflect(rows, height) * width + reflect(columns, width)
    flat = places.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).unflatten(2, (height, width))


def reflect(index: Tensor, size: int) -> Tensor:
    """-1 -> 1, size -> size - 2, and so on to and fro."""
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index).clamp(max=size - 1)


def require_images(images: Tensor, option: str, instead: str) -> None:
    """Refuse points [N, 2], which have no pixels."""
    if images.ndim != 4:
        raise UserError(
            f"{option} moves pixels, and samples of shape {list(images.shape[1:])} have none; "
            f"use {instead} instead"
        )
