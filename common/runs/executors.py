"""Three ways to execute tasks: one after the other here, in worker processes, or on a Dask cluster."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.errors import ConfigError
from common.runs import interruption, worker
from common.runs.records import Record
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


class Running:
    """Passes events on to a listener, and knows which tasks have begun and not ended.

    A part that several seeds share is no run: the listener hears nothing of it.

    Args:
        listener: is told of every run and detector.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.tasks: dict[Task, None] = {}

    def started(self, task: Task) -> None:
        """Note that a task begins, or that it was begun when this comes a second time."""
        interruption.check()
        if task.seed is not None and task not in self.tasks:
            self.tasks[task] = None
            self._listener.started(task)

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Pass on that an epoch has ended."""
        interruption.check()
        self._listener.epoch(task, epoch, epochs, loss)

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Note that a task has ended."""
        self.started(task)
        if self.tasks.pop(task, self) is not self:
            self._listener.finished(task, record, details)


def _log_folder(task: Task, how: How) -> Path | None:
    """An empty folder for the log: the events of an earlier attempt would be drawn into the same curve."""
    if not how.tensorboard:
        return None
    folder = task.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


Outcomes = Generator[tuple[Task, Outcome], None, None]


def outcomes_of(tasks: Sequence[Task], running: Running, how: How) -> Outcomes:
    """Compute tasks, and yield the outcome of each as soon as it is there."""
    if how.dask is not None:
        return _on_a_cluster(tasks, running, how.dask)
    if how.jobs > 1 and len(tasks) > 1:
        return _side_by_side(tasks, running, how)
    return _one_after_the_other(tasks, running, how)


def _one_after_the_other(tasks: Sequence[Task], running: Running, how: How) -> Outcomes:
    memory = worker.Memory()
    for task in tasks:
        running.started(task)
        epoch = functools.partial(running.epoch, task)
        yield task, worker.compute(task, memory, epoch, _log_folder(task, how))


def _side_by_side(tasks: Sequence[Task], running: Running, how: How) -> Outcomes:
    """In worker processes. One that dies takes its pool with it, so the suspects are tried again, each by itself."""
    waiting = list(tasks)
    while waiting:
        lost = yield from _in_a_pool(waiting, running, how)
        # Tasks are begun in their order, so whatever killed a worker is among the first that are not done.
        suspects, waiting = lost[: how.jobs + 1], lost[how.jobs + 1 :]
        for suspect in suspects:
            if (yield from _in_a_pool([suspect], running, how)):
                yield suspect, worker.failed("its process died: it was killed, or ran out of memory")


def _in_a_pool(tasks: Sequence[Task], running: Running, how: How) -> Generator[tuple[Task, Outcome], None, list[Task]]:
    """Yield the outcome of each task; return those that were lost with their process, in their order."""
    context = multiprocessing.get_context("spawn")
    events = context.SimpleQueue()
    lost: list[Task] = []
    pending: set[Future[Outcome]] = set()
    with ProcessPoolExecutor(min(how.jobs, len(tasks)), context, worker.start, (events,)) as pool:
        try:
            futures: dict[Future[Outcome], Task] = {
                pool.submit(worker.compute_in_worker, number, task, _log_folder(task, how)): task
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


def _tell(events: Any, tasks: Sequence[Task], running: Running) -> None:
    """Pass on what the worker processes have told: that a task begins, or an epoch of one has ended."""
    while not events.empty():
        number, *progress = events.get()
        if len(progress) == 1:
            running.started(tasks[number])
        else:
            running.epoch(tasks[number], *progress)


def _on_a_cluster(tasks: Sequence[Task], running: Running, address: str) -> Outcomes:
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
            futures = {executor.submit(worker.compute_far_away, task, task.digest): task for task in tasks}
            for future in concurrent.futures.as_completed(futures):
                running.started(futures[future])
                try:
                    yield futures[future], future.result()
                except Exception as error:  # noqa: BLE001  whatever a cluster raises is the failure of this task
                    yield futures[future], worker.failed(f"{type(error).__name__}: {error}")
        finally:
            executor.shutdown(wait=False)  # Nothing is left to wait for, or nobody is left who would.
