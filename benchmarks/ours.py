"""Our way: the experiments as they are."""

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import Problem, load_problem, load_problems, load_splits
from benchmarks.rows import PUBLISHED_EPOCHS
from common.experiment import load_experiment
from common.metrics.scores import reconstruction_error
from common.runs import executors, runner
from common.runs.environment import cores
from common.runs.records import OK, Record
from common.runs.tasks import Task
from common.training.fit import fit, reconstruct
from common.training.keras import give_threads, seeded, start_keras
from common.training.reuse import LastModel
from experiments import EXPERIMENTS

# The experiments of the two rows that measure scoring and windows instead of training.
SCORED, WINDOWED = "mnist_conv_ae", "rare_event_lstm_ae"

Mark = Callable[[str], None]
Work = Callable[[Mark], object]


def prepare(row: str, epochs: Mapping[str, int], threads: int | None) -> Work:
    """Return the function to be timed for a row; `threads` limits its threads (default: one for each core).

    Several seeds are trained on one thread, since runs side by side share the cores.
    """
    if row == "end_to_end":
        return lambda mark: run_all()
    if row == "windows":
        scaled_windows()  # The first load parses the table and writes the cached copy that the second load reads.
        return lambda mark: scaled_windows()
    give_threads(threads or (1 if ":" in row else cores()))
    start_keras()
    if row == "scoring":
        model, images = load_problem(SCORED).build(), images_to_score()
        return lambda mark: score(model, images)
    problems = load_problems(row)

    def train_all(mark: Mark) -> None:
        last = LastModel()
        for problem in problems:
            name = problem.experiment.name
            train(problem, epochs[name], functools.partial(mark, f"{name}:{problem.seed}"), last)

    return train_all


def train(problem: Problem, epochs: int, on_epoch_end: Callable[[], None], last: LastModel | None = None) -> Any:
    """Build and train the autoencoder of an experiment as its `run` does, and return the model.

    Args:
        problem: the problem.
        epochs: number of epochs.
        on_epoch_end: called after every epoch.
        last: the model of the last training, reused for this one as a worker process does. Default: compile anew.
    """
    with seeded(problem.seed):
        model = (last or LastModel()).get(problem.inputs.shape[1:], problem.build)
        fit(
            model,
            problem.inputs,
            epochs=epochs,
            batch_size=problem.config.batch_size,
            seed=problem.seed,
            parts=problem.experiment.parts,
            validation=problem.validation,
            on_epoch_end=on_epoch_end,
        )
    return model


def images_to_score() -> np.ndarray:
    """Load the first 200 test images of each class, as in the source."""
    experiment = load_experiment(EXPERIMENTS[SCORED])
    return load_splits(experiment, experiment.config()).x_test


def score(model: Any, images: np.ndarray) -> np.ndarray:
    """Compute the reconstruction error of every image."""
    return reconstruction_error(images, reconstruct(model, images))


def scaled_windows() -> Any:
    """Load the table and cut it into scaled training, validation and test windows."""
    experiment = load_experiment(EXPERIMENTS[WINDOWED])
    return load_splits(experiment, experiment.config())


class Strict:
    """A listener that raises an error when a run fails, since a failed run would look fast."""

    def skipped(self, task: Task, record: Record) -> None:
        """Do nothing; never called, since the folder is new."""

    def damaged(self, task: Task, problem: str) -> None:
        """Do nothing; never called, since the folder is new."""

    def started(self, task: Task) -> None:
        """Do nothing."""

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Do nothing."""

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Raise an error if the run failed."""
        if record.status != OK:
            raise RuntimeError(details or record.error)


def run_all() -> None:
    """Run every experiment for seed 0 as the command line does: one run per core at a time."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = []
        for name in EXPERIMENTS:
            experiment = load_experiment(EXPERIMENTS[name])
            changes: dict[str, Any] = {"epochs": PUBLISHED_EPOCHS[name]}
            if hasattr(experiment.config, "patience"):  # Never reached, so that both ways run equally many epochs.
                changes["patience"] = changes["epochs"]
            config = experiment.config(**changes)
            tasks.append(Task(experiment, config, "published", 0, Path(folder)))
        runner.execute(tasks, Strict(), executors.Execution(jobs=cores()))
