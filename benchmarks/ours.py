"""Our way: the experiments as they are, each on one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import Problem, load_problem, load_splits
from benchmarks.rows import PUBLISHED_EPOCHS
from common.cli.options import cores
from common.experiment import load_experiment
from common.metrics.scores import reconstruction_error
from common.runs import executors, runner
from common.runs.records import OK, Record
from common.runs.tasks import Task
from common.training.fit import fit, reconstruct
from common.training.keras import seeded, start_keras
from experiments import EXPERIMENTS

# The experiments behind the rows that are no training.
SCORED, WINDOWED = "mnist_conv_ae", "rare_event_lstm_ae"

Mark = Callable[[str], None]
Work = Callable[[Mark], object]


def prepare(row: str, epochs: Mapping[str, int], threads: int | None) -> Work:
    """What is to be timed of a row. The number of threads is the one that `common.training.keras` fixes."""
    if row == "end_to_end":
        return lambda mark: run_all()
    if row == "windows":
        scaled_windows()  # the first load, which parses the table and keeps the copy that the second one reads
        return lambda mark: scaled_windows()
    start_keras()
    if row == "scoring":
        model, images = load_problem(SCORED).build(), images_to_score()
        return lambda mark: score(model, images)
    problem = load_problem(row)
    return lambda mark: train(problem, epochs[row], lambda: mark(row))


def train(problem: Problem, epochs: int, on_epoch_end: Callable[[], None]) -> Any:
    """Build and train the autoencoder of an experiment as its `run` does; gives the model."""
    with seeded(0):
        model = problem.build()
        fit(
            model,
            problem.inputs,
            epochs=epochs,
            batch_size=problem.config.batch_size,
            seed=0,
            validation=problem.validation,
            on_epoch_end=on_epoch_end,
        )
    return model


def images_to_score() -> np.ndarray:
    """The first 200 test images of each class, as in the source."""
    experiment = load_experiment(EXPERIMENTS[SCORED])
    return load_splits(experiment, experiment.config()).x_test


def score(model: Any, images: np.ndarray) -> np.ndarray:
    """The reconstruction error of every image."""
    return reconstruction_error(images, reconstruct(model, images))


def scaled_windows() -> Any:
    """From the table to scaled windows in training, validation and test."""
    experiment = load_experiment(EXPERIMENTS[WINDOWED])
    return load_splits(experiment, experiment.config())


class Strict:
    """A listener that lets no run fail, for a failed one would look fast."""

    def skipped(self, task: Task, record: Record) -> None:
        """Never: the folder is new."""

    def damaged(self, task: Task, problem: str) -> None:
        """Never, either."""

    def started(self, task: Task) -> None:
        """Nothing to do."""

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Nothing to do."""

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Refuse it."""
        if record.status != OK:
            raise RuntimeError(details or record.error)


def run_all() -> None:
    """Run every experiment for seed 0 as the command line does: as many processes side by side as there are cores."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = []
        for name in EXPERIMENTS:
            experiment = load_experiment(EXPERIMENTS[name])
            changes: dict[str, Any] = {"epochs": PUBLISHED_EPOCHS[name]}
            if hasattr(experiment.config, "patience"):  # never reached: both ways run as many epochs
                changes["patience"] = changes["epochs"]
            config = experiment.config(**changes)
            tasks.append(Task(experiment, config, "published", 0, Path(folder)))
        runner.execute(tasks, Strict(), executors.How(jobs=cores()))
