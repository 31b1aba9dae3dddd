import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from common.comparison.statistics import mean_interval, skewed_mean_interval, two_sided_p, two_sided_quantile

FREEDOM = [*range(1, 201), 2.5, 7.77, 500]


def reference_p(t, freedom):
    return scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + t * t))


@pytest.mark.parametrize("p", [0.999, 0.9, 0.5, 0.1, 0.05, 0.01, 1e-4, 1e-6, 1e-9, 1e-12])
def test_quantiles_agree_with_scipy(p):
    for freedom in FREEDOM:
        t = two_sided_quantile(p, freedom)
        assert t == pytest.approx(-scipy.stats.t.ppf(p / 2, freedom), rel=1e-10)
        assert reference_p(t, freedom) == pytest.approx(p, rel=1e-10)


@pytest.mark.parametrize("t", [0.01, 0.5, 1, 1.5, 1.7, 1.75, 2, 3, 5, 10, 100])
def test_tail_probabilities_keep_their_digits_however_small(t):
    for freedom in FREEDOM:
        # Three digits less are asked of probabilities that no report can show.
        p = reference_p(t, freedom)
        assert two_sided_p(t, freedom) == pytest.approx(p, rel=1e-10 if p > 1e-30 else 1e-7, abs=0)
        assert two_sided_p(-t, freedom) == two_sided_p(t, freedom)


@given(st.floats(0.1, 1000), st.floats(0.5, 500))
def test_probabilities_fall_with_the_distance(t, freedom):
    assert two_sided_p(t, freedom) >= two_sided_p(t * 1.001, freedom)


def test_the_ends():
    assert two_sided_p(0, 5) == 1.0
    assert two_sided_p(1e-200, 5) == 1.0
    assert two_sided_p(1e200, 5) == 0.0


VALUES = st.lists(st.floats(-100, 100), min_size=3, max_size=30).filter(lambda values: np.std(values) > 1e-3)


@given(VALUES)
def test_the_interval_for_skewed_values_inverts_halls_transformation(values):
    n, mean, spread = len(values), np.mean(values), np.std(values, ddof=1)
    skewness = scipy.stats.skew(values)

    def transformed(true_mean):
        t = (mean - true_mean) / spread
        return math.sqrt(n) * (t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n))

    quantile = scipy.stats.t.ppf(0.975, n - 1)
    low, high = skewed_mean_interval(values)
    # A change of the bound by a hundred-thousandth of the spread changes the transformed value to the other side.
    for bound, expected in ((low, quantile), (high, -quantile)):
        above, below = (transformed(bound + step * 1e-5 * spread) for step in (-1, 1))
        assert below < expected < above


@given(VALUES)
def test_the_interval_for_skewed_values_mirrors_shifts_and_scales_with_them(values):
    low, high = skewed_mean_interval(values)
    mirrored = skewed_mean_interval([3 - 2 * value for value in values])
    assert mirrored == pytest.approx((3 - 2 * high, 3 - 2 * low), rel=1e-6, abs=1e-6)


@given(VALUES)
def test_without_skewness_the_interval_is_students(values):
    symmetric = values + [-value for value in values]
    assert skewed_mean_interval(symmetric) == pytest.approx(mean_interval(symmetric), rel=1e-6, abs=1e-9)


def test_the_interval_of_equal_values_is_a_point():
    assert skewed_mean_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)
