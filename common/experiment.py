"""The interface of an experiment: its declaration, the samples that a run gets, and the results that it returns.

Every experiment runs in two protocols. `published` is the evaluation of the source, including its data leaks, which are
documented. `held_out` evaluates the same model without leaks: nothing is fitted or chosen on the test samples. The
docstring of each experiment describes its two protocols, and its `split` implements them.
"""

import ast
import functools
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from common.config import BaseConfig
from common.metrics.scores import Metrics
from common.metrics.thresholds import Decision

PUBLISHED, HELD_OUT = "published", "held_out"
PROTOCOLS = (PUBLISHED, HELD_OUT)

# Fraction of the normal training samples that `held_out` excludes from training, to fit thresholds on.
HELD_BACK = 0.2
# Intended false-positive rate of a threshold that is fitted on these samples.
FALSE_POSITIVE_RATE = 0.05
# Value of the option `anomaly` of an experiment on images: every class but the normal one is an anomaly.
REST = "rest"
# End of the name of a method that learns from labelled anomalies.
LABELS = "(labels)"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The training, test and held-back samples of a run; an experiment that needs more parts derives from this.

    Attributes:
        x_train: normal samples that the autoencoder and the detectors are trained on, shape `(samples, ...)`.
        x_test: test samples, which are scored, shape `(samples, ...)`.
        y_test: labels of the test samples, shape `(samples,)`, 1 for an anomaly.
        code_size: number of values in the autoencoder's code.
        held_back: normal samples that are not trained on, to fit thresholds on; `None` in the published protocol.
        groups: group number of each test sample, shape `(samples,)`. Samples of one group, such as the windows before
            one event, are resampled together by the bootstrap. Default: each sample is its own group.
        test_classes: class of each test sample, shape `(samples,)`, if the data have classes. Where the anomalies are
            of several, all scores are also evaluated against each of them. Default: none.
        labelled: false if the data do not say which test samples are anomalies; then `y_test` is all 0, and metrics
            that need labels are undefined. Default: true.
        value_range: lowest and highest value that the format of the samples allows, as for scaled pixels. Default:
            unbounded.
    """

    x_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    code_size: int
    held_back: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    test_classes: NDArray[Any] | None = None
    labelled: bool = True
    value_range: tuple[float, float] | None = None


class Result(NamedTuple):
    """The results of a run.

    Attributes:
        metrics: values by dotted name.
        arrays: scores, labels and everything that the figures need, by name.
        decisions: the thresholds that were applied to the test samples. Default: none.
        fitted: what scoring needs besides the weights: numbers of a fitted scaler, or the samples that a model of
            scikit-learn was fitted on. Default: nothing.
    """

    metrics: Metrics
    arrays: Arrays
    decisions: Sequence[Decision] = ()
    fitted: Arrays = MappingProxyType({})


class Trained(NamedTuple):
    """A trained model, as a run leaves it or as it is rebuilt from a saved one.

    Attributes:
        models: the result of `Experiment.build`, trained.
        config: the hyperparameters.
        fitted: what else was fitted, as in `Result`.
        seed: seed of the run.
    """

    models: Any
    config: Any
    fitted: Arrays
    seed: int


class Prepared(NamedTuple):
    """Samples as the model takes them, shape `(samples, ...)`, and the index of the row or image that each ends at."""

    samples: NDArray[Any]
    ends: NDArray[np.intp]


class Scores(NamedTuple):
    """Anomaly scores, shape `(samples,)`, and the errors of all parts of the samples, shape `(samples, parts)`.

    A score that is a mean or a sum of errors is made by the parts with the largest ones. Of other scores the errors
    show only where the reconstruction fails.
    """

    scores: NDArray[np.floating]
    errors: NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One published experiment, declared at the end of its module as `EXPERIMENT`.

    Attributes:
        module: the module's `__name__`; its last part is the name of the experiment.
        config: the dataclass of the hyperparameters; its defaults are the published values.
        split: `split(data, config, protocol, seed)` divides the loaded data (`None` without a `dataset`). This alone
            decides which samples are used for training and for thresholds in each protocol.
        build: `build(config, shape)` makes a compiled Keras model for samples of this shape, without the batch axis. If
            several models share layers, it makes a named tuple whose `autoencoder` is the compiled one.
        run: `run(models, splits, config, seed)` trains the result of `build`, scores the test samples, fits thresholds
            and computes the metrics.
        methods: for each method of the source, the name of the array with its scores of the test samples. The first one
            is the main method of the source, with which the detectors are compared. A name ends in `LABELS` if the
            method learns from labelled anomalies, as no detector does.
        figures: functions that each draw one figure of the source from the saved arrays, in the source's order.
        dataset: name of the data set that is loaded. Default: none, `split` generates the samples.
        revision: version number of the computation; raise it when the same settings give other results. Default: 1.
        once: `once(splits, config)` computes results that do not depend on the seed. It runs once for all seeds of a
            config, and its metrics and arrays are added to those of each seed. Default: nothing.
        held_out_figures: like `figures`, for the held-out runs. Default: none.
        ablations: the fields that each ablation changes, by title. An ablation changes one thing to explain a
            difference from the source; or it is another network of the source, and those whose titles begin with its
            title and a comma change one thing of that. Default: none.
        prepare: `prepare(trained, data)` makes samples for a trained model of further data. Without `prepare` and
            `score`, no model can be saved. Default: none.
        score: `score(trained, samples)` scores such samples, by the first of `methods` that learns without labels.
            Default: none.
        split_by_seed: protocols in which the split depends on the seed, so that detectors are fitted once per seed.
            Default: none.
        own_test_set: protocols in which no two seeds share test samples. Default: none.
        parts: number of parts that a batch is cut into so that several threads can train on it; see `fit`. Default: 1.
        generator: fields of the config that only concern samples which `split` generates. Default: none.
        sweep: the classes that the command `sweep` makes the normal one in turn, by the config's fields `normal` and
            `anomaly`. Default: none.
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
    prepare: Callable[[Trained, Any], Prepared] | None = None
    score: Callable[[Trained, NDArray[Any]], Scores] | None = None
    split_by_seed: tuple[str, ...] = ()
    own_test_set: tuple[str, ...] = ()
    parts: int = 1
    generator: tuple[str, ...] = ()
    sweep: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.module.rpartition(".")[2]

    @property
    def docstring(self) -> str:
        """The docstring of the module: source, claim, method, deviations and protocols."""
        # Read from the source code, since Python drops docstrings under the option -OO.
        return ast.get_docstring(ast.parse(self.source_code()), clean=False) or ""

    def source_code(self) -> bytes:
        """Read the source code of the module."""
        return Path(str(sys.modules[self.module].__file__)).read_bytes()

    def ablated(self) -> dict[str, Any]:
        """Make the configs of the ablations, by title."""
        return {title: self.config(**changes) for title, changes in self.ablations.items()}

    def swept(self) -> dict[int, Any]:
        """Make the configs of the sweep, by normal class; all other classes are anomalies."""
        config: Callable[..., BaseConfig] = self.config
        return {normal: config(normal=normal, anomaly=REST) for normal in self.sweep}

    def on_own_data(
        self, config: BaseConfig, figures: tuple[Callable[[Arrays], Any], ...], labelled: bool
    ) -> "Experiment":
        """Make the experiment on a user's own data, which are split the same for every seed.

        Args:
            config: the hyperparameters, which take the place of the published ones.
            figures: the figures, which take the place of the source's.
            labelled: false if the data have no labels: then the methods that learn from labels are left out.
        """
        # What learns without labels comes first: the other methods are compared with it.
        ordered = sorted(self.methods, key=lambda name: name.endswith(LABELS))
        methods = {name: self.methods[name] for name in ordered if labelled or not name.endswith(LABELS)}
        return replace(
            self,
            config=cast(type[BaseConfig], functools.partial(type(config), **vars(config))),
            methods=methods,
            figures=figures,
            held_out_figures=figures,
            ablations={},
            sweep=(),
            split_by_seed=tuple(one for one in self.split_by_seed if one not in self.own_test_set),
            own_test_set=(),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the experiment as the path of its module, which the other process imports."""
        return load_experiment, (self.module,)


def load_experiment(module: str) -> Experiment:
    """Import an experiment.

    Args:
        module: dotted path of a module that defines `EXPERIMENT`. It must import TensorFlow only inside functions.
    """
    experiment: Experiment = importlib.import_module(module).EXPERIMENT
    return experiment


def with_labels(normal: NDArray[Any], anomalous: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int_]]:
    """Concatenate normal and anomalous samples, normal ones first, and make labels for them.

    Args:
        normal: shape `(normal samples, ...)`.
        anomalous: shape `(anomalies, ...)`.

    Returns:
        The samples, shape `(samples, ...)`, and their labels, shape `(samples,)`, 1 for an anomaly.
    """
    return np.concatenate([normal, anomalous]), np.repeat([0, 1], [len(normal), len(anomalous)])


def hold_back(samples: NDArray[Any], protocol: str, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Exclude a random fraction `HELD_BACK` of the samples from training, in the held-out protocol only.

    Args:
        samples: normal training samples, shape `(samples, ...)`.
        protocol: "published" or "held_out".
        seed: seed of the random selection. If all runs use the same data, keep the default 0: then the split is the
            same too, and a deterministic detector needs to be computed only once.

    Returns:
        The remaining samples and those held back, both in their original order; all samples and `None` in the
        published protocol.
    """
    if protocol != HELD_OUT:
        return samples, None
    drawn = np.zeros(len(samples), dtype=bool)
    count = round(HELD_BACK * len(samples))
    drawn[np.random.default_rng(seed).choice(len(samples), count, replace=False)] = True
    return samples[~drawn], samples[drawn]
