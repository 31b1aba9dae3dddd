"""The declaration of a detector: its estimator, its settings and its scoring function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class Training(NamedTuple):
    """The information that an estimator is built from; it contains nothing about the test samples.

    Attributes:
        x: training samples, flattened to shape `(samples, features)`.
        code_size: number of values in the autoencoder's code.
    """

    x: NDArray[np.floating]
    code_size: int


class Detection(NamedTuple):
    """The scores of a detector and the cost of computing them.

    Attributes:
        scores: anomaly scores of the test samples, shape `(samples,)`, higher = more anomalous.
        fit_seconds: seconds spent on fitting.
        score_seconds: seconds spent on scoring.
        fitted_on: number of training samples that the detector was fitted on.
    """

    scores: Scores
    fit_seconds: float
    score_seconds: float
    fitted_on: int


def _improbability(estimator: Any, x: NDArray[np.float64]) -> Scores:
    """Negate `score_samples`, which in scikit-learn is higher for more normal samples."""
    return np.asarray(-estimator.score_samples(x))


@dataclass(frozen=True)
class Detector:
    """A detector, which scores test samples by their distance from the training samples or their improbability.

    Attributes:
        title: name of the detector in tables.
        build: `build(training, seed)` makes the unfitted estimator or pipeline.
        random: true if the scores depend on the seed even when the data are the same. Default: false.
        fit_limit: largest number of training samples to fit on. Default: all.
        revision: version number of the computation; raise it when the scores change. Default: 1.
        note: settings other than scikit-learn's defaults, and why. Default: none.
        score: `score(estimator, x)` computes anomaly scores by the fitted estimator. Default: its negated
            `score_samples`.
    """

    title: str
    build: Callable[[Training, int], Any]
    random: bool = False
    fit_limit: int | None = None
    revision: int = 1
    note: str = ""
    score: Callable[[Any, NDArray[np.float64]], NDArray[np.floating]] = _improbability
