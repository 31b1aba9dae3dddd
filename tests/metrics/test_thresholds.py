import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ThresholdError
from common.metrics.scores import Undefined
from common.metrics.thresholds import Threshold, best_f1, break_even, fixed, percentile_of_normals, threshold_metrics

# Few distinct scores make ties; many make none.
labelled_scores = st.integers(2, 10_000).flatmap(
    lambda distinct: st.lists(st.tuples(st.integers(0, 1), st.integers(1, distinct)), min_size=1, max_size=60)
)
ANY = "validation"


def columns(cases):
    labels, scores = (np.array(column) for column in zip(*cases, strict=True))
    return labels, scores / 7


# What every threshold does.


def test_what_equals_the_threshold_is_not_flagged():
    assert fixed(0.5).flag([0.4, 0.5, 0.6]).tolist() == [0, 0, 1]
    assert (fixed(0.5).n, fixed(0.5).fitted_on) == (0, "nothing")


@pytest.mark.parametrize("scores", [[np.nan, 1.0], [], [[1.0]]])
def test_scores_that_are_none_are_refused_everywhere(scores):
    for use in (
        fixed(1.0).flag,
        lambda s: percentile_of_normals(s, 0.5, ANY),
        lambda s: break_even(np.zeros(len(s)), s, ANY),
        lambda s: best_f1(np.zeros(len(s)), s, ANY),
    ):
        with pytest.raises(ThresholdError, match="must be"):
            use(scores)
    with pytest.raises(ThresholdError, match="1 of 1 are NaN"):
        fixed(float("nan"))


# The percentile of normal samples.


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.floats(0.01, 0.99))
def test_of_all_samples_at_most_the_rate_lies_above_the_threshold_that_the_others_give(scores, rate):
    """Each of n + 1 samples in turn is the new one, which is what exchangeable means: an exact count, ties included."""
    scores = np.array(scores, dtype=float)
    if np.ceil((1 - rate) * len(scores) - 1e-9) > len(scores) - 1:
        with pytest.raises(ThresholdError, match=r"at least 1/rate - 1|non-empty"):
            percentile_of_normals(scores[1:], rate, ANY)
        return
    flagged = [
        percentile_of_normals(np.delete(scores, new), rate, ANY).flag(scores[[new]])[0] for new in range(len(scores))
    ]
    assert np.mean(flagged) <= rate + 1e-9


@pytest.mark.parametrize("n", [19, 20, 99, 100, 1000])
def test_the_order_statistic_is_the_smallest_that_keeps_the_promise(n):
    scores = np.random.default_rng(n).permutation(n)
    threshold = percentile_of_normals(scores, 0.05, ANY)
    rank = int(threshold.value) + 1
    # A new score without ties lies above the k-th smallest of n with probability 1 - k / (n + 1).
    assert 1 - rank / (n + 1) <= 0.05 + 1e-12 < 1 - (rank - 1) / (n + 1) + 1e-12
    assert (threshold.n, threshold.intended_rate, threshold.fitted_on) == (n, 0.05, ANY)
    assert threshold.achieved_rate == (n - rank) / n


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_thresholds_flag_at_most_the_rate_of_new_samples(n):
    generator = np.random.default_rng(0)
    rates = []
    for _ in range(2000):
        threshold = percentile_of_normals(generator.standard_normal(n), 0.05, ANY)
        rates.append(threshold.flag(generator.standard_normal(200)).mean())
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 0.05 + 3 * error
    # And not far below: the promise is kept to within one rank.
    assert np.mean(rates) >= 0.05 - 1 / (n + 1) - 3 * error


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0, 0.047, float("nan")])
def test_a_rate_that_so_few_samples_cannot_promise_is_refused(rate):
    with pytest.raises(ThresholdError, match="for n=20 samples"):
        percentile_of_normals(np.arange(20), rate, ANY)


def test_constant_normal_scores_flag_nothing_of_their_kind():
    threshold = percentile_of_normals(np.ones(50), 0.1, ANY)
    assert threshold.achieved_rate == 0
    assert threshold.flag([1.0, 1.1]).tolist() == [0, 1]


# The break-even point.


def literal_break_even(labels, scores):
    """The rule as its source has it: the first point of scikit-learn's curve whose two numbers are equal."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, scores)
    equal = [index for index, (p, r) in enumerate(zip(precision, recall, strict=True)) if p == r]
    return (thresholds[equal[0]], precision[equal[0]], recall[equal[0]]) if equal else None


@given(labelled_scores)
def test_the_break_even_point_is_that_of_the_literal_rule(cases):
    labels, scores = columns(cases)
    point = break_even(labels, scores, ANY)
    if labels.sum() == 0:
        assert point is None
        return
    found = None if point is None else (point.value, point.precision, point.recall)
    assert found == literal_break_even(labels, scores)


@given(labelled_scores)
def test_the_break_even_threshold_is_the_nth_largest_of_distinct_scores(cases):
    labels = np.array([label for label, _ in cases])
    scores = np.random.default_rng(0).permutation(len(labels)).astype(float)
    n = int(labels.sum())
    if n == 0:
        return
    point = break_even(labels, scores, ANY)
    largest = np.argsort(-scores)[:n]
    if labels[largest].any():
        assert point.value == scores[largest[-1]]
        assert point.precision == point.recall == labels[largest].mean()
    else:
        assert point.precision == point.recall == 0
        assert point.value == scores[scores > scores[labels == 1].max()].min()


def test_break_even_of_degenerate_scores():
    worst = break_even([1, 0, 0, 0], [1.0, 2.0, 3.0, 4.0], ANY)
    assert (worst.value, worst.precision, worst.recall) == (2.0, 0.0, 0.0)
    assert break_even([0, 1, 0], [1.0, 1.0, 1.0], ANY) is None
    assert break_even([0, 0, 0], [1.0, 2.0, 3.0], ANY) is None
    everything = break_even([1, 1], [1.0, 1.0], ANY)
    assert (everything.value, everything.precision, everything.achieved_rate) == (1.0, 1.0, None)


# The best F1.


@given(labelled_scores)
def test_no_threshold_has_a_better_f1_than_the_best_and_none_as_good_flags_less(cases):
    from sklearn.metrics import f1_score

    labels, scores = columns(cases)
    threshold = best_f1(labels, scores, ANY)
    if labels.sum() == 0:
        assert threshold is None
        return
    best = f1_score(labels, threshold.flag(scores))
    assert best == pytest.approx(2 * threshold.precision * threshold.recall / (threshold.precision + threshold.recall))
    for other in [-np.inf, *np.unique(scores)]:
        f1 = f1_score(labels, scores > other, zero_division=0)
        assert f1 <= best + 1e-12
        assert other <= threshold.value or f1 < best - 1e-12


def test_where_only_flagging_everything_finds_the_anomalies_the_threshold_is_no_number():
    threshold = best_f1([1, 0], [1.0, 1.0], ANY)
    assert threshold.flag([1.0, -5.0]).tolist() == [1, 1]
    metrics = threshold_metrics("rule", threshold, [0, 1], [1.0, 2.0])
    assert metrics["rule.threshold"] == Undefined("every sample is flagged, whatever its score")
    assert metrics["rule.test.fp"] == 1


def test_labels_must_be_zero_or_one_and_as_many_as_scores():
    for labels in ([0, 2], [0], [0, 1, 1]):
        with pytest.raises(ThresholdError, match="labels must be 0 or 1"):
            best_f1(labels, [1.0, 2.0], ANY)


# What a threshold does on other samples.


def test_decisions_on_other_samples_are_counted_beside_what_was_intended():
    threshold = percentile_of_normals(np.arange(100), 0.05, ANY)
    metrics = threshold_metrics("rule", threshold, [0, 0, 0, 1, 1], [10, 96, 99, 95, 200])
    assert (metrics["rule.threshold"], metrics["rule.fitted_on_n"], metrics["rule.intended_rate"]) == (95, 100, 0.05)
    assert metrics["rule.false_positive_rate"] == pytest.approx(2 / 3)
    assert [metrics[f"rule.test.{name}"] for name in ("tn", "fp", "fn", "tp")] == [1, 2, 1, 1]


def test_a_rule_that_found_no_threshold_decides_nothing():
    metrics = threshold_metrics("rule", None, [0, 1], [1.0, 2.0])
    assert set(metrics.values()) == {Undefined("the rule found no threshold")}
    with_one = threshold_metrics("rule", Threshold(1.0, "", "", 3), [0, 1], [1.0, 2.0])
    assert set(metrics) == set(with_one)


def test_without_normal_samples_there_is_no_false_positive_rate():
    metrics = threshold_metrics("rule", fixed(1.0), [1, 1], [1.0, 2.0])
    assert metrics["rule.false_positive_rate"] == Undefined("there is no normal sample")


def test_decisions_need_a_label_for_every_score():
    with pytest.raises(ThresholdError, match="one for every score"):
        threshold_metrics("m", fixed(0.5), [0, 1], [0.0, 1.0, 2.0])
    with pytest.raises(ThresholdError, match="one for every score"):
        threshold_metrics("m", None, [0, 2], [0.0, 1.0])
