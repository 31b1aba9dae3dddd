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
from common.data.datasets import Source
from common.detectors.classical import detect
from common.metrics.scores import detection_metrics
from common.runs import environment, records
from common.runs.records import Result
from common.runs.tasks import Task
from common.training import fit as training

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

    data: dict[tuple[BaseConfig, Source], Any] = field(default_factory=dict)
    splits: dict[tuple[BaseConfig, Source, str, int], Any] = field(default_factory=dict)

    def split(self, task: Task, seed: int) -> Any:
        """The split of a task under some seed. Only the last one is kept: the detectors of a seed follow each other."""
        origin = (task.config, task.source)
        key = (*origin, task.protocol, seed)
        if key not in self.splits:
            if origin not in self.data:
                self.data[origin] = task.experiment.load(*origin)
            self.splits = {key: task.experiment.split(self.data[origin], task.config, task.protocol, seed)}
        return self.splits[key]


def compute(task: Task, memory: Memory, epoch: Epoch, log_folder: Path | None = None) -> Outcome:
    """Compute a run or a detector.

    Args:
        task: which.
        memory: of this process.
        epoch: told after every epoch of a training.
        log_folder: where to write a TensorBoard log, if anywhere.

    Raises:
        OSError: of the disk, which is no failure of this task alone.
    """

    def compute_it(seconds: dict[str, float]) -> Result:
        with training.log_to(log_folder):
            return _train(task, memory, epoch) if task.detector is None else _detect(task, memory, seconds)

    return _outcome(compute_it)


def compute_once(task: Task, memory: Memory) -> Outcome:
    """Compute what all seeds of a task share."""

    def compute_it(seconds: dict[str, float]) -> Result:
        # Seed 0 whichever seed comes first, so that nothing can depend on the order of the runs.
        with training.seeded(0):
            result: Result = task.experiment.run_once(memory.split(task, 0), task.config)  # type: ignore[attr-defined]
        return result

    return _outcome(compute_it)


def failed(error: str, details: str | None = None, seconds: Mapping[str, float] | None = None) -> Outcome:
    """The outcome of a task that did not get to its end."""
    return Outcome(records.FAILED, error=error, details=details, durations=seconds or {"total": 0.0})


def _outcome(compute_it: Callable[[dict[str, float]], Result]) -> Outcome:
    started = time.perf_counter()
    try:
        with training.stopwatch() as seconds:
            result = compute_it(seconds)
        metrics, undefined = records.flatten(result.metrics)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  whatever an experiment raises is this run's failure, not the others'
        lasted = {"total": round(time.perf_counter() - started, 3)}
        return failed(f"{type(error).__name__}: {error}", traceback.format_exc(), lasted)
    seconds["total"] = time.perf_counter() - started
    durations = {name: round(value, 3) for name, value in seconds.items()}
    return Outcome(records.OK, metrics, undefined, result.arrays, durations=durations)


def _train(task: Task, memory: Memory, epoch: Epoch) -> Result:
    with training.seeded(task.seed):
        splits = memory.split(task, task.seed)
        with training.report_epochs_to(epoch):
            return task.experiment.run(splits, task.config, task.seed)


def _detect(task: Task, memory: Memory, seconds: dict[str, float]) -> Result:
    """One classical detector under the split of a run, with what its scores are judged by."""
    assert task.detector is not None
    inputs = task.experiment.detector_inputs(memory.split(task, task.seed), task.config)
    detection = detect(task.detector, inputs, task.seed)
    seconds |= {"fit": detection.fit_seconds, "score": detection.score_seconds}
    metrics = {**detection_metrics(inputs.y_test, detection.scores), "fitted_on": detection.fitted_on}
    labels = np.asarray(inputs.y_test, dtype=np.uint8)
    return Result(metrics, {"scores": np.asarray(detection.scores), "labels": labels, "groups": inputs.groups})


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


def compute_in_worker(number: int, task: Task, once: bool, log_folder: Path | None) -> Outcome:
    """Compute the task of this number in a worker process that was begun by `start`."""
    _events.put((number, os.getpid()))
    if once:
        return compute_once(task, _memory)
    return compute(task, _memory, functools.partial(_tell_epoch, number), log_folder)


def _tell_epoch(number: int, *progress: Any) -> None:
    _events.put((number, *progress))


# Seeds and the state of Keras are those of a process, so runs in one process take turns, whatever threads it has.
_one_at_a_time = threading.Lock()


def compute_far_away(task: Task, once: bool, digest: str) -> Outcome:
    """Compute a task on another machine: code and data there must be those that the caller's `digest` stands for."""
    if task.digest != digest:
        return failed("DataError: the worker has other data, or another version of this suite")
    with _one_at_a_time:
        memory = Memory()  # The data of this process may have been exchanged since the last task.
        return compute_once(task, memory) if once else compute(task, memory, lambda *progress: None)
