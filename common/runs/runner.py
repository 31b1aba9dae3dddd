"""Which runs are missing; run them, one after the other, side by side, or on a cluster; tell how it goes.

However they are run, the results are the same: a run depends on its task alone, and all records are written here.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import shutil
import statistics
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from common.errors import ConfigError, RecordError
from common.runs import interruption, records, worker
from common.runs.records import OnceRecord, Record, Result
from common.runs.selection import find_records
from common.runs.tasks import Task
from common.runs.worker import Outcome

# How often events of worker processes are looked at, in seconds.
POLL = 0.1


class Listener(Protocol):
    """Who is told how the runs go."""

    def skipped(self, task: Task, record: Record) -> None:
        """A run was finished before."""

    def damaged(self, task: Task, problem: str) -> None:
        """The record of a run was damaged; it has been set aside, and the run comes again."""

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
        for _, record, _ in find_records(out, name):
            if record is not None and record.status == records.OK:
                known.setdefault(record.digest, []).append(record.durations["total"])
    runs = [task for task in tasks if task.detector is None]
    medians = [statistics.median(known[task.digest]) for task in runs if task.digest in known]
    return statistics.fmean(medians) * len(runs) if medians else None


@dataclass(frozen=True)
class How:
    """How tasks are run.

    Attributes:
        jobs: how many processes side by side; 1 for none but this one.
        dask: the address of a Dask cluster to run them on instead.
        fresh: run again what is finished.
        tensorboard: also write a TensorBoard log of each run into `tensorboard/` beside its record.
    """

    jobs: int = 1
    dask: str | None = None
    fresh: bool = False
    tensorboard: bool = False


def execute(tasks: Iterable[Task], listener: Listener, how: How | None = None) -> list[Record]:
    """Run what is not finished yet, and leave a record of each.

    A run that fails is recorded as failed, with its reason, and the others go on. When an interruption comes, what runs
    is recorded as interrupted before the interruption goes on its way.

    Args:
        tasks: what to run.
        listener: who is told.
        how: one after the other unless told otherwise.

    Returns:
        The record of every task, in their order.
    """
    how = how or How()
    tasks = list(tasks)
    for task in tasks:
        task.data  # noqa: B018  found now, so that missing data stop nothing half-way
    found = {task: None if how.fresh else task.finished() for task in tasks}
    for task, record in found.items():
        if record is not None:
            listener.skipped(task, record)
    missing = [task for task, record in found.items() if record is None]
    for task in missing:
        if problem := records.set_aside(task.folder):
            listener.damaged(task, problem)
    once = _Once(how.fresh)
    running = _Running(listener)
    try:
        # Closed in any case, or worker processes would live as long as somebody holds on to an error.
        with contextlib.closing(
            _outcomes(once.missing(missing, listener), running.quietly(), how, once=True)
        ) as outcomes:
            for task, outcome in outcomes:
                once.keep(task, outcome)
        with contextlib.closing(_outcomes(missing, running, how)) as outcomes:
            for task, outcome in outcomes:
                whole = once.merged(task, outcome)
                found[task] = record = _write(task, whole)
                running.finished(task, record, whole.details)
    except KeyboardInterrupt:
        for task in running.tasks:
            _write_unfinished(task, _record(task, Outcome(records.INTERRUPTED, error="interrupted")))
        raise
    return [record for record in found.values() if record is not None]


class _Running:
    """Passes on what a listener is told, and knows which tasks have begun and not ended."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.tasks: dict[Task, None] = {}
        self._quiet = False

    def quietly(self) -> _Running:
        """One that tells nobody: what the seeds share is no run."""
        quiet = _Running(self._listener)
        quiet._quiet = True
        return quiet

    def started(self, task: Task) -> None:
        interruption.check()
        if not self._quiet and task not in self.tasks:
            self.tasks[task] = None
            self._listener.started(task)

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        interruption.check()
        if not self._quiet:
            self._listener.epoch(task, epoch, epochs, loss)

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        self.started(task)
        del self.tasks[task]
        self._listener.finished(task, record, details)


@dataclass
class _Once:
    """What does not depend on the seed, by the folder of its record: read, or computed and recorded, then merged."""

    fresh: bool
    results: dict[Path, Result | Outcome] = field(default_factory=dict)

    def missing(self, tasks: Sequence[Task], listener: Listener) -> list[Task]:
        """One task for each record that is not there; those that are there are read."""
        wanted: dict[Path, Task] = {}
        for task in tasks:
            if task.detector is None and hasattr(task.experiment, "run_once") and task.once_folder not in self.results:
                result = None if self.fresh else _read_once(task, listener)
                if result is None:
                    wanted.setdefault(task.once_folder, replace(task, seed=0))
                else:
                    self.results[task.once_folder] = result
        return list(wanted.values())

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Record what was computed; a failure is kept for the runs that need it."""
        if outcome.status != records.OK:
            self.results[task.once_folder] = outcome
            return
        shared = _circumstances(task, outcome)
        record = OnceRecord(metrics=outcome.metrics, undefined=outcome.undefined, **shared)
        records.write_run(task.once_folder, record, outcome.arrays)
        self.results[task.once_folder] = Result(records.unflatten(record), outcome.arrays)

    def merged(self, task: Task, outcome: Outcome) -> Outcome:
        """The outcome of a run with what it shares; a failure of either is one of the run."""
        shared = self.results.get(task.once_folder) if task.detector is None else None
        if shared is None or outcome.status != records.OK:
            return outcome
        if isinstance(shared, Outcome):
            return shared
        repeated = sorted({*shared.metrics, *shared.arrays} & {*outcome.metrics, *outcome.arrays})
        if repeated:
            return worker.failed(f"ValueError: run and run_once both return {', '.join(repeated)}")
        metrics, undefined = records.flatten(shared.metrics)
        return replace(
            outcome,
            metrics={**metrics, **outcome.metrics},
            undefined={**undefined, **outcome.undefined},
            arrays={**shared.arrays, **outcome.arrays},
        )


def _read_once(task: Task, listener: Listener) -> Result | None:
    if problem := records.set_aside(task.once_folder, OnceRecord):
        listener.damaged(task, problem)
    try:
        record = records.read_once(task.once_folder)
        return Result(records.unflatten(record), records.read_arrays(task.once_folder, record))
    except RecordError:
        return None


# Records.


def _write(task: Task, outcome: Outcome) -> Record:
    record = _record(task, outcome)
    if outcome.status == records.OK:
        return records.write_run(task.folder, record, outcome.arrays)
    _write_unfinished(task, record)
    return record


def _write_unfinished(task: Task, record: Record) -> None:
    """Leave word of a run that did not finish, unless an earlier one did: finished work is never lost."""
    records.write_run(task.folder, record, unless_finished=True)


def _record(task: Task, outcome: Outcome) -> Record:
    return Record(
        seed=task.seed,
        status=outcome.status,
        error=outcome.error,
        metrics=outcome.metrics,
        undefined=outcome.undefined,
        **_circumstances(task, outcome),
    )


def _circumstances(task: Task, outcome: Outcome) -> dict[str, Any]:
    """What every record tells of how it came about."""
    return {
        "experiment": task.name,
        "protocol": task.protocol,
        "digest": task.digest,
        "config": task.config.to_dict(),
        "revision": task.revision,
        "data": task.data,
        "environment": outcome.environment,
        "durations": outcome.durations,
    }


def _log_folder(task: Task, how: How) -> Path | None:
    """An empty folder for the log: the events of an earlier attempt would be drawn into the same curve."""
    if not how.tensorboard:
        return None
    folder = task.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


# Three ways to compute.

Outcomes = Generator[tuple[Task, Outcome], None, None]


def _outcomes(tasks: Sequence[Task], running: _Running, how: How, once: bool = False) -> Outcomes:
    if how.dask is not None:
        return _on_a_cluster(tasks, running, how.dask, once)
    if how.jobs > 1 and len(tasks) > 1:
        return _side_by_side(tasks, running, how, once)
    return _one_after_the_other(tasks, running, how, once)


def _one_after_the_other(tasks: Sequence[Task], running: _Running, how: How, once: bool) -> Outcomes:
    memory = worker.Memory()
    for task in tasks:
        running.started(task)
        epoch = functools.partial(running.epoch, task)
        if once:
            yield task, worker.compute_once(task, memory)
        else:
            yield task, worker.compute(task, memory, epoch, _log_folder(task, how))


def _side_by_side(tasks: Sequence[Task], running: _Running, how: How, once: bool) -> Outcomes:
    """In worker processes. One that dies takes its pool with it, so the suspects are tried again, each by itself."""
    waiting = list(tasks)
    while waiting:
        lost = yield from _in_a_pool(waiting, running, how, once)
        # Tasks are begun in their order, so whatever killed a worker is among the first that are not done.
        suspects, waiting = lost[: how.jobs + 1], lost[how.jobs + 1 :]
        for suspect in suspects:
            if (yield from _in_a_pool([suspect], running, how, once)):
                yield suspect, worker.failed("its process died: it was killed, or ran out of memory")


def _in_a_pool(
    tasks: Sequence[Task], running: _Running, how: How, once: bool
) -> Generator[tuple[Task, Outcome], None, list[Task]]:
    """Yield the outcome of each task; return those that were lost with their process, in their order."""
    context = multiprocessing.get_context("spawn")
    events = context.SimpleQueue()
    lost: list[Task] = []
    pending: set[Future[Outcome]] = set()
    with ProcessPoolExecutor(min(how.jobs, len(tasks)), context, worker.start, (events,)) as pool:
        try:
            futures: dict[Future[Outcome], Task] = {
                pool.submit(worker.compute_in_worker, number, task, once, _log_folder(task, how)): task
                for number, task in enumerate(tasks)
            }
            pending = set(futures)
            while pending:
                first = concurrent.futures.FIRST_COMPLETED
                done, pending = concurrent.futures.wait(pending, POLL, first)
                interruption.check()
                _tell(events, tasks, running)
                for future in done:
                    try:
                        yield futures[future], future.result()
                    except BrokenExecutor:
                        lost.append(futures[future])
        finally:
            if pending:
                # Killed, for they hold nothing that must be saved, and may have been started deaf to a termination. The
                # pool, which has lost its processes, then ends by itself, and is waited for.
                for process in multiprocessing.active_children():
                    process.kill()
    return sorted(lost, key=tasks.index)


def _tell(events: Any, tasks: Sequence[Task], running: _Running) -> None:
    """Pass on what the worker processes have told: that a task begins, or an epoch of one has ended."""
    while not events.empty():
        number, *progress = events.get()
        if len(progress) == 1:
            running.started(tasks[number])
        else:
            running.epoch(tasks[number], *progress)


def _on_a_cluster(tasks: Sequence[Task], running: _Running, address: str, once: bool) -> Outcomes:
    """On the workers of a Dask cluster, which need the suite and the data, but no file of this machine."""
    if not tasks:
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--dask needs the package distributed: pip install distributed") from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {address}: {error}") from error
    with client, client.get_executor() as executor:
        try:
            futures = {executor.submit(worker.compute_far_away, task, once, task.digest): task for task in tasks}
            for future in concurrent.futures.as_completed(futures):
                running.started(futures[future])
                try:
                    yield futures[future], future.result()
                except Exception as error:  # noqa: BLE001  whatever a cluster raises is the failure of this task
                    yield futures[future], worker.failed(f"{type(error).__name__}: {error}")
        finally:
            executor.shutdown(wait=False)  # Nothing is left to wait for, or nobody is left who would.
