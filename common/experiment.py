"""The contract of an experiment: what a module declares, what a run is given, and what it returns.

Every experiment runs in two protocols. `published` is what the source did, leaks included and named. `held_out` is the
same model, evaluated honestly: nothing is fitted or chosen on what is scored. Each experiment's `split` and docstring
say what that means for it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import BaseConfig
from common.metrics.scores import Metrics

PUBLISHED, HELD_OUT = "published", "held_out"
PROTOCOLS = (PUBLISHED, HELD_OUT)

# The part of the normal training samples that `held_out` keeps back from training, to fit thresholds on.
HELD_BACK = 0.2
# The false-positive rate that `held_out` asks of a threshold fitted on them.
FALSE_POSITIVE_RATE = 0.05

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The samples by the part that they play; an experiment that needs more parts derives from this.

    Attributes:
        x_train: normal samples that the autoencoder and the detectors are trained on, shape `(samples, ...)`.
        x_test: samples that are scored, shape `(samples, ...)`.
        y_test: their labels, shape `(samples,)`, 1 for an anomaly.
        code_size: how many numbers the autoencoder's code has.
        held_back: normal samples that nothing is trained on, for thresholds; `None` in the published protocol.
        groups: for every scored sample the number of its group, shape `(samples,)`: samples of one group, like the
            windows before one event, are resampled together. Default: each sample by itself.
    """

    x_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    code_size: int
    held_back: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None


class Result(NamedTuple):
    """What an experiment's `run` returns: a flat mapping of metrics, and the arrays that its figures need."""

    metrics: Metrics
    arrays: Arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One published experiment, declared at the end of its module as `EXPERIMENT`.

    Attributes:
        module: the module's `__name__`; its last part names the experiment everywhere.
        config: the dataclass of the hyperparameters; its defaults are the published ones.
        split: `split(data, config, protocol, seed)` divides the loaded data (`None` without a `dataset`); the one place
            where the two protocols differ in what may be seen.
        build: `build(config, shape)` makes a compiled Keras model for normal training samples of this shape; where
            there are several models that share layers, a named tuple whose `autoencoder` is the compiled one.
        run: `run(models, splits, config, seed)` trains what `build` gave, scores and decides.
        methods: the source's methods, and the name of the array that holds their scores of the test samples. The first
            is the one that the source is quoted for, and that the detectors are compared with.
        figures: functions that draw one figure of the source each, from the saved arrays alone, in its order.
        dataset: the name of the data set that it reads. Default: none, its samples are drawn by `split`.
        revision: raised whenever the same settings give other numbers.
        once: `once(splits, config)` computes what does not depend on the seed; it runs once for all seeds of a config,
            and its metrics and arrays become part of the result of each. Default: nothing.
        held_out_figures: as `figures`, of the held-out runs. Default: none.
        ablations: configs that change one thing each, to explain a difference: by title the fields that change.
        split_by_seed: protocols in which each seed has its own split, so that detectors are fitted anew for each.
        published_only: beginnings of the names of metrics that mean something in the published protocol alone.
    """

    module: str
    config: type[BaseConfig]
    split: Callable[[Any, Any, str, int], Splits]
    build: Callable[[Any, tuple[int, ...]], Any]
    run: Callable[[Any, Any, Any, int], Result]
    methods: Mapping[str, str]
    figures: tuple[Callable[[Arrays], Any], ...]
    dataset: str | None = None
    revision: int = 1
    once: Callable[[Any, Any], Result] | None = None
    held_out_figures: tuple[Callable[[Arrays], Any], ...] = ()
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split_by_seed: tuple[str, ...] = ()
    published_only: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.module.rpartition(".")[2]

    @property
    def docstring(self) -> str:
        """The docstring of its module: source, claim, method, deviations, protocols."""
        return sys.modules[self.module].__doc__ or ""

    def source_code(self) -> bytes:
        """Read the text of its module."""
        return Path(str(sys.modules[self.module].__file__)).read_bytes()

    def ablated(self) -> dict[str, Any]:
        """The configs of its ablations, by title."""
        return {title: self.config(**changes) for title, changes in self.ablations.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the path of the module, which is imported there."""
        return load_experiment, (self.module,)


def load_experiment(module: str) -> Experiment:
    """Import an experiment by the path of its module. The module imports nothing heavy.

    Args:
        module: dotted path of a module with an `EXPERIMENT`.
    """
    experiment: Experiment = importlib.import_module(module).EXPERIMENT
    return experiment


def hold_back(samples: NDArray[Any], seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Keep the part `HELD_BACK` of the samples, drawn at random, back from training.

    Args:
        samples: normal training samples, shape `(samples, ...)`.
        seed: of the draw. Where the data are the same for every run, so is this: a method that does not train on a
            seed, such as a deterministic detector, then needs to be computed only once.

    Returns:
        The samples to train on and those held back, both in their first order.
    """
    drawn = np.zeros(len(samples), dtype=bool)
    count = round(HELD_BACK * len(samples))
    drawn[np.random.default_rng(seed).choice(len(samples), count, replace=False)] = True
    return samples[~drawn], samples[drawn]
