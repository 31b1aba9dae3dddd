"""What the commands that run something have in common: their tasks, seeds and protocols, and the display of a run."""

import argparse
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.config import BaseConfig, from_options
from common.data.datasets import DATASETS, Source
from common.data.images import Class, Images
from common.data.sheet_breaks import BreakSplits
from common.errors import ConfigError, DataError
from common.experiment import FALSE_POSITIVE_RATE, HELD_OUT, PROTOCOLS, REST, Experiment
from common.own.data import OwnData, Reading, find
from common.runs import records
from common.runs.tasks import Task, load_own

# A threshold for 5 % false alarms needs so many normal samples that are neither trained on nor scored.
FEWEST_HELD_BACK = round(1 / FALSE_POSITIVE_RATE) - 1
# Options for reading a user's own data.
READING = ("time", "label", "drop", "fill")
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
    source = source_of(experiment, options)
    saved = getattr(options, "save_model", False)
    if saved:
        from common.runs.models import require_savable

        require_savable(experiment, configs[0])
    if not isinstance(source, OwnData):
        for config in configs:
            _require_published_classes(experiment, config)
    return [
        Task(experiment, config, protocol, seed, options.out, source, save_model=saved)
        for config in configs
        for protocol in protocols or protocols_of(options)
        for seed in seeds
    ]


def protocols_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Give the protocols that the options choose; on a user's own data it is by default the held-out one."""
    chosen = options.protocol or (HELD_OUT if isinstance(options.data, Path) else options.default_protocol)
    return PROTOCOLS if chosen == "both" else (chosen,)


def source_of(experiment: Experiment, options: argparse.Namespace) -> Source | OwnData:
    """Find the data that the options choose for an experiment.

    Raises:
        ConfigError: options for reading a user's own data that do not fit.
        DataError: a user's own data cannot be read.
    """
    given = {name: value for name, value in vars(options).items() if name in READING}
    if not isinstance(options.data, Path):
        if given:
            raise ConfigError(f"--{next(iter(given))} is for your own data; it needs --data PATH")
        return Source(options.data, options.data_dir)
    if options.data_dir is not None:
        raise ConfigError("--data PATH names your data; leave --data-dir out")
    drop = tuple(given.pop("drop", ()))
    return _found(options.data, kind_of(experiment), Reading(**given, drop=drop))


# Once for all tasks of a command, since the files are read whole.
_found = functools.cache(find)


def kind_of(experiment: Experiment) -> str:
    """Name the kind of data that an experiment takes: "images", "table" or "rows"."""
    if experiment.dataset is None:
        return "rows"
    return "images" if DATASETS[experiment.dataset].classes else "table"


def on_own_data(
    experiment: Experiment, source: OwnData, options: argparse.Namespace
) -> tuple[Experiment, BaseConfig, bool]:
    """Make an experiment and its hyperparameters for a user's own data.

    Of images, the normal class must be chosen, unless there are training images of one class only; all others are
    anomalies, unless one is chosen.

    Returns:
        Both, and whether the data say which test samples are anomalies.

    Raises:
        ConfigError: the options do not fit the data.
        DataError: the data have changed since they were found, or have no images of a class.
    """
    from common.figures import OF_OWN_DATA

    chosen = argparse.Namespace(**vars(options))
    if generator := [name for name in experiment.generator if hasattr(options, name)]:
        raise ConfigError(f"--{generator[0].replace('_', '-')} is for generated curves, not for your own data")
    data = load_own(source)
    if source.kind == "images":
        chosen.normal, chosen.anomaly = _own_classes(data, options)
    elif hasattr(options, "normal") or hasattr(options, "anomaly"):
        raise ConfigError("--normal and --anomaly are for images")
    config = from_options(experiment.config, chosen)
    labelled = _require_splittable(experiment, source, data, config, protocols_of(options)[0])
    return experiment.on_own_data(config, OF_OWN_DATA, labelled), config, labelled


def _require_splittable(experiment: Experiment, source: OwnData, data: Any, config: BaseConfig, protocol: str) -> bool:
    """Check before any run that a user's own data can be split, and that enough is held back for a threshold.

    Returns:
        True if the data say which test samples are anomalies.

    Raises:
        DataError: there are too few samples, or events at the wrong places.
    """
    try:
        splits = experiment.split(data, config, protocol, 0)
    except ValueError as error:
        problem = " ".join(str(error).split())
        raise DataError(f"{source.path} cannot be split as {experiment.name} does: {problem}") from error
    if len(splits.x_train) < 2 or not len(splits.x_test):
        raise DataError(f"{source.path}: {len(splits.x_train)} samples for training, {len(splits.x_test)} to score")
    if protocol == HELD_OUT:
        if isinstance(splits, BreakSplits):
            held_back = int(np.sum(splits.parts["validation"].y == 0))
        else:
            held_back = 0 if splits.held_back is None else len(splits.held_back)
        if held_back < FEWEST_HELD_BACK:
            raise DataError(
                f"{source.path}: {held_back} normal samples are left for the threshold, beside "
                f"{len(splits.x_train)} for training; {FEWEST_HELD_BACK} are needed"
            )
    return splits.labelled


def _own_classes(images: Images, options: argparse.Namespace) -> tuple[Class, Class]:
    """Choose the normal and the anomalous class of a user's own images."""
    if images.y_train is None:
        return "normal", REST
    train = np.unique(images.y_train).tolist()
    if not hasattr(options, "normal") and len(train) > 1:
        raise ConfigError(f"choose the normal class with --normal: {', '.join(map(str, train))}")
    known = {str(one): one for one in [*train, *images.y_test.tolist()]}
    normal, anomaly = getattr(options, "normal", train[0]), getattr(options, "anomaly", REST)
    return known.get(str(normal), normal), known.get(str(anomaly), anomaly)


def _require_published_classes(experiment: Experiment, config: BaseConfig) -> None:
    """Check that the classes of a config are those of the published data.

    Raises:
        ConfigError: there is no such class.
    """
    classes = range(len(DATASETS[experiment.dataset].classes)) if experiment.dataset else range(0)
    for field in ("normal", "anomaly") if classes else ():
        value = getattr(config, field)
        if value not in (*classes, REST):
            raise ConfigError(f"{field} must be a class from 0 to {classes[-1]}. Received: {field}={value}")


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
