"""An experiment that a test hands to worker processes: under seed 1 it takes its process with it."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from common.config import BaseConfig, option
from common.detectors.classical import Inputs

REVISION = 1
SPLIT_BY_SEED = ("published",)
METHODS: dict[str, str] = {}
PUBLISHED_ONLY: tuple[str, ...] = ()
HELD_OUT_FIGURES: tuple[str, ...] = ()
DATASETS: tuple[str, ...] = ()
ABLATIONS: dict[str, dict[str, object]] = {}


@dataclass(frozen=True)
class Config(BaseConfig):
    """Whether the process dies, or only the task."""

    kill: bool = option(True, "whether seed 1 kills its process, or raises")


def load(config, source=None):
    """Nothing."""


def split(data, config, protocol, seed):
    """The end, for seed 1."""
    if seed == 1 and config.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 1:
        raise ValueError("seed 1 is out of luck")
    return np.random.default_rng(seed)


def detector_inputs(splits, config):
    """A few random numbers."""
    return Inputs(splits.random((30, 3)), splits.random((10, 3)), np.repeat([0, 1], 5), np.arange(10), 2)
