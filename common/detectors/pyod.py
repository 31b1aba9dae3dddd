"""Detectors of PyOD, by their name: any that works from features and needs no labels, with the library's defaults.

Source: Zhao, Nasrullah and Li, PyOD: A Python toolbox for scalable outlier detection, JMLR 20, 2019.
"""

import functools
import importlib.util
import inspect
import pkgutil
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from common.detectors.detector import PYOD_GROUP, Detector, Scores, Training, fitted_rows
from common.errors import ConfigError

# Written before the name of a detector on the command line.
PREFIX = "pyod:"
# Those that the reference report has.
IN_REFERENCE = (f"{PREFIX}ECOD", f"{PREFIX}COPOD")
# Test samples that are scored alone as well, to see if a score depends on the samples beside it.
PROBED = 5
ALONE_FIT_LIMIT = 500
_NOTE = (
    f"defaults of PyOD; a detector whose score depends on the other scored samples gets each alone, beside at most "
    f"{ALONE_FIT_LIMIT} training samples"
)
# Beginnings of the names of modules without detectors, or with detectors of graphs, series and sounds.
_OTHER = ("_", "base", "audio", "combination", "embedding", "gaal_base", "pyg_", "sklearn_base", "thresholds", "ts_")


class _Inductive:
    """A detector of PyOD whose score of a sample depends on the training samples and the seed alone.

    Some detectors draw from NumPy's global generator only; it is seeded, and left as it was. Some, ECOD and COPOD among
    them, rank samples among the training samples and all that are scored with them. Then each sample is scored alone,
    with at most `ALONE_FIT_LIMIT` training samples, since each of these scores costs as much as a fit.
    """

    def __init__(self, detector: type[Any], seed: int) -> None:
        takes_seed = "random_state" in inspect.signature(detector).parameters
        self._class, self._seed, self._settings = detector, seed, {"random_state": seed} if takes_seed else {}
        self.metrics: dict[str, int] = {}

    def fit(self, x: NDArray[np.float64]) -> Self:
        self._x, self._detector = x, self._class(**self._settings)
        self._apply("fit", x)
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        together = self._apply("decision_function", x)
        probed = np.unique(np.linspace(0, len(x) - 1, PROBED).astype(int))
        if np.allclose([self._alone(x[place]) for place in probed], together[probed], rtol=1e-9, atol=1e-12):
            return np.asarray(-together)
        x_fit = self._x[fitted_rows(len(self._x), ALONE_FIT_LIMIT)]
        self._detector = self._class(**self._settings)
        self._apply("fit", x_fit)
        self.metrics = {"scored_alone": 1, "fitted_on": len(x_fit)}
        return -np.array([self._alone(sample) for sample in x])

    def _alone(self, sample: NDArray[np.float64]) -> float:
        return float(self._apply("decision_function", sample[np.newaxis])[0])

    def _apply(self, method: str, x: NDArray[np.float64]) -> Any:
        state = np.random.get_state()
        np.random.seed(self._seed % 2**32)
        try:
            with warnings.catch_warnings():
                # A feature that is constant has no skewness; PyOD takes it as zero.
                warnings.filterwarnings("ignore", "Precision loss occurred in moment calculation")
                return getattr(self._detector, method)(x)
        finally:
            np.random.set_state(state)


def is_installed() -> bool:
    """Check if PyOD can be imported."""
    return importlib.util.find_spec("pyod") is not None


@functools.cache
def detector(name: str) -> Detector:
    """Make the entry of a detector of PyOD.

    Args:
        name: `PREFIX` and the name of its class, such as "pyod:ECOD".

    Raises:
        ConfigError: PyOD is not installed, or has no such detector, or it needs labels or a library that is missing.
    """
    found = _class(name.removeprefix(PREFIX))

    def build(training: Training, seed: int) -> _Inductive:
        return _Inductive(found, seed)

    takes_seed = "random_state" in inspect.signature(found).parameters
    title = f"{found.__name__} (PyOD)"
    return Detector(title, build, group=PYOD_GROUP, random=takes_seed, note=_NOTE)


def _class(name: str) -> Any:
    try:
        from pyod import models
        from pyod.models.base import BaseDetector
    except ImportError as error:
        raise ConfigError(f"{PREFIX}{name} needs PyOD, which is not installed: pip install pyod") from error
    modules = [module.name for module in pkgutil.iter_modules(models.__path__) if not module.name.startswith(_OTHER)]
    known = {module.replace("_", ""): module for module in modules}
    if name.lower() not in known:
        raise ConfigError(f"PyOD has no detector {name!r} that works from features. It has: {', '.join(sorted(known))}")
    try:
        content = vars(importlib.import_module(f"pyod.models.{known[name.lower()]}"))
    except ImportError as error:
        raise ConfigError(f"{PREFIX}{name} cannot be imported: {error}") from error
    classes: dict[str, Any] = {
        key: one for key, one in content.items() if isinstance(one, type) and issubclass(one, BaseDetector)
    }
    if name not in classes:
        near = [key for key in classes if key.lower() == name.lower()]
        raise ConfigError(f"PyOD has no detector {name!r}; did you mean {near[0] if near else 'another'}?")
    for what, function in (("settings", classes[name]), ("labels", classes[name].fit)):
        needed = [one for one in inspect.signature(function).parameters.values() if one.name not in ("self", "X")]
        if any(one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD for one in needed):
            raise ConfigError(f"{PREFIX}{name} needs {what} of its own, so it has no default to run")
    return classes[name]
