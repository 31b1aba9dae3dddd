"""Training problems: the arrays of an experiment in its published settings, the same for every way."""

from typing import Any, NamedTuple

import numpy as np

from common.data import datasets
from common.experiment import PUBLISHED, Experiment, Splits, load_experiment
from common.training.reuse import autoencoder_of
from experiments import EXPERIMENTS


class Problem(NamedTuple):
    """An experiment, its config, its training and validation arrays, float32, and the seed of the training."""

    experiment: Experiment
    config: Any
    inputs: np.ndarray
    validation: np.ndarray | None = None
    seed: int = 0

    def build(self) -> Any:
        """Build the models of the experiment for these inputs, and return the compiled autoencoder."""
        return autoencoder_of(self.experiment.build(self.config, self.inputs.shape[1:]))


def load_problem(name: str, seed: int = 0) -> Problem:
    """Load and split the data of an experiment, without importing TensorFlow."""
    experiment = load_experiment(EXPERIMENTS[name])
    config = experiment.config()
    return problem_of(experiment, config, load_splits(experiment, config, seed), seed)


def load_problems(row: str) -> list[Problem]:
    """Load the problem of a row for each of its seeds: of `curves_dense_ae:0-9` ten, of `curves_dense_ae` seed 0."""
    name, _, seeds = row.partition(":")
    first, _, last = (seeds or "0").partition("-")
    return [load_problem(name, seed) for seed in range(int(first), int(last or first) + 1)]


def load_splits(experiment: Experiment, config: Any, seed: int = 0) -> Splits:
    """Load the data of an experiment and split them as its source does."""
    data = None if experiment.dataset is None else datasets.load(experiment.dataset)
    return experiment.split(data, config, PUBLISHED, seed)


def problem_of(experiment: Experiment, config: Any, splits: Any, seed: int = 0) -> Problem:
    """Make a problem of the training samples of some splits and, if there are any, the normal validation samples."""
    validation = None
    if hasattr(splits, "parts"):
        part = splits.parts["validation"]
        validation = part.x[part.y == 0].astype(np.float32)
    return Problem(experiment, config, splits.x_train.astype(np.float32), validation, seed)
