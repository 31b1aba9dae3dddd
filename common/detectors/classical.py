"""The classical detectors that every experiment is held against.

Each is a scikit-learn estimator with that library's default settings, fitted on what the autoencoder was trained on:
normal samples, flattened. Nothing is tuned, and no label of a test sample is ever looked at. One entry of `CLASSICAL`
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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.detectors.detector import Detector, Scores, Training
from common.metrics.scores import reconstruction_error

MOST_COMPONENTS = 30
KEPT_VARIANCE = 0.95
SLOW_FIT_LIMIT = 2000


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

CLASSICAL: dict[str, Detector] = {
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
