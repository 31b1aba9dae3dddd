"""Dense autoencoder on handwritten digits: it learns the ones, and the nines are the anomalies.

Source: "[PYTHON] Anomaly detection using MNIST by Autoencoder (PyTorch)", a rendering of a Japanese article, 2020
    (document 004), and the author's repository with the settings and an executed notebook,
    https://github.com/satolab12/anomaly-detection-using-autoencoder-PyTorch. Written in PyTorch.

Claim: An autoencoder that has seen nothing but ones gives ones back and fails on nines, so that the absolute difference
    between input and output separates them.

Method: The training images of the digit 1, scaled to [-1, 1], train 784-256-128-64 and back, with ReLU after the hidden
    layers, a linear code and a tanh output. The score of a test image is the sum over its pixels of the absolute
    difference to its reconstruction, both brought back to [0, 1]. The source shows it under six test images.

Deviations:
    1. Keras 3 on TensorFlow instead of PyTorch, the training step compiled by XLA. PyTorch's initialisation is written
       out: weights and biases uniform in +-1/sqrt(fan_in).
    2. PyTorch's `weight_decay` is written out as well: Adam is handed the gradient of weights and biases with the
       decay added. Epsilon is PyTorch's, but Keras adds it before it corrects the second moment, PyTorch after: a
       smaller step where gradients vanish.
    3. Training runs on a CPU; the source used a GPU.
    4. Weights, batch order and the images shown derive from the seed of the run. The source has no seed.
    5. The source prints scores under the first six images of a shuffled test set, in two runs, and does not say which
       images they are: those numbers are draws over images as much as over runs. So each run of ours draws as many ones
       and nines as each of the two figures shows, and its sorted scores are what the sorted printed scores are compared
       with. How many of the six are nines is taken as given.
    6. The source prints the loss of the last batch of every epoch. That batch holds the 6 images that 421 batches of 16
       leave over. Ours is that of the last batch too, with the weights before its step, as a training loop prints it.
    7. The article speaks of about 6000 training images; its code trains on all 6742 ones, and so do we.
    8. Added: AUROC, average precision, ROC curve and score histogram over all ones and nines of the test set, which the
       source announces and does not give.

Protocols:
    1. Published: nothing is chosen by a score, and no test image is trained on; but nothing is decided either. Held
       out: a fifth of the training ones is kept back from training, and the threshold is the 95th percentile of their
       scores. The whole test set is scored in both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import figures
from common.config import BaseConfig, option
from common.data.images import Images
from common.errors import ConfigError
from common.experiment import FALSE_POSITIVE_RATE, HELD_OUT, Arrays, Experiment, Result, Splits, hold_back
from common.metrics.scores import Metric, by_epoch, ranking_metrics, reconstruction_error, with_labels
from common.metrics.thresholds import percentile_of_normals, threshold_metrics
from common.training import torch_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras

# The source's two figures with scores: how many ones and how many nines each shows.
SHOWN = {"scores_2020_05": (3, 3), "scores_2020_12": (4, 2)}


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters, each an option of the command line."""

    normal_digit: int = option(1, "the digit that is trained on", minimum=0, maximum=9)
    abnormal_digit: int = option(9, "the digit that is to be detected", minimum=0, maximum=9)
    units: tuple[int, ...] = option((256, 128, 64), "width of the encoder's layers, mirrored", minimum=1)
    epochs: int = option(10, "passes over the training images", minimum=1)
    batch_size: int = option(16, "images of one training step", minimum=1)
    learning_rate: float = option(3e-4, "of Adam", minimum=0.0)
    weight_decay: float = option(1e-5, "PyTorch's kind, added to the gradient", minimum=0.0)

    def check(self) -> None:
        """Two digits."""
        if self.normal_digit == self.abnormal_digit:
            raise ConfigError(f"normal_digit and abnormal_digit must differ. Received: both are {self.normal_digit}")


# The data.


def split(data: Images, config: Config, protocol: str, seed: int) -> Splits:
    """Pick the training ones, and all test ones and test nines to score, ones before nines.

    Images are flattened to shape `(images, 784)` and scaled to [-1, 1]. Nothing leaks here: no test image is trained
    on, and nothing is chosen by its score. Held out, some training ones are kept back for a threshold.
    """
    x_train, held_back = flatten(data.x_train[data.y_train == config.normal_digit]), None
    if protocol == HELD_OUT:
        x_train, held_back = hold_back(x_train)
    x_test, y_test = with_labels(
        flatten(data.x_test[data.y_test == config.normal_digit]),
        flatten(data.x_test[data.y_test == config.abnormal_digit]),
    )
    return Splits(x_train=x_train, x_test=x_test, y_test=y_test, code_size=config.units[-1], held_back=held_back)


def flatten(images: np.ndarray) -> np.ndarray:
    """Flatten pixels of 0 to 255, shape `(images, 28, 28)`, to rows of numbers between -1 and 1."""
    return np.asarray((images.reshape(len(images), -1).astype(np.float32) / 255 - 0.5) / 0.5)


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build the dense autoencoder, compiled: ReLU after the hidden layers, a linear code, tanh as output."""
    keras = start_keras()
    inputs = keras.Input(shape, name="image")
    x = inputs
    *hidden, code = config.units
    activations = ["relu"] * len(hidden) + ["linear"] + ["relu"] * len(hidden) + ["tanh"]
    for units, activation in zip([*hidden, code, *reversed(hidden), shape[0]], activations, strict=True):
        x = torch_defaults.dense(x, units, activation=activation)
    autoencoder = keras.Model(inputs, x, name="mnist_dense_ae")
    autoencoder.compile(
        optimizer=torch_defaults.adam(config.learning_rate, weight_decay=config.weight_decay),
        loss=keras.losses.MeanSquaredError(),
        metrics=[torch_defaults.mean_of_batch_means, last_batch_loss()],
        jit_compile=True,
    )
    return autoencoder


def last_batch_loss() -> Any:
    """Make a metric of Keras: the mean squared error of the latest batch, with the weights before that batch's step."""
    keras = start_keras()

    class LastBatchLoss(keras.metrics.MeanSquaredError):  # type: ignore[misc, name-defined]
        """A mean squared error that forgets every batch as soon as the next one comes."""

        def update_state(self, *batch: Any, **options: Any) -> Any:
            self.reset_state()
            return super().update_state(*batch, **options)

    return LastBatchLoss(name="last_batch_loss")


# The run.


def run(autoencoder: Any, splits: Splits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    x, labels = splits.x_test, splits.y_test
    metrics: dict[str, Metric] = {
        "data.train_normal": len(splits.x_train),
        "data.test_normal": int(np.sum(labels == 0)),
        "data.test_abnormal": int(np.sum(labels == 1)),
    }
    history = fit(autoencoder, splits.x_train, epochs=config.epochs, batch_size=config.batch_size, seed=seed)
    losses, last_batch_losses = history["mean_of_batch_means"], history["last_batch_loss"]
    metrics |= by_epoch("last_batch_loss", last_batch_losses) | by_epoch("loss", losses)

    reconstructions = reconstruct(autoencoder, x)
    scores = anomaly_scores(x, reconstructions)

    shown = draw_shown(labels, seed)
    for figure, indices in shown.items():
        metrics |= sorted_scores(figure, labels[indices], scores[indices])

    metrics |= ranking_metrics("autoencoder", labels, scores)
    metrics["score.normal_median"] = float(np.median(scores[labels == 0]))
    metrics["score.anomaly_median"] = float(np.median(scores[labels == 1]))
    grid = shown["scores_2020_05"]
    arrays = {
        "labels": labels.astype(np.uint8),
        "scores": scores,
        "losses": np.array(losses),
        "last_batch_losses": np.array(last_batch_losses),
        "shown": grid,
        "shown_images": as_pictures(x[grid]).astype(np.float16),
        "shown_reconstructions": as_pictures(reconstructions[grid]).astype(np.float16),
    }
    if splits.held_back is not None:
        reconstructions = reconstruct(autoencoder, splits.held_back)
        metrics["held_back.loss"] = float(reconstruction_error(splits.held_back, reconstructions).mean())
        held_back_scores = anomaly_scores(splits.held_back, reconstructions)
        threshold = percentile_of_normals(held_back_scores, FALSE_POSITIVE_RATE, "training ones kept back")
        metrics |= threshold_metrics("percentile", threshold, labels, scores)
        arrays["threshold"] = np.array(threshold.value)
    return Result(metrics, arrays)


def anomaly_scores(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Sum over the pixels of the absolute difference, both images brought from [-1, 1] back to [0, 1].

    Args:
        images: shape `(images, pixels)`.
        reconstructions: the same shape.

    Returns:
        Scores, shape `(images,)`, between 0 and the number of pixels.
    """
    return np.asarray(np.abs(images / 2 - reconstructions / 2).sum(axis=1))


def draw_shown(labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Draw the test images that this run shows for each figure of the source: ones before nines, none of them twice.

    Args:
        labels: of the test images, shape `(images,)`, 1 for an anomaly.
        seed: of the run; the draw is from a generator of its own.

    Returns:
        Indices of test images by name of the figure.
    """
    generator = np.random.default_rng(seed)
    return {
        figure: np.concatenate(
            [
                generator.choice(np.flatnonzero(labels == label), count, replace=False)
                for label, count in enumerate(counts)
            ]
        )
        for figure, counts in SHOWN.items()
    }


def sorted_scores(figure: str, labels: np.ndarray, scores: np.ndarray) -> dict[str, Metric]:
    """Sort the scores under the images of one figure by class: `<figure>.normal_1`, `<figure>.anomaly_1`."""
    return {
        f"{figure}.{name}_{rank}": float(score)
        for label, name in enumerate(figures.CLASS_NAMES)
        for rank, score in enumerate(np.sort(scores[labels == label]), start=1)
    }


def as_pictures(rows: np.ndarray) -> np.ndarray:
    """Turn rows of numbers between -1 and 1 into square pictures between 0 and 1, shape `(images, height, width)`."""
    side = round(rows.shape[1] ** 0.5)
    return np.asarray((rows / 2 + 0.5).reshape(len(rows), side, side))


# The figures of the source, drawn from saved arrays alone, and the two that it announces.


def draw_loss(arrays: Arrays) -> figures.Drawing:
    """Training loss by epoch: the mean over the batches, and the last batch alone."""
    figure, axes = figures.canvas(columns=1, height=2.8)
    epochs = np.arange(1, len(arrays["losses"]) + 1)
    axes[0].plot(epochs, arrays["losses"], marker="o", markersize=3, label="mean of all batches")
    axes[0].plot(epochs, arrays["last_batch_losses"], marker="o", markersize=3, label="last batch", linestyle="--")
    axes[0].set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None))
    axes[0].legend()
    caption = "Training loss by epoch: what the source draws, the mean, and what it prints, the last and partial batch."
    return figures.Drawing("loss", caption, figure)


def draw_differences(arrays: Arrays) -> figures.Drawing:
    """Six test images, their reconstructions, and the absolute difference with the score under each."""
    images = arrays["shown_images"].astype(np.float32)
    reconstructions = arrays["shown_reconstructions"].astype(np.float32)
    figure, axes = figures.canvas(columns=len(images), height=4.4, rows=3)
    rows = axes.reshape(3, -1)
    for column, index in enumerate(arrays["shown"]):
        figures.image(rows[0, column], images[column], title=figures.CLASS_NAMES[arrays["labels"][index]])
        figures.image(rows[1, column], reconstructions[column])
        difference = np.abs(images[column] - reconstructions[column])
        figures.image(rows[2, column], difference, cmap="jet")
        rows[2, column].text(
            0.5,
            -0.08,
            f"score {arrays['scores'][index]:.1f}",
            transform=rows[2, column].transAxes,
            ha="center",
            va="top",
        )
    caption = (
        "Test images drawn by the run, their reconstructions, and the absolute differences with their sum as score."
    )
    return figures.Drawing("differences", caption, figure)


def draw_roc(arrays: Arrays) -> figures.Drawing:
    """ROC curve over all ones and nines of the test set."""
    figure, axes = figures.canvas(columns=1, height=4.0)
    figures.roc_curves(axes[0], arrays["labels"], {"autoencoder": arrays["scores"]})
    return figures.Drawing("roc", "ROC curve over the whole test set, which the source announces.", figure)


def draw_scores(arrays: Arrays) -> figures.Drawing:
    """Histogram of the scores by class over all ones and nines of the test set."""
    scores, labels = arrays["scores"], arrays["labels"]
    figure, axes = figures.canvas(columns=1, height=2.8)
    bins = np.linspace(0, scores.max(), 61)
    for label, name in enumerate(figures.CLASS_NAMES):
        axes[0].hist(scores[labels == label], bins, alpha=0.7, color=figures.CLASS_COLOURS[label], label=name)
    if "threshold" in arrays:
        threshold = float(arrays["threshold"])
        axes[0].axvline(threshold, label=f"threshold {threshold:.3g}", **figures.THRESHOLD_LINE)
    axes[0].set(xlabel="score", ylabel="test images")
    axes[0].legend()
    return figures.Drawing("scores", "Scores of the whole test set by class.", figure)


EXPERIMENT = Experiment(
    module=__name__,
    dataset="mnist",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    revision=2,
    methods={"dense autoencoder": "scores"},
    figures=(draw_loss, draw_differences, draw_roc, draw_scores),
    held_out_figures=(draw_scores,),
    # Explain a difference: the same experiment with one thing changed, run by `run mnist_dense_ae --ablate`.
    ablations={
        "trained half as long": {"epochs": 5},
        "a learning rate of 2e-4, all that is taken from another version of the source": {"learning_rate": 2e-4},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import main

    sys.exit(main(["run", "mnist_dense_ae", *sys.argv[1:]]))
