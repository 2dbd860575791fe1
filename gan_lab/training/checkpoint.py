"""Checkpoints: tensors and plain containers only, written so that none is ever half there."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import nn

from gan_lab import RunError, UserError

FORMAT_VERSION = 1
NEEDED = {"format_version", "config", "progress", "state_dict"}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, flush to disk, rename: a crash leaves the old file whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        save(checkpoint, Path(path))


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Save atomically.

    Raises:
        RunError: where the disk is full, or the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise RunError(f"cannot write {path}: {error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power failure."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours to the CPU, without running any code that it may carry.

    Raises:
        UserError: where the file is missing, damaged, foreign, or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"checkpoint={path} does not exist; give a .ckpt file or a run folder")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"checkpoint={path} cannot be read as a gan_lab checkpoint ({reason[0][:160]}); "
            "give a .ckpt file that gan_lab wrote"
        ) from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= NEEDED:
        raise UserError(f"checkpoint={path} is not a gan_lab checkpoint; give one that it wrote")
    version = checkpoint["format_version"]
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise UserError(
            f"checkpoint={path} has format version {version}; this gan_lab reads 1 to "
            f"{FORMAT_VERSION}: install the gan_lab that wrote it"
        )
    return checkpoint


def find(path: Path) -> Path:
    """The file that `checkpoint=` means: itself, or a run folder's best.ckpt, else last.ckpt."""
    if not path.is_dir():
        return path
    for name in ("best.ckpt", "last.ckpt"):
        if (path / "checkpoints" / name).is_file():
            return path / "checkpoints" / name
    raise UserError(f"checkpoint={path} has no checkpoints/last.ckpt; give a run folder or a file")


def load_weights(network: nn.Module, checkpoint: dict[str, Any], prefix: str) -> nn.Module:
    """Fill the network with the weights under `prefix` ("generator_ema") of a checkpoint."""
    start = f"{prefix}."
    state = {
        key.removeprefix(start): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith(start)
    }
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"the checkpoint's weights do not fit its own config: {error}") from error
    return network
