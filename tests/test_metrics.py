import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.metrics import Undefined, classification_metrics, confusion_counts, ranking_metrics, reconstruction_error

binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


def ratio(numerator, denominator):
    return numerator / denominator if denominator else None


@given(binary)
def test_classification_metrics_are_ratios_of_counts(pairs):
    labels, predictions = map(np.array, zip(*pairs, strict=True))
    metrics = classification_metrics("m", labels, predictions)
    for class_name, positive in (("normal", 0), ("anomaly", 1)):
        hits = sum(a == b == positive for a, b in pairs)
        flagged = sum(b == positive for _, b in pairs)
        present = sum(a == positive for a, _ in pairs)
        expected = {
            "precision": ratio(hits, flagged),
            "recall": ratio(hits, present),
            "f1": ratio(2 * hits, flagged + present),
        }
        for name, value in expected.items():
            found = metrics[f"m.{class_name}.{name}"]
            if value is None:
                assert isinstance(found, Undefined) and class_name in found.reason
            else:
                assert found == pytest.approx(value)
    assert metrics["m.accuracy"] == pytest.approx(np.mean(labels == predictions))
    assert len(metrics) == 7


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=25))
def test_auroc_counts_pairs_and_ties_count_half(pairs):
    labels, scores = map(np.array, zip(*pairs, strict=True))
    found = ranking_metrics("m", labels, scores.astype(float))["m.auroc"]
    if len(set(labels)) < 2:
        assert isinstance(found, Undefined)
        return
    wins = [(a > n) + 0.5 * (a == n) for a in scores[labels == 1] for n in scores[labels == 0]]
    assert found == pytest.approx(np.mean(wins))


@given(binary)
def test_confusion_counts_agree_with_scikit_learn(pairs):
    from sklearn.metrics import confusion_matrix

    labels, predictions = zip(*pairs, strict=True)
    expected = confusion_matrix(labels, predictions, labels=[0, 1]).ravel().tolist()
    assert list(confusion_counts("m", labels, predictions).values()) == expected


def test_a_higher_score_means_more_anomalous():
    metrics = ranking_metrics("m", [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    assert metrics == {"m.auroc": 1.0, "m.average_precision": 1.0}


@given(
    arrays(np.float64, (4, 3, 2), elements=st.floats(-5, 5)), arrays(np.float64, (4, 3, 2), elements=st.floats(-5, 5))
)
def test_reconstruction_error_is_the_mean_square_over_all_but_the_first_axis(x, y):
    expected = [
        sum((a - b) ** 2 for a, b in zip(p.ravel(), q.ravel(), strict=True)) / 6 for p, q in zip(x, y, strict=True)
    ]
    assert reconstruction_error(x, y) == pytest.approx(expected)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"must agree in shape.*\(2, 3\) and \(3, 2\)"):
        reconstruction_error(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="labels must be a non-empty vector of 0 and 1"):
        classification_metrics("m", [0, -1], [0, 1])
    with pytest.raises(ValueError, match="predictions must be"):
        classification_metrics("m", [0, 1], [])
    with pytest.raises(ValueError, match="must agree in shape"):
        classification_metrics("m", [0, 1], [0, 1, 1])
