"""Published numbers from our own distribution rarely differ, and others are found.

tests/helpers/error_rates.py has the same simulations as a command, with more trials.
"""

import numpy as np
import pytest

from common.comparison.standings import FEWEST_ANOMALIES
from common.comparison.verdicts import CHANCE_OUTSIDE, judge_group
from tests.helpers.error_rates import (
    CASES,
    NOISES,
    a_number,
    counts,
    coverage,
    coverage_of_own_test_sets,
    false_alarms,
    false_rankings,
    one_run,
    report_metrics,
)

TRIALS = 800


@pytest.mark.parametrize(("title", "draw", "shape"), CASES, ids=[title for title, *_ in CASES])
def test_a_source_of_our_own_distribution_differs_no_more_often_than_stated(title, draw, shape):
    # Two standard errors more than stated, so that no case fails by chance.
    slack = 2 * np.sqrt(CHANCE_OUTSIDE * (1 - CHANCE_OUTSIDE) / TRIALS)
    assert false_alarms(draw, shape, TRIALS) <= CHANCE_OUTSIDE + slack


def test_a_normal_number_lies_outside_as_often_as_a_95_percent_interval_says():
    assert 0.03 <= false_alarms(a_number, "normal", TRIALS) <= 0.06


def test_below_twenty_seeds_nothing_differs():
    assert false_alarms(a_number, "exponential", 200, seeds=19) == 0


def test_a_source_that_is_truly_different_is_found():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        ours = dict(enumerate(report_metrics(hits, 99) for hits in counts(rng, "normal", 20)))
        printed = {name: f"{value:.2f}" for name, value in report_metrics(35, 99).items()}
        group = one_run(printed, free=["m.normal.recall", "m.anomaly.recall"], scale="logit", cases=100)
        found += judge_group(group, ours).verdict == "differs (higher)"
    assert found >= 95


@pytest.mark.parametrize("dominates", ["test samples dominate", "seeds dominate"])
def test_intervals_of_a_ranking_hold_the_truth_as_often_as_stated(dominates):
    trials = 40
    slack = 2 * np.sqrt(0.95 * 0.05 / trials)
    of_aurocs, of_differences = coverage(NOISES[dominates], trials, replicates=120)
    assert min(of_aurocs, of_differences) >= 0.92 - slack
    assert max(of_aurocs, of_differences) <= 0.97 + slack


@pytest.mark.parametrize("dominates", NOISES)
def test_with_a_test_set_for_each_seed_intervals_hold_the_truth_as_often_as_stated(dominates):
    of_aurocs, of_differences = coverage_of_own_test_sets(NOISES[dominates], 1500)
    assert 0.93 <= of_aurocs <= 0.97
    assert 0.93 <= of_differences <= 0.97


def test_intervals_are_too_wide_where_the_interaction_of_seeds_and_samples_dominates():
    assert min(coverage(NOISES["the interaction dominates"], 24, replicates=120)) > 0.97


def test_with_the_fewest_anomalies_that_are_ranked_few_rankings_are_false():
    assert false_rankings(1, 30) > 0.5
    assert false_rankings(FEWEST_ANOMALIES, 100) < 0.15
