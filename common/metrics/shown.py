"""Choose scored samples that the page of a report shows one by one, and store little of each."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_SHOWN = 150
# Largest number of wrong decisions among them, so that some right ones are always shown.
MOST_WRONG = 100
# Number of features of a sample that are stored where a sample has many: those with the largest errors.
SHOWN_FEATURES = 10
# Number of samples with the lowest and with the highest scores that are kept of a user's own data.
EXTREMES = 6


def choose_shown(labels: ArrayLike, scores: ArrayLike, threshold: float | None) -> NDArray[np.int_]:
    """Choose at most `MOST_SHOWN` samples: those that a threshold decides wrongly, then a spread of the others.

    If there are more than `MOST_WRONG` wrong decisions, so many of them are chosen. Samples are spread evenly over the
    ranks of their scores, the lowest and the highest included.

    Args:
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape.
        threshold: scores strictly above it are flagged; `None` if no threshold was set.

    Returns:
        Ascending indices of the chosen samples.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    ranked = np.argsort(scores, kind="stable")
    wrong = np.zeros(len(scores), dtype=bool) if threshold is None else (scores > threshold) != (labels == 1)
    first = _spread(ranked[wrong[ranked]], MOST_WRONG)
    others = _spread(ranked[~wrong[ranked]], MOST_SHOWN - len(first))
    return np.sort(np.concatenate([first, others]))


def _spread(ranked: NDArray[np.int_], most: int) -> NDArray[np.int_]:
    """Pick at most this many elements at even distances, the first and the last included."""
    if len(ranked) <= most:
        return ranked
    return np.asarray(ranked[np.round(np.linspace(0, len(ranked) - 1, most)).astype(int)])


def shown_arrays(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None,
    inputs: NDArray[np.floating],
    reconstruct: Callable[[NDArray[np.floating]], NDArray[np.floating]],
) -> dict[str, NDArray[Any]]:
    """Choose samples as `choose_shown` does, and store their inputs and reconstructions.

    Args:
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape.
        threshold: scores strictly above it are flagged; `None` if no threshold was set.
        inputs: the scored samples, shape `(samples, ...)`.
        reconstruct: computes the reconstructions of samples, in the same shape.

    Returns:
        `page_samples`, the indices of the chosen samples; `page_inputs` and `page_reconstructions`, bytes of shape
        `(chosen samples, ...)`; `page_range`, the numbers that the bytes 0 and 255 stand for.
    """
    chosen = choose_shown(labels, scores, threshold)
    both = [inputs[chosen], reconstruct(inputs[chosen])]
    stored, limits = as_bytes(both)
    return dict(zip(("page_inputs", "page_reconstructions"), stored, strict=True)) | {
        "page_samples": chosen,
        "page_range": limits,
    }


def shown_features(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None,
    x: NDArray[np.floating],
    reconstructions: NDArray[np.floating],
    names: NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """Choose samples as `choose_shown` does, and store the features that make most of their scores.

    Args:
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores, the same shape.
        threshold: scores strictly above it are flagged; `None` if no threshold was set.
        x: the scored samples, shape `(samples, features)`.
        reconstructions: their reconstructions, the same shape.
        names: names or numbers of the features, shape `(features,)`.

    Returns:
        `page_samples`, the indices of the chosen samples; `page_features`, the names of the `SHOWN_FEATURES` features
        with the largest squared errors of each, largest first, shape `(chosen samples, SHOWN_FEATURES)`; and of the
        same shape their values, `page_inputs`, and the reconstructed ones, `page_reconstructions`.
    """
    chosen = choose_shown(labels, scores, threshold)
    x, reconstructions = x[chosen], reconstructions[chosen]
    largest = np.argsort(-np.square(x - reconstructions), axis=1, kind="stable")[:, :SHOWN_FEATURES]
    return {
        "page_samples": chosen,
        "page_features": names[largest],
        "page_inputs": np.take_along_axis(x, largest, axis=1).astype(np.float32),
        "page_reconstructions": np.take_along_axis(reconstructions, largest, axis=1).astype(np.float32),
    }


def extreme_arrays(
    samples: NDArray[np.floating], scored: Any, kind: str, names: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Keep the `EXTREMES` scored samples with the lowest and those with the highest scores, and their errors.

    Args:
        samples: the scored samples, shape `(samples, ...)`.
        scored: `scores`, shape `(samples,)`, and `errors` of their parts, shape `(samples, parts)`.
        kind: what the samples are: "images", "table" or "rows".
        names: names of the parts, shape `(parts,)`, if they have any.

    Returns:
        `extreme_samples`, the indices of the kept ones, in order of their scores; `extreme_inputs`, of windows the last
        row, shape `(kept samples, parts)`; `extreme_errors`, of the same shape; `extreme_kind` and `extreme_names`; and
        `all_scores`, shape `(samples,)`.
    """
    ranked = np.argsort(scored.scores, kind="stable")
    kept = np.unique(np.concatenate([np.arange(len(ranked))[:EXTREMES], np.arange(len(ranked))[-EXTREMES:]]))
    chosen, parts = ranked[kept], scored.errors.shape[1]
    return {
        "extreme_samples": chosen,
        "extreme_inputs": samples[chosen].reshape(len(chosen), -1)[:, -parts:].astype(np.float32),
        "extreme_errors": scored.errors[chosen].astype(np.float32),
        "extreme_kind": np.array(kind),
        "extreme_names": np.asarray(names, dtype=str),
        "all_scores": np.asarray(scored.scores),
    }


def as_bytes(
    arrays: Sequence[NDArray[np.floating]],
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Round numbers to 256 levels between the smallest and the largest number of all arrays.

    Returns:
        The arrays as bytes, and the numbers that the bytes 0 and 255 stand for, shape `(2,)`.
    """
    low, high = min(array.min() for array in arrays), max(array.max() for array in arrays)
    step = (high - low) / 255 or 1.0
    return [np.rint((array - low) / step).astype(np.uint8) for array in arrays], np.array([low, high], np.float32)
