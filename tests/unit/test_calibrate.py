"""From S to a volume: contrast.md §4."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.calibrate import Calibration, calibrate, rate_of_score, score_of_rate

PAUL = Calibration(((1, 3.27), (2, 2.0), (3, 1.5), (5, 0.8), (8, 0.0), (12, -0.79)), 20)
"""θ_1 and θ_12 of the worked example; those between are not given there."""


def test_the_worked_example() -> None:
    rate = PAUL.rate(4.556)
    assert rate == pytest.approx(0.455, abs=5e-4)
    assert score_of_rate(rate, 3) == pytest.approx(90.3, abs=0.05)


@pytest.mark.parametrize(
    ("rate", "score"), [(3, 75), (30, 50), (300, 25), (1, 85.566), (1 / 7, 94.545), (30_000, 0)]
)
def test_the_score_states_a_volume(rate: float, score: float) -> None:
    assert score_of_rate(rate, 3) == pytest.approx(score, abs=0.001)
    if score:
        assert rate_of_score(score, 3) == pytest.approx(rate, rel=1e-3)


def test_the_rate_is_each_rank_at_its_knot_and_log_linear_between() -> None:
    for rank, theta in PAUL.knots:
        assert PAUL.rate(theta) == pytest.approx(rank)
    middle = (PAUL.knots[0][1] + PAUL.knots[1][1]) / 2
    assert PAUL.rate(middle) == pytest.approx(math.sqrt(2))


def test_beyond_the_last_knot_it_grows_by_the_mean_slope_and_not_without_end() -> None:
    slope = (3.27 + 0.79) / math.log(12)
    assert PAUL.rate(-0.79 - slope) == pytest.approx(12 * math.e)
    assert PAUL.rate(-1e9) == pytest.approx(12 * math.exp(5))


@given(st.lists(st.lists(st.floats(-20, 20), min_size=1, max_size=70), min_size=4, max_size=28))
def test_the_odder_the_fewer(days: list[list[float]]) -> None:
    """The rate never rises with S."""
    found = calibrate([(len(day), sorted(day, reverse=True)[:64]) for day in days])
    if found is not None:
        rates = [found.rate(surprise / 2) for surprise in range(-60, 60)]
        assert all(a >= b for a, b in pairwise(rates))
        assert all(rate > 0 for rate in rates)


def test_there_is_none_before_four_working_days() -> None:
    day = (3, [3.0, 2.0, 1.0])
    assert calibrate([]) is None
    assert calibrate([day] * 3) is None
    assert calibrate([day] * 4) is not None


def test_days_with_less_than_half_the_upper_median_of_entities_are_no_working_days() -> None:
    full, half, less = (10, [5.0] * 10), (5, [1.0] * 5), (4, [0.0] * 4)
    found = calibrate([full, full, full, half, less])
    assert found is not None
    assert found.days == 4
    assert calibrate([full, full, full, less]) is None


def test_the_number_of_entities_is_true_above_64() -> None:
    busy, quiet = (1000, [5.0] * 64), (400, [5.0] * 64)
    found = calibrate([busy] * 4 + [quiet])
    assert found is not None
    assert found.days == 4


def test_a_day_with_fewer_entities_counts_as_minus_50_and_such_knots_are_dropped() -> None:
    found = calibrate([(1, [4.0])] * 4)
    assert found is not None
    assert found.knots == ((1, 4.0), (2, -50.0))
    found = calibrate([(1, [4.0])] * 2 + [(2, [4.0, 2.0])] * 2)
    assert found is not None
    assert found.knots == ((1, 4.0), (2, -24.0)), "the median of an even number is the mean"
    assert found.rate(4.0) == 1


def test_equal_days_give_the_least_slope() -> None:
    found = calibrate([(50, [1.0] * 50)] * 4)
    assert found is not None
    assert found.rate(1.0) == 1.0
    assert found.rate(1.2) == pytest.approx(math.exp(-1))
