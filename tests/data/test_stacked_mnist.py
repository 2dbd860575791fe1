"""Triples of digits: which ones, in which channel, with which label."""

from pathlib import Path

import pytest
import torch

from gan_lab import UserError
from gan_lab.data.stacked_mnist import StackedMNIST


class FewDigits:
    """Ten flat digits whose brightness is their class."""

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        classes = torch.arange(10)
        images = classes.to(torch.uint8).view(10, 1, 1, 1).expand(10, 1, 28, 28)
        return images.contiguous(), classes


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackedMNIST:
    stacked = StackedMNIST(tmp_path, num_images=3000, seed=1)
    monkeypatch.setattr(stacked, "_digits", FewDigits())
    return stacked


def test_labels_name_the_three_digits(source: StackedMNIST) -> None:
    images, labels = source.load("train")
    assert images.shape == (3000, 3, 28, 28)
    assert images.dtype == torch.uint8
    digits = images[:, :, 5, 5].long()
    assert torch.equal(labels, digits[:, 0] * 100 + digits[:, 1] * 10 + digits[:, 2])
    # 3,000 of 1,000 modes: about 1 - exp(-3) of them are there
    assert len(labels.unique()) == pytest.approx(950, abs=25)


def test_batches_can_take_the_memory_as_it_is(source: StackedMNIST) -> None:
    images, _ = source.load("train")
    assert images.permute(0, 2, 3, 1).is_contiguous()


def test_triples_are_fixed(source: StackedMNIST, tmp_path: Path) -> None:
    first, again = source.load("train")[1], source.load("train")[1]
    assert torch.equal(first, again)
    assert len(source.load("test")[1]) == 26_000
    assert not torch.equal(first, source.load("test")[1][:3000])
    assert source.key != StackedMNIST(tmp_path, num_images=3000, seed=2).key


def test_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.source\.num_images=0"):
        StackedMNIST(tmp_path, num_images=0).check()
