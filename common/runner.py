"""Which runs are missing; run them; tell how it goes.

The runner knows experiments only by their contract (`Experiment`), and whoever listens only by `Listener`, so that
neither TensorFlow nor a terminal is needed to test it.
"""

from __future__ import annotations

import importlib
import statistics
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common import environment, figures, records, training
from common.config import BaseConfig
from common.errors import RecordError
from common.records import Record, Result


class Experiment(Protocol):
    """What an experiment module offers."""

    __name__: str
    __doc__: str | None
    Config: type[BaseConfig]
    REVISION: int
    PROTOCOLS: tuple[str, ...]
    ABLATIONS: Mapping[str, Mapping[str, Any]]

    def load(self, config: Any, source: object = None) -> Any:
        """The experiment's data, not yet split."""

    def split(self, data: Any, config: Any, protocol: str, seed: int) -> Any:
        """The named splits."""

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
    """One run that somebody wants: what, with which settings, which seed, and where its record belongs."""

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int
    out: Path

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return name_of(self.experiment)

    @property
    def digest(self) -> str:
        """What the run depends on besides its seed, in twelve digits."""
        return records.digest_of(self.config.to_dict(), self.protocol, {}, self.experiment.REVISION)

    @property
    def folder(self) -> Path:
        """Where its record belongs."""
        return records.run_folder(self.out, self.name, self.protocol, self.digest, self.seed)

    def finished(self) -> Record | None:
        """The record, if there is one that says ok."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        return record if record.status == records.OK else None


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
    """How long one of these runs will take, going by the median of earlier runs with the same settings, if any."""
    if not tasks:
        return None
    task = tasks[0]
    durations = [
        record.durations["total"]
        for _, record, _ in records.find_records(task.out, task.name)
        if record is not None and record.status == records.OK and record.digest == task.digest
    ]
    return statistics.median(durations) if durations else None


def execute(tasks: Iterable[Task], listener: Listener, fresh: bool = False) -> list[Record]:
    """Run what is not finished yet, one after the other, and leave a record of each.

    A run that fails is recorded as failed, with its reason, and the others go on. An interrupted one is recorded as
    interrupted before the interruption goes on its way.

    Args:
        tasks: what to run.
        listener: who is told.
        fresh: run again what is finished.

    Returns:
        The record of every task, in their order.
    """
    outcomes = []
    data: dict[BaseConfig, Any] = {}
    for task in tasks:
        record = None if fresh else task.finished()
        if record is not None:
            listener.skipped(task, record)
        else:
            listener.started(task)
            record = _run(task, listener, data)
        outcomes.append(record)
    return outcomes


def _run(task: Task, listener: Listener, data: dict[BaseConfig, Any]) -> Record:
    started = time.perf_counter()
    details = None
    try:
        result = _compute(task, listener, data)
        metrics, undefined = records.flatten(result.metrics)
        record = _record(task, started, status=records.OK, metrics=metrics, undefined=undefined)
        record = records.write_run(task.folder, record, result.arrays)
    except KeyboardInterrupt:
        records.write_run(
            task.folder,
            _record(task, started, status=records.INTERRUPTED, error="interrupted from the keyboard"),
        )
        raise
    except OSError:
        raise  # no record can be written where the disk is the problem
    except Exception as error:  # noqa: BLE001  whatever an experiment raises is this run's failure, not the others'
        details = traceback.format_exc()
        record = _record(task, started, status=records.FAILED, error=f"{type(error).__name__}: {error}")
        record = records.write_run(task.folder, record)
    listener.finished(task, record, details)
    return record


def _compute(task: Task, listener: Listener, data: dict[BaseConfig, Any]) -> Result:
    with training.seeded(task.seed):
        if task.config not in data:
            data[task.config] = task.experiment.load(task.config)
        splits = task.experiment.split(data[task.config], task.config, task.protocol, task.seed)
        with training.report_epochs_to(lambda *progress: listener.epoch(task, *progress)):
            return task.experiment.run(splits, task.config, task.seed)


def _record(task: Task, started: float, **outcome: Any) -> Record:
    return Record(
        experiment=task.name,
        protocol=task.protocol,
        digest=task.digest,
        seed=task.seed,
        config=task.config.to_dict(),
        revision=task.experiment.REVISION,
        environment=environment.describe(),
        durations={"total": round(time.perf_counter() - started, 3)},
        **outcome,
    )
