"""The declaration of a detector: its estimator, its settings and its scoring function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.metrics.scores import Metrics

Scores = NDArray[np.float64]

SUB_SAMPLE_SEED = 0

# The groups of detectors. Each is a family of tests of its own when methods are compared.
CLASSICAL_GROUP, ANNOUNCED_GROUP, PYOD_GROUP = "classical", "announced", "pyod"


class Training(NamedTuple):
    """The information that an estimator is built from; it contains nothing about the test samples.

    Attributes:
        x: training samples, flattened to shape `(samples, features)`.
        code_size: number of values in the autoencoder's code.
        value_range: lowest and highest value that the format of the samples allows. Default: unbounded.
    """

    x: NDArray[np.floating]
    code_size: int
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Detection:
    """The scores of a detector and the cost of computing them.

    Attributes:
        scores: anomaly scores of the test samples, shape `(samples,)`, higher = more anomalous.
        fit_seconds: seconds spent on fitting.
        score_seconds: seconds spent on scoring.
        fitted_on: number of training samples that the detector was fitted on.
        metrics: what the estimator tells of its training, by name. Default: nothing.
        arrays: samples drawn from the detector, `drawn`, and its reconstructions of some test samples, `reconstructed`,
            whose indices are in `reconstructed_samples`; each only where the estimator can. Default: none.
    """

    scores: Scores
    fit_seconds: float
    score_seconds: float
    fitted_on: int
    metrics: Metrics = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def _improbability(estimator: Any, x: NDArray[np.float64]) -> Scores:
    """Negate `score_samples`, which in scikit-learn is higher for more normal samples."""
    return np.asarray(-estimator.score_samples(x))


@dataclass(frozen=True)
class Detector:
    """A detector, which scores test samples by their distance from the training samples or their improbability.

    Attributes:
        title: name of the detector in tables.
        build: `build(training, seed)` makes the unfitted estimator or pipeline. An estimator with `draw(count)` or
            `reconstruct(x)` also gives samples for the figures, as arrays of shape `(samples, features)`.
        random: true if the scores depend on the seed even when the data are the same. Default: false.
        fit_limit: largest number of training samples to fit on. Default: all.
        revision: version number of the computation; raise it when the scores change. Default: 1.
        group: `CLASSICAL_GROUP`, `ANNOUNCED_GROUP` or `PYOD_GROUP`. Default: the first.
        trained: true for a network that is trained, so that its runs show their progress. Default: false.
        curves_only: true if it works on curves only. Default: false.
        note: settings other than scikit-learn's defaults, and why. Default: none.
        score: `score(estimator, x)` computes anomaly scores by the fitted estimator. Default: its negated
            `score_samples`.
    """

    title: str
    build: Callable[[Training, int], Any]
    random: bool = False
    fit_limit: int | None = None
    revision: int = 1
    group: str = CLASSICAL_GROUP
    trained: bool = False
    curves_only: bool = False
    note: str = ""
    score: Callable[[Any, NDArray[np.float64]], NDArray[np.floating]] = _improbability


def fitted_rows(samples: int, limit: int | None) -> NDArray[np.int_]:
    """Select the training samples that a detector is fitted on: all of them, or a fixed random subset.

    Args:
        samples: number of training samples.
        limit: largest number of samples to select; `None` for all.

    Returns:
        Ascending indices of the selected samples.
    """
    if limit is None or samples <= limit:
        return np.arange(samples)
    return np.sort(np.random.default_rng(SUB_SAMPLE_SEED).choice(samples, limit, replace=False))
