"""Runs a small experiment in processes that are killed, each at another moment of writing: `killed.py FOLDER`.

Prints a line of JSON: for each fault point the signal that ended its process. Processes are forked from this one, which
has imported everything but TensorFlow, so that each takes milliseconds.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from common import files
from common.config import BaseConfig
from common.experiment import Experiment, Result, Splits
from common.runs import records, runner, worker
from common.runs.tasks import Task

SEEDS = (0, 1)
# In this order they are written.
FILES = [
    f"{folder}/{file}" for folder in ("once", "seed-0000", "seed-0001") for file in (records.ARRAYS, records.RECORD)
]
MOMENTS = ("before", "half-written", "not renamed", "after")
POINTS = [f"{file}: {moment}" for file in FILES for moment in MOMENTS]


# The experiment.


def split(data, config, protocol, seed):
    return Splits(x_train=np.zeros((2, 1)), x_test=np.zeros((2, 1)), y_test=np.array([0, 1]), code_size=1)


def build(config, shape):
    """Nothing."""


def once(splits, config):
    return Result({"once": 1.0}, {"shared": np.arange(20)})


def run(models, splits, config, seed):
    draws = np.random.default_rng(seed).random(50)
    return Result({"mean": float(draws.mean())}, {"draws": draws})


EXPERIMENT = Experiment(
    module=__name__, config=BaseConfig, split=split, build=build, run=run, once=once, methods={}, figures=()
)


# Its ends.


def tasks(out):
    return [Task(EXPERIMENT, BaseConfig(), "published", seed, out) for seed in SEEDS]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point):
    """From now on this process dies when it comes to a fault point."""
    make, sync, rename = files.tempfile.mkstemp, os.fsync, Path.replace
    file, _, moment = point.partition(": ")
    place, name = file.split("/")
    writing = []

    def dying_make(dir, prefix):
        # The arrays are written before the record.
        first = not writing or writing[-1] != (dir, records.ARRAYS)
        writing.append((dir, records.ARRAYS if first else records.RECORD))
        if moment == "before" and is_here():
            kill()
        return make(dir=dir, prefix=prefix)

    def is_here():
        folder, written = writing[-1]
        return (folder.name, written) == (place, name)

    def dying_sync(descriptor):
        if moment == "half-written" and is_here():
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            kill()
        sync(descriptor)

    def dying_rename(path, target):
        here = (target.parent.name, target.name) == (place, name)
        if here and moment == "not renamed":
            kill()
        rename(path, target)
        if here and moment == "after":
            kill()

    files.tempfile.mkstemp = dying_make
    os.fsync = dying_sync
    Path.replace = dying_rename


def execute(out, listener):
    worker.seeded = lambda seed: contextlib.nullcontext()  # nothing here needs Keras
    return runner.execute(tasks(out), listener)


def kill_at_every_point(folder):
    """One process for each fault point, each with a folder of its own; returns the signals that ended them."""
    from tests.helpers.tiny import Silent

    ends = {}
    for number, point in enumerate(POINTS):
        child = os.fork()
        if child == 0:
            die_at(point)
            execute(folder / str(number), Silent())
            os._exit(0)
        ends[point] = os.WTERMSIG(os.waitpid(child, 0)[1])
    return ends


if __name__ == "__main__":
    from tests.helpers import killed  # by the name that it has in the tests

    json.dump(killed.kill_at_every_point(Path(sys.argv[1])), sys.stdout)
