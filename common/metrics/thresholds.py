"""Rules that choose a threshold for anomaly scores, each fitted on a named split.

A higher score means more anomalous, and a sample is flagged if its score lies strictly above the threshold. The scores
that a rule is fitted on are not those that it is evaluated on; where the `published` protocol of a source fits and
evaluates on the same samples, the experiment says so at the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import ThresholdError
from common.metrics.scores import Metric, Undefined, count_outcomes, decision_metrics


@dataclass(frozen=True)
class Threshold:
    """A threshold, the rule that chose it, and the split that the rule was fitted on.

    Attributes:
        value: scores strictly above it are flagged; infinity flags no sample, minus infinity every sample.
        rule: description of the rule.
        fitted_on: name of the split that the rule was fitted on.
        n: number of scores that the rule was fitted on; 0 for a fixed threshold.
        intended_rate: the requested false-positive rate; `None` if the rule takes none.
        achieved_rate: the false-positive rate on the split that the rule was fitted on; `None` without normal samples.
        precision: precision on that split, as defined by the rule; `None` if the rule uses no labels.
        recall: recall on that split, likewise.
    """

    value: float
    rule: str
    fitted_on: str
    n: int
    intended_rate: float | None = None
    achieved_rate: float | None = None
    precision: float | None = None
    recall: float | None = None

    def flag(self, scores: ArrayLike) -> NDArray[np.int_]:
        """Flag the scores above the threshold.

        Args:
            scores: anomaly scores, shape `(samples,)`.

        Returns:
            1 for a score above the threshold, 0 for the others, the same shape.

        Raises:
            ThresholdError: there are no scores, or one is NaN.
        """
        return (_numbers("scores", scores) > self.value).astype(int)


@dataclass(frozen=True)
class Decision:
    """A threshold that a run applied to its test samples.

    Attributes:
        rule: prefix of the metrics of these decisions.
        scores: name of the array of scores that the threshold was applied to.
        threshold: scores strictly above it are flagged.
        counts: the confusion counts `tn`, `fp`, `fn` and `tp`.
    """

    rule: str
    scores: str
    threshold: float
    counts: Mapping[str, int]


def decisions(
    array: str, labels: ArrayLike, scores: ArrayLike, thresholds: Mapping[str, Threshold | None]
) -> list[Decision]:
    """Apply thresholds to scores of test samples, and describe the results for the record of the run.

    Args:
        array: name of the array of the scores.
        labels: labels of the test samples, shape `(samples,)`, 1 for an anomaly.
        scores: their anomaly scores, the same shape.
        thresholds: threshold of each rule; rules without a finite one are left out.
    """
    return [
        Decision(rule, array, threshold.value, count_outcomes(labels, threshold.flag(scores)))
        for rule, threshold in thresholds.items()
        if threshold is not None and np.isfinite(threshold.value)
    ]


def fixed(value: float) -> Threshold:
    """Make a threshold of a value that was not fitted on any scores."""
    return Threshold(float(_numbers("a fixed threshold", [value])[0]), f"fixed at {value:g}", "nothing", 0)


def percentile_of_normals(scores: ArrayLike, rate: float, fitted_on: str) -> Threshold:
    """Choose the threshold that a new normal sample exceeds with at most the probability `rate`.

    It is the ceil((1 - rate) (n + 1))-th smallest of n normal scores. If these and a new score are exchangeable, the
    new one is equally likely to take each of the n + 1 ranks, so it lies strictly above the threshold with at most this
    probability, on average over the normal samples that happened to be held back. The plain percentile of n scores is
    exceeded more often: that for 5 % of 20 scores by a new one of ten. (Inductive conformal prediction, Vovk et al.
    2005.)

    Args:
        scores: scores of normal samples only, shape `(samples,)`.
        rate: largest false-positive rate that is asked for, between 0 and 1.
        fitted_on: name of the split that the scores belong to.

    Raises:
        ThresholdError: there are no scores, one is NaN, or the rate is out of bounds: n scores can promise no rate
            below 1 / (n + 1).
    """
    scores = np.sort(_numbers("scores of normal samples", scores))
    n = len(scores)
    # Tolerance for decimals that binary numbers cannot represent: 0.95 of 20 must count as 19.
    rank = max(1, int(np.ceil((1 - rate) * (n + 1) - 1e-9))) if 0 < rate < 1 else n + 1
    if rank > n:
        raise ThresholdError(
            "A false-positive rate must lie below 1, and needs at least 1/rate - 1 normal samples. "
            f"Received: rate={rate} for n={n} samples"
        )
    value = float(scores[rank - 1])
    rule = f"{100 * (1 - rate):g}th percentile of normal samples, for a new one"
    achieved = float(np.mean(scores > value))
    return Threshold(value, rule, fitted_on, n, intended_rate=rate, achieved_rate=achieved)


def break_even(labels: ArrayLike, scores: ArrayLike, fitted_on: str) -> Threshold | None:
    """Choose the lowest score at which precision equals recall, where `score >= threshold` counts as flagged.

    Precision tp / (tp + fp) and recall tp / (tp + fn) are equal when as many samples are flagged as there are
    positives, or when tp is zero. These counts are compared as whole numbers, so rounding has no influence. With
    distinct scores and n positives the threshold is the n-th largest score, unless none of the n largest belongs to a
    positive; then it is the smallest score above those of all positives, and precision and recall are zero.

    Args:
        labels: shape `(samples,)`, 1 for a positive.
        scores: anomaly scores, the same shape.
        fitted_on: name of the split that the scores belong to.

    Returns:
        The threshold with its precision and recall; `None` without positives, or if ties leave no such score.

    Raises:
        ThresholdError: labels other than 0 and 1, shapes that differ, no scores, or a score that is NaN.
    """
    labels, scores = _labelled(labels, scores)
    thresholds = np.unique(scores)
    positives = int(np.sum(labels == 1))
    flagged = len(scores) - np.searchsorted(np.sort(scores), thresholds)
    caught = positives - np.searchsorted(np.sort(scores[labels == 1]), thresholds)
    equal = np.flatnonzero((flagged == positives) | (caught == 0))
    if positives == 0 or len(equal) == 0:
        return None
    first = equal[0]
    rule = "break-even of precision and recall"
    return _of_labelled(thresholds[first], rule, fitted_on, labels, scores, flagged[first], caught[first])


def best_f1(labels: ArrayLike, scores: ArrayLike, fitted_on: str) -> Threshold | None:
    """Choose the threshold with the highest F1 of the anomaly class; of several, the one that flags fewest samples.

    Args:
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape.
        fitted_on: name of the split that the scores belong to.

    Returns:
        The threshold with its precision and recall; `None` if there are no anomalies.

    Raises:
        ThresholdError: labels other than 0 and 1, shapes that differ, no scores, or a score that is NaN.
    """
    labels, scores = _labelled(labels, scores)
    positives = int(np.sum(labels == 1))
    if positives == 0:
        return None
    # All thresholds between two neighbouring scores flag the same samples, so it is enough to try each score, and one
    # value below all of them, which flags every sample.
    candidates = np.concatenate([[-np.inf], np.unique(scores)])
    flagged = len(scores) - np.searchsorted(np.sort(scores), candidates, side="right")
    caught = positives - np.searchsorted(np.sort(scores[labels == 1]), candidates, side="right")
    f1 = 2 * caught / (flagged + positives)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    rule = "best F1 of the anomaly"
    return _of_labelled(candidates[best], rule, fitted_on, labels, scores, flagged[best], caught[best])


def _of_labelled(
    value: float,
    rule: str,
    fitted_on: str,
    labels: NDArray[np.int_],
    scores: NDArray[np.float64],
    flagged: int,
    caught: int,
) -> Threshold:
    normal = scores[labels == 0]
    achieved = float(np.mean(normal > value)) if len(normal) else None
    precision, recall = float(caught / flagged), float(caught / np.sum(labels == 1))
    return Threshold(float(value), rule, fitted_on, len(scores), None, achieved, precision, recall)


def threshold_metrics(
    method: str, threshold: Threshold | None, labels: ArrayLike, scores: ArrayLike
) -> dict[str, Metric]:
    """Evaluate a threshold on samples that it was not fitted on.

    Args:
        method: prefix of the metric names.
        threshold: the threshold; `None` if its rule found none, which makes every metric `Undefined`.
        labels: labels of the test samples, shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores of the test samples, the same shape.

    Returns:
        Below `method`: `threshold`, `fitted_on_n`, `intended_rate` if the rule takes one, `false_positive_rate` on the
        test samples, and below `test` the results of `classification_metrics` and `confusion_counts`.

    Raises:
        ThresholdError: labels other than 0 and 1, shapes that differ, no scores, or a score that is NaN.
    """
    labels, scores = _labelled(labels, scores)
    used = threshold or Threshold(np.inf, "", "", 0)
    flagged = used.flag(scores)
    metrics: dict[str, Metric] = {
        f"{method}.threshold": used.value,
        f"{method}.fitted_on_n": used.n,
        f"{method}.false_positive_rate": Undefined("there is no normal sample"),
        **decision_metrics(f"{method}.test", labels, flagged),
    }
    if np.any(labels == 0):
        metrics[f"{method}.false_positive_rate"] = float(np.mean(flagged[labels == 0]))
    if used.intended_rate is not None:
        metrics[f"{method}.intended_rate"] = used.intended_rate
    if threshold is None:
        return {name: Undefined("the rule found no threshold") for name in metrics}
    if not np.isfinite(used.value):
        flags = "no sample" if used.value > 0 else "every sample"
        metrics[f"{method}.threshold"] = Undefined(f"{flags} is flagged, whatever its score")
    return metrics


def _numbers(what: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ThresholdError(f"{what} must be a non-empty vector. Received: shape {array.shape}")
    if np.isnan(array).any():
        raise ThresholdError(f"{what} must be numbers. Received: {int(np.isnan(array).sum())} of {len(array)} are NaN")
    return array


def _labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    labels, scores = np.asarray(labels), _numbers("scores", scores)
    if labels.shape != scores.shape or not np.isin(labels, [0, 1]).all():
        raise ThresholdError(
            f"labels must be 0 or 1, one for every score. Received: shapes {labels.shape} and {scores.shape}"
        )
    return labels.astype(int), scores
