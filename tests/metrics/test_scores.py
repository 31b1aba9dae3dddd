import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.metrics.scores import (
    Undefined,
    by_epoch,
    classification_metrics,
    confusion_counts,
    detection_metrics,
    metrics_by_class,
    ranking_metrics,
    reconstruction_error,
    report_metrics,
)

binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


tied = st.integers(0, 4).map(float)
spread_out = st.floats(-1e6, 1e6)
scored = st.one_of(
    *(st.lists(st.tuples(st.integers(0, 1), score), min_size=1, max_size=30) for score in (tied, spread_out))
)


def ratio(numerator, denominator):
    return numerator / denominator if denominator else None


@given(binary)
def test_averages_and_supports_are_those_of_scikit_learns_report(pairs):
    from sklearn.metrics import classification_report

    labels, predictions = map(np.array, zip(*pairs, strict=True))
    metrics = report_metrics("m", labels, predictions)
    options = {"labels": [0, 1], "target_names": ["normal", "anomaly"], "output_dict": True, "zero_division": np.nan}
    report = classification_report(labels, predictions, **options)
    assert metrics["m.support"] == len(labels)
    for name in ("normal", "anomaly"):
        assert metrics[f"m.{name}.support"] == report[name]["support"]
    for average in ("macro", "weighted"):
        for number, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            value = metrics[f"m.{average}.{number}"]
            if any(np.isnan(report[name][key]) for name in ("normal", "anomaly")):
                assert isinstance(value, Undefined)
            else:
                assert value == pytest.approx(report[f"{average} avg"][key])


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


def rates_by_threshold(labels, scores):
    """(recall, false-positive rate, precision) of `score >= threshold`, from the strictest threshold down."""
    for threshold in sorted(set(scores), reverse=True):
        flagged = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
        hits, alarms = flagged.count(1), flagged.count(0)
        yield hits / labels.count(1), alarms / labels.count(0), hits / len(flagged)


@given(scored)
def test_detection_metrics_agree_with_counted_pairs_and_a_loop_over_thresholds(pairs):
    labels, scores = map(list, zip(*pairs, strict=True))
    found = detection_metrics(labels, scores)
    assert list(found) == ["auroc", "average_precision", "fpr_at_95_recall", "prevalence"]
    assert found["prevalence"] == pytest.approx(sum(labels) / len(labels))
    if len(set(labels)) < 2:
        undefined = [found[name] for name in ("auroc", "average_precision", "fpr_at_95_recall")]
        assert all(isinstance(value, Undefined) and "only one class" in value.reason for value in undefined)
        return
    anomalous, normal = ([score for label, score in pairs if label == k] for k in (1, 0))
    assert found["auroc"] == pytest.approx(np.mean([(a > n) + 0.5 * (a == n) for a in anomalous for n in normal]))
    rates = list(rates_by_threshold(labels, scores))
    gained = np.diff([recall for recall, _, _ in rates], prepend=0)
    assert found["average_precision"] == pytest.approx(sum(gained * [precision for _, _, precision in rates]))
    assert found["fpr_at_95_recall"] == pytest.approx(min(alarms for recall, alarms, _ in rates if recall >= 0.95))


def test_a_recall_that_is_reached_exactly_is_reached():
    labels, scores = [1] * 20 + [0], [*range(20, 0, -1), 1.5]
    assert detection_metrics(labels, scores)["fpr_at_95_recall"] == 0
    assert detection_metrics(labels, [0, *scores[1:]])["fpr_at_95_recall"] == 1


def test_constant_scores_flag_everything():
    assert detection_metrics([0, 0, 0, 1], np.ones(4)) == {
        "auroc": 0.5,
        "average_precision": 0.25,
        "fpr_at_95_recall": 1.0,
        "prevalence": 0.25,
    }


@pytest.mark.parametrize("metrics", [detection_metrics, lambda *scored: ranking_metrics("m", *scored)])
def test_scores_that_cannot_be_ranked_are_refused(metrics):
    with pytest.raises(ValueError, match=r"scores must be finite. Received: 2 of 3 .* nan at index 1"):
        metrics([0, 1, 1], [0.0, np.nan, np.inf])
    with pytest.raises(ValueError, match=r"scores must be finite. Received: 1 of 2"):
        metrics([1, 1], [0.0, np.nan])
    with pytest.raises(ValueError, match=r"must agree in shape"):
        metrics([0, 1, 1], [0.0, 1.0])


def test_epochs_are_counted_from_one():
    assert by_epoch("loss", [0.5, 0.25]) == {"loss.epoch_001": 0.5, "loss.epoch_002": 0.25}


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


def test_each_class_of_anomalies_is_ranked_against_all_normal_samples():
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 4, 200)
    labels, scores = (classes != 2).astype(int), generator.random(200)
    found = metrics_by_class(labels, scores, classes, "scores.")
    assert set(found) == {
        f"scores.against_{one}.{name}" for one in (0, 1, 3) for name in ("auroc", "average_precision")
    }
    for one in (0, 1, 3):
        wins = [anomalous > normal for anomalous in scores[classes == one] for normal in scores[classes == 2]]
        assert found[f"scores.against_{one}.auroc"] == pytest.approx(np.mean(wins))
    two = np.isin(classes, [2, 3])
    assert metrics_by_class(labels[two], scores[two], classes[two]) == {}
    assert metrics_by_class(labels, scores, None) == {}
