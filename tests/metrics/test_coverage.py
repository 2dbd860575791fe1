"""Neighbourhood metrics against plain loops, and modes of mixtures that are counted by hand."""

import math
import subprocess
import sys

import pytest
import torch

from gan_lab import UserError
from gan_lab.metrics import coverage, neighbours
from tests.metrics.conftest import normal

REAL, FAKE = normal(60, 3), normal(40, 3, seed=1) + 0.4


def distance(x, y) -> float:
    return math.dist(x.tolist(), y.tolist())


def slow_radius(points, i: int, k: int) -> float:
    return sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]


def slow_inside(centres, points, k: int) -> list[list[bool]]:
    """[points][centres]: whether the point lies in the ball."""
    limits = [slow_radius(centres, i, k) for i in range(len(centres))]
    return [[distance(p, c) <= r for c, r in zip(centres, limits, strict=True)] for p in points]


def test_precision_and_recall_against_plain_loops():
    precision, recall = coverage.precision_recall(REAL, FAKE, k=3)
    assert precision.tolist() == [any(row) for row in slow_inside(REAL, FAKE, 3)]
    assert recall.tolist() == [any(row) for row in slow_inside(FAKE, REAL, 3)]


def test_density_and_coverage_against_plain_loops():
    density, covered = coverage.density_coverage(REAL, FAKE, k=5)
    inside = slow_inside(REAL, FAKE, 5)
    assert density.tolist() == pytest.approx([sum(row) / 5 for row in inside])
    assert covered.tolist() == [any(column) for column in zip(*inside, strict=True)]


def test_perfect_generator_has_density_one_and_the_expected_coverage():
    """Naeem et al.: the expected coverage is 1 - (N-1)...(N-k) / (2N-1)...(2N-k)."""
    density, covered = coverage.density_coverage(normal(2000, 16), normal(2000, 16, seed=1))
    expected = 1 - math.prod((2000 - i) / (4000 - i) for i in range(1, 6))
    assert density.mean().item() == pytest.approx(1, abs=0.05)
    assert covered.mean().item() == pytest.approx(expected, abs=0.015)


def test_a_lost_mode_lowers_recall_and_an_outlier_lowers_precision():
    real = torch.cat([normal(200, 4), normal(200, 4, seed=1) + 20])
    half = normal(200, 4, seed=2)
    precision, recall = coverage.precision_recall(real, half)
    assert precision.mean() > 0.8
    assert recall.mean() < 0.5
    wild = torch.cat([half, normal(200, 4, seed=3) + 200])
    precision, _ = coverage.precision_recall(real, wild)
    assert precision[200:].sum() == 0


def test_more_neighbours_than_samples_are_refused():
    with pytest.raises(UserError, match="k is 5, but there are 5 samples"):
        coverage.density_coverage(REAL[:5], FAKE)


def test_nearest_across_blocks(monkeypatch):
    base, points = normal(50, 5), normal(30, 5, seed=1)
    table = torch.tensor([[distance(p, b) for b in base] for p in points])
    expected = table.sort(dim=1)
    monkeypatch.setattr(neighbours, "BLOCK", 170)  # three points at a time
    distances, rows = neighbours.nearest(points, base, k=4)
    torch.testing.assert_close(distances, expected.values[:, :4])
    assert torch.equal(rows, expected.indices[:, :4])


def test_a_copy_is_at_distance_zero_far_from_the_origin():
    base = 1e4 + normal(100, 64)
    distances, rows = neighbours.nearest(base[[7, 3]], base)
    assert distances.flatten().tolist() == [0, 0]
    assert rows.flatten().tolist() == [7, 3]


def test_class_kl_by_hand():
    fake, real = torch.tensor([1.0, 3.0]), torch.tensor([10.0, 10.0])
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert coverage.class_kl(fake, real) == pytest.approx(expected)
    assert coverage.class_kl(real, torch.tensor([1.0, 0.0])) == math.inf


def test_modes_of_a_ring():
    angle = 2 * math.pi * torch.arange(8) / 8
    centres = torch.stack([angle.cos(), angle.sin()], 1)
    every = centres.repeat(100, 1) + 0.01 * normal(800, 2)
    modes = coverage.mixture_modes(every, centres, sigma=0.01)
    assert modes.found == 8
    # P(|x| < 3 sigma) in two dimensions is 1 - exp(-9 / 2)
    assert modes.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert modes.kl < 0.001
    one = coverage.mixture_modes(centres[:1].repeat(50, 1), centres, sigma=0.01)
    assert one == (1, 1.0, pytest.approx(math.log(8)), 7)


def test_points_far_from_every_mode():
    modes = coverage.mixture_modes(torch.full((10, 2), 5.0), torch.zeros(1, 2), sigma=0.1)
    assert modes.found == 0
    assert modes.high_quality == 0
    assert math.isnan(modes.kl)


def test_stacked_modes_of_a_perfect_sampler():
    """The published floor: KL of about 999 / (2 N), and all 1,000 modes at 26,000 samples."""
    digits = torch.randint(10, (26000, 3), generator=torch.Generator().manual_seed(0))
    modes = coverage.stacked_modes(digits)
    assert modes.found == 1000
    assert modes.kl == pytest.approx(999 / 52000, rel=0.1)


def test_stacked_modes_of_one_triple():
    modes = coverage.stacked_modes(torch.tensor([[1, 2, 3]]).repeat(5, 1))
    assert modes == (1, 1.0, pytest.approx(math.log(1000)), 999)


@pytest.mark.slow
def test_memory_stays_bounded():
    """A buffer per block once cost 16 MB each: here it would be 1.5 GB."""
    code = """
import resource, torch
from gan_lab.metrics.coverage import precision_recall
points = torch.randn(2, 20000, 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
precision_recall(*points)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 200e6
