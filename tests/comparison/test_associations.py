import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from common.comparison.associations import associate, spearman

values = st.lists(st.integers(0, 5), min_size=3, max_size=12)


@given(values, st.integers(0, 1000))
def test_rank_correlation_agrees_with_scipy_ties_included(x, seed):
    y = np.random.default_rng(seed).integers(0, 5, len(x))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert spearman(x, y) is None
    else:
        assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)


def test_too_few_seeds_have_no_correlation():
    assert spearman([0.0, 1.0], [0.0, 1.0]) is None


def test_the_strongest_comes_first_over_the_seeds_where_both_are_defined():
    seeds = {
        seed: {"target": float(seed), "weak": seed % 2, "strong": -seed, "some": None if seed < 3 else 2.0}
        for seed in range(6)
    }
    strong, weak, some, absent = associate(seeds, "target", ["weak", "some", "strong", "absent"]).rows
    assert (strong.metric, strong.n, strong.correlation) == ("strong", 6, pytest.approx(-1))
    assert (strong.lower, strong.upper) == (-1, -4)
    assert (weak.metric, weak.n) == ("weak", 6)
    assert (some.metric, some.n, some.correlation, some.lower, some.upper) == ("some", 3, None, 2.0, 2.0)
    assert (absent.metric, absent.n, absent.correlation, absent.lower) == ("absent", 0, None, None)
