"""What a detector is: how its estimator is built, fitted and asked for scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class Training(NamedTuple):
    """What an estimator is built for; nothing of what is scored is in here.

    `x` holds the training samples, flattened to shape `(samples, features)`; `code_size` counts the numbers in the
    autoencoder's code.
    """

    x: NDArray[np.floating]
    code_size: int


class Detection(NamedTuple):
    """Scores of the test samples, shape `(samples,)`, higher = more anomalous; seconds; training samples used."""

    scores: Scores
    fit_seconds: float
    score_seconds: float
    fitted_on: int


def _improbability(estimator: Any, x: NDArray[np.float64]) -> Scores:
    """scikit-learn's convention turned round: its `score_samples` is higher for what is more normal."""
    return np.asarray(-estimator.score_samples(x))


@dataclass(frozen=True)
class Detector:
    """One way to score samples by how little they resemble the training samples.

    Args:
        title: for tables.
        build: makes the unfitted estimator or pipeline for the training samples, from the seed of the run.
        random: whether its scores depend on the seed where the data are the same.
        fit_limit: it is fitted on at most so many training samples. Default: all.
        revision: raised when what it computes changes.
        note: settings other than scikit-learn's defaults, and why.
        score: anomaly scores by the fitted estimator. Default: its `score_samples`, negated.
    """

    title: str
    build: Callable[[Training, int], Any]
    random: bool
    fit_limit: int | None = None
    revision: int = 1
    note: str = ""
    score: Callable[[Any, NDArray[np.float64]], Scores] = _improbability
