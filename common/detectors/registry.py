"""The registry of detectors, and the function that fits a detector and scores the test samples.

A detector of the registry is known by its name; those of PyOD are made on request, by a name such as "pyod:ECOD".
"""

import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.detectors import pyod
from common.detectors.announced import ANNOUNCED
from common.detectors.classical import CLASSICAL
from common.detectors.detector import ANNOUNCED_GROUP, CLASSICAL_GROUP, Detection, Detector, Training, fitted_rows
from common.errors import ConfigError, DataError
from common.experiment import Experiment, Splits
from common.training.surroundings import THREADS

# Number of test samples of each class that a trained detector keeps reconstructions of, and of samples drawn from it.
RECONSTRUCTED, DRAWN = 4, 12

# Groups that can be chosen by their name.
GROUPS = (CLASSICAL_GROUP, ANNOUNCED_GROUP)

DETECTORS: dict[str, Detector] = {**CLASSICAL, **ANNOUNCED}


def detector_named(name: str) -> Detector:
    """Look up a detector.

    Raises:
        ConfigError: there is none of this name, or it cannot be used here.
    """
    if name.startswith(pyod.PREFIX):
        return pyod.detector(name)
    if name not in DETECTORS:
        raise ConfigError(f"There is no detector {name!r}. There are: {', '.join(DETECTORS)}, {pyod.PREFIX}NAME")
    return DETECTORS[name]


def names_in(group: str) -> tuple[str, ...]:
    """List the detectors of a group."""
    return tuple(name for name, detector in DETECTORS.items() if detector.group == group)


def names_of(chosen: Iterable[str]) -> tuple[str, ...]:
    """List the detectors of some groups and names, each once.

    Raises:
        ConfigError: one is unknown, or cannot be used here.
    """
    names = [name for one in chosen for name in (names_in(one) if one in GROUPS else [one])]
    for name in names:
        detector_named(name)
    return tuple(dict.fromkeys(names))


def can_score(name: str, experiment: Experiment) -> bool:
    """Check if a detector works on the samples of an experiment; those without a data set are curves."""
    return not detector_named(name).curves_only or experiment.dataset is None


def detect(name: str, splits: Splits, seed: int) -> Detection:
    """Fit one detector on the training samples and score the test samples.

    The computation uses double precision and the suite's fixed number of threads, so that the same inputs and seed give
    the same scores.

    Args:
        name: name of the detector.
        splits: the splits of a run. Only `x_train` is fitted on, and labels choose only which reconstructions are kept.
        seed: seed of the run; it changes the scores only of detectors marked as random.

    Raises:
        ConfigError: there is no such detector.
        DataError: the detector cannot be fitted on these samples, or a score is not finite.
        ValueError: training and test samples differ in their number of features.
    """
    from threadpoolctl import threadpool_limits

    detector = detector_named(name)
    x_train, x_test = _samples(name, "training", splits.x_train), _samples(name, "test", splits.x_test)
    if x_train.shape[1] != x_test.shape[1]:
        raise ValueError(f"Training {x_train.shape} and test samples {x_test.shape} must agree in features")
    x_fit = x_train[fitted_rows(len(x_train), detector.fit_limit)]
    samples = f"{len(x_fit)} training and {len(x_test)} test samples of {x_fit.shape[1]} features"
    try:
        # Build the estimator first: the thread limit affects only libraries that are already loaded.
        estimator = detector.build(Training(x_train, splits.code_size, splits.value_range), seed)
        with threadpool_limits(THREADS), warnings.catch_warnings():
            # UserWarnings are scikit-learn's `ConvergenceWarning` and LocalOutlierFactor's about too few neighbours,
            # RuntimeWarnings NumPy's overflows and divisions by zero. Deprecation warnings stay warnings.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            started = time.perf_counter()
            estimator.fit(x_fit)
            fitted = time.perf_counter()
            scores = np.asarray(detector.score(estimator, x_test), np.float64)
            scored = time.perf_counter()
    except (ValueError, Warning) as error:
        raise DataError(f"The detector {name} fails on {samples}: {error}") from error
    if scores.shape != (len(x_test),):
        raise DataError(f"The detector {name} gives scores of shape {scores.shape} to {len(x_test)} test samples")
    if not np.isfinite(scores).all():
        raise DataError(f"The detector {name} gives no finite score to some of {samples}")
    arrays = _pictures(estimator, x_test, splits.y_test)
    return Detection(scores, fitted - started, scored - fitted, len(x_fit), getattr(estimator, "metrics", {}), arrays)


def _pictures(estimator: Any, x_test: NDArray[np.float64], y_test: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Draw new samples and reconstruct the first test samples of each class, as far as the estimator can."""
    pictures = {}
    if hasattr(estimator, "draw"):
        pictures["drawn"] = estimator.draw(DRAWN).astype(np.float32)
    if hasattr(estimator, "reconstruct"):
        first = np.concatenate([np.flatnonzero(np.asarray(y_test) == label)[:RECONSTRUCTED] for label in (0, 1)])
        pictures["reconstructed_samples"] = first
        pictures["reconstructed"] = estimator.reconstruct(x_test[first]).astype(np.float32)
    return pictures


def _samples(name: str, part: str, x: NDArray[np.floating]) -> NDArray[np.float64]:
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"The detector {name} has no {part} samples. Received: shape {x.shape}")
    samples = np.asarray(x, np.float64).reshape(len(x), -1)
    strange = len(x) - int(np.isfinite(samples).all(axis=1).sum())
    if strange:
        raise DataError(
            f"The detector {name} needs finite numbers. {strange} of {len(x)} {part} samples hold NaN or infinity"
        )
    return samples
