"""Says so where other processes take a run's processors from it."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

SCHEDSTAT = Path("/proc/thread-self/schedstat")
LOOK = 5.0  # seconds between two looks
SHARE = 0.2  # of the time in which the thread could have run; alone on its cores it is below 0.02


class Crowding(Callback):
    """Warn once, in rank 0, where the training thread waited for a core for a fifth of its time.

    Threads of one operation wait for the last of them: two processes with a thread for each core
    slow each other down far more than twofold. Only Linux tells how long a thread waited.
    """

    def __init__(self) -> None:
        self.warned = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.times, self.due = thread_times(), time.monotonic() + LOOK

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.warned or time.monotonic() < self.due:
            return
        before, self.times = self.times, thread_times()
        self.due = time.monotonic() + LOOK
        share = waiting_share(before, self.times)
        if share > SHARE and trainer.is_global_zero:
            print(message(share), file=sys.stderr, flush=True)
            self.warned = True


def thread_times() -> tuple[int, int]:
    """Nanoseconds that this thread ran, and that it waited for a core; 0 where nobody says."""
    try:
        ran, waited, _ = SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(ran), int(waited)


def waiting_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Of the time between two readings in which the thread ran or could have run."""
    ran, waited = after[0] - before[0], after[1] - before[1]
    return waited / max(ran + waited, 1)


def message(share: float) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"warning: this machine is oversubscribed: the training waited for a core in {share:.0%} "
        f"of its time, with {torch.get_num_threads()} threads on {cores} cores; wait for the other "
        "processes, or give each of them cores of its own, as in OMP_NUM_THREADS=1"
    )
