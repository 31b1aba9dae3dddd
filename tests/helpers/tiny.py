"""Tiny runs of the curves: settings small enough for a second of training, and a listener that remembers."""

from experiments import curves_dense_ae

CURVES = curves_dense_ae.EXPERIMENT

# Large enough that every class is in every split.
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
