"""Compute one task, in this process, in a worker process or on another machine.

The result or failure of a task is returned as an `Outcome`. No record is read or written here; the caller does that.
"""

import contextlib
import functools
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import Source
from common.detectors.registry import detect
from common.errors import printable
from common.experiment import Experiment, Result, Splits, Trained
from common.metrics.scores import FLAGGED, TEST_SAMPLES, Metric, detection_metrics, metrics_by_class, without_labels
from common.metrics.shown import extreme_arrays
from common.metrics.thresholds import Decision
from common.own.data import OwnData
from common.runs import environment, records
from common.runs import models as models_of_records
from common.runs.tasks import Task
from common.training.fit import log_to, report_epochs_to, stopwatch
from common.training.keras import give_threads, seeded
from common.training.reuse import LastModel
from common.training.surroundings import remove_deciding_variables, require_defaults

Epoch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Attributes:
        status: "ok", "failed" or "interrupted".
        metrics: values by metric name; `None` for an undefined metric.
        undefined: the reason for each undefined metric.
        arrays: arrays by name.
        decisions: the thresholds that were applied to the test samples.
        model: the files of the saved model by name; empty if it was not to be saved.
        error: error message of a failure.
        details: its traceback.
        environment: versions, processor and commit. Default: those of this process.
        durations: seconds by part of the task, with "total" for all of it.
    """

    status: str
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    model: Mapping[str, bytes] = field(default_factory=dict)
    error: str | None = None
    details: str | None = None
    environment: Mapping[str, Any] = field(default_factory=environment.describe)
    durations: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Memory:
    """A cache that the tasks of one process share: the loaded data sets, the last split and the last model."""

    data: dict[tuple[str | None, Source | OwnData], Any] = field(default_factory=dict)
    splits: dict[tuple[Experiment, BaseConfig, Source | OwnData, str, int], Splits] = field(default_factory=dict)
    model: LastModel = field(default_factory=LastModel)

    def split(self, task: Task, seed: int) -> Splits:
        """Compute the split of a task for a seed, or return it from the cache.

        Only the last split is cached, which is enough since the detectors of one seed are computed in succession.
        """
        key = (task.experiment, task.config, task.source, task.protocol, seed)
        if key not in self.splits:
            self.splits = {key: task.experiment.split(self.load(task), task.config, task.protocol, seed)}
        return self.splits[key]

    def load(self, task: Task) -> Any:
        """Load the data set of a task, or return it from the cache; `None` if its experiment reads none.

        Raises:
            DataError: the data set is missing or damaged.
        """
        source = (task.experiment.dataset, task.source)
        if source not in self.data:
            self.data[source] = task.load()
        return self.data[source]


# Keras' state and the number of BLAS threads are global to a process, so its threads compute one task at a time.
_one_at_a_time = threading.Lock()


def compute(task: Task, memory: Memory, epoch: Epoch, log_folder: Path | None = None) -> Outcome:
    """Compute a run, the results that all seeds share, or a detector.

    Args:
        task: the task.
        memory: cache of this process.
        epoch: called after every epoch of a training as `epoch(number, epochs, loss)`, counted from 1.
        log_folder: folder for a TensorBoard log. Default: no log.

    Returns:
        The outcome; its status is "failed" if the task raised an exception.

    Raises:
        OSError: for example a full disk, which would affect all other tasks too.
        DataError: the data set of the task is missing or damaged, which is an error of the input and not of this run.
    """
    with _one_at_a_time:
        started = time.perf_counter()
        memory.load(task)
        model: Mapping[str, bytes] = {}
        try:
            require_defaults()
            remove_deciding_variables()
            with stopwatch() as seconds, log_to(log_folder):
                if task.detector is not None:
                    result = _detect(task, memory, seconds, epoch)
                elif task.seed is None:
                    result = _once(task, memory)
                else:
                    result, model = _train(task, memory, epoch)
            metrics, undefined = records.flatten(result.metrics)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  any exception of an experiment is a failure of this run only
            lasted = {"total": round(time.perf_counter() - started, 3)}
            return failed(f"{type(error).__name__}: {error}", traceback.format_exc(), lasted)
        seconds["total"] = time.perf_counter() - started
    durations = {name: round(value, 3) for name, value in seconds.items()}
    decisions = tuple(result.decisions)
    return Outcome(records.OK, metrics, undefined, result.arrays, decisions, model, durations=durations)


def failed(error: str, details: str | None = None, seconds: Mapping[str, float] | None = None) -> Outcome:
    """Make the outcome of a task that failed.

    Args:
        error: error message.
        details: traceback. Default: none.
        seconds: durations in seconds. Default: a total of 0.
    """
    return Outcome(records.FAILED, error=printable(error), details=details, durations=seconds or {"total": 0.0})


def _train(task: Task, memory: Memory, epoch: Epoch) -> tuple[Result, Mapping[str, bytes]]:
    """Run an experiment, and give its results with the files of its model, if that is to be saved."""
    experiment, seed = task.experiment, task.seed
    assert seed is not None
    with seeded(seed):
        splits = memory.split(task, seed)
        shape = splits.x_train.shape[1:]
        key = (experiment, task.config, task.protocol, shape)
        models = memory.model.get(key, lambda: experiment.build(task.config, shape))
        with report_epochs_to(epoch):
            result = experiment.run(models, splits, task.config, seed)
        trained = Trained(models, task.config, result.fitted, seed)
        if isinstance(task.source, OwnData) and experiment.score is not None:
            if task.source.kind == "rows":
                result = result._replace(fitted={**result.fitted, "names": memory.load(task).names})
                trained = trained._replace(fitted=result.fitted)
            scored, names = experiment.score(trained, splits.x_test), result.fitted.get("names", np.empty(0))
            extremes = extreme_arrays(splits.x_test, scored, task.source.kind, names)
            result = result._replace(arrays={**result.arrays, **extremes})
        reading = json.dumps(asdict(task.source.reading)) if isinstance(task.source, OwnData) else "{}"
        model = models_of_records.files_of(experiment, trained, result, reading) if task.save_model else {}
    metrics: dict[str, Metric] = {**result.metrics}
    for array in experiment.methods.values():
        if array in result.arrays:
            metrics |= metrics_by_class(splits.y_test, result.arrays[array], splits.test_classes, f"{array}.")
    if not splits.labelled:
        metrics[TEST_SAMPLES] = len(splits.y_test)
    return _told(result._replace(metrics=metrics), splits), model


def _told(result: Result, splits: Splits) -> Result:
    """Leave out of a result what only labels of the test samples could tell, if there are none."""
    if splits.labelled:
        return result
    flagged = {f"{one.rule}{FLAGGED}": one.counts["tp"] + one.counts["fp"] for one in result.decisions}
    decisions = [replace(decision, counts={}) for decision in result.decisions]
    return result._replace(metrics=without_labels(result.metrics) | flagged, decisions=decisions)


def _once(task: Task, memory: Memory) -> Result:
    assert task.experiment.once is not None
    # Always seed 0, so that the result does not depend on which run comes first.
    with seeded(0):
        splits = memory.split(task, 0)
        return _told(task.experiment.once(splits, task.config), splits)


def _detect(task: Task, memory: Memory, seconds: dict[str, float], epoch: Epoch) -> Result:
    """Fit one detector on the split of a run, score the test samples, and compute metrics of the scores."""
    assert task.detector is not None and task.seed is not None
    splits = memory.split(task, task.seed)
    with contextlib.ExitStack() as training:
        if task.is_training:  # The others need no Keras, which takes seconds to start.
            training.enter_context(seeded(task.seed))
            training.enter_context(report_epochs_to(epoch))
        detection = detect(task.detector, splits, task.seed)
    seconds |= {"fit": detection.fit_seconds, "score": detection.score_seconds}
    metrics = {**detection_metrics(splits.y_test, detection.scores), "fitted_on": detection.fitted_on}
    metrics |= detection.metrics
    metrics |= metrics_by_class(splits.y_test, detection.scores, splits.test_classes)
    labels = np.asarray(splits.y_test, dtype=np.uint8)
    groups = np.arange(len(labels)) if splits.groups is None else splits.groups
    arrays = {"scores": np.asarray(detection.scores), "labels": labels, "groups": groups, **detection.arrays}
    return _told(Result(metrics, arrays), splits)


# Functions for worker processes.

_memory = Memory()
_events: Any = None


def start(events: Any, threads: int = 1) -> None:
    """Initialise a worker process.

    It ignores SIGINT, since its parent handles interruptions, and exits when the parent dies. It repeats no warnings
    about data files, which the parent has given.

    Args:
        events: queue on which the worker reports started tasks and finished epochs.
        threads: number of threads of a run. Default: 1.
    """
    global _events
    give_threads(threads)
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger(datasets.__name__).setLevel(logging.ERROR)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent process dies, so that no worker outlives it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def compute_in_worker(number: int, task: Task, log_folder: Path | None) -> Outcome:
    """Compute a task in a worker process that was initialised by `start`.

    Args:
        number: number of the task, with which its events are reported.
        task: the task.
        log_folder: folder for a TensorBoard log; `None` for no log.
    """
    _events.put((number, os.getpid()))
    return compute(task, _memory, functools.partial(_report_epoch, number), log_folder)


def _report_epoch(number: int, *progress: Any) -> None:
    _events.put((number, *progress))


def compute_far_away(task: Task, digest: str) -> Outcome:
    """Compute a task on a machine of a cluster.

    Args:
        task: the task.
        digest: digest of the task on the calling machine. The outcome is a failure if it differs here, which means that
            this machine has other data or another version of the code.
    """
    if task.digest != digest:
        return failed("DataError: the worker has other data, or another version of this suite")
    # No cache across tasks: the data files may have been replaced since the last task.
    return compute(task, Memory(), lambda *progress: None)
