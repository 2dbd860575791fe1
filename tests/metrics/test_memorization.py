"""Copies that are planted among fair samples are found; fair samples are not accused."""

import math

import pytest
import torch

from gan_lab import UserError
from gan_lab.metrics import memorization as memory
from gan_lab.metrics.neighbours import nearest
from tests.metrics.conftest import normal

DIM = 6
TRAIN, TEST, FRESH = normal(3000, DIM), normal(2000, DIM, seed=1), normal(2000, DIM, seed=2)


def planted(share: float, noise: float = 0.01) -> torch.Tensor:
    """Fresh samples, of which a share is replaced by training points and a trace of noise."""
    fake, count = FRESH.clone(), round(share * len(FRESH))
    fake[:count] = TRAIN[:count] + noise * normal(count, DIM, seed=3)
    return fake


def distances(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found, rows = nearest(points, TRAIN)
    return found[:, 0], rows[:, 0]


def c_t_of(points: torch.Tensor) -> float:
    centres = memory.kmeans(TRAIN, num_cells=5)
    cells = memory.assign(points, centres), memory.assign(TEST, centres)
    return memory.c_t(distances(points)[0], distances(TEST)[0], *cells)


def test_closest_pairs_are_the_planted_ones():
    found, rows = distances(planted(0.01))
    pairs = memory.closest_pairs(found, rows, count=20)
    assert sorted(pairs.samples.tolist()) == list(range(20))
    assert torch.equal(pairs.samples, pairs.train)
    assert pairs.distances.diff().ge(0).all()


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_near_copies_catches_planted_copies(share):
    flags = memory.near_copies(distances(planted(share))[0], distances(TEST)[0])
    fair = memory.near_copies(distances(FRESH)[0], distances(TEST)[0])
    assert flags.mean().item() == pytest.approx(share + (1 - share) * fair.mean().item(), abs=0.002)
    assert flags[: round(share * 2000)].all()


def test_near_copies_does_not_accuse_fresh_samples():
    flags = memory.near_copies(distances(FRESH)[0], distances(TEST)[0])
    assert flags.mean().item() == pytest.approx(0.01, abs=0.008)


def test_distance_quantiles_of_copies_lie_below_those_of_the_test_set():
    copied = memory.distance_quantiles(distances(planted(0.1))[0])
    fair = memory.distance_quantiles(distances(TEST)[0])
    assert copied[0.01] < fair[0.0] / 2
    assert copied[0.5] == pytest.approx(fair[0.5], rel=0.15)


def test_mann_whitney_against_counted_pairs():
    x, y = torch.tensor([1.0, 2.0, 2.0, 9.0]), torch.tensor([2.0, 3.0, 0.0])
    wins = sum((a > b) + 0.5 * (a == b) for a in x.tolist() for b in y.tolist())
    expected = (wins - 6) / math.sqrt(4 * 3 * 8 / 12)
    assert memory.mann_whitney_z(x, y) == pytest.approx(expected)


def test_c_t_against_plain_loops():
    ours, theirs = normal(90, 1)[:, 0], normal(80, 1, seed=1)[:, 0]
    our_cells, their_cells = torch.arange(90) % 3, torch.arange(80) % 4
    our_cells[our_cells == 2] = 5  # no test image there, and no fakes in 2 and 3
    scores = [
        memory.mann_whitney_z(ours[our_cells == cell], theirs[their_cells == cell])
        for cell in (0, 1)
    ]
    assert memory.c_t(ours, theirs, our_cells, their_cells) == pytest.approx(sum(scores) / 2)


def test_c_t_sign():
    """Copies below zero, bad samples above, fresh ones near it: sd is 1 / sqrt(5) here."""
    assert c_t_of(planted(1.0)) < -15
    assert c_t_of(planted(0.1)) < -1.5
    assert abs(c_t_of(FRESH)) < 1.4
    assert c_t_of(FRESH * 1.5) > 5


def test_c_t_falls_with_the_share_of_copies():
    values = [c_t_of(planted(share)) for share in (0, 0.01, 0.05, 0.1)]
    assert values == sorted(values, reverse=True)


def test_c_t_refuses_too_few_samples():
    few, cells = torch.arange(20.0), torch.zeros(20).long()
    with pytest.raises(UserError, match="20 samples in 1 cells are too few"):
        memory.c_t(few, few, cells, cells)


def test_authenticity_against_plain_loops():
    train, fake = TRAIN[:40], torch.cat([FRESH[:20], TRAIN[5:8] + 0.001])
    expected = []
    for point in fake:
        gaps = [math.dist(point, other) for other in train]
        row = gaps.index(min(gaps))
        spacing = min(math.dist(train[row], train[i]) for i in range(40) if i != row)
        expected.append(float(spacing < gaps[row]))
    found, rows = nearest(fake, train)
    flags = memory.authentic(found[:, 0], rows[:, 0], train)
    assert flags.tolist() == expected
    assert flags[-3:].sum() == 0


@pytest.mark.parametrize("share", [0.05, 0.1, 1.0])
def test_authenticity_falls_by_the_share_of_copies(share):
    fair = memory.authentic(*distances(FRESH), TRAIN)
    copied = memory.authentic(*distances(planted(share)), TRAIN)
    assert copied.mean().item() == pytest.approx((1 - share) * fair.mean().item(), abs=0.01)


def test_kmeans_finds_separate_clusters():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat(50, 1) + 0.1 * normal(150, 2)
    for seed in range(20):
        found = memory.kmeans(points, num_cells=3, seed=seed)
        gaps = nearest(centres, found)[0]
        if gaps.max() < 0.1:
            break
    assert gaps.max() < 0.1
    assert len(memory.assign(points, found).unique()) == 3
