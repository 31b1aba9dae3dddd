"""Rows of the benchmark table: the ways compared in each, and the target ratios."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments import EXPERIMENTS

NOTEBOOK = "notebook"
OURS = "ours"
PYTORCH = "pytorch"
# The same ways limited to one thread, as our runs are that share the machine with others.
OURS_ONE_THREAD = "ours, one thread"
NOTEBOOK_ONE_THREAD = "notebook, one thread"
PYTORCH_ONE_THREAD = "pytorch, one thread"
# Our way with a process for each seed.
OURS_APART = "ours, a process each"

ONE_THREAD = (OURS_ONE_THREAD, NOTEBOOK_ONE_THREAD, PYTORCH_ONE_THREAD)
TRAINING_WAYS = (NOTEBOOK, OURS, PYTORCH, *ONE_THREAD)
SEEDS_WAYS = (OURS, OURS_APART, PYTORCH, PYTORCH_ONE_THREAD)
SEEDS = 10
TITLES = {NOTEBOOK: "the notebook's own way", OURS: "ours", PYTORCH: "eager PyTorch"}

# Epochs of one training as published. That of rare_event_lstm_ae stops early; 174 is the median over 20 seeds.
PUBLISHED_EPOCHS = {
    "mnist_conv_ae": 10,
    "fashion_latent_ocsvm": 50,
    "rare_event_lstm_ae": 174,
    "rare_event_dense_ae": 200,
    "rare_event_relu_lstm_ae": 200,
    "curves_dense_ae": 100,
    "mnist_dense_ae": 10,
}
# Epochs that are run unless `--full` or `--quick` is given: enough to separate the first epoch, which compiles the
# model, from the others, and for XLA to be used as in a whole training.
MEASURED_EPOCHS = {
    "mnist_conv_ae": 3,
    "fashion_latent_ocsvm": 6,
    "rare_event_lstm_ae": 12,
    "rare_event_dense_ae": 12,
    "rare_event_relu_lstm_ae": 6,
    "curves_dense_ae": 20,
    "mnist_dense_ae": 3,
}
QUICK_EPOCHS = dict.fromkeys(EXPERIMENTS, 3)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: name of the row; for a training the experiment, and if there are several, the range of their seeds.
        title: title in the tables.
        ways: the ways that are compared.
        targets: for a way the smallest ratio of its time to ours that reaches the target.
        experiments: the experiments that are trained, and whose epochs are counted.
        whole_process: `True` if the time includes the start of Python and all imports.
        rounds: largest number of rounds. Default: as many as asked for. Long rows need fewer, since their times add up
            many parts and vary less.
        once: the ways that are measured in the first round only.
    """

    name: str
    title: str
    ways: tuple[str, ...]
    targets: Mapping[str, float]
    experiments: tuple[str, ...] = ()
    whole_process: bool = False
    rounds: int | None = None
    once: tuple[str, ...] = ONE_THREAD

    @property
    def is_training(self) -> bool:
        """`True` if the row trains one experiment with one seed."""
        return PYTORCH in self.ways and not self.several_seeds

    @property
    def several_seeds(self) -> bool:
        """`True` if the row trains one experiment with several seeds."""
        return OURS_APART in self.ways


def _training(experiment: str, title: str, notebook: float, pytorch: float) -> Row:
    return Row(experiment, title, TRAINING_WAYS, {NOTEBOOK: notebook, PYTORCH: pytorch}, (experiment,))


def _seeds(experiment: str) -> Row:
    name, title = f"{experiment}:0-{SEEDS - 1}", f"{experiment}, {SEEDS} seeds"
    return Row(name, title, SEEDS_WAYS, {PYTORCH_ONE_THREAD: 1}, (experiment,), rounds=1, once=())


ROWS = (
    _training("curves_dense_ae", "curves_dense_ae, training", 4, 2),
    _training("rare_event_lstm_ae", "rare_event_lstm_ae, training, fixed epochs", 3, 1.2),
    _training("rare_event_dense_ae", "rare_event_dense_ae, training", 4, 2),
    _training("rare_event_relu_lstm_ae", "rare_event_relu_lstm_ae, training", 3, 1.2),
    _training("fashion_latent_ocsvm", "fashion_latent_ocsvm, training", 3, 1.5),
    _training("mnist_dense_ae", "mnist_dense_ae, training", 4, 2),
    _training("mnist_conv_ae", "mnist_conv_ae, training", 1.3, 1.2),
    *(_seeds(experiment) for experiment in MEASURED_EPOCHS),
    Row("scoring", "mnist_conv_ae, scoring 400 images", (NOTEBOOK, OURS), {NOTEBOOK: 50}),
    Row("windows", "rare_event, table to scaled windows, second load", (NOTEBOOK, OURS), {NOTEBOOK: 20}),
    Row(
        "end_to_end",
        f"all {len(EXPERIMENTS)}, one seed, end to end",
        (NOTEBOOK, OURS),
        {NOTEBOOK: 4},
        tuple(EXPERIMENTS),
        True,
        2,
    ),
)
