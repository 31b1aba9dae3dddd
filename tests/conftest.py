import os
from pathlib import Path

import pytest
from hypothesis import settings

from common.runs import runner
from common.runs.selection import Selection, select
from common.runs.tasks import Task, detector_tasks
from experiments import curves_dense_ae

# No deadlines: a busy machine must not fail a test. Derandomised: a failure comes again.
settings.register_profile("suite", deadline=None, derandomize=True)
# Looks further, and somewhere else each time: `make fuzz`.
settings.register_profile("fuzz", deadline=None, max_examples=20_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Small enough for a second of training, large enough that every class is in every split.
TINY = curves_dense_ae.Config(
    normal_curves=200,
    anomalous_curves=40,
    validation_curves=20,
    points=64,
    max_features=16,
    trees=5,
    units=(32, 16, 4),
    epochs=3,
)

# The same as words of a command line.
TINY_OPTIONS = [
    word
    for name, value in TINY.changes().items()
    for word in (f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value]))
]


class Silent:
    """A listener that remembers what it was told."""

    def __init__(self):
        self.told = []

    def skipped(self, task, record):
        self.told.append(("skipped", task.seed))

    def damaged(self, task, problem):
        self.told.append(("damaged", task.seed, problem))

    def started(self, task):
        self.told.append(("started", task.seed))

    def epoch(self, task, epoch, epochs, loss):
        self.told.append(("epoch", task.seed, epoch, epochs))

    def finished(self, task, record, details):
        self.told.append((record.status, task.seed))


@pytest.fixture
def listener():
    return Silent()


@pytest.fixture(scope="session")
def tiny_out(tmp_path_factory) -> Path:
    """An output folder with three finished tiny runs of the curves."""
    out = tmp_path_factory.mktemp("tiny")
    tasks = [Task(curves_dense_ae, TINY, "published", seed, out) for seed in range(3)]
    assert [record.status for record in runner.execute(tasks, Silent())] == ["ok"] * 3
    return out


@pytest.fixture(scope="session")
def tiny_both(tmp_path_factory) -> Path:
    """An output folder with two tiny runs of the curves in both protocols, and the detectors beside them."""
    out = tmp_path_factory.mktemp("both")
    runs = [
        Task(curves_dense_ae, TINY, protocol, seed, out) for protocol in ("published", "held_out") for seed in (0, 1)
    ]
    assert {record.error for record in runner.execute([*runs, *detector_tasks(runs)], Silent())} == {None}
    return out


@pytest.fixture(scope="session")
def tiny_selection(tiny_out) -> Selection:
    return select(tiny_out, "curves_dense_ae", "published", TINY.to_dict(), curves_dense_ae.REVISION)
