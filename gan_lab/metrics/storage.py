"""What the metrics keep on disk: hashes that name content, a cache, writes that are whole."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gan_lab import RunError

Tensors = dict[str, Tensor]
logger = logging.getLogger(__name__)


def content_hash(*tensors: Tensor) -> str:
    """sha256 over dtype, shape and bytes of each tensor.

    >>> import torch
    >>> content_hash(torch.zeros(4)) == content_hash(torch.zeros(2, 2))
    False
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(-1).numpy().data.cast("B"))
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes, parents: bool = True) -> None:
    """Readers see the old file or the new one, never a part, also with several writers.

    The file's folder is made where it is missing, and its parents unless these must be there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=parents, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if partial.exists():
            partial.unlink()
        raise RunError(f"cannot write {path}: {error}") from error


class Cache:
    """Tensors on disk under a key that contains everything they depend on.

    A file carries its key and is used only where that matches; what is missing, damaged or foreign
    is computed again. Without a folder nothing is kept.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    def get(self, name: str, key: Mapping[str, Any], compute: Callable[[], Tensors]) -> Tensors:
        """The tensors stored for `key`, or else what `compute` returns, which is then stored."""
        if self.folder is None:
            return compute()
        text = json.dumps({"name": name, **key}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self.folder / f"{name}-{digest[:24]}.safetensors"
        found = _read(path, text)
        if found is None:
            found = compute()
            contiguous = {entry: tensor.contiguous() for entry, tensor in found.items()}
            try:
                write_atomically(path, save(contiguous, metadata={"key": text}))
            except RunError as error:  # a cache that cannot be kept costs time, not the result
                logger.warning("%s; it will be computed again next time", error)
        return found


def _read(path: Path, key: str) -> Tensors | None:
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
