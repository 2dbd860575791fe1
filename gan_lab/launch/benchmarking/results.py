"""Measurements that are kept as soon as they are there, so that a rerun goes on with the rest."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from gan_lab import RunError, UserError
from gan_lab.launch.entry import CONF
from gan_lab.launch.schema import conform
from gan_lab.metrics.storage import write_atomically

Figures = dict[str, Any]
SOURCES = {Path(__file__).parents[2]: "*.py", CONF: "*.yaml"}


class Results:
    """One JSON file a measurement in `folder`, named after what it is and all that it depends on.

    Args:
        folder: made with the first measurement.
        threads: of every measuring process; None for torch's own choice.
        overrides: of every training.

    Raises:
        UserError: where one of them cannot be used.
    """

    def __init__(self, folder: Path, threads: int | None, overrides: list[str]) -> None:
        if (conform(threads, int | None, "threads") or 1) < 1 or threads == 0:
            raise UserError(f"threads={threads} must be at least 1, or null for torch's own choice")
        nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise UserError(f"output={folder} cannot be written; choose another folder")
        self.folder = folder
        self.threads = threads or torch.get_num_threads()
        self.overrides = conform(overrides, list[str], "overrides")

    def get(
        self, name: str, key: Mapping[str, Any], measure: Callable[..., Figures], *arguments: Any
    ) -> Figures:
        """The measurement of this name, key and code: read, or made in a fresh process.

        `measure` is called with `arguments`, the overrides last.
        """
        whole = {**key, "overrides": self.overrides, **machine(), "threads": self.threads}
        whole["code"] = code()
        text = json.dumps(whole, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        path = self.folder / "measurements" / f"{name}-{digest}.json"
        try:
            return dict(json.loads(path.read_text())["figures"])
        except (OSError, ValueError, KeyError, TypeError):
            print(f"measuring {name} ...", flush=True)
        figures = apart(in_threads, self.threads, measure, *arguments, self.overrides)
        write_json(path, {"key": whole, "figures": figures})
        return figures

    def report(self, figures: Figures, text: str) -> None:
        """Print the tables; write them and the figures."""
        text += "\n\n" + describe_machine(self.threads)
        write_json(self.folder / "report.json", {"machine": machine(), "figures": figures})
        write_atomically(self.folder / "report.md", (text + "\n").encode())
        print(f"{text}\nwrote {self.folder / 'report.md'} and {self.folder / 'report.json'}")


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it in a process that has done nothing else: no warm caches, and a memory of its own.

    Raises:
        RunError: where the process dies, as for want of memory.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise RunError("the measuring process died, perhaps for want of memory") from error


def in_threads(threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    torch.set_num_threads(threads)
    return function(*arguments)


def code() -> str:
    """A hash of all that may run or be configured: a figure of other code is another figure.

    Read anew for every measurement, since each of them imports the files as they are then.
    """
    digest = hashlib.sha256()
    for folder, pattern in SOURCES.items():
        for path in sorted(folder.rglob(pattern)):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def machine() -> dict[str, Any]:
    """What figures depend on besides the settings."""
    return {
        "processor": processor(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe_machine(threads: int) -> str:
    found = machine()
    device = "" if found["device"] == "cpu" else f", {found['device']}"
    return (
        f"Measured on {found['processor']} ({found['instructions']}){device}, "
        f"{threads} thread{'s' if threads > 1 else ''}, torch {found['torch']}."
    )


def write_json(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=2, default=str) + "\n").encode())


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A markdown table whose columns stand in line."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def numbers(value: Any, path: str, least: float, whole: bool = False) -> list[Any]:
    """A list of numbers that are at least so large; UserError where it is none."""
    kind = list[int] if whole else list[float]
    found: list[Any] = conform(list(value) if isinstance(value, Sequence) else value, kind, path)
    for number in found:
        if number < least:
            raise UserError(f"{path}={found}: {number} must be at least {least}")
    return found


def at_least(value: Any, path: str, least: int) -> int:
    if conform(value, int, path) < least:
        raise UserError(f"{path}={value} must be a whole number of at least {least}")
    return int(value)
