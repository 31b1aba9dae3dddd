"""Our way: the experiments as they are, each on one thread."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import load_problem
from benchmarks.rows import PUBLISHED_EPOCHS
from common.cli.options import cores
from common.metrics.scores import reconstruction_error
from common.runs import runner
from common.runs.records import OK, Record
from common.runs.tasks import Task, import_experiment
from common.training import fit as training
from experiments import EXPERIMENTS, fashion_latent_ocsvm, mnist_conv_ae, rare_event_lstm_ae

Mark = Callable[[str], None]
Work = Callable[[Mark], object]


def prepare(row: str, epochs: Mapping[str, int], threads: int | None) -> Work:
    """What is to be timed of a row. The number of threads is the one that `common.training` fixes."""
    if row == "end_to_end":
        return lambda mark: run_all()
    if row == "windows":
        scaled_windows()  # the first load, which parses the table and keeps the copy that the second one reads
        return lambda mark: scaled_windows()
    training.start_keras()
    if row == "scoring":
        model, images = mnist_conv_ae.build_autoencoder(mnist_conv_ae.Config()).autoencoder, images_to_score()
        return lambda mark: score(model, images)
    problem = load_problem(row)
    return lambda mark: train(row, problem, epochs[row], lambda: mark(row))


def train(experiment: str, problem: Any, epochs: int, on_epoch_end: Callable[[], None]) -> Any:
    """Build and train the autoencoder of an experiment as its `run` does; gives the model."""
    with training.seeded(0):
        model = build(experiment, problem)
        training.fit(
            model,
            problem.inputs,
            epochs=epochs,
            batch_size=problem.config.batch_size,
            seed=0,
            validation=problem.validation,
            on_epoch_end=on_epoch_end,
        )
    return model


def build(experiment: str, problem: Any) -> Any:
    """The compiled autoencoder."""
    if experiment == "mnist_conv_ae":
        return mnist_conv_ae.build_autoencoder(problem.config).autoencoder
    if experiment == "fashion_latent_ocsvm":
        return fashion_latent_ocsvm.build_autoencoder(problem.config)[1]
    if experiment == "rare_event_lstm_ae":
        return rare_event_lstm_ae.build_autoencoder(problem.config, problem.inputs.shape[-1])
    return importlib.import_module(f"experiments.{experiment}").build_autoencoder(problem.config)


def images_to_score() -> np.ndarray:
    """The first 200 test images of each class, as in the source."""
    config = mnist_conv_ae.Config()
    splits = mnist_conv_ae.split(mnist_conv_ae.load(config), config, "published", 0)
    return np.concatenate([part[: config.scored_images] for part in (splits.normal_test, splits.abnormal_test)])


def score(model: Any, images: np.ndarray) -> np.ndarray:
    """The reconstruction error of every image."""
    return reconstruction_error(images, training.reconstruct(model, images))


def scaled_windows() -> Any:
    """From the table to scaled windows in training, validation and test."""
    config = rare_event_lstm_ae.Config()
    return rare_event_lstm_ae.split(rare_event_lstm_ae.load(config), config, "published", 0)


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
            experiment = import_experiment(name)
            changes = {"epochs": PUBLISHED_EPOCHS[name]}
            if name == "rare_event_lstm_ae":
                changes["patience"] = changes["epochs"]  # so that it never stops early: both ways run as many epochs
            tasks.append(Task(experiment, experiment.Config(**changes), "published", 0, Path(folder)))
        runner.execute(tasks, Strict(), runner.How(jobs=cores()))
