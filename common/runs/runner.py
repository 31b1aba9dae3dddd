"""Execute the missing tasks, report their progress, and write their records.

A task is a run of an experiment or a detector. An experiment may also have results that do not depend on the seed
(`Experiment.once`). They are computed once for all seeds of a config, as a task of their own with its own record, and
merged into the result of each run.

The results are the same for sequential, parallel and cluster execution: a run depends only on its task, and all records
are written here.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.data import datasets
from common.errors import DataError
from common.files import digest_of
from common.own.data import OwnData
from common.runs import records, worker
from common.runs.executors import Execution, Listener, Running, outcomes_of
from common.runs.records import Record
from common.runs.selection import find_records
from common.runs.tasks import Task
from common.runs.worker import Outcome


def expected_seconds(tasks: Sequence[Task]) -> float | None:
    """Estimate the computing time of runs from the durations of earlier runs.

    Runs without earlier ones are assumed to take the mean of the others. Detectors, and results that do not depend on
    the seed, are not counted.

    Args:
        tasks: the tasks that would be executed.

    Returns:
        Seconds, summed over all runs; `None` if there are no earlier runs.
    """
    known = earlier_seconds(tasks)
    return statistics.fmean(known.values()) * sum(task.is_run for task in tasks) if known else None


def earlier_seconds(tasks: Iterable[Task]) -> dict[Task, float]:
    """Find the median duration of earlier runs with the same config and data, for the runs among these tasks.

    Where there are none, those that differ in the classes alone count, as in a sweep.
    """
    runs = [task for task in tasks if task.is_run]
    durations: dict[str, list[float]] = {}
    for out, name in {(task.out, task.name) for task in runs}:
        for found in find_records(out, name):
            record = found.record  # `None` if it is damaged
            if record is not None and record.status == records.OK:
                for key in (record.digest, _but_for_classes(record.protocol, record.config, record.data)):
                    durations.setdefault(key, []).append(record.durations["total"])
    keys = {task: (task.digest, _but_for_classes(task.protocol, task.config.to_dict(), task.data)) for task in runs}
    known = {task: durations.get(digest) or durations.get(alike) for task, (digest, alike) in keys.items()}
    return {task: statistics.median(found) for task, found in known.items() if found}


def _but_for_classes(protocol: str, config: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """Compute a digest of what a run takes, but for the classes that are normal and anomalous."""
    other = {name: value for name, value in config.items() if name not in ("normal", "anomaly")}
    return digest_of([protocol, other, dict(data)])


def execute(tasks: Iterable[Task], listener: Listener, execution: Execution | None = None) -> list[Record]:
    """Execute all tasks without a record of a successful computation, and write a record of each.

    A task that fails is recorded as failed, with its error, and the others continue. Tasks whose data are missing or
    damaged are left out, without a record, and the error is raised when the others are done. On `KeyboardInterrupt`,
    the tasks that are running are recorded as interrupted before it is raised again.

    Args:
        tasks: the runs and detectors.
        listener: receives the progress.
        execution: options for the execution. Default: sequential, in this process.

    Returns:
        The records of all tasks, each once, in their order.

    Raises:
        DataError: the data of a task are missing or damaged; several errors are joined.
    """
    execution = execution or Execution()
    problems: dict[str, None] = {}
    tasks = _usable(tasks, lambda task: task.data, problems)
    found = {task: None if execution.fresh else task.finished() for task in tasks}
    for task, record in found.items():
        if record is not None:
            listener.skipped(task, record)
    missing = _usable([task for task, record in found.items() if record is None], _check_data, problems)
    parts, missing_parts = _shared_parts(missing, execution.fresh)
    for task in (*missing_parts, *missing):
        if problem := records.set_aside(task.folder):
            listener.damaged(task, problem)
    running = Running(listener)
    # Only parallel workers choose the order of their tasks.
    seconds = earlier_seconds(missing) if execution.jobs > 1 else {}
    try:
        # Close the generator explicitly: after an error, a reference to its traceback would keep the workers alive.
        with contextlib.closing(outcomes_of(missing_parts, running, execution, {})) as outcomes:
            for task, outcome in outcomes:
                _write(task, outcome)
                parts[task] = outcome
        with contextlib.closing(outcomes_of(missing, running, execution, seconds)) as outcomes:
            for task, outcome in outcomes:
                whole = _merged(outcome, parts[task.shared]) if task.shared else outcome
                found[task] = record = _write(task, whole)
                running.finished(task, record, whole.details)
    except KeyboardInterrupt:
        for task in running.tasks:
            _write_unfinished(task, _record(task, Outcome(records.INTERRUPTED, error="interrupted")))
        raise
    if problems:
        raise DataError("; ".join(problems))
    return [record for record in found.values() if record is not None]


def _usable(tasks: Iterable[Task], check: Callable[[Task], object], problems: dict[str, None]) -> list[Task]:
    """Keep the tasks whose data pass a check, which is made once for each data set; add the errors of the others."""
    tasks = list(tasks)
    first = {(task.experiment.dataset, task.source): task for task in reversed(tasks)}
    refused = set()
    for data, task in first.items():
        try:
            check(task)
        except DataError as error:
            problems[str(error)] = None
            refused.add(data)
    return [task for task in tasks if (task.experiment.dataset, task.source) not in refused]


def _check_data(task: Task) -> None:
    if isinstance(task.source, OwnData):
        task.load()
    elif task.experiment.dataset is not None:
        datasets.check(task.experiment.dataset, task.source)


# Results that do not depend on the seed.


def _shared_parts(tasks: Iterable[Task], fresh: bool) -> tuple[dict[Task, Outcome], list[Task]]:
    """Read the results of `Experiment.once` for these runs, and list the tasks of those that are missing."""
    parts: dict[Task, Outcome] = {}
    missing = []
    for task in dict.fromkeys(task.shared for task in tasks):
        if task is None:
            continue
        record = None if fresh else task.finished()
        if record is None:
            missing.append(task)
        else:
            arrays = records.read_arrays(task.folder, record)
            parts[task] = Outcome(records.OK, record.metrics, record.undefined, arrays, record.decisions)
    return parts, missing


def _merged(outcome: Outcome, part: Outcome) -> Outcome:
    """Add the results of `Experiment.once` to the outcome of a run; if either failed, the run failed."""
    if outcome.status != records.OK:
        return outcome
    if part.status != records.OK:
        return part
    repeated = sorted({*part.metrics, *part.arrays} & {*outcome.metrics, *outcome.arrays})
    if repeated:
        return worker.failed(f"ValueError: run and once both return {', '.join(repeated)}")
    return replace(
        outcome,
        metrics={**part.metrics, **outcome.metrics},
        undefined={**part.undefined, **outcome.undefined},
        arrays={**part.arrays, **outcome.arrays},
        decisions=(*part.decisions, *outcome.decisions),
    )


# Records.


def _write(task: Task, outcome: Outcome) -> Record:
    record = _record(task, outcome)
    if outcome.status == records.OK:
        return records.write_run(task.folder, record, outcome.arrays, model=outcome.model)
    _write_unfinished(task, record)
    return record


def _write_unfinished(task: Task, record: Record) -> None:
    """Write the record of a failed or interrupted task, without overwriting that of a successful one."""
    records.write_run(task.folder, record, unless_finished=True)


def _record(task: Task, outcome: Outcome) -> Record:
    return Record(
        experiment=task.name,
        protocol=task.protocol,
        digest=task.digest,
        seed=task.seed,
        status=outcome.status,
        config=task.config.to_dict(),
        revision=task.revision,
        data=task.data,
        metrics=outcome.metrics,
        undefined=outcome.undefined,
        decisions=outcome.decisions,
        error=outcome.error,
        environment=outcome.environment,
        durations=outcome.durations,
    )
