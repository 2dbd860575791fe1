"""Several ranks on one game: gradients are averaged once per player's step, without a wrapper.

DistributedDataParallel expects one backward pass through all parameters, and a GAN has two, each
through one player's (docs/adr/0003).
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import nn


class UnwrappedDDP(DDPStrategy):
    """Lightning's DDP launch and rank handling; the module averages the gradients itself."""

    def configure_ddp(self) -> None:
        """Start all ranks from rank 0's weights and buffers, and leave the module as it is."""
        assert self.model is not None
        with torch.no_grad():
            for tensor in (*self.model.parameters(), *self.model.buffers()):
                dist.broadcast(tensor, src=0)


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
