"""Anomaly scores and detection metrics.

A higher score means more anomalous; label 1 is the anomaly and the positive class, label 0 is normal. Metrics are
returned as a flat mapping of dotted names, the same names as in data/published/: `<method>.accuracy`,
`<method>.<normal|anomaly>.<precision|recall|f1>`, `<method>.auroc`. The value of an undefined metric is an `Undefined`
with the reason, never NaN or 0.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASSES = ("normal", "anomaly")
# The reason why a number of a classification report is undefined for a class.
_REASONS = {
    "precision": "nothing was called {}",
    "recall": "there is no {} sample",
    "f1": "there is no {} sample and nothing was called one",
}


@dataclass(frozen=True)
class Undefined:
    """A metric that has no value, and the reason."""

    reason: str


Metric = float | int | Undefined
Metrics = Mapping[str, Metric]


def by_epoch(name: str, values: Iterable[float]) -> dict[str, Metric]:
    """Name the values of successive epochs as metrics: `<name>.epoch_001`, `<name>.epoch_002` and so on."""
    return {f"{name}.epoch_{epoch:03d}": value for epoch, value in enumerate(values, start=1)}


def history_metrics(history: Mapping[str, list[float]]) -> dict[str, Metric]:
    """Name the losses and metrics of a training: `loss.epoch_001` and so on, `loss.last`, `validation_loss.last`.

    Args:
        history: one value per epoch by Keras' name, in which `val_` stands for the validation samples.
    """
    metrics: dict[str, Metric] = {}
    for name, values in history.items():
        name = re.sub("^val_", "validation_", name)
        metrics |= {**by_epoch(name, values), f"{name}.last": values[-1]}
    return metrics


def over(statistic: Callable[[NDArray[Any]], Any], values: NDArray[Any]) -> Metric:
    """Compute a statistic, such as `numpy.median`, of some samples; undefined if there are none."""
    return float(statistic(values)) if len(values) else Undefined("there is no such sample")


# Names of the metrics that tell normal test samples from anomalies.
_OF_LABELS = re.compile(
    r"(^|\.)(accuracy|precision|recall|f1|support|[tf][np]|auroc|average_precision|fpr_at_95_recall|prevalence"
    r"|false_positive_rate)$|(normal|anomaly)_(first|median|at_origin)$|distance_ratio$|test_(normal|anomaly|positive)"
)


# Where there are no labels: end of the name of the metric that counts what a rule flags, and the number of samples.
FLAGGED, TEST_SAMPLES = ".test.flagged", "data.test_samples"


def without_labels(metrics: Metrics) -> dict[str, Metric]:
    """Make the metrics undefined that tell normal test samples from anomalies, for test samples without labels."""
    missing = Undefined("the test samples have no labels")
    return {name: missing if _OF_LABELS.search(name) else value for name, value in metrics.items()}


def reconstruction_error(inputs: NDArray[np.floating], outputs: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the mean squared error of each sample.

    Args:
        inputs: inputs of the autoencoder, shape `(samples, ...)`.
        outputs: its reconstructions, the same shape.

    Returns:
        Errors, shape `(samples,)`, in squared units of the input.
    """
    if inputs.shape != outputs.shape:
        raise ValueError(f"Inputs and outputs must agree in shape. Received: {inputs.shape} and {outputs.shape}")
    return np.asarray(np.square(inputs - outputs).reshape(len(inputs), -1).mean(axis=1))


def classification_metrics(method: str, labels: ArrayLike, predictions: ArrayLike) -> dict[str, Metric]:
    """Compute the numbers of a classification report: accuracy, and precision, recall and F1 of both classes.

    Args:
        method: prefix of the metric names.
        labels: true classes, shape `(samples,)`, 1 for an anomaly.
        predictions: predicted classes, the same shape, 1 for a flagged sample.

    Returns:
        Seven metrics; a ratio without a denominator is `Undefined`.
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels, predictions = _binary("labels", labels), _binary("predictions", predictions)
    if labels.shape != predictions.shape:
        raise ValueError(f"Labels {labels.shape} and predictions {predictions.shape} must agree in shape")
    columns = precision_recall_fscore_support(labels, predictions, labels=[0, 1], zero_division=np.nan)
    metrics: dict[str, Metric] = {f"{method}.accuracy": float(np.mean(labels == predictions))}
    for (name, reason), column in zip(_REASONS.items(), columns, strict=False):
        for class_name, value in zip(CLASSES, column, strict=True):
            undefined = Undefined(reason.format(class_name))
            metrics[f"{method}.{class_name}.{name}"] = undefined if np.isnan(value) else float(value)
    return metrics


def report_metrics(method: str, labels: ArrayLike, predictions: ArrayLike) -> dict[str, Metric]:
    """Compute every number of scikit-learn's classification report, from the arguments of `classification_metrics`.

    Returns:
        The results of `classification_metrics`; `<method>.macro.<precision|recall|f1>`, the mean of the two classes;
        `<method>.weighted.<...>`, the mean weighted by their numbers of samples; these numbers,
        `<method>.<normal|anomaly>.support`, and their sum, `<method>.support`. An average is `Undefined` if the value
        of one class is.
    """
    metrics = classification_metrics(method, labels, predictions)
    supports = np.bincount(_binary("labels", labels), minlength=2)
    for average, weights in (("macro", [1, 1]), ("weighted", supports)):
        for number in _REASONS:
            values = [metrics[f"{method}.{name}.{number}"] for name in CLASSES]
            undefined = [value for value in values if isinstance(value, Undefined)]
            averaged = undefined[0] if undefined else float(np.average(np.array(values, float), weights=weights))
            metrics[f"{method}.{average}.{number}"] = averaged
    counts = zip(CLASSES, supports.tolist(), strict=True)
    return metrics | {f"{method}.{name}.support": n for name, n in counts} | {f"{method}.support": int(supports.sum())}


def confusion_counts(method: str, labels: ArrayLike, predictions: ArrayLike) -> dict[str, Metric]:
    """Count true and false negatives and positives, the anomaly being the positive class.

    Args:
        method: prefix of the metric names.
        labels: true classes, shape `(samples,)`, 1 for an anomaly.
        predictions: predicted classes, the same shape, 1 for a flagged sample.

    Returns:
        `<method>.tn`, `<method>.fp`, `<method>.fn` and `<method>.tp`.
    """
    return {f"{method}.{name}": count for name, count in count_outcomes(labels, predictions).items()}


def count_outcomes(labels: ArrayLike, predictions: ArrayLike) -> dict[str, int]:
    """Count true and false negatives and positives, as `confusion_counts` does, by names without a prefix."""
    labels, predictions = _binary("labels", labels), _binary("predictions", predictions)
    counts = np.bincount(2 * labels + predictions, minlength=4).tolist()
    return dict(zip(("tn", "fp", "fn", "tp"), counts, strict=True))


def decision_metrics(method: str, labels: ArrayLike, predictions: ArrayLike) -> dict[str, Metric]:
    """Compute both the `classification_metrics` and the `confusion_counts` of predicted classes."""
    return classification_metrics(method, labels, predictions) | confusion_counts(method, labels, predictions)


def ranking_metrics(method: str, labels: ArrayLike, scores: ArrayLike) -> dict[str, Metric]:
    """Compute the threshold-free metrics of scores: area under the ROC curve and average precision.

    Args:
        method: prefix of the metric names.
        labels: true classes, shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape, finite, higher = more anomalous.

    Raises:
        ValueError: labels other than 0 and 1, shapes that differ, scores that are not finite.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, scores = _rankable(labels, scores)
    if len(np.unique(labels)) < 2:
        missing = Undefined("only one class among the scored samples")
        return {f"{method}.auroc": missing, f"{method}.average_precision": missing}
    return {
        f"{method}.auroc": float(roc_auc_score(labels, scores)),
        f"{method}.average_precision": float(average_precision_score(labels, scores)),
    }


def metrics_by_class(
    labels: ArrayLike, scores: ArrayLike, classes: ArrayLike | None, prefix: str = ""
) -> dict[str, Metric]:
    """Compute `ranking_metrics` of all normal samples against the anomalies of each class.

    Args:
        labels: true labels, shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape, finite, higher = more anomalous.
        classes: class of each sample, the same shape; `None` if the data have none.
        prefix: prefix of the metric names. Default: none.

    Returns:
        `against_<class>.auroc` and `against_<class>.average_precision`; nothing if all anomalies are of one class.
    """
    labels, scores, classes = np.asarray(labels), np.asarray(scores), np.asarray(classes)
    anomalous = [] if classes.ndim == 0 else np.unique(classes[labels == 1]).tolist()
    found: dict[str, Metric] = {}
    for one in anomalous if len(anomalous) > 1 else []:
        pair = (labels == 0) | (classes == one)
        found |= ranking_metrics(f"{prefix}against_{one}", labels[pair], scores[pair])
    return found


def detection_metrics(labels: ArrayLike, scores: ArrayLike) -> dict[str, Metric]:
    """Compute how well scores separate anomalies from normal samples, independently of a chosen threshold.

    Args:
        labels: true classes, shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape, finite, higher = more anomalous.

    Returns:
        - `auroc` and `average_precision`;
        - `fpr_at_95_recall`: the lowest false-positive rate at a recall of at least 95 %, where a sample is flagged if
          its score is at or above the threshold;
        - `prevalence`: the fraction of anomalies, which is the expected average precision of random scores.

        If only one class is present, all but `prevalence` are `Undefined`.

    Raises:
        ValueError: labels other than 0 and 1, shapes that differ, scores that are not finite.
    """
    from sklearn.metrics import auc, average_precision_score, roc_curve

    labels, scores = _rankable(labels, scores)
    prevalence = float(np.mean(labels))
    if prevalence in (0, 1):
        missing = Undefined("only one class among the scored samples")
        undefined = dict.fromkeys(("auroc", "average_precision", "fpr_at_95_recall"), missing)
        return {**undefined, "prevalence": prevalence}
    false_positive_rate, recall, _ = roc_curve(labels, scores, drop_intermediate=False)
    return {
        "auroc": float(auc(false_positive_rate, recall)),
        "average_precision": float(average_precision_score(labels, scores)),
        "fpr_at_95_recall": float(false_positive_rate[recall >= 0.95].min()),
        "prevalence": prevalence,
    }


def _rankable(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int_], NDArray[np.floating]]:
    labels, scores = _binary("labels", labels), np.asarray(scores)
    if labels.shape != scores.shape:
        raise ValueError(f"Labels {labels.shape} and scores {scores.shape} must agree in shape")
    strange = np.flatnonzero(~np.isfinite(scores))
    if len(strange):
        first = strange[0]
        raise ValueError(
            f"scores must be finite. Received: {len(strange)} of {len(scores)} that are not, "
            f"the first {scores[first]} at index {first}"
        )
    return labels, scores


def _binary(what: str, values: ArrayLike) -> NDArray[np.int_]:
    array = np.asarray(values)
    strange = np.setdiff1d(array, [0, 1])
    if array.ndim != 1 or len(array) == 0 or len(strange):
        raise ValueError(f"{what} must be a non-empty vector of 0 and 1. Received: shape {array.shape}, {strange[:3]}")
    return array.astype(int)
