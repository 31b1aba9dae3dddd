"""Execute tasks in one of three ways: sequentially in this process, in worker processes, or on a Dask cluster."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import pkgutil
import shutil
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from common.errors import ConfigError, DataError
from common.runs import interruption, spawn, worker
from common.runs.environment import cores
from common.runs.records import Record
from common.runs.tasks import Task
from common.runs.worker import Outcome
from common.training.keras import give_threads
from common.training.surroundings import differences

T = TypeVar("T")
R = TypeVar("R")

# Seconds between two checks for events of the worker processes.
POLL = 0.1

DIED = "its process died: it was killed, or ran out of memory"
DIED_BEFORE = "its process ended before the run began; its error output says why, or --jobs 1 needs no further process"

_SPAWN = spawn.Context()


class Listener(Protocol):
    """Interface of an object that receives the progress of runs, for example to display it."""

    def skipped(self, task: Task, record: Record) -> None:
        """Report a run that is skipped because it was finished earlier."""

    def damaged(self, task: Task, problem: str) -> None:
        """Report a damaged record, which was renamed; the run is computed again."""

    def started(self, task: Task) -> None:
        """Report the start of a run."""

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Report the end of an epoch; epochs count from 1."""

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Report the end of a run, finished or failed; `details` is the traceback of a failure."""


@dataclass(frozen=True)
class Execution:
    """Options for the execution of tasks.

    Attributes:
        jobs: number of parallel worker processes; 1 runs everything in this process, unless that is not possible since
            its program has changed settings of TensorFlow or another library. Default: 1.
        dask: address of a Dask scheduler, whose cluster is used instead. Default: none.
        fresh: true to run finished tasks again. Default: false.
        tensorboard: true to write a TensorBoard log of each run to `tensorboard/` beside its record. Default: false.
    """

    jobs: int = 1
    dask: str | None = None
    fresh: bool = False
    tensorboard: bool = False


class Running:
    """The set of running tasks; forwards events to a listener.

    The start of a computation that several seeds share (`Experiment.once`) is not forwarded, since it is no run.

    Args:
        listener: receives the events of all runs and detectors.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.tasks: dict[Task, None] = {}

    def started(self, task: Task) -> None:
        """Add a task to the running ones and report its start; does nothing if it is already running."""
        interruption.check()
        if task.seed is not None and task not in self.tasks:
            self.tasks[task] = None
            self._listener.started(task)

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Report the end of an epoch to the listener."""
        interruption.check()
        self._listener.epoch(task, epoch, epochs, loss)

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Remove a task from the running ones and report its end, unless several seeds share it."""
        self.started(task)
        if self.tasks.pop(task, self) is not self:
            self._listener.finished(task, record, details)


def _log_folder(task: Task, execution: Execution) -> Path | None:
    """Empty the folder of the TensorBoard log, which would mix an earlier attempt into the same curves."""
    if not execution.tensorboard:
        return None
    folder = task.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


Outcomes = Generator[tuple[Task, Outcome], None, None]
Seconds = Mapping[Task, float]


def outcomes_of(tasks: Sequence[Task], running: Running, execution: Execution, seconds: Seconds) -> Outcomes:
    """Compute tasks, and yield each with its outcome as soon as it is available.

    Args:
        tasks: the tasks.
        running: receives the events.
        execution: options.
        seconds: expected duration of tasks, as far as it is known; parallel workers begin with the longest ones.
    """
    if execution.dask is not None:
        return _on_a_cluster(tasks, running, execution.dask)
    # A daemonic process, such as a worker of `multiprocessing.Pool`, may not start others.
    if not multiprocessing.current_process().daemon and (min(execution.jobs, len(tasks)) > 1 or differences()):
        return _side_by_side(tasks, running, execution, seconds)
    return _one_after_the_other(tasks, running, execution)


def _one_after_the_other(tasks: Sequence[Task], running: Running, execution: Execution) -> Outcomes:
    memory = worker.Memory()
    give_threads(cores())
    for task in tasks:
        running.started(task)
        epoch = functools.partial(running.epoch, task)
        yield task, worker.compute(task, memory, epoch, _log_folder(task, execution))


def _side_by_side(tasks: Sequence[Task], running: Running, execution: Execution, seconds: Seconds) -> Outcomes:
    """Compute tasks in worker processes.

    Each worker is a pool of one process, so if the process dies, the responsible task is known. It computes the tasks
    of one group after each other, since these share the data, the compiled model or the split.
    """
    events = _SPAWN.SimpleQueue()
    workers = min(execution.jobs, len(tasks))
    threads = cores() // workers if 0 < workers <= cores() else 1
    waiting = _groups(tasks)
    with interruption.deferred(), contextlib.ExitStack() as stack, _killed_at_the_end():

        def new_pool() -> ProcessPoolExecutor:
            return stack.enter_context(ProcessPoolExecutor(1, _SPAWN, worker.start, (events, threads)))

        busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Task]] = {}

        def begin_next(pool: ProcessPoolExecutor, last: Task | None) -> None:
            """Give a worker its next task, if there is one."""
            if waiting:
                key = _next_group(waiting, seconds, last, [task for _, task in busy.values()])
                task = waiting[key].pop(0)
                if not waiting[key]:
                    del waiting[key]
                arguments = (tasks.index(task), task, _log_folder(task, execution))
                busy[pool.submit(worker.compute_in_worker, *arguments)] = (pool, task)

        for _ in range(workers):
            begin_next(new_pool(), None)
        while busy:
            done, _ = concurrent.futures.wait(busy, POLL, concurrent.futures.FIRST_COMPLETED)
            interruption.check()
            _forward(events, tasks, running)
            for future in done:
                pool, task = busy.pop(future)
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    began = task.seed is None or task in running.tasks  # the start of shared results is not told
                    outcome = worker.failed(DIED if began else DIED_BEFORE)
                    pool = new_pool()
                begin_next(pool, task)
                yield task, outcome


def in_processes(function: Callable[[T], R], items: Sequence[T], jobs: int) -> list[R]:
    """Apply a function to several items in worker processes, or in this process if one is enough.

    Args:
        function: a function of a module, which worker processes can import.
        items: the items, which can be pickled.
        jobs: largest number of worker processes.

    Returns:
        The results, in the order of the items.
    """
    if min(jobs, len(items)) < 2 or multiprocessing.current_process().daemon:
        return [*map(function, items)]
    pool = ProcessPoolExecutor(min(jobs, len(items)), _SPAWN, worker.start, (None,))
    with interruption.deferred(), pool, _killed_at_the_end():
        futures = [pool.submit(function, item) for item in items]
        while concurrent.futures.wait(futures, POLL).not_done:
            interruption.check()
        return [future.result() for future in futures]


@contextlib.contextmanager
def _killed_at_the_end() -> Iterator[None]:
    """Kill the processes that were started within this context at its end; their pools then end by themselves.

    They have nothing to save, an orderly end takes a second, and they may have inherited that SIGTERM is ignored.
    """
    others = {process.pid for process in multiprocessing.active_children()}
    try:
        yield
    finally:
        for process in multiprocessing.active_children():
            if process.pid not in others:
                process.kill()


def _group(task: Task) -> Hashable:
    """Give the key of the tasks that a worker should compute after each other."""
    return (
        task.experiment,
        task.config,
        task.protocol,
        task.seed is None,
        task.detector is None,
        task.is_training and task.detector,
    )


def _groups(tasks: Sequence[Task]) -> dict[Hashable, list[Task]]:
    groups: dict[Hashable, list[Task]] = {}
    for task in tasks:
        groups.setdefault(_group(task), []).append(task)
    return groups


def _next_group(
    waiting: Mapping[Hashable, Sequence[Task]], seconds: Seconds, last: Task | None, others: Sequence[Task]
) -> Hashable:
    """Choose the group of the next task of a worker.

    It stays with the group of its last task. Otherwise it takes the group with the longest expected time that no other
    worker computes, or if there is none, helps with the longest one.

    Args:
        waiting: the waiting tasks by group; at least one group.
        seconds: expected duration of each task; tasks without one count as 0.
        last: the last task of this worker.
        others: the tasks that the other workers compute.
    """
    if last is not None and _group(last) in waiting:
        return _group(last)
    free = waiting.keys() - {_group(task) for task in others}
    # Of equally long groups the first.
    candidates = [key for key in waiting if key in free] or list(waiting)
    return max(candidates, key=lambda key: sum(seconds.get(task, 0.0) for task in waiting[key]))


def _forward(events: Any, tasks: Sequence[Task], running: Running) -> None:
    """Forward the events of the worker processes: starts of tasks and ends of epochs."""
    while not events.empty():
        number, *progress = events.get()
        if len(progress) == 1:
            running.started(tasks[number])
        else:
            running.epoch(tasks[number], *progress)


def _on_a_cluster(tasks: Sequence[Task], running: Running, address: str) -> Outcomes:
    """Compute tasks on a Dask cluster, whose scheduler and workers need the suite, but no access to this machine."""
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
        _require_suite(client, tasks)
        try:
            futures = {executor.submit(worker.compute_far_away, task, task.digest): task for task in tasks}
            for future in concurrent.futures.as_completed(futures):
                running.started(futures[future])
                try:
                    yield futures[future], future.result()
                except DataError:
                    raise
                except Exception as error:  # noqa: BLE001  any exception from the cluster is a failure of this task
                    yield futures[future], worker.failed(f"{type(error).__name__}: {error}")
        finally:
            executor.shutdown(wait=False)  # all tasks are done, or the caller has stopped


def _require_suite(client: Any, tasks: Sequence[Task]) -> None:
    """Check that the scheduler and all present workers of a Dask cluster can import the suite and the experiments.

    The scheduler reads every task on its way to a worker. Without the suite it fails with a message about task graphs.
    """
    names = [f"{worker.__name__}:compute_far_away", *{f"{task.experiment.module}:EXPERIMENT" for task in tasks}]
    for place, call in (("scheduler", client.run_on_scheduler), ("workers", client.run)):
        try:
            for name in names:
                call(pkgutil.resolve_name, name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"the Dask {place} cannot import this package ({error}); the scheduler and all workers need it"
            ) from error
