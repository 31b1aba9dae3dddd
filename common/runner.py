"""Which runs are missing; run them; tell how it goes.

The runner knows experiments only by their contract (`Experiment`), and whoever listens only by `Listener`, so that
neither TensorFlow nor a terminal is needed to test it.
"""

from __future__ import annotations

import functools
import importlib
import shutil
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from common import datasets, environment, figures, records, training
from common.baselines import DETECTORS, Inputs, detect
from common.config import BaseConfig
from common.datasets import AUTO, Source
from common.errors import RecordError
from common.metrics import detection_metrics
from common.records import Record, Result


class Experiment(Protocol):
    """What an experiment module offers.

    Three things more it may offer, looked for by name. `run_once(splits, config) -> Result` is what does not depend on
    the seed; it is computed once for all seeds of a config and becomes part of the result of each. `SEPARATES` is a
    metric and a tuple of others; the report tells which of these go with the first over the seeds. `BESIDE` names, for
    a printed row, metrics whose spread over the seeds tells where that of the row comes from.
    """

    __name__: str
    __doc__: str | None
    Config: type[BaseConfig]
    REVISION: int
    # The protocols in which each seed has its own split, so that a detector must be fitted anew for each.
    SPLIT_BY_SEED: tuple[str, ...]
    # The source's methods, and the name of the array that holds their scores of the test samples; the first is the one
    # that the detectors are held against.
    METHODS: Mapping[str, str]
    # The figures of a held-out run that tell more than those of a published one.
    HELD_OUT_FIGURES: tuple[str, ...]
    DATASETS: tuple[str, ...]
    ABLATIONS: Mapping[str, Mapping[str, Any]]

    def load(self, config: Any, source: Source) -> Any:
        """The experiment's data, not yet split."""

    def split(self, data: Any, config: Any, protocol: str, seed: int) -> Any:
        """The named splits."""

    def detector_inputs(self, splits: Any, config: Any) -> Inputs:
        """What the classical detectors are given, and what they are scored on."""

    def run(self, splits: Any, config: Any, seed: int) -> Result:
        """Train, score, decide."""

    def draw(self, arrays: figures.Arrays) -> list[figures.Drawing]:
        """The figures of the source."""


def import_experiment(name: str) -> Experiment:
    """Import an experiment by name. Its module imports nothing heavy."""
    return importlib.import_module(f"experiments.{name}")  # type: ignore[return-value]


def name_of(experiment: Experiment) -> str:
    """The name of an experiment: that of its module."""
    return experiment.__name__.rpartition(".")[2]


@dataclass(frozen=True)
class Task:
    """One run that somebody wants: what, with which settings, which seed, and where its record belongs.

    With `detector`, it is that classical detector under the split of this experiment, protocol and seed.
    """

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int
    out: Path
    source: Source = AUTO
    detector: str | None = None

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return name_of(self.experiment)

    @property
    def digest(self) -> str:
        """What the run depends on besides its seed, in twelve digits."""
        return records.digest_of(self.config.to_dict(), self.protocol, self.data, self.experiment.REVISION)

    @property
    def data(self) -> dict[str, str]:
        """The digest of every data set that the run reads, or what stands in for it."""
        return _identify(self.experiment.DATASETS, self.source)

    @property
    def stand_in(self) -> str | None:
        """What stands in for the real data, if anything does."""
        return records.stand_in_of(self.data)

    @property
    def revision(self) -> int:
        """Of the code that computes it."""
        return self.experiment.REVISION if self.detector is None else DETECTORS[self.detector].revision

    @property
    def folder(self) -> Path:
        """Where its record belongs."""
        if self.detector is None:
            return records.run_folder(self.out, self.name, self.protocol, self.digest, self.seed)
        return records.detector_folder(self.out, self.name, self.protocol, self.digest, self.detector, self.seed)

    def finished(self) -> Record | None:
        """The record, if there is one that says ok."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        return record if record.status == records.OK and record.revision == self.revision else None

    @property
    def once_folder(self) -> Path:
        """Where the record of what it shares with other seeds belongs."""
        return records.once_folder(self.out, self.name, self.protocol, self.digest)


def detector_tasks(tasks: Iterable[Task]) -> list[Task]:
    """The classical detectors under the splits of some runs, each once where it does not depend on the seed."""
    wanted = {
        replace(
            task, detector=name, seed=task.seed if varies_by_seed(task.experiment, task.protocol, name) else 0
        ): None
        for task in tasks
        for name in DETECTORS
    }
    return list(wanted)


def varies_by_seed(experiment: Experiment, protocol: str, detector: str) -> bool:
    """Whether a detector gives other scores for other seeds, for its own sake or for that of the split."""
    return DETECTORS[detector].random or protocol in experiment.SPLIT_BY_SEED


@functools.cache
def _identify(names: tuple[str, ...], source: Source) -> dict[str, str]:
    return datasets.identify(names, source)


@dataclass
class _Memory:
    """What the runs of one command share: data by config, and by folder what does not depend on the seed.

    With `fresh` the latter is computed again, though once only, where an earlier command has left it.
    """

    fresh: bool
    data: dict[BaseConfig, Any] = field(default_factory=dict)
    # Only the last split, by what it depends on: the detectors of one seed follow each other.
    splits: dict[tuple[BaseConfig, str, int], Any] = field(default_factory=dict)
    once: dict[Path, Result] = field(default_factory=dict)


class Listener(Protocol):
    """Who is told how the runs go."""

    def skipped(self, task: Task, record: Record) -> None:
        """A run was finished before."""

    def started(self, task: Task) -> None:
        """A run begins."""

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """A run has trained one more epoch."""

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """A run has ended, well or not; `details` is the traceback of a failure."""


def expected_seconds(tasks: Sequence[Task]) -> float | None:
    """How long these runs will take, going by the medians of earlier runs with the same settings.

    Runs with settings that were never run count as long as the others, detectors as nothing; `None` when none was ever
    run.
    """
    known: dict[str, list[float]] = {}
    for out, name in {(task.out, task.name) for task in tasks}:
        for _, record, _ in records.find_records(out, name):
            if record is not None and record.status == records.OK:
                known.setdefault(record.digest, []).append(record.durations["total"])
    runs = [task for task in tasks if task.detector is None]
    medians = [statistics.median(known[task.digest]) for task in runs if task.digest in known]
    return statistics.fmean(medians) * len(runs) if medians else None


def execute(tasks: Iterable[Task], listener: Listener, fresh: bool = False, tensorboard: bool = False) -> list[Record]:
    """Run what is not finished yet, one after the other, and leave a record of each.

    A run that fails is recorded as failed, with its reason, and the others go on. An interrupted one is recorded as
    interrupted before the interruption goes on its way.

    Args:
        tasks: what to run.
        listener: who is told.
        fresh: run again what is finished.
        tensorboard: also write a TensorBoard log of each run into `tensorboard/` beside its record.

    Returns:
        The record of every task, in their order.
    """
    tasks = list(tasks)
    for task in tasks:
        task.data  # noqa: B018  found now, so that missing data stop nothing half-way
    outcomes = []
    memory = _Memory(fresh)
    for task in tasks:
        record = None if fresh else task.finished()
        if record is not None:
            listener.skipped(task, record)
        else:
            listener.started(task)
            with training.log_to(_log_folder(task) if tensorboard else None):
                record = _run(task, listener, memory)
        outcomes.append(record)
    return outcomes


def _log_folder(task: Task) -> Path:
    """An empty folder for the log: the events of an earlier attempt would be drawn into the same curve."""
    folder = task.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _run(task: Task, listener: Listener, memory: _Memory) -> Record:
    started = time.perf_counter()
    details = None
    try:
        with training.stopwatch() as seconds:
            result = _compute(task, listener, memory) if task.detector is None else _detect(task, memory, seconds)
        metrics, undefined = records.flatten(result.metrics)
        record = _record(task, started, seconds, status=records.OK, metrics=metrics, undefined=undefined)
        record = records.write_run(task.folder, record, result.arrays)
    except KeyboardInterrupt:
        _write_unfinished(task, _record(task, started, status=records.INTERRUPTED, error="interrupted"))
        raise
    except OSError:
        raise  # no record can be written where the disk is the problem
    except Exception as error:  # noqa: BLE001  whatever an experiment raises is this run's failure, not the others'
        details = traceback.format_exc()
        record = _record(task, started, status=records.FAILED, error=f"{type(error).__name__}: {error}")
        _write_unfinished(task, record)
    listener.finished(task, record, details)
    return record


def _write_unfinished(task: Task, record: Record) -> None:
    """Leave word of a run that did not finish, unless an earlier one did: finished work is never lost."""
    if task.finished() is None:
        records.write_run(task.folder, record)


def _compute(task: Task, listener: Listener, memory: _Memory) -> Result:
    once = _once(task, memory)
    with training.seeded(task.seed):
        splits = _splits(task, task.seed, memory)
        with training.report_epochs_to(lambda *progress: listener.epoch(task, *progress)):
            result = task.experiment.run(splits, task.config, task.seed)
    return _merge(once, result)


def _detect(task: Task, memory: _Memory, seconds: dict[str, float]) -> Result:
    """One classical detector under the split of a run, with what its scores are judged by."""
    assert task.detector is not None
    inputs = task.experiment.detector_inputs(_splits(task, task.seed, memory), task.config)
    detection = detect(task.detector, inputs, task.seed)
    seconds |= {"fit": detection.fit_seconds, "score": detection.score_seconds}
    metrics = {**detection_metrics(inputs.y_test, detection.scores), "fitted_on": detection.fitted_on}
    labels = np.asarray(inputs.y_test, dtype=np.uint8)
    return Result(metrics, {"scores": np.asarray(detection.scores), "labels": labels, "groups": inputs.groups})


def _splits(task: Task, seed: int, memory: _Memory) -> Any:
    key = (task.config, task.protocol, seed)
    if key not in memory.splits:
        if task.config not in memory.data:
            memory.data[task.config] = task.experiment.load(task.config, task.source)
        memory.splits = {key: task.experiment.split(memory.data[task.config], task.config, task.protocol, seed)}
    return memory.splits[key]


def _once(task: Task, memory: _Memory) -> Result:
    """What does not depend on the seed: known already, or recorded, or computed and recorded now."""
    run_once = getattr(task.experiment, "run_once", None)
    if run_once is None:
        return Result({}, {})
    if task.once_folder not in memory.once:
        found = None if memory.fresh else _read_once(task)
        memory.once[task.once_folder] = found or _compute_once(task, memory, run_once)
    return memory.once[task.once_folder]


def _read_once(task: Task) -> Result | None:
    try:
        record = records.read_once(task.once_folder)
        return Result(records.unflatten(record), records.read_arrays(task.once_folder, record))
    except RecordError:
        return None


def _compute_once(task: Task, memory: _Memory, run_once: Callable[[Any, Any], Result]) -> Result:
    started = time.perf_counter()
    # Seed 0 whichever seed comes first, so that nothing can depend on the order of the runs.
    with training.seeded(0):
        result = run_once(_splits(task, 0, memory), task.config)
    metrics, undefined = records.flatten(result.metrics)
    record = records.OnceRecord(metrics=metrics, undefined=undefined, **_circumstances(task, started, {}))
    records.write_run(task.once_folder, record, result.arrays)
    return result


def _merge(once: Result, result: Result) -> Result:
    """One result of both.

    Raises:
        ValueError: a name stands in both.
    """
    repeated = sorted({*once.metrics, *once.arrays} & {*result.metrics, *result.arrays})
    if repeated:
        raise ValueError(f"run and run_once both return {', '.join(repeated)}")
    return Result({**once.metrics, **result.metrics}, {**once.arrays, **result.arrays})


def _record(task: Task, started: float, seconds: Mapping[str, float] | None = None, **outcome: Any) -> Record:
    return Record(seed=task.seed, **_circumstances(task, started, seconds or {}), **outcome)


def _circumstances(task: Task, started: float, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What every record tells of how it came about; `seconds` are those of its parts."""
    durations = {**seconds, "total": time.perf_counter() - started}
    return {
        "experiment": task.name,
        "protocol": task.protocol,
        "digest": task.digest,
        "config": task.config.to_dict(),
        "revision": task.revision,
        "data": task.data,
        "environment": environment.describe(),
        "durations": {name: round(value, 3) for name, value in durations.items()},
    }
