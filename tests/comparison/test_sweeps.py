import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.comparison.sweeps import Sweep, rank_of_pair, worst_anomalies


def swept(*matrices, pair=(0, 1)):
    n = len(matrices[0])
    rows = [tuple(tuple(None if i == j else float(m[i][j]) for j in range(n)) for i in range(n)) for m in matrices]
    return Sweep(
        classes=tuple(range(n)),
        names=tuple("abcdefghij"[:n]),
        normals=tuple(range(n)),
        pair=pair,
        seeds=tuple(range(len(matrices))),
        aurocs={"method": dict(enumerate(rows))},
    )


@given(st.integers(2, 6), st.integers(0, 1000))
def test_the_rank_of_a_pair_is_its_place_in_a_sorted_list(n, seed):
    matrix = np.random.default_rng(seed).random((n, n))
    pairs = sorted(((matrix[i, j], i, j) for i in range(n) for j in range(n) if i != j), reverse=True)
    for place, (auroc, i, j) in enumerate(pairs, start=1):
        rank = rank_of_pair(swept(matrix, pair=(i, j)), "method")
        assert (rank.ranks, rank.pairs) == ((place,), n * (n - 1)) and rank.auroc == pytest.approx(auroc)


def test_a_class_that_is_hard_to_tell_is_the_worst_anomaly_of_all_others():
    matrix = np.full((4, 4), 0.9)
    matrix[:, 1] = 0.3
    matrix[1, 2] = 0.5
    assert worst_anomalies(swept(matrix), "method") == [(1, 3), (2, 1)]


def test_the_mean_over_the_seeds_decides_which_anomaly_is_the_worst():
    first, second = np.full((3, 3), 0.8), np.full((3, 3), 0.8)
    first[0, 1], second[0, 1], second[0, 2] = 0.1, 0.9, 0.6
    sweep = swept(first, second)
    assert sweep.mean_of("method")[0, 1] == pytest.approx(0.5)
    assert worst_anomalies(sweep, "method")[0][0] in (0, 1)
    assert dict(worst_anomalies(sweep, "method"))[1] >= 1


def test_a_pair_whose_normal_class_was_not_run_has_no_rank():
    sweep = swept(np.full((3, 3), 0.5), pair=(7, 1))
    assert rank_of_pair(sweep, "method") is None
