"""An experiment that a test hands to worker processes: under seed 1 it takes its process with it."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from common.config import BaseConfig, option
from common.experiment import Experiment, Splits


@dataclass(frozen=True)
class Config(BaseConfig):
    """Whether the process dies, or only the task."""

    kill: bool = option(True, "whether seed 1 kills its process, or raises")


def split(data, config, protocol, seed):
    """The end, for seed 1."""
    if seed == 1 and config.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 1:
        raise ValueError("seed 1 is out of luck")
    random = np.random.default_rng(seed)
    return Splits(
        x_train=random.random((30, 3)), x_test=random.random((10, 3)), y_test=np.repeat([0, 1], 5), code_size=2
    )


EXPERIMENT = Experiment(
    module=__name__,
    config=Config,
    split=split,
    build=lambda config, shape: None,
    run=lambda models, splits, config, seed: None,
    methods={},
    figures=(),
    split_by_seed=("published",),
)
