"""Classical detectors that every experiment is compared with.

Each is a scikit-learn estimator with the library's default settings, except where its `note` says otherwise. It is
fitted on the training samples of the autoencoder: normal samples, flattened. Nothing is tuned, and no test label is
used. To add a detector, add an entry to `CLASSICAL`.

Three rules, fixed before any of the first detectors was scored on these data:
    - The detectors that model a density get inputs of more than `MOST_COMPONENTS` features through PCA: the leading
      components that hold `KEPT_VARIANCE` of the variance, but at most `MOST_COMPONENTS`. The covariance of hundreds of
      features, many of them constant or copies of their neighbours, is singular. scikit-learn advises to estimate a
      covariance from more samples than squared features; with 30 components, 900 samples are enough.
    - A detector that needs more than about ten seconds of processor time on one data set is fitted on at most
      `SLOW_FIT_LIMIT` training samples. Their selection does not depend on the seed of the run.
    - No scores are returned from a computation that did not converge: a warning from scikit-learn or NumPy about the
      numbers becomes an error.
"""

import pkgutil
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from common.detectors.detector import Detector, Scores, Training
from common.metrics.scores import reconstruction_error

MOST_COMPONENTS = 30
KEPT_VARIANCE = 0.95
SLOW_FIT_LIMIT = 2000
# Largest number of components of a Gaussian mixture.
MOST_MIXED = 10


def _sklearn(path: str, **settings: Any) -> Any:
    """Make a scikit-learn estimator; its module is imported only then, since that is slow."""
    return pkgutil.resolve_name(f"sklearn.{path}")(**settings)


class _RandomScores:
    """Estimator that ignores its inputs and scores each sample with a uniform random number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, x: NDArray[np.float64]) -> Self:
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        return np.random.default_rng(self._seed).random(len(x))


class _UnivariateGaussians:
    """Estimator that models each feature by a normal distribution of its own, as naive Bayes does for one class."""

    def fit(self, x: NDArray[np.float64]) -> Self:
        # Its variances are raised by 1e-9 of the largest one, so that a constant feature has no variance of zero.
        self._model = _sklearn("naive_bayes.GaussianNB").fit(x, np.zeros(len(x)))
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        return np.asarray(self._model.predict_joint_log_proba(x)[:, 0])


class _MixtureByCriterion:
    """Gaussian mixture with the number of components that has the lowest Bayesian information criterion.

    The criterion is computed on the training samples. A mixture that does not converge, or whose covariances cannot be
    inverted, is skipped.
    """

    def __init__(self, training: Training, seed: int) -> None:
        self._projection = _behind_pca_if_wide(training, _sklearn("preprocessing.FunctionTransformer"))
        self._seed = seed

    def fit(self, x: NDArray[np.float64]) -> Self:
        from sklearn.exceptions import ConvergenceWarning

        x, lowest, failure = self._projection.fit_transform(x), np.inf, ""
        for components in range(1, MOST_MIXED + 1):
            mixture = _sklearn("mixture.GaussianMixture", n_components=components, random_state=self._seed)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", ConvergenceWarning)
                    criterion = mixture.fit(x).bic(x)
            except (ConvergenceWarning, ValueError) as error:
                failure = str(error)
                continue
            if criterion < lowest:
                self.mixture, lowest = mixture, criterion
        if lowest == np.inf:
            raise ValueError(f"no mixture of 1 to {MOST_MIXED} components can be fitted: {failure}")
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        return np.asarray(self.mixture.score_samples(self._projection.transform(x)))


def _kernel_density(training: Training, seed: int) -> Any:
    # All samples in one leaf, so that the density is a plain sum. With a tree, cancellation between its bounds loses
    # the density of distant samples: log densities on the paper machine were wrong by up to 270 (scikit-learn 1.9.1).
    # Open issue: https://github.com/scikit-learn/scikit-learn/issues/27186
    return _behind_pca_if_wide(training, _sklearn("neighbors.KernelDensity", leaf_size=max(len(training.x), 1)))


def _behind_pca_if_wide(training: Training, estimator: Any) -> Any:
    """Return the estimator, or for more than `MOST_COMPONENTS` features a pipeline of PCA and the estimator."""
    if training.x.shape[1] <= MOST_COMPONENTS:
        return estimator
    from sklearn.pipeline import make_pipeline

    pca = _sklearn("decomposition.PCA", n_components=KEPT_VARIANCE, svd_solver="covariance_eigh")
    leading = _sklearn("preprocessing.FunctionTransformer", func=lambda projections: projections[:, :MOST_COMPONENTS])
    return make_pipeline(pca, leading, estimator)


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
        "distance to the mean",
        lambda training, seed: _sklearn("preprocessing.StandardScaler", with_std=False),
        score=lambda centring, x: np.linalg.norm(centring.transform(x), axis=1),
        note="Euclidean, of the unscaled features",
    ),
    "pca": Detector(
        "PCA reconstruction error",
        lambda training, seed: _sklearn(
            # With as many components as features, nothing would be lost, and all errors would be rounding.
            "decomposition.PCA",
            n_components=min(training.code_size, max(1, min(training.x.shape) - 1)),
            svd_solver="covariance_eigh",
        ),
        score=lambda pca, x: reconstruction_error(x, pca.inverse_transform(pca.transform(x))),
        note="as many components as the autoencoder's code has numbers; solved exactly, where the default would pick a "
        "randomised solver for some shapes",
    ),
    "knn": Detector(
        "k-nearest-neighbour distance",
        lambda training, seed: _sklearn("neighbors.NearestNeighbors"),
        score=lambda neighbors, x: neighbors.kneighbors(x)[0][:, -1],
        note="to the fifth nearest training sample (scikit-learn's default number of neighbours)",
    ),
    "local_outlier_factor": Detector(
        "local outlier factor",
        lambda training, seed: _sklearn("neighbors.LocalOutlierFactor", novelty=True),
        note="novelty=True, so that test samples are no neighbours of each other",
    ),
    "isolation_forest": Detector(
        "isolation forest", lambda training, seed: _sklearn("ensemble.IsolationForest", random_state=seed), random=True
    ),
    "one_class_svm": Detector(
        "one-class SVM", lambda training, seed: _sklearn("svm.OneClassSVM"), fit_limit=SLOW_FIT_LIMIT
    ),
    "gaussian_mixture": Detector(
        "Gaussian mixture",
        lambda training, seed: _MixtureByCriterion(training, seed),
        random=True,
        fit_limit=SLOW_FIT_LIMIT,
        revision=2,
        note=f"full covariances and 1 to {MOST_MIXED} components, the number with the lowest Bayesian information "
        "criterion on the training samples. Chosen as a source's own next step, after the scores of one component, the "
        f"default, had been seen; {_BEHIND_PCA}",
    ),
    "univariate_gaussian": Detector(
        "univariate Gaussian",
        lambda training, seed: _UnivariateGaussians(),
        note="a normal distribution for each feature alone, as in naive Bayes",
    ),
    "kernel_density": Detector(
        "kernel density",
        _kernel_density,
        note=f"bandwidth 1 (the default), summed over all training samples without a tree; {_BEHIND_PCA}",
    ),
    "elliptic_envelope": Detector(
        "elliptic envelope (robust covariance)",
        lambda training, seed: _behind_pca_if_wide(
            training, _sklearn("covariance.EllipticEnvelope", random_state=seed)
        ),
        random=True,
        fit_limit=SLOW_FIT_LIMIT,
        note=_BEHIND_PCA,
    ),
    "kmeans": Detector(
        "k-means distance",
        lambda training, seed: _sklearn("cluster.KMeans", random_state=seed),
        random=True,
        score=lambda kmeans, x: kmeans.transform(x).min(axis=1),
        note="to the nearest of eight centres (the default)",
    ),
}
