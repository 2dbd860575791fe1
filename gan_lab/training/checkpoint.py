"""Checkpoints: tensors and plain containers only, written so that none is ever half there."""

import contextlib
import errno
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import nn

from gan_lab import RunError, UserError
from gan_lab.training import storage

FORMAT_VERSION = 1
NEEDED = {"format_version", "config", "progress", "state_dict"}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, flush to disk, rename: a crash leaves the old file whole.

    Beside last.ckpt, the one before it is kept as previous.ckpt. A disk that refuses is noted in
    `storage.failing` and raises nothing, since the other ranks would wait for rank 0 forever.

    Args:
        run: the run's folder; where it loses the config.yaml that it has now, its disk is gone.
    """

    def __init__(self, run: Path) -> None:
        mark = run / "config.yaml"
        self.mark = mark if mark.is_file() else None

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Lightning would leave the choice to torch, which an environment variable can undo."""
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        path = Path(path)
        previous = path.with_name("previous.ckpt") if path.name == "last.ckpt" else None
        try:
            self.require_run()
            save(checkpoint, path, previous)
        except (OSError, RunError) as error:
            storage.lost(path, error)
            return
        storage.written(path)
        if previous is not None:
            with contextlib.suppress(OSError):
                set_aside(path).unlink(missing_ok=True)

    def require_run(self) -> None:
        """Raise FileNotFoundError where the folder's disk is gone, and an empty place is left."""
        if self.mark is not None and not self.mark.is_file():
            raise FileNotFoundError(errno.ENOENT, f"{self.mark} has vanished with its folder")


def set_aside(path: Path) -> Path:
    """Where a resumed run puts a damaged checkpoint until it has saved a whole one."""
    return path.with_name(f"{path.name}.damaged")


def save(checkpoint: dict[str, Any], path: Path, previous: Path | None = None) -> None:
    """Save atomically; what `path` was so far is kept as `previous`.

    Raises:
        RunError: where the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)  # not its parents: a mount that vanished stays away
        content = io.BytesIO()  # not into the file: torch hides the disk's own words
        torch.save(checkpoint, content)
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            keep(path, previous)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def keep(path: Path, previous: Path) -> None:
    """Give the file a second name, so that at no moment neither of both is there."""
    link = previous.with_name(f".{previous.name}.{os.getpid()}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
        link.replace(previous)
    except OSError:  # a file system without hard links
        path.replace(previous)
    finally:
        link.unlink(missing_ok=True)  # renaming a link onto its own file leaves both


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
        check_whole(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"checkpoint={path} cannot be read as a gan_lab checkpoint ({reason[0][:160]}); "
            "give a .ckpt file that gan_lab wrote"
        ) from error
    sound = isinstance(checkpoint, dict) and checkpoint.keys() >= NEEDED
    if not sound or not all(
        isinstance(checkpoint[key], dict) for key in ("progress", "state_dict")
    ):
        raise UserError(f"checkpoint={path} is not a gan_lab checkpoint; give one that it wrote")
    version = checkpoint["format_version"]
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise UserError(
            f"checkpoint={path} has format version {version}; this gan_lab reads 1 to "
            f"{FORMAT_VERSION}: install the gan_lab that wrote it"
        )
    return checkpoint


def check_whole(path: Path) -> None:
    """Raise BadZipFile where a bit has changed: torch reads past the checksums of its archive."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise zipfile.BadZipFile("its archive is compressed")
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"its checksum of {damaged} is wrong")


def newest(folder: Path, tell: bool = True) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint in `folder` that a run goes on from, with its content; None where none is.

    It is last.ckpt, or the one before it where that is damaged, which is said where `tell`. Where
    both are, it is best.ckpt, which is written in the middle of a step's callbacks: what those
    after it record there is lost. So where it is alone, the run starts again.

    Raises:
        UserError: where there are checkpoints, and none can be read.
    """
    errors: list[UserError] = []
    for name in ("last.ckpt", "previous.ckpt", "best.ckpt"):
        path = folder / name
        damaged = errors or set_aside(folder / "last.ckpt").exists()
        if not path.is_file() or (name == "best.ckpt" and not damaged):
            continue
        try:
            content = load(path)
        except UserError as error:
            errors.append(error)
            continue
        for skipped in errors if tell else []:
            print(f"warning: {skipped}; skipped for {path.name}", file=sys.stderr, flush=True)
        return path, content
    if errors:
        raise UserError(
            f"no checkpoint in {folder} can be read: {errors[0]}. Put a whole one there as "
            "last.ckpt, or move them away to start again at image 0"
        )
    return None


def find(path: Path) -> Path:
    """The file that `checkpoint=` means: itself, or a run folder's best.ckpt, else last.ckpt.

    Where last.ckpt was damaged and set aside, it is the one before.
    """
    if not path.is_dir():
        return path
    for name in ("best.ckpt", "last.ckpt", "previous.ckpt"):
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
        first = str(error).strip().splitlines()[1:2] or [str(error)]  # one mismatch will do
        raise UserError(
            f"the checkpoint's weights do not fit its own config: {first[0].strip()} Give a "
            "checkpoint that train wrote and nobody changed"
        ) from error
    return network
