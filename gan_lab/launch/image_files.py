"""Images and labels out of .npz files, which may come from anywhere."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.formats import refuse_bomb


def read_images(path: Path) -> Tensor:
    """`images` uint8 [N, H, W, C] (or [N, H, W]) of an .npz -> [N, C, H, W]; or `points` [N, 2].

    Raises:
        UserError: where it is no such file; pickled content is never read.
    """
    if not path.is_file():
        raise UserError(f"images={path} does not exist; give an .npz file with `images`")
    if not zipfile.is_zipfile(path):
        raise UserError(f"images={path} is no .npz file; give an .npz that generate wrote")
    try:
        refuse_bomb(path)
        with np.load(path, allow_pickle=False) as file:
            if "points" in file and "images" not in file:
                return torch.from_numpy(file["points"].astype(np.float32))
            images = file["images"]
    except Exception as error:
        raise UserError(
            f"images={path} has no readable array `images`: {error}; "
            "give an .npz that generate wrote"
        ) from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"images={path} holds {images.dtype} {list(images.shape)}; "
            "`images` must be uint8 [N, H, W, C], with values from 0 to 255"
        )
    tensor = torch.from_numpy(images)
    return (tensor[..., None] if images.ndim == 3 else tensor).permute(0, 3, 1, 2).contiguous()


def read_labels(path: Path, count: int) -> Tensor | None:
    """`labels` [N] of an .npz that was read already; None where there are none, or -1 for none."""
    with np.load(path, allow_pickle=False) as file:
        labels = file["labels"] if "labels" in file else np.zeros(0)
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or (labels < 0).any():
        return None
    return torch.from_numpy(labels.astype(np.int64))
