"""What an objective remembers, where another rank has other logits."""

import pytest
import torch
from torch import Tensor

from gan_lab.objectives import ranks
from gan_lab.objectives.adaptive import Adaptive
from gan_lab.objectives.consistency import LeCam


class OtherRank:
    """A second rank that saw the given values, in place of torch.distributed."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def all_reduce(self, mine: Tensor) -> None:
        mine += self.values


def test_one_rank_keeps_its_values() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ranks.sum_over_ranks(values) is values


def test_lecam_averages_over_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "dist", OtherRank(torch.tensor([5.0, -3.0, 1.0])))
    penalty = LeCam()
    penalty(torch.ones(4), torch.zeros(4))
    assert penalty.real_mean.item() == 3.0
    assert penalty.fake_mean.item() == -1.5


def test_ada_averages_signs_over_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone r is 1 and p rises; with a rank whose signs are all -1 it is 0, and p falls."""
    alone, together = (Adaptive(interval=1, speed=100) for _ in range(2))
    for augment in (alone, together):
        augment.level.fill_(50)
    alone.observe(torch.ones(8))
    assert alone.probability.item() == pytest.approx(0.58)
    monkeypatch.setattr(ranks, "dist", OtherRank(torch.tensor([-8, 8])))
    together.observe(torch.ones(8))
    assert together.probability.item() == pytest.approx(0.5 - 0.16)  # 16 images on both ranks
