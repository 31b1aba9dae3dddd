"""The classical detectors that every experiment is held against.

Each is a scikit-learn estimator with that library's default settings, fitted on what the autoencoder was trained on:
normal samples, flattened. Nothing is tuned, and no label of a test sample is ever looked at. One entry of `DETECTORS`
says all there is to say about a detector, so that another one is one more entry.

Three rules, laid down before any detector was scored on these data:
    - Inputs of more than `MOST_COMPONENTS` features reach the detectors that model a density through PCA: the leading
      components that hold `KEPT_VARIANCE` of the variance, but at most `MOST_COMPONENTS`. A covariance of hundreds of
      features, many of them constant or copies of their neighbours, is singular. scikit-learn's advice for a covariance
      is to have more samples than squared features, and 30 components keep to it from 900 samples on.
    - Detectors that would keep a reader waiting, more than about ten seconds of a processor on one data set, are fitted
      on at most `SLOW_FIT_LIMIT` training samples. Which ones does not depend on the seed of the run.
    - Scores that rest on a computation that did not converge are not handed out: any warning from scikit-learn or NumPy
      about the numbers becomes an error.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, DataError
from common.metrics.scores import reconstruction_error
from common.training.fit import THREADS

MOST_COMPONENTS = 30
KEPT_VARIANCE = 0.95
SLOW_FIT_LIMIT = 2000
SUB_SAMPLE_SEED = 0

Scores = NDArray[np.float64]


class Inputs(NamedTuple):
    """What a detector is given.

    `x_train` holds what the autoencoder was trained on, normal samples only, flattened to shape `(samples, features)`;
    `x_test` what is scored, of as many features; `y_test` its labels, 1 for an anomaly; `groups` the ids of test
    samples that are resampled together. Neither of the last two is looked at here. `code_size` counts the numbers in
    the autoencoder's code.
    """

    x_train: NDArray[np.floating]
    x_test: NDArray[np.floating]
    y_test: NDArray[Any]
    groups: NDArray[Any]
    code_size: int


class Training(NamedTuple):
    """What an estimator is built for: nothing of what is scored. As in `Inputs`."""

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


def detect(name: str, inputs: Inputs, seed: int) -> Detection:
    """Fit one detector on the training samples and score the test samples by it.

    Everything is computed in double precision and on the suite's fixed number of threads, so that the same inputs and
    seed give the same scores.

    Args:
        name: a key of `DETECTORS`.
        inputs: what to fit on and what to score.
        seed: of the run; changes the scores of detectors marked as random only.

    Raises:
        ConfigError: there is no such detector.
        DataError: it cannot be fitted on these samples, or does not give every test sample a finite score.
        ValueError: the shapes of the inputs do not agree.
    """
    from threadpoolctl import threadpool_limits

    if name not in DETECTORS:
        raise ConfigError(f"There is no detector {name!r}. There are: {', '.join(DETECTORS)}")
    detector = DETECTORS[name]
    x_train, x_test = _samples(name, "training", inputs.x_train), _samples(name, "test", inputs.x_test)
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(f"Training {x_train.shape} and test samples {x_test.shape} must agree in features")
    x_fit = x_train[fitted_rows(len(x_train), detector.fit_limit)]
    try:
        # Built before the threads are limited, since the limit only holds for libraries that are loaded.
        estimator = detector.build(Training(inputs.x_train, inputs.code_size), seed)
        with threadpool_limits(THREADS), _warnings_as_errors():
            started = time.perf_counter()
            estimator.fit(x_fit)
            fitted = time.perf_counter()
            scores = np.asarray(detector.score(estimator, x_test), np.float64)
            scored = time.perf_counter()
    except (ValueError, Warning) as error:
        raise DataError(f"The detector {name} fails on {_shapes(x_fit, x_test)}: {error}") from error
    if scores.shape != (len(x_test),) or not np.isfinite(scores).all():
        raise DataError(f"The detector {name} gives no finite score to some of {_shapes(x_fit, x_test)}")
    return Detection(scores, fitted - started, scored - fitted, len(x_fit))


def fitted_rows(samples: int, limit: int | None) -> NDArray[np.int_]:
    """Which of the training samples a detector is fitted on: all, or `limit` of them, always the same, in order."""
    if limit is None or samples <= limit:
        return np.arange(samples)
    return np.sort(np.random.default_rng(SUB_SAMPLE_SEED).choice(samples, limit, replace=False))


def _samples(name: str, part: str, x: NDArray[np.floating]) -> NDArray[np.float64]:
    if x.ndim != 2:
        raise ValueError(f"The {part} samples must be flattened to two axes. Received: shape {x.shape}")
    if x.size == 0:
        raise DataError(f"The detector {name} has no {part} samples. Received: shape {x.shape}")
    samples = np.asarray(x, np.float64)
    strange = len(x) - int(np.isfinite(samples).all(axis=1).sum())
    if strange:
        raise DataError(
            f"The detector {name} needs finite numbers. {strange} of {len(x)} {part} samples hold NaN or infinity"
        )
    return samples


@contextlib.contextmanager
def _warnings_as_errors() -> Iterator[None]:
    """Within this context, remarks on the numbers are errors; those on how a library is called stay warnings.

    A `ConvergenceWarning` is a `UserWarning`, and so is what LocalOutlierFactor says when it has too few neighbours;
    NumPy's overflows and divisions by zero are `RuntimeWarning`s.
    """
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("error", category)
        yield


def _shapes(x_fit: NDArray[np.float64], x_test: NDArray[np.float64]) -> str:
    return f"{len(x_fit)} training and {len(x_test)} test samples of {x_fit.shape[1]} features"


# How each detector is built, and how it scores where it has no `score_samples`.


class _RandomScores:
    """The detector that looks at nothing: uniform numbers, one for each sample in the order in which they come."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, x: NDArray[np.float64]) -> _RandomScores:
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        return np.random.default_rng(self._seed).random(len(x))


def _centring(training: Training, seed: int) -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler(with_std=False)


def _length(centring: Any, x: NDArray[np.float64]) -> Scores:
    return np.asarray(np.linalg.norm(centring.transform(x), axis=1))


def _pca(training: Training, seed: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(n_components=training.code_size, svd_solver="covariance_eigh")


def _pca_error(pca: Any, x: NDArray[np.float64]) -> Scores:
    return np.asarray(reconstruction_error(x, pca.inverse_transform(pca.transform(x))))


def _nearest_neighbors(training: Training, seed: int) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors()


def _farthest_neighbor_distance(neighbors: Any, x: NDArray[np.float64]) -> Scores:
    distances, _ = neighbors.kneighbors(x)
    return np.asarray(distances[:, -1])


def _local_outlier_factor(training: Training, seed: int) -> Any:
    from sklearn.neighbors import LocalOutlierFactor

    return LocalOutlierFactor(novelty=True)


def _isolation_forest(training: Training, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=seed)


def _one_class_svm(training: Training, seed: int) -> Any:
    from sklearn.svm import OneClassSVM

    return OneClassSVM()


def _gaussian_mixture(training: Training, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    # A single component takes all samples from the start, so that its random start changes nothing.
    return _behind_pca_if_wide(training, GaussianMixture(random_state=0))


def _kernel_density(training: Training, seed: int) -> Any:
    from sklearn.neighbors import KernelDensity

    # All samples in one leaf, which is a plain sum. The tree's bounds are subtracted from each other again and lose the
    # density of far samples: on the paper machine log densities came out wrong by up to 270 (scikit-learn 1.9.1).
    # Open upstream: https://github.com/scikit-learn/scikit-learn/issues/27186
    return _behind_pca_if_wide(training, KernelDensity(leaf_size=max(len(training.x), 1)))


def _elliptic_envelope(training: Training, seed: int) -> Any:
    from sklearn.covariance import EllipticEnvelope

    return _behind_pca_if_wide(training, EllipticEnvelope(random_state=seed))


def _kmeans(training: Training, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(random_state=seed)


def _nearest_centre_distance(kmeans: Any, x: NDArray[np.float64]) -> Scores:
    return np.asarray(kmeans.transform(x).min(axis=1))


def _behind_pca_if_wide(training: Training, estimator: Any) -> Any:
    """The estimator alone, or for wide inputs a pipeline that gives it their leading principal components."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    if training.x.shape[1] <= MOST_COMPONENTS:
        return estimator
    pca = PCA(n_components=KEPT_VARIANCE, svd_solver="covariance_eigh")
    return make_pipeline(pca, FunctionTransformer(_leading_components), estimator)


def _leading_components(projections: NDArray[np.float64]) -> NDArray[np.float64]:
    return projections[:, :MOST_COMPONENTS]


_BEHIND_PCA = (
    f"inputs of more than {MOST_COMPONENTS} features reach it as the leading principal components that hold "
    f"{KEPT_VARIANCE:.0%} of their variance, at most {MOST_COMPONENTS}"
)

DETECTORS: dict[str, Detector] = {
    "random_score": Detector(
        "random score",
        lambda training, seed: _RandomScores(seed),
        random=True,
        note="looks at nothing; shows what chance gives",
    ),
    "mean_distance": Detector(
        "distance to the mean", _centring, random=False, score=_length, note="Euclidean, of the unscaled features"
    ),
    "pca": Detector(
        "PCA reconstruction error",
        _pca,
        random=False,
        score=_pca_error,
        note="as many components as the autoencoder's code has numbers; solved exactly, where the default would pick a "
        "randomised solver for some shapes",
    ),
    "knn": Detector(
        "k-nearest-neighbour distance",
        _nearest_neighbors,
        random=False,
        score=_farthest_neighbor_distance,
        note="to the fifth nearest training sample (scikit-learn's default number of neighbours)",
    ),
    "local_outlier_factor": Detector(
        "local outlier factor",
        _local_outlier_factor,
        random=False,
        note="novelty=True, so that test samples are no neighbours of each other",
    ),
    "isolation_forest": Detector("isolation forest", _isolation_forest, random=True),
    "one_class_svm": Detector("one-class SVM", _one_class_svm, random=False, fit_limit=SLOW_FIT_LIMIT),
    "gaussian_mixture": Detector(
        "Gaussian mixture", _gaussian_mixture, random=False, note=f"one component (the default); {_BEHIND_PCA}"
    ),
    "kernel_density": Detector(
        "kernel density",
        _kernel_density,
        random=False,
        note=f"bandwidth 1 (the default), summed over all training samples without a tree; {_BEHIND_PCA}",
    ),
    "elliptic_envelope": Detector(
        "elliptic envelope (robust covariance)",
        _elliptic_envelope,
        random=True,
        fit_limit=SLOW_FIT_LIMIT,
        note=_BEHIND_PCA,
    ),
    "kmeans": Detector(
        "k-means distance",
        _kmeans,
        random=True,
        score=_nearest_centre_distance,
        note="to the nearest of eight centres (the default)",
    ),
}

# What the survey at the end of document 000 lists and is not run. Its other entries are, under the names above: PCA,
# k-means, Gaussian mixtures, nearest neighbours, Parzen windows (kernel_density), support vector machines.
_NEEDS_LABELS = "needs labelled anomalies to train on"
_NO_DETECTOR = "a way to describe images, not a detector"
_NOT_IN_SCIKIT_LEARN = "not in scikit-learn, no standard settings"
_ANOTHER_NETWORK = "another neural network to train, not a classical detector"

NOT_RUN: dict[str, str] = {
    "number of mixture components by Akaike or Bayesian information criterion": "the default of one component is kept",
    "hidden Markov models": _NOT_IN_SCIKIT_LEARN,
    "Markov random fields": _NOT_IN_SCIKIT_LEARN,
    "conditional random fields": _NEEDS_LABELS,
    "minimum volume estimation": "not in scikit-learn, whose minimum covariance determinant (elliptic_envelope) is run",
    "expectation maximisation with deterministic annealing": "not in scikit-learn, which maximises without annealing",
    "histogram analysis": _NOT_IN_SCIKIT_LEARN,
    "wavelets with multiresolution Markov random fields": _NOT_IN_SCIKIT_LEARN,
    "histogram-based features": _NO_DETECTOR,
    "texture features": _NO_DETECTOR,
    "shape features": _NO_DETECTOR,
    "features from VGG-16": _NO_DETECTOR,
    "histograms of oriented gradients": _NO_DETECTOR,
    "feature matching with a similarity distance": _NO_DETECTOR,
    "self-organising maps": _NOT_IN_SCIKIT_LEARN,
    "radial basis function networks": _NOT_IN_SCIKIT_LEARN,
    "learning vector quantisation": _NEEDS_LABELS,
    "probabilistic neural networks": f"{_NEEDS_LABELS}; for one class it is kernel_density, which is run",
    "Hopfield networks": _NOT_IN_SCIKIT_LEARN,
    "adaptive resonance theory": _NOT_IN_SCIKIT_LEARN,
    "relevance vector machine": f"{_NEEDS_LABELS}; not in scikit-learn",
    "variational and conditional variational autoencoders": _ANOTHER_NETWORK,
    "generative adversarial networks": _ANOTHER_NETWORK,
}
