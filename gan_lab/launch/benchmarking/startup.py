"""Seconds from a command to its first training step, beside the imports that none can spare."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from gan_lab import RunError
from gan_lab.launch.benchmarking import racers
from gan_lab.launch.benchmarking.marks import TUTORIAL
from gan_lab.launch.benchmarking.results import Figures, table

IMPORTS = "imports"
SAID = "first step at "
IMPORTING = f"import time, torch, pytorch_lightning; print(f'{SAID}{{time.time():.3f}}')"
CALLBACK = "+callbacks.first._target_=gan_lab.launch.benchmarking.trials.FirstStep"
Command = Callable[[list[str], Path], list[str]]  # (overrides, an empty folder) -> arguments
OTHERS: dict[str, Command] = {  # what is no experiment; neither takes overrides
    IMPORTS: lambda overrides, folder: ["-c", IMPORTING],
    TUTORIAL: lambda overrides, folder: [str(racers.TUTORIAL), "1"],
}


def rounds(names: Sequence[str], count: int, overrides: list[str]) -> Figures:
    """Seconds of each name in so many rounds, one after the other within a round.

    A command is timed until it says so itself: imports end with the import, a training with its
    first step. What comes after is not counted. One start of each goes before the rounds, since
    who comes first reads from the disk what the others find in memory.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        seconds(name, overrides)
    for _ in range(count):
        for name in names:
            found[name].append(seconds(name, overrides))
    return {"seconds": found}


def seconds(name: str, overrides: list[str]) -> float:
    """From the command to the end of its first step: imports, data, everything."""
    with tempfile.TemporaryDirectory() as folder:
        make = OTHERS.get(name, training(name))
        command = [sys.executable, *make(overrides, Path(folder))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        start = time.time()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(SAID)]
    if not lines:
        raise RunError(f"{' '.join(command)} made no step: {done.stderr.strip()[-500:]}")
    return float(lines[0].split()[-1]) - start


def training(experiment: str) -> Command:
    """gan_lab.train, which ends after its first step."""

    def command(overrides: list[str], folder: Path) -> list[str]:
        given = ["-m", "gan_lab.train", f"experiment={experiment}", *overrides]
        return [*given, CALLBACK, f"hydra.run.dir={folder / 'run'}"]

    return command


def report(found: Mapping[str, Sequence[float]]) -> str:
    """Median and range of each, and its ratio to the imports, round by round."""
    rows = []
    for name, taken in found.items():
        spread = f"{min(taken):.2f} to {max(taken):.2f}"
        ratios = [a / b for a, b in zip(taken, found.get(IMPORTS, []), strict=False)]
        row = [name, f"{statistics.median(taken):.2f}", spread, len(taken)]
        rows.append([*row, in_words(ratios) if name != IMPORTS else ""])
    columns = ["command", "seconds", "range", "rounds", "times the imports"]
    text = (
        "From the command to the end of the first step, not counted above, in alternating rounds; "
        f"{IMPORTS} is `python -c 'import torch, pytorch_lightning'`."
    )
    return f"{text}\n\n{table(columns, rows)}"


def in_words(ratios: Sequence[float]) -> str:
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
