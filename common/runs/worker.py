"""Compute one task, and nothing else: no record is read or written here, so it may happen on any machine.

What a task gives comes back as an `Outcome`, its failure included; whoever asked for it writes the record.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import Source
from common.detectors.registry import detect
from common.experiment import Experiment, Result, Splits
from common.metrics.scores import detection_metrics
from common.runs import environment, records
from common.runs.tasks import Task
from common.training.fit import log_to, report_epochs_to, stopwatch
from common.training.keras import seeded

Epoch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Outcome:
    """What a task gave: metrics and arrays, or the error that ended it, with the traceback as `details`."""

    status: str
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    error: str | None = None
    details: str | None = None
    environment: Mapping[str, Any] = field(default_factory=environment.describe)
    durations: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Memory:
    """What tasks of one process share: data, and the last split, each by what it depends on."""

    data: dict[tuple[str | None, Source], Any] = field(default_factory=dict)
    splits: dict[tuple[Experiment, BaseConfig, Source, str, int], Splits] = field(default_factory=dict)

    def split(self, task: Task, seed: int) -> Splits:
        """The split of a task under some seed. Only the last one is kept: the detectors of a seed follow each other."""
        key = (task.experiment, task.config, task.source, task.protocol, seed)
        if key not in self.splits:
            source = (task.experiment.dataset, task.source)
            if source not in self.data:
                dataset, place = source
                self.data[source] = None if dataset is None else datasets.load(dataset, place)
            self.splits = {key: task.experiment.split(self.data[source], task.config, task.protocol, seed)}
        return self.splits[key]


def compute(task: Task, memory: Memory, epoch: Epoch, log_folder: Path | None = None) -> Outcome:
    """Compute a run, the part that all seeds share, or a detector.

    Args:
        task: which.
        memory: of this process.
        epoch: told after every epoch of a training.
        log_folder: where to write a TensorBoard log, if anywhere.

    Raises:
        OSError: of the disk, which is no failure of this task alone.
    """
    started = time.perf_counter()
    try:
        with stopwatch() as seconds, log_to(log_folder):
            if task.detector is not None:
                result = _detect(task, memory, seconds)
            elif task.seed is None:
                result = _once(task, memory)
            else:
                result = _train(task, memory, epoch)
        metrics, undefined = records.flatten(result.metrics)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  whatever an experiment raises is this run's failure, not the others'
        lasted = {"total": round(time.perf_counter() - started, 3)}
        return failed(f"{type(error).__name__}: {error}", traceback.format_exc(), lasted)
    seconds["total"] = time.perf_counter() - started
    durations = {name: round(value, 3) for name, value in seconds.items()}
    return Outcome(records.OK, metrics, undefined, result.arrays, durations=durations)


def failed(error: str, details: str | None = None, seconds: Mapping[str, float] | None = None) -> Outcome:
    """The outcome of a task that did not get to its end."""
    return Outcome(records.FAILED, error=error, details=details, durations=seconds or {"total": 0.0})


def _train(task: Task, memory: Memory, epoch: Epoch) -> Result:
    experiment, seed = task.experiment, task.seed
    assert seed is not None
    with seeded(seed):
        splits = memory.split(task, seed)
        models = experiment.build(task.config, splits.x_train.shape[1:])
        with report_epochs_to(epoch):
            return experiment.run(models, splits, task.config, seed)


def _once(task: Task, memory: Memory) -> Result:
    assert task.experiment.once is not None
    # Seed 0 whichever seed comes first, so that nothing can depend on the order of the runs.
    with seeded(0):
        return task.experiment.once(memory.split(task, 0), task.config)


def _detect(task: Task, memory: Memory, seconds: dict[str, float]) -> Result:
    """Fit one detector under the split of a run, score by it, and judge its scores."""
    assert task.detector is not None and task.seed is not None
    splits = memory.split(task, task.seed)
    detection = detect(task.detector, splits, task.seed)
    seconds |= {"fit": detection.fit_seconds, "score": detection.score_seconds}
    metrics = {**detection_metrics(splits.y_test, detection.scores), "fitted_on": detection.fitted_on}
    labels = np.asarray(splits.y_test, dtype=np.uint8)
    groups = np.arange(len(labels)) if splits.groups is None else splits.groups
    return Result(metrics, {"scores": np.asarray(detection.scores), "labels": labels, "groups": groups})


# In a process of its own.

_memory = Memory()
_events: Any = None


def start(events: Any) -> None:
    """Begin a worker process. What happens in it is told through `events`; an interruption is its parent's matter."""
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed can end nobody: so each worker watches it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def compute_in_worker(number: int, task: Task, log_folder: Path | None) -> Outcome:
    """Compute the task of this number in a worker process that was begun by `start`."""
    _events.put((number, os.getpid()))
    return compute(task, _memory, functools.partial(_tell_epoch, number), log_folder)


def _tell_epoch(number: int, *progress: Any) -> None:
    _events.put((number, *progress))


# Seeds and the state of Keras are those of a process, so runs in one process take turns, whatever threads it has.
_one_at_a_time = threading.Lock()


def compute_far_away(task: Task, digest: str) -> Outcome:
    """Compute a task on another machine: code and data there must be those that the caller's `digest` stands for."""
    if task.digest != digest:
        return failed("DataError: the worker has other data, or another version of this suite")
    with _one_at_a_time:
        # A new memory, since the data of this process may have been exchanged since the last task.
        return compute(task, Memory(), lambda *progress: None)
