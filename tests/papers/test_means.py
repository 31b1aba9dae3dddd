import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from common.comparison.statistics import Moments, welch_p
from common.papers.means import half_a_unit, judge_column, printed_moments
from common.papers.tables import STANDARD_DEVIATION, STANDARD_ERROR, Column


def column(values, spreads, runs=10, spread=STANDARD_DEVIATION, tolerance=1.0):
    return Column("m", tuple(values), tuple(spreads), spread, runs, tolerance, "because")


def sample(mean, deviation, n=10):
    """Values with exactly this mean and standard deviation."""
    values = np.random.default_rng(n).normal(size=n)
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


@given(st.floats(-5, 5), st.floats(0.05, 3), st.floats(0.05, 3), st.integers(2, 30), st.integers(2, 30))
def test_welch_agrees_with_scipy(shift, a, b, n, m):
    theirs = scipy.stats.ttest_ind_from_stats(shift, a, n, 0.0, b, m, equal_var=False)
    assert welch_p(Moments(shift, a, n), Moments(0.0, b, m)) == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("printed", "half"), [("98.0", 0.05), ("0.69", 0.005), ("7", 0.5)])
def test_half_a_printed_unit(printed, half):
    assert half_a_unit(printed) == pytest.approx(half)


def test_a_standard_error_is_of_the_mean_and_a_spread_of_zero_is_rounded():
    assert printed_moments(column(["93.4"], ["0.9"], 5, STANDARD_ERROR), 0) == (93.4, pytest.approx(0.9 * 5**0.5), 5)
    assert printed_moments(column(["93.4"], ["0.9"], 5), 0) == (93.4, 0.9, 5)
    assert printed_moments(column(["98.6"], ["0.0"]), 0) == (98.6, pytest.approx(0.05), 10)


def test_the_interval_is_that_of_welch_with_half_a_unit_at_both_ends():
    ours = sample(90.3, 0.6, 12)
    (row,) = judge_column(column(["90.0"], ["0.4"]), [ours])
    theirs = sample(90.0, 0.4, 10)
    low, high = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert row.difference == pytest.approx(0.3)
    assert row.interval == pytest.approx((low - 0.05, high + 0.05))


def test_the_three_verdicts():
    ours = [sample(90.5, 0.1), sample(91.5, 0.1), sample(88.5, 0.1), sample(90.5, 1.0)]
    rows = judge_column(column(["90.0"] * 4, ["0.1", "0.1", "0.1", "1.0"]), ours)
    assert [row.verdict for row in rows] == ["reproduced", "differs (higher)", "differs (lower)", "within spread"]
    # The first excludes zero by far, but lies within one point.
    assert rows[0].p_value < 0.001 and rows[0].interval[0] > 0


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=10), st.floats(0.05, 2), st.floats(0.1, 2))
def test_a_row_differs_only_if_its_interval_excludes_zero(shifts, deviation, tolerance):
    printed = column(["50.0"] * len(shifts), ["0.5"] * len(shifts), tolerance=tolerance)
    for row in judge_column(printed, [sample(50 + shift, deviation) for shift in shifts]):
        low, high = row.interval
        if row.verdict == "reproduced":
            assert -tolerance <= low and high <= tolerance
        elif row.verdict.startswith("differs"):
            assert low > 0 or high < 0
            assert row.verdict == f"differs ({'higher' if low > 0 else 'lower'})"
        else:
            assert max(-low, high) > tolerance


def test_rounding_alone_never_differs():
    (row,) = judge_column(column(["90.0"], ["0.0"], runs=1000, tolerance=0.001), [sample(90.05, 1e-9, 10)])
    assert row.verdict == "within spread"
