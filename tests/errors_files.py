"""Wrong files for tests/errors_table.py: each function returns what makes one of them."""

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gan_lab.data.formats import format_idx


@dataclass(frozen=True)
class Place:
    """What a case finds: its own folder, a finished run, its images, and a folder for data."""

    here: Path
    run: Path
    images: Path
    root: Path

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoints" / "last.ckpt"


Maker = Callable[[Place], object]


def several(*makers: Maker) -> Maker:
    return lambda place: [make(place) for make in makers]


def file(name: str, content: bytes = b"") -> Maker:
    def make(place: Place) -> None:
        path = place.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return make


def folder(name: str) -> Maker:
    return lambda place: (place.here / name).mkdir(parents=True)


def labels(change: Callable[[bytes], bytes], name: str = "t10k-labels-idx1-ubyte") -> Maker:
    """MNIST's test labels, changed."""
    return file(f"data/{name}", change(format_idx(np.arange(10_000, dtype=np.uint8) % 10)))


def bomb(size: int = 30_000_000) -> bytes:
    """A small .gz file of many zeros."""
    return gzip.compress(bytes(size))


def pictures(*names: str, color: str = "white") -> Maker:
    def make(place: Place) -> None:
        for name in names:
            (place.here / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), color).save(place.here / name)

    return make


def huge_png(side: int = 60_000) -> bytes:
    """A PNG file of some bytes whose header claims `side` times `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def arrays(name: str, **content: Any) -> Maker:
    return lambda place: np.savez(place.here / name, **content)


def npz_claiming(name: str, shape: tuple[int, ...]) -> Maker:
    """An .npz file whose array `images` has a header of `shape` and no content."""
    import zipfile

    def make(place: Place) -> None:
        with (
            zipfile.ZipFile(place.here / name, "w") as archive,
            archive.open("images.npy", "w") as f,
        ):
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(f, header)

    return make


def checkpoint(change: Callable[[dict[str, Any]], Any], name: str = "x.ckpt") -> Maker:
    """The finished run's checkpoint with a changed content."""

    def make(place: Place) -> None:
        content = torch.load(place.checkpoint, weights_only=True)
        torch.save(change(content), place.here / name)

    return make


def with_entry(key: str, value: Any) -> Maker:
    return checkpoint(lambda content: {**content, key: value})


def without(key: str) -> Maker:
    return checkpoint(lambda content: {k: v for k, v in content.items() if k != key})


def with_generator(**settings: Any) -> Maker:
    """A checkpoint whose config names another generator than its weights are of."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        content["config"]["networks"]["generator"].update(settings)
        return content

    return checkpoint(change)


def changing_generator(
    change: Callable[[dict[Any, Any]], dict[Any, Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What puts another node for the generator into a checkpoint's content."""

    def put(content: dict[str, Any]) -> dict[str, Any]:
        networks = content["config"]["networks"]
        networks["generator"] = change(networks["generator"])
        return content

    return put


def with_data(node: Any) -> Maker:
    return checkpoint(lambda content: {**content, "config": {**content["config"], "data": node}})


def cut(share: float, name: str = "x.ckpt") -> Maker:
    """The finished run's checkpoint up to a share of its length."""

    def make(place: Place) -> None:
        whole = place.checkpoint.read_bytes()
        (place.here / name).parent.mkdir(exist_ok=True)
        (place.here / name).write_bytes(whole[: int(share * len(whole))])

    return make


def random_bytes(name: str, size: int = 100_000) -> Maker:
    return file(name, np.random.default_rng(0).bytes(size))


def run_with(name: str, text: str) -> Maker:
    """A run folder in which one text file is another one."""

    def make(place: Place) -> None:
        (place.here / "old").mkdir()
        for kept in ("config.yaml", "overrides.yaml"):
            (place.here / "old" / kept).write_text((place.run / kept).read_text())
        (place.here / "old" / name).write_text(text)

    return make


def run_with_checkpoint(change: Callable[[dict[str, Any]], Any]) -> Maker:
    """A run folder whose last.ckpt has a changed content, with what a resume would remove."""

    def make(place: Place) -> None:
        run_with("result.json", "{}")(place)
        (place.here / "old" / "events.out.tfevents.1.x").write_bytes(b"kept")
        (place.here / "old" / "checkpoints").mkdir()
        checkpoint(change, "old/checkpoints/last.ckpt")(place)

    return make


def widen(content: dict[str, Any]) -> dict[str, Any]:
    """The first weight with a row more, as of a wider network."""
    weights = content["state_dict"]
    first = next(iter(weights))
    weights[first] = torch.zeros(len(weights[first]) + 1, *weights[first].shape[1:])
    return content
