"""Batches from images that are all at hand: a batch is an index, the order a function."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.images import to_float
from gan_lab.data.seeds import mix


class ResidentBatches:
    """Yields (images float32 [B, C, H, W] in [-1, 1], labels int64 [B]) on `device`.

    Points float32 [N, D] are served as they are.

    Each epoch is one permutation, drawn from (seed, epoch) alone; rank r of W takes the r-th block
    of every W * B positions, and an incomplete last round is dropped. Lightning finds `sampler` and
    calls its `set_epoch`; it saves and restores `state_dict`, so that a checkpoint from within an
    epoch goes on with the very next batch.
    """

    def __init__(
        self,
        images: Tensor,  # uint8 [N, C, H, W], or points
        labels: Tensor,  # int64 [N]
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        resident: bool = True,  # False gathers on the host, for images that the device cannot hold
        repeat: bool = False,  # every epoch in the order of the first, to overfit a few batches
    ):
        # Channels last in memory, which convolutions like; for one channel nothing moves.
        pixels = images if images.ndim == 2 else images.permute(0, 2, 3, 1).contiguous()
        self.device = torch.device(device)
        self._pixels = pixels.to(self.device) if resident else pixels
        self._labels = labels.to(self._pixels.device)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.repeat = repeat
        self.epoch = 0
        self._handed_out = 0  # batches of this epoch
        self._start = 0  # where the next iteration begins; 0 unless a checkpoint says otherwise

    @property
    def sampler(self) -> "ResidentBatches":
        return self

    def __len__(self) -> int:
        return len(self._labels) // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Lightning makes the iterator before it announces the epoch: all this runs at first use.
        order = self._order()
        start, self._start = self._start, 0
        for batch in range(start, len(self)):
            self._handed_out = batch + 1
            pixels = self._pixels.index_select(0, order[batch]).to(self.device)
            labels = self._labels.index_select(0, order[batch]).to(self.device)
            yield pixels if pixels.ndim == 2 else to_float(pixels).permute(0, 3, 1, 2), labels

    def _order(self) -> Tensor:  # -> [batches, B], where the pixels are
        random = torch.Generator().manual_seed(mix(self.seed, 0 if self.repeat else self.epoch))
        # Drawn on the CPU, so that every device sees the same order.
        order = torch.randperm(len(self._labels), generator=random)
        rounds = order[: len(self) * self.world_size * self.batch_size]
        rounds = rounds.view(len(self), self.world_size, self.batch_size)
        return rounds[:, self.rank].to(self._labels.device)

    def set_epoch(self, epoch: int) -> None:
        """Begin `epoch`; a position restored from a checkpoint counts in its own epoch only."""
        if epoch != self.epoch:
            self.epoch, self._handed_out, self._start = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self._handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch = state["epoch"]
        self._handed_out = self._start = state["position"]


def batches_of_rank(
    trainer: Any,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    seed: int,
    resident: bool = True,
) -> ResidentBatches:
    """The share of the trainer's rank, on its device; on the CPU where there is no trainer.

    Raises:
        UserError: where the samples do not make one batch for each rank.
    """
    rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
    check_batch_size(batch_size, len(labels), world_size)
    return ResidentBatches(
        images,
        labels,
        batch_size=batch_size,
        seed=seed,
        rank=rank,
        world_size=world_size,
        device=trainer.strategy.root_device if trainer else "cpu",
        resident=resident,
        repeat=bool(trainer and trainer.overfit_batches),
    )


def check_batch_size(batch_size: int, num_train: int, world_size: int = 1) -> None:
    """Raise UserError unless the training set makes one batch for each rank."""
    if batch_size * world_size > num_train:
        raise UserError(
            f"data.batch_size={batch_size} on {world_size} device(s) is more than the {num_train} "
            "training images or points that data.holdout, subset and classes leave; set it to "
            f"{num_train // world_size} or less"
        )
