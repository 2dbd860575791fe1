"""The figures that a comparison rests on: closed forms and cases with a known answer."""

import math
from itertools import product

import numpy as np
import pytest
from matplotlib.figure import Figure

from gan_lab.launch.comparing import heat, statistics, ticks
from gan_lab.launch.comparing.charts import LIGHT
from gan_lab.launch.comparing.curves import band
from gan_lab.launch.comparing.importance import binned, importance
from gan_lab.launch.comparing.landscape import Spot, best_along, table
from gan_lab.launch.comparing.rows import show
from gan_lab.launch.comparing.statistics import quantile, summarise, two_sided, welch
from gan_lab.launch.comparing.studies import pareto


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 40.0])
def test_students_t_has_its_closed_forms(t: float) -> None:
    assert two_sided(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-6)
    assert two_sided(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-6)
    normal = math.erfc(t / math.sqrt(2))
    assert two_sided(t, 1e7) == pytest.approx(normal, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("df", [1, 1.4, 4, 30])
def test_the_quantile_inverts_it(df: float) -> None:
    for p in (0.5, 0.05, 0.001):
        assert two_sided(quantile(p, df), df) == pytest.approx(p, rel=1e-6)


def test_welch_of_equal_spreads_is_students_test() -> None:
    """With equal counts and variances: t = d / sqrt(2 s^2 / n), 2n - 2 degrees of freedom."""
    a, b = [1.0, 2.0, 3.0], [3.0, 4.0, 5.0]
    found = welch(a, b)
    assert found is not None
    assert found.difference == -2
    assert found.t == pytest.approx(-2 / math.sqrt(2 / 3))
    assert found.df == pytest.approx(4)
    assert found.low < -2 < found.high
    assert (found.low + found.high) / 2 == pytest.approx(-2)


def test_welch_mistrusts_the_group_that_spreads_more() -> None:
    found = welch([10.0, 10.1, 9.9], [0.0, 20.0, 40.0])
    assert found is not None
    assert found.df == pytest.approx(2, abs=0.01)
    assert found.p > 0.4


def test_without_spread_there_is_no_test() -> None:
    assert welch([1.0], [2.0, 3.0]) is None
    assert welch([1.0, 1.0], [2.0, 2.0]) is None
    assert summarise([]) is None
    assert summarise([3.0]) == (1, 3.0, None)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        found = welch(random.normal(0, 1, 3), random.normal(1, 3, 4))
        assert found is not None
        inside += found.low <= -1 <= found.high
    assert 0.92 <= inside / 400 <= 0.99


def test_a_band_of_curves_measured_at_the_same_places() -> None:
    x = np.array([1.0, 2.0, 3.0])
    found = band([(x, np.array([1.0, 2.0, 3.0])), (x, np.array([3.0, 4.0, 5.0]))])
    assert found is not None
    assert found.mean.tolist() == [2, 3, 4]
    assert found.std == pytest.approx(np.full(3, math.sqrt(2)))
    assert found.size == 2


def test_a_band_ends_where_the_first_curve_does() -> None:
    """And between measurements a curve is a straight line."""
    long = np.array([0.0, 10.0]), np.array([0.0, 10.0])
    brief = np.array([2.0, 5.0, np.nan]), np.array([4.0, np.nan, 1.0])
    assert band([long, brief]).x.tolist() == [2.0]  # type: ignore[union-attr]
    inner = np.array([2.0, 5.0]), np.array([4.0, 7.0])
    found = band([long, inner])
    assert found is not None
    assert found.x.tolist() == [2, 5]
    assert found.mean.tolist() == [3, 6]


def test_a_band_of_nothing_is_none() -> None:
    nothing = np.array([]), np.array([])
    assert band([]) is None
    assert band([nothing]) is None
    early, late = (np.array([1.0]), np.array([1.0])), (np.array([2.0]), np.array([1.0]))
    assert band([early, late]) is None


LEVELS = [{"a": a, "b": b} for a, b in product((1, 2, 3), (1, 2, 3, 4))]


def shares_of(settings: list, values: list) -> dict[str, float]:
    found = importance(settings, values)
    assert found is not None
    return {share.key: share.share for share in found.shares}


def test_on_a_grid_the_variance_splits_exactly() -> None:
    """log10 f = 2a + b: the shares are as the variances of 2a and b."""
    values = [[10.0 ** (2 * row["a"] + row["b"])] for row in LEVELS]
    one, other = 4 * np.var([1, 2, 3]), np.var([1, 2, 3, 4])
    shares = shares_of(LEVELS, values)
    assert shares["a"] == pytest.approx(one / (one + other))
    assert shares["b"] == pytest.approx(other / (one + other))
    assert list(shares) == ["a", "b"]
    found = importance(LEVELS, values)
    assert found is not None
    assert found.rest == pytest.approx(0)
    assert found.noise is None
    assert found.shares[0].p < 0.01 < 0.05 < found.shares[1].p


def test_a_pure_interaction_belongs_to_no_key() -> None:
    settings = [{"a": a, "b": b} for a, b in product((0, 1), (0, 1))]
    found = importance(settings, [[1.0 + (row["a"] ^ row["b"])] for row in settings])
    assert found is not None
    assert found.rest == pytest.approx(1)


def test_the_spread_of_the_seeds_is_told() -> None:
    random = np.random.default_rng(0)
    values = [[10.0**x for x in random.normal(0, 1, 3)] for _ in LEVELS]
    found = importance(LEVELS, values)
    assert found is not None
    assert found.noise is not None
    assert found.noise > 0.5
    assert all(share.p > 0.02 for share in found.shares)


def test_off_a_grid_a_best_value_inside_the_range_counts() -> None:
    """A rank correlation would see nothing of a valley."""
    random = np.random.default_rng(1)
    settings = [{"lr": 10.0**x, "other": random.random()} for x in np.linspace(-2, 2, 21)]
    values = [[1 + math.log10(row["lr"]) ** 2] for row in settings]
    found = importance(settings, values)
    assert found is not None
    assert [share.key for share in found.shares] == ["lr", "other"]
    assert found.shares[0].share > 0.6
    assert found.shares[0].p < 0.01
    assert found.shares[1].p > 0.05
    assert found.rest is None


def test_lost_runs_are_the_worst_and_break_the_grid() -> None:
    values: list[list[float]] = [[] if row["a"] == 3 else [1.0 + row["b"] / 100] for row in LEVELS]
    shares = shares_of(LEVELS, values)
    assert shares["a"] > 0.5
    assert "ranks" in importance(LEVELS, values).method  # type: ignore[union-attr]


def test_what_would_be_guessing_is_left_out() -> None:
    assert importance([], []) is None
    assert importance([{"a": 1}, {"a": 2}] * 4, [[1.0]] * 8) is None
    assert importance(LEVELS[:3], [[1.0], [2.0], [3.0]]) is None
    assert importance(LEVELS, [[1.0]] * 12) is None
    many = [{str(key): row for key in range(40)} for row in range(12)]
    assert importance(many, [[float(i)] for i in range(12)]) is None


def test_bins_hold_equal_counts_and_leave_names_alone() -> None:
    assert np.bincount(binned([0.5**k for k in range(12)])).tolist() == [3, 3, 3, 3]
    assert binned(["a", "b"] * 6) == ["a", "b"] * 6
    assert binned([1, 2] * 6) == [1, 2] * 6


def test_chance_is_what_a_permutation_test_says() -> None:
    values = np.arange(8.0)
    levels = [0] * 4 + [1] * 4
    found = statistics.chance(lambda dealt: statistics.explained(levels, dealt), values, 4000)
    assert found == pytest.approx(2 / 70, abs=0.01)  # two of the 70 ways to deal out four


def spot(x: float, y: float, value: float | None, lost: bool = False) -> Spot:
    return Spot(x, y, value, None, "", lost)


def test_a_table_takes_the_best_of_each_cell() -> None:
    places = [spot(1, 1, 5.0), spot(1, 1, 3.0), spot(2, 1, 4.0), spot(1, 2, None, True)]
    found = table(places, lower=True)
    assert found is not None
    assert (found.xs, found.ys) == ([1, 2], [1, 2])
    assert found.values[0].tolist() == [3, 4]
    assert np.isnan(found.values[1]).all()
    assert found.lost == [(1, 0)]
    higher = table(places, lower=False)
    assert higher is not None
    assert higher.values[0, 0] == 5


def test_scattered_settings_are_no_table() -> None:
    assert table([spot(k, k * k, 1.0) for k in range(1, 9)], lower=True) is None
    assert table([spot(k, 1, 1.0) for k in range(3)], lower=True) is None


def test_the_best_along_a_key() -> None:
    xs, best = best_along([spot(2, 0, 1.0), spot(1, 0, 5.0), spot(1, 1, 4.0)], lower=True)
    assert (xs.tolist(), best.tolist()) == ([1, 2], [4, 1])


FROM_ZERO = [0.0, 1e-4, 1e-3, 1e-2]  # a player may be frozen


def test_cells_lie_at_equal_distances_under_their_levels() -> None:
    axes = Figure().subplots()
    spots = [spot(x, y, 1.0 + x) for x in FROM_ZERO for y in FROM_ZERO]
    heat.over(axes, LIGHT, spots, ("x", "y", "fid"), lower=True)
    assert axes.get_xlim() == (0, 4)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1e-4", "1e-3", "0.01"]
    for places in (axes.get_xticks(), axes.get_yticks()):
        assert places.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert sorted({text.get_position()[0] for text in axes.texts}) == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize("values", [FROM_ZERO, [0.0, *(1e-4 * 2**k for k in range(8))]])
def test_an_axis_from_zero_keeps_its_levels_apart(values: list[float]) -> None:
    """Many values are ticked at powers of ten, few at themselves; along either axis."""
    axes = Figure().subplots()
    ticks.scale(axes, values, values)
    for axis, transform in ((axes.xaxis, 0), (axes.yaxis, 1)):
        assert axis.get_scale() == "symlog"
        shown = axis.get_majorticklocs()
        assert shown[0] == 0
        assert len(shown) >= 3
        across = axes.transScale.transform([(v, v) for v in sorted(values)])[:, transform]
        gaps = np.diff(across)
        assert gaps.min() > 0.2 * gaps.max()


def test_one_value_above_zero_needs_no_logarithm() -> None:
    axes = Figure().subplots()
    ticks.scale(axes, [0.0, 1e-3], [])
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("others", [FROM_ZERO, [1e-4, 1e-2], [1.0, 2.0], []])
def test_a_setting_that_is_no_finite_number_is_off_the_axes(odd: float, others) -> None:
    axes, plain = Figure().subplots(), Figure().subplots()
    ticks.scale(plain, others, others)
    ticks.scale(axes, [*others, odd], [odd, *others])
    for one, other in ((axes.xaxis, plain.xaxis), (axes.yaxis, plain.yaxis)):
        assert one.get_scale() == other.get_scale()
        assert one.get_majorticklocs().tolist() == other.get_majorticklocs().tolist()


def test_a_setting_that_is_no_finite_number_can_be_shown() -> None:
    assert [show(value) for value in (math.inf, -math.inf, math.nan)] == ["inf", "-inf", "nan"]


def test_the_pareto_front_knows_both_directions() -> None:
    points = [(1.0, 5.0), (2.0, 6.0), (3.0, 9.0), (3.0, 8.0), (1.0, 5.0)]
    assert pareto(points, ("minimize", "minimize")) == [0, 4]
    assert pareto(points, ("minimize", "maximize")) == [0, 1, 2, 4]
