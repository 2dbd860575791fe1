import pytest
import torch

from gan_lab import UserError
from gan_lab.data.subsets import check_classes, check_subset, choose, renumber, subset_size

LABELS = torch.arange(1000) % 10


def test_everything_by_default():
    assert torch.equal(choose(LABELS, None, None, 0), torch.arange(1000))


def test_classes():
    rows = choose(LABELS, [7, 0], None, 0)
    assert set(LABELS[rows].tolist()) == {0, 7}
    assert len(rows) == 200
    assert renumber(LABELS[rows], [7, 0]).bincount().tolist() == [100, 100]
    assert renumber(torch.tensor([7, 0, 7]), [7, 0]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("subset", "count"), [(0.1, 100), (1.0, 1000), (1, 1), (37, 37)])
def test_size(subset, count):
    rows = choose(LABELS, None, subset, 0)
    assert len(rows) == len(rows.unique()) == count == subset_size(1000, subset)
    assert torch.equal(rows, rows.sort().values)


def test_classes_are_balanced_as_far_as_they_reach():
    labels = torch.tensor([0] * 500 + [1] * 100 + [2] * 10)
    rows = choose(labels, None, 90, seed=0)
    assert labels[rows].bincount().tolist() == [40, 40, 10]


def test_a_smaller_subset_is_part_of_a_larger_one():
    small, large = choose(LABELS, None, 0.05, 4), choose(LABELS, None, 0.2, 4)
    assert torch.isin(small, large).all()
    assert not torch.equal(small, choose(LABELS, None, 0.05, 5))


def test_without_labels_a_subset_is_a_plain_draw():
    labels = torch.full((100,), -1)
    assert len(choose(labels, None, 0.3, 0)) == 30


@pytest.mark.parametrize("subset", [0, -1, 0.0, 1.5, 101, True, "0.1", float("nan")])
def test_wrong_subsets(subset):
    with pytest.raises(UserError, match=r"data\.subset=.* share .* count"):
        check_subset(subset, 100)


@pytest.mark.parametrize("classes", [[], [10], [-1], [1, 1], ["1"], [True], "01", 3])
def test_wrong_classes(classes):
    with pytest.raises(UserError, match=r"data\.classes="):
        check_classes(classes, 10)


def test_right_ones():
    for subset in (None, 1, 100, 0.01, 1.0):
        check_subset(subset, 100)
    for classes in (None, [0], [9, 0]):
        check_classes(classes, 10)
