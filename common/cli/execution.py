"""What the commands that run something have in common: their tasks, seeds and protocols, and the display of a run."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common.config import BaseConfig
from common.data.datasets import Source
from common.errors import ConfigError
from common.experiment import PROTOCOLS, Experiment
from common.runs import records
from common.runs.tasks import Task

# Seeds of a sweep.
SWEEP_SEEDS = list(range(5))


def tasks_of(
    experiment: Experiment,
    configs: Sequence[BaseConfig],
    seeds: Sequence[int],
    options: argparse.Namespace,
    *protocols: str,
) -> list[Task]:
    """List the tasks of an experiment: each config in each protocol, or in those given, with each seed."""
    source = Source(options.data, options.data_dir)
    return [
        Task(experiment, config, protocol, seed, options.out, source)
        for config in configs
        for protocol in protocols or protocols_of(options)
        for seed in seeds
    ]


def protocols_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Give the protocols that the options choose."""
    return PROTOCOLS if options.protocol == "both" else (options.protocol,)


def execute(tasks: Sequence[Task], options: argparse.Namespace, tensorboard: bool = False) -> list[records.Record]:
    """Run tasks with the display and the settings that the options choose, and return their records."""
    from common.cli.progress import RunDisplay
    from common.runs import executors, runner

    require_writable(options.out)
    execution = executors.Execution(options.jobs, options.dask, options.fresh, tensorboard)
    display = RunDisplay(tasks, options.quiet, options.verbose)
    try:
        with display:
            return runner.execute(tasks, display, execution)
    except (KeyboardInterrupt, OSError):
        display.print_state()
        raise


def seeds_of(options: argparse.Namespace, default: list[int]) -> list[int]:
    """Give the seeds that the options choose, each once."""
    if not options.seeds:
        return default
    return list(dict.fromkeys(seed for seeds in options.seeds for seed in seeds))


def print_plan(tasks: Sequence[Task], fresh: bool) -> int:
    """Print what would be run and how long it would take, and return the exit status."""
    from common.cli import tables
    from common.runs import runner

    finished = [None if fresh else task.finished() for task in tasks]
    missing = [task for task, record in zip(tasks, finished, strict=True) if record is None]
    tables.print_plan(tasks, finished, runner.expected_seconds(missing))
    return 0


def require_writable(folder: Path) -> None:
    """Check that a folder can be written to, before the first run.

    Raises:
        ConfigError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error


def exit_status(outcomes: Sequence[records.Record]) -> int:
    """Give the exit status of some runs: 1 if one failed."""
    return int(any(record.status != records.OK for record in outcomes))
