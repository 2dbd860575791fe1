"""Several ranks on one game: gradients are averaged once per player's step, without a wrapper.

DistributedDataParallel expects one backward pass through all parameters, and a GAN has two, each
through one player's (docs/adr/0003).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from torch import nn

from gan_lab import RunError

LOOK = 1.0  # seconds between two looks at the other ranks
GRACE = 10.0  # seconds in which rank 0 may come out of its collective with a rank that died
RANK_0 = "GAN_LAB_RANK_0"  # tells the ranks that a run starts which process to watch


class RankDied(RunError):
    """A rank ended early, and the others with it."""


class UnwrappedDDP(DDPStrategy):
    """Lightning's DDP launch and rank handling; the module averages the gradients itself."""

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = RankLauncher(self.cluster_environment, self.num_processes, self.num_nodes)

    def configure_ddp(self) -> None:
        """Start all ranks from rank 0's weights and buffers, and leave the module as it is."""
        assert self.model is not None
        with torch.no_grad():
            for tensor in (*self.model.parameters(), *self.model.buffers()):
                dist.broadcast(tensor, src=0)


class RankLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher, where a dead rank ends the others with the reason.

    Lightning's own would kill rank 0 without a word, and other ranks would wait for half an hour.
    Rank 0 watches the ranks that it started, and they watch it; ranks that something else started
    (torchrun, Slurm) are left to that.
    """

    def launch(
        self, function: Callable, *args: Any, trainer: Trainer | None = None, **kwargs: Any
    ) -> Any:
        environment = self.cluster_environment
        environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not environment.creates_processes_externally:
            os.environ[RANK_0] = str(os.getpid())
            self._call_children_scripts()
        self.ended, self.alive = threading.Event(), threading.Lock()
        threading.Thread(target=self.watch, name="rank-watch", daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            result = function(*args, **kwargs)
            self.collect(patience=60.0)
            return result
        except Exception as error:
            # Where a third rank died, rank 0 ends this one, too.
            patience = GRACE if self.procs else 3 * GRACE
            if not is_of_connection(error) or (reason := self.dead(patience)) is None:
                raise
            if not self.procs:
                self.perish(reason)  # rank 0, which speaks for all, is gone
            raise RankDied(reason) from error
        finally:
            self.ended.set()
            self.collect(patience=5.0)

    def watch(self) -> None:
        """End this process where a rank died and the main thread does not come out by itself."""
        while not self.ended.wait(LOOK):
            if (reason := self.dead()) is None or (self.procs and self.ended.wait(GRACE)):
                continue
            self.perish(reason)

    def perish(self, reason: str) -> None:
        """End this process and those that it started, at once, with one message."""
        if self.alive.acquire(blocking=False):
            print(f"error: {reason}", file=sys.stderr, flush=True)
            self.kill(signal.SIGKILL)
            os._exit(1)

    def dead(self, patience: float = 0.0) -> str | None:
        """Which rank died and how, as soon as that shows within so many seconds."""
        deadline = time.monotonic() + patience
        while (reason := self.look()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return reason

    def look(self) -> str | None:
        for rank, process in enumerate(self.procs, start=1):
            if process.poll():
                return (
                    f"rank {rank} (process {process.pid}) {how(process.returncode)}, and the other "
                    "ranks ended with it"
                )
        first = int(os.environ.get(RANK_0, os.getpid()))
        if first not in (os.getpid(), os.getppid()):
            return f"rank 0 (process {first}) is gone, and the other ranks ended with it"
        return None

    def collect(self, patience: float) -> None:
        """Wait for the ranks that were started here, and end those that do not end."""
        deadline = time.monotonic() + patience
        for process in self.procs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()


def how(status: int) -> str:
    """The end of a process in words: its exit status, or the signal that killed it."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def is_of_connection(error: Exception) -> bool:
    """Whether the error is what a collective says when another rank is gone."""
    words = str(error).lower()
    named = any(word in words for word in ("gloo", "nccl", "connection", "peer", "socket"))
    return isinstance(error, (dist.DistError, ConnectionError)) or (
        isinstance(error, RuntimeError) and named
    )


def average_gradients(trainer: Trainer, parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all ranks, with one all-reduce of all of them."""
    if trainer.world_size == 1 or not isinstance(trainer.strategy, UnwrappedDDP):
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= trainer.world_size
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def any_rank(trainer: Trainer, decision: bool) -> bool:
    """Whether any rank decided so; all ranks get the same answer, and must ask together."""
    if trainer.world_size == 1:
        return decision
    return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))


def may_ask(trainer: Trainer) -> bool:
    """Whether this step can afford the question: on a GPU it waits for the device."""
    if trainer.world_size == 1 or trainer.strategy.root_device.type == "cpu":
        return True
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return (trainer.fit_loop.epoch_loop.total_batch_idx + 1) % every == 0
