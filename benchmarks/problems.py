"""What every way is trained on: the arrays of an experiment in its published settings, the same for all."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """The config of an experiment and its training arrays, float32."""

    config: Any
    inputs: np.ndarray
    validation: np.ndarray | None = None


def load_problem(experiment: str) -> Problem:
    """Load and split the data of an experiment, without TensorFlow."""
    module = importlib.import_module(f"experiments.{experiment}")
    config = module.Config()
    splits = module.split(module.load(config), config, "published", 0)
    if experiment == "curves_dense_ae":
        return Problem(config, splits.x_train[splits.y_train == 0].astype(np.float32))
    if experiment == "rare_event_lstm_ae":
        validation = splits.x_validation[splits.y_validation == 0].astype(np.float32)
        return Problem(config, splits.x_train.astype(np.float32), validation)
    if experiment == "fashion_latent_ocsvm":
        return Problem(config, splits.x_train.astype(np.float32))
    return Problem(config, splits.normal_train)
