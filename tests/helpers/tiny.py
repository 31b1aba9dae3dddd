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

# Settings of each experiment for one or two epochs of a small network.
SMALL = {
    "mnist_conv_ae": {"epochs": 1, "scored_images": 20, "scattered_normal": 40, "scattered_anomalies": 10},
    "fashion_latent_ocsvm": {"epochs": 1, "units": (16, 8)},
    "rare_event_lstm_ae": {"epochs": 2, "units": (4, 2), "batch_size": 64},
    "rare_event_dense_ae": {"epochs": 2, "units": (8, 4, 4, 8), "batch_size": 64},
    "rare_event_relu_lstm_ae": {"epochs": 2, "units": (4, 2), "batch_size": 64},
    "curves_dense_ae": {
        "normal_curves": 200,
        "anomalous_curves": 40,
        "validation_curves": 20,
        "points": 32,
        "max_features": 8,
        "trees": 5,
        "units": (16, 4),
        "epochs": 2,
    },
    "mnist_dense_ae": {"epochs": 1, "units": (16, 8)},
}


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
