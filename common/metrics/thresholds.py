"""Rules that turn scores into decisions, each fitted on a named split.

Scores are higher for what is more anomalous, and a sample is flagged when its score lies strictly above the threshold.
A rule never sees what is scored by it later; `published` protocols that do otherwise say so where they call it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import ThresholdError
from common.metrics.scores import Metric, Undefined, classification_metrics, confusion_counts


@dataclass(frozen=True)
class Threshold:
    """A threshold, and where it comes from.

    Attributes:
        value: scores strictly above it are flagged; infinite where nothing is ever flagged.
        rule: how it was chosen, in words.
        fitted_on: the name of the split whose scores it was chosen on.
        n: how many scores those were; 0 for one that was fixed beforehand.
        intended_rate: the false-positive rate that was asked for, where the rule takes one.
        achieved_rate: the part of the normal samples of that split that lie above it, where there are any.
        precision: of the rule's own scores, where it looks at labels; counted as the rule counts.
        recall: likewise.
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
        """1 where a score lies above the threshold, shape `(samples,)`.

        Raises:
            ThresholdError: a score is not a number.
        """
        return (_numbers("scores", scores) > self.value).astype(int)


def fixed(value: float) -> Threshold:
    """A threshold that was known before any score was."""
    return Threshold(float(_numbers("a fixed threshold", [value])[0]), f"fixed at {value:g}", "nothing", 0)


def percentile_of_normals(scores: ArrayLike, rate: float, fitted_on: str) -> Threshold:
    """The smallest score of normal samples above which at most the part `rate` of them lies.

    Ties at the threshold are not flagged, so constant scores flag nothing.

    Args:
        scores: of normal samples alone, shape `(samples,)`.
        rate: the false-positive rate intended, between 0 and 1.
        fitted_on: the name of their split.

    Raises:
        ThresholdError: no scores, a score that is not a number, or a rate that so few samples cannot show.
    """
    scores = np.sort(_numbers("scores of normal samples", scores))
    n = len(scores)
    # A rate written in decimals is seldom exact: 0.05 of 20 samples is one of them.
    allowed = int(np.floor(rate * n + 1e-9)) if 0 < rate < 1 else 0
    if allowed < 1:
        raise ThresholdError(
            f"A false-positive rate must lie below 1 and be at least 1/n. Received: rate={rate} for n={n} samples"
        )
    value = scores[n - 1 - allowed]
    rule = f"{100 * (1 - rate):g}th percentile of normal samples"
    achieved = float(np.mean(scores > value))
    return Threshold(float(value), rule, fitted_on, n, intended_rate=rate, achieved_rate=achieved)


def break_even(labels: ArrayLike, scores: ArrayLike, fitted_on: str) -> Threshold | None:
    """The lowest threshold among the scores at which precision equals recall, both of `score >= threshold`.

    Precision tp / (tp + fp) and recall tp / (tp + fn) are equal when as many samples are flagged as there are
    positives, or when tp is zero. Both are compared as whole numbers, so no rounding decides. With distinct scores and
    n positives this is the n-th largest score, unless none of the n largest is a positive; then it is the first score
    above that of every positive, and both are zero.

    Args:
        labels: shape `(samples,)`, 1 for a positive.
        scores: the same shape.
        fitted_on: the name of their split.

    Returns:
        The threshold with its precision and recall, or `None` where there is none: no positives, or ties that skip it.
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
    return _of_labelled(
        float(thresholds[first]),
        "break-even of precision and recall",
        fitted_on,
        labels,
        scores,
        precision=float(caught[first] / flagged[first]),
        recall=float(caught[first] / positives),
    )


def best_f1(labels: ArrayLike, scores: ArrayLike, fitted_on: str) -> Threshold | None:
    """The threshold with the highest F1 of the anomaly; of several, the one that flags least.

    Args:
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: the same shape.
        fitted_on: the name of their split.

    Returns:
        The threshold with its precision and recall, or `None` without any anomaly to find.
    """
    labels, scores = _labelled(labels, scores)
    positives = int(np.sum(labels == 1))
    if positives == 0:
        return None
    # Between two neighbouring scores every threshold decides alike, so the scores themselves are all there are to try,
    # and one below them all, which flags everything.
    candidates = np.concatenate([[-np.inf], np.unique(scores)])
    flagged = len(scores) - np.searchsorted(np.sort(scores), candidates, side="right")
    caught = positives - np.searchsorted(np.sort(scores[labels == 1]), candidates, side="right")
    f1 = 2 * caught / (flagged + positives)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return _of_labelled(
        float(candidates[best]),
        "best F1 of the anomaly",
        fitted_on,
        labels,
        scores,
        precision=float(caught[best] / flagged[best]),
        recall=float(caught[best] / positives),
    )


def _of_labelled(
    value: float, rule: str, fitted_on: str, labels: NDArray[np.int_], scores: NDArray[np.float64], **counted: float
) -> Threshold:
    normal = scores[labels == 0]
    achieved = float(np.mean(normal > value)) if len(normal) else None
    return Threshold(value, rule, fitted_on, len(scores), achieved_rate=achieved, **counted)


def threshold_metrics(
    method: str, threshold: Threshold | None, labels: ArrayLike, scores: ArrayLike
) -> dict[str, Metric]:
    """A threshold, and what it does on samples that it was not fitted on.

    Args:
        method: what the names begin with.
        threshold: `None` where its rule found none: every metric is then `Undefined`.
        labels: of the scored samples, shape `(samples,)`, 1 for an anomaly.
        scores: of the scored samples, the same shape.

    Returns:
        `.threshold`, `.fitted_on_n`, `.intended_rate` where there is one, `.false_positive_rate` among the scored
        normal samples, and below `.test` the counts and ratios of its decisions.

    Raises:
        ThresholdError: labels other than 0 and 1, shapes that differ, a score that is not a number.
    """
    labels, scores = _labelled(labels, scores)
    flagged = (Threshold(np.inf, "", "", 0) if threshold is None else threshold).flag(scores)
    metrics: dict[str, Metric] = {
        f"{method}.threshold": np.inf if threshold is None else threshold.value,
        f"{method}.fitted_on_n": 0 if threshold is None else threshold.n,
        f"{method}.false_positive_rate": float(np.mean(flagged[labels == 0]))
        if np.any(labels == 0)
        else Undefined("there is no normal sample"),
        **classification_metrics(f"{method}.test", labels, flagged),
        **confusion_counts(f"{method}.test", labels, flagged),
    }
    if threshold is not None and threshold.intended_rate is not None:
        metrics[f"{method}.intended_rate"] = threshold.intended_rate
    if threshold is None:
        return {name: Undefined("the rule found no threshold") for name in metrics}
    if not np.isfinite(threshold.value):
        flags = "no sample" if threshold.value > 0 else "every sample"
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
