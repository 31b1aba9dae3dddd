"""Training problems: the arrays of an experiment in its published settings, the same for every way."""

from typing import Any, NamedTuple

import numpy as np

from common.data import datasets
from common.experiment import PUBLISHED, Experiment, Splits, load_experiment
from experiments import EXPERIMENTS


class Problem(NamedTuple):
    """An experiment, its config, and its training and validation arrays, float32."""

    experiment: Experiment
    config: Any
    inputs: np.ndarray
    validation: np.ndarray | None = None

    def build(self) -> Any:
        """Build the models of the experiment for these inputs, and return the compiled autoencoder."""
        models = self.experiment.build(self.config, self.inputs.shape[1:])
        return getattr(models, "autoencoder", models)


def load_problem(name: str) -> Problem:
    """Load and split the data of an experiment, without importing TensorFlow."""
    experiment = load_experiment(EXPERIMENTS[name])
    config = experiment.config()
    return problem_of(experiment, config, load_splits(experiment, config))


def load_splits(experiment: Experiment, config: Any) -> Splits:
    """Load the data of an experiment and split them as its source does."""
    data = None if experiment.dataset is None else datasets.load(experiment.dataset)
    return experiment.split(data, config, PUBLISHED, 0)


def problem_of(experiment: Experiment, config: Any, splits: Any) -> Problem:
    """Make a problem of the training samples of some splits and, if there are any, the normal validation samples."""
    validation = None
    if hasattr(splits, "x_validation"):
        validation = splits.x_validation[splits.y_validation == 0].astype(np.float32)
    return Problem(experiment, config, splits.x_train.astype(np.float32), validation)
