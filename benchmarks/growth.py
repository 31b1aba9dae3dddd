"""Growth of cost: time and memory at the published size and at ten times as many curves, windows or seeds.

The larger sizes are synthetic: further curves from the same generator, the stand-in of the paper machine repeated end
to end, and further seeds. Each entry is one measurement in one process, which is exact enough for an order of growth.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import problem_of
from benchmarks.rows import MEASURED_EPOCHS

Mark = Callable[[str], None]
Work = Callable[[Mark], object]
FACTOR = 10


@dataclass(frozen=True)
class Growth:
    """One entry of the growth table.

    Attributes:
        name: name of the measurement, for `benchmarks.child`.
        what: title of the entry, the work that is measured.
        size: size at the published settings, with its unit.
        remark: what dominates the cost, and how to reduce it.
        per_epoch: `True` if the cost is that of one epoch after the first.
    """

    name: str
    what: str
    size: str
    remark: str
    per_epoch: bool = False


GROWTHS = (
    Growth(
        "one_class_svm",
        "curves: fit OneClassSVM on the curves",
        "1760 curves",
        "At least quadratic: the kernel is computed for every pair of curves. Beyond about 20 000 curves fit it on a "
        "subsample, or use `SGDOneClassSVM` on `Nystroem` features, which is linear but a different method.",
    ),
    Growth(
        "curves_epoch",
        "curves: one epoch of training",
        "1600 curves",
        "Linear. Training keeps one copy of the curves in TensorFlow beside the one in NumPy.",
        per_epoch=True,
    ),
    Growth(
        "windows",
        "rare_event: table to scaled windows",
        "18 268 windows",
        "Linear. Every row is stored once for each of the 5 steps of a window, with 8 bytes per number and in a few "
        "copies (split, scaled). If a table does not fit into memory, windows could be cut batch by batch.",
    ),
    Growth(
        "windows_epoch",
        "rare_event: one epoch of training and validation",
        "11 600 windows",
        "Linear. Validation and scoring take at most 16 384 windows at a time, so their memory does not grow further.",
        per_epoch=True,
    ),
    Growth(
        "own_images",
        "own data: read an .npz file of images, train mnist_conv_ae for one epoch, score, save the model",
        "5000 images",
        "Linear.",
    ),
    Growth(
        "own_table",
        "own data: read a table of 60 columns, train rare_event_lstm_ae for one epoch, score, save the model",
        "10 000 rows",
        "Linear.",
    ),
    Growth(
        "seeds",
        "curves: runs of 3 epochs with --no-baselines, in one process",
        "1 seed",
        "Linear in the number of epochs. The first seed compiles the model, and the others reuse it.",
    ),
)


def prepare(name: str, factor: int) -> Work:
    """Return the function to be timed for an entry, at `factor` times the published size."""
    if name == "seeds":
        return lambda mark: run_seeds(factor)
    if name.startswith("own_"):
        return lambda mark: run_on_own_data(name, factor)
    if name == "windows":
        table = tiled_table(factor)
        return lambda mark: scaled_windows(table)
    if name in ("curves_epoch", "windows_epoch"):
        return _epochs_of(name, factor)
    from sklearn.svm import OneClassSVM

    splits, _ = curves(factor)
    return lambda mark: OneClassSVM(nu=200 / 2200).fit(splits.x_labelled)


def curves(factor: int) -> tuple[Any, Any]:
    """Draw and split `factor` times as many curves as published, and return them with their config."""
    from experiments import curves_dense_ae

    config = curves_dense_ae.Config(normal_curves=2000 * factor, anomalous_curves=200 * factor)
    return curves_dense_ae.split(None, config, "published", 0), config


def tiled_table(factor: int) -> Any:
    """Repeat the table of the stand-in end to end, to `factor` times as many rows as the real table has."""
    import pandas

    from common.data import datasets
    from common.data.datasets import Source

    table = datasets.load("processminer", Source("stand-in"))
    rows = 18398 * factor
    tiled = pandas.concat([table] * math.ceil(rows / len(table)), ignore_index=True).iloc[:rows]
    step = np.timedelta64(2, "m")
    return tiled.assign(time=np.datetime64("1999-05-01T00:00:00") + step * np.arange(rows))


def scaled_windows(table: Any) -> Any:
    """Split a table as the experiment does, into scaled windows."""
    from experiments import rare_event_lstm_ae

    return rare_event_lstm_ae.split(table, rare_event_lstm_ae.Config(), "published", 0)


def _epochs_of(name: str, factor: int) -> Work:
    from benchmarks import ours
    from experiments import curves_dense_ae, rare_event_lstm_ae

    if name == "curves_epoch":
        splits, config = curves(factor)
        problem = problem_of(curves_dense_ae.EXPERIMENT, config, splits)
    else:
        splits = scaled_windows(tiled_table(factor))
        problem = problem_of(rare_event_lstm_ae.EXPERIMENT, rare_event_lstm_ae.Config(), splits)
    experiment = problem.experiment.name
    return lambda mark: ours.train(problem, MEASURED_EPOCHS[experiment], lambda: mark(experiment))


def run_on_own_data(name: str, factor: int) -> None:
    """Write random data of a user, `factor` times as many as the smaller size, and run an experiment on them."""
    from benchmarks.ours import Strict
    from common.own.data import Reading, find
    from common.runs import runner
    from common.runs.tasks import Task
    from experiments import mnist_conv_ae, rare_event_lstm_ae

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        if name == "own_images":
            write_images(out / "images.npz", 5000 * factor)
            experiment, data = mnist_conv_ae.EXPERIMENT, find(out / "images.npz", "images")
            config: Any = mnist_conv_ae.Config(normal=0, anomaly="rest", epochs=1)
        else:
            write_table(out / "table.csv", 10_000 * factor)
            reading = Reading(time="time", label="event")
            experiment, data = rare_event_lstm_ae.EXPERIMENT, find(out / "table.csv", "table", reading)
            config = rare_event_lstm_ae.Config(epochs=1)
        runner.execute([Task(experiment, config, "held_out", 0, out, data, save_model=True)], Strict())


def write_images(path: Path, count: int) -> None:
    """Write random images, four fifths of them for training, in two classes."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    classes = np.arange(count) % 10 == 9
    cut = count * 4 // 5
    np.savez(path, x_train=images[:cut], y_train=classes[:cut], x_test=images[cut:], y_test=classes[cut:])


def write_table(path: Path, rows: int) -> None:
    """Write a table of 60 random columns with a step of ten seconds and an event every 500 rows."""
    import pandas

    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(rows, 60)).round(4)).add_prefix("sensor_")
    table["event"] = (np.arange(rows) % 500 == 499).astype(int)
    table["time"] = pandas.date_range("2026-01-01", periods=rows, freq="10s").strftime("%Y-%m-%d %H:%M:%S")
    table.to_csv(path, index=False)


def run_seeds(count: int) -> None:
    """Run `curves_dense_ae` for `count` seeds with the suite's runner."""
    from benchmarks.ours import Strict
    from common.runs import runner
    from common.runs.tasks import Task
    from experiments import curves_dense_ae

    config = curves_dense_ae.Config(epochs=3, baselines=False)
    with tempfile.TemporaryDirectory() as folder:
        tasks = [Task(curves_dense_ae.EXPERIMENT, config, "published", seed, Path(folder)) for seed in range(count)]
        runner.execute(tasks, Strict())
