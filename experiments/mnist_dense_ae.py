"""Dense autoencoder on handwritten digits: trained on ones; nines are the anomalies.

Source: "[PYTHON] Anomaly detection using MNIST by Autoencoder (PyTorch)", a translation of a Japanese article, 2020
    (document 004), and the author's repository with the settings and an executed notebook,
    https://github.com/satolab12/anomaly-detection-using-autoencoder-PyTorch. Written in PyTorch.

Claim: An autoencoder trained on ones only reconstructs ones well and nines badly, so the absolute difference between
    input and output separates the two.

Method: The training images of the digit 1, scaled to [-1, 1], train a dense autoencoder of widths 784-256-128-64 and
    back, with ReLU after the hidden layers, a linear code and a tanh output. The score of a test image is the absolute
    difference between image and reconstruction, both scaled back to [0, 1], summed over the pixels. The source prints
    the score below each of six test images.

Deviations:
    1. Keras 3 on TensorFlow instead of PyTorch, with the training step compiled by XLA. PyTorch's initialisation is
       written out: weights and biases uniform in +-1/sqrt(fan_in).
    2. PyTorch's `weight_decay` is written out as well: the decay is added to the gradients of weights and biases that
       Adam receives. Epsilon has PyTorch's value, but Keras adds it before the second moment is corrected for bias and
       PyTorch after it, so our steps are smaller where gradients vanish.
    3. Training runs on a CPU; the source used a GPU.
    4. Weights, batch order and the images shown derive from the seed of the run. The source sets no seed.
    5. The source prints scores below the first six images of a shuffled test set, in two runs, and does not say which
       images they are. Its numbers therefore vary with the images as well as with the run. Each of our runs draws as
       many ones and nines as each of the two figures shows, and we compare its sorted scores with the sorted printed
       scores. The number of nines among the six is taken from the source.
    6. The source prints the loss of the last batch of every epoch. That batch holds the 6 images that remain after 421
       batches of 16. We record the same loss, computed with the weights before the step of that batch, as a training
       loop prints it.
    7. The article says about 6000 training images; its code trains on all 6742 ones, and so do we.
    8. Added: AUROC, average precision, ROC curve and score histogram over all ones and nines of the test set, which the
       source announces but does not show.

Protocols:
    1. Published: nothing is chosen on a score and no test image is trained on, but no threshold is set either. Held
       out: a fifth of the training ones is kept back from training, and the threshold is the 95th percentile of their
       scores. Both protocols score all ones and nines of the test set.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import figures
from common.config import BaseConfig, option
from common.data.images import Images
from common.errors import ConfigError
from common.experiment import FALSE_POSITIVE_RATE, Arrays, Experiment, Result, Splits, hold_back, with_labels
from common.metrics.scores import Metric, by_epoch, ranking_metrics, reconstruction_error
from common.metrics.thresholds import Threshold, decisions, percentile_of_normals, threshold_metrics
from common.training import torch_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras

# The source's two figures with scores: the number of ones and the number of nines in each.
SHOWN = {"scores_2020_05": (3, 3), "scores_2020_12": (4, 2)}


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters, each an option of the command line."""

    normal_digit: int = option(1, "digit that is normal and trained on", minimum=0, maximum=9)
    abnormal_digit: int = option(9, "digit that is the anomaly", minimum=0, maximum=9)
    units: tuple[int, ...] = option((256, 128, 64), "width of each encoder layer, mirrored in the decoder", minimum=1)
    epochs: int = option(10, "number of passes over the training images", minimum=1)
    batch_size: int = option(16, "number of images in one training step", minimum=1)
    learning_rate: float = option(3e-4, "learning rate of the Adam optimizer", minimum=0.0)
    weight_decay: float = option(1e-5, "factor of the weight decay, which is added to the gradient", minimum=0.0)

    def check(self) -> None:
        """Refuse the same digit as normal and as anomaly."""
        if self.normal_digit == self.abnormal_digit:
            raise ConfigError(f"normal_digit and abnormal_digit must differ. Received: both are {self.normal_digit}")


# The data.


def split(data: Images, config: Config, protocol: str, seed: int) -> Splits:
    """Select the training ones, and all test ones and test nines; ones come before nines.

    Images are flattened to shape `(images, 784)` and scaled to [-1, 1]. Nothing leaks here: no test image is trained
    on, and nothing is chosen on its score. In the held-out protocol, some training ones are kept back for a threshold.
    """
    x_train, held_back = hold_back(flatten(data.x_train[data.y_train == config.normal_digit]), protocol)
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
    """Build and compile the dense autoencoder: ReLU after the hidden layers, a linear code, tanh at the output."""
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
    """Make a Keras metric: the mean squared error of the last batch, with the weights before the step of that batch."""
    keras = start_keras()

    class LastBatchLoss(keras.metrics.MeanSquaredError):  # type: ignore[misc, name-defined]
        """A mean squared error that is reset before every batch."""

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
    thresholds: dict[str, Threshold] = {}
    if splits.held_back is not None:
        reconstructions = reconstruct(autoencoder, splits.held_back)
        metrics["held_back.loss"] = float(reconstruction_error(splits.held_back, reconstructions).mean())
        held_back_scores = anomaly_scores(splits.held_back, reconstructions)
        threshold = percentile_of_normals(held_back_scores, FALSE_POSITIVE_RATE, "training ones kept back")
        thresholds["percentile"] = threshold
        metrics |= threshold_metrics("percentile", threshold, labels, scores)
        arrays["threshold"] = np.array(threshold.value)
    return Result(metrics, arrays, decisions("scores", labels, scores, thresholds))


def anomaly_scores(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Sum the absolute difference over the pixels, after scaling both images from [-1, 1] back to [0, 1].

    Args:
        images: images, shape `(images, pixels)`.
        reconstructions: their reconstructions, shape `(images, pixels)`.

    Returns:
        Scores, shape `(images,)`, between 0 and the number of pixels.
    """
    return np.asarray(np.abs(images / 2 - reconstructions / 2).sum(axis=1))


def draw_shown(labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Draw the test images of this run for each figure of the source: ones before nines, without replacement.

    Args:
        labels: labels of the test images, shape `(images,)`, 1 for an anomaly.
        seed: seed of the run, for a random generator that nothing else uses.

    Returns:
        Indices of test images, by name of the figure.
    """
    generator = np.random.default_rng(seed)
    shown = {}
    for figure, (ones, nines) in SHOWN.items():
        normal = generator.choice(np.flatnonzero(labels == 0), ones, replace=False)
        anomalous = generator.choice(np.flatnonzero(labels == 1), nines, replace=False)
        shown[figure] = np.concatenate([normal, anomalous])
    return shown


def sorted_scores(figure: str, labels: np.ndarray, scores: np.ndarray) -> dict[str, Metric]:
    """Sort the scores of the images of one figure within each class: `<figure>.normal_1`, `<figure>.anomaly_1`, ..."""
    return {
        f"{figure}.{name}_{rank}": float(score)
        for label, name in enumerate(figures.CLASS_NAMES)
        for rank, score in enumerate(np.sort(scores[labels == label]), start=1)
    }


def as_pictures(rows: np.ndarray) -> np.ndarray:
    """Turn rows of numbers between -1 and 1 into square images between 0 and 1, shape `(images, height, width)`."""
    side = round(rows.shape[1] ** 0.5)
    return np.asarray((rows / 2 + 0.5).reshape(len(rows), side, side))


# The figures of the source and the two that it announces, drawn from the saved arrays only.


def draw_loss(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the training loss by epoch: the mean over the batches, and the loss of the last batch."""
    figure, axes = figures.canvas(columns=1, height=2.8)
    epochs = np.arange(1, len(arrays["losses"]) + 1)
    axes[0].plot(epochs, arrays["losses"], marker="o", markersize=3, label="mean of all batches")
    axes[0].plot(epochs, arrays["last_batch_losses"], marker="o", markersize=3, label="last batch", linestyle="--")
    axes[0].set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None))
    axes[0].legend()
    caption = "Training loss by epoch: the mean of all batches (in the source's figure) and the last batch (printed)."
    return figures.CaptionedFigure("loss", caption, figure)


def draw_differences(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw six test images, their reconstructions, and their absolute differences with the score below each."""
    images = arrays["shown_images"].astype(np.float32)
    reconstructions = arrays["shown_reconstructions"].astype(np.float32)
    differences = np.abs(images - reconstructions)
    figure, axes = figures.canvas(columns=len(images), height=4.4, rows=3)
    for column, index in enumerate(arrays["shown"]):
        top, middle, bottom = axes[column :: len(images)]
        figures.image(top, images[column], title=figures.CLASS_NAMES[arrays["labels"][index]])
        figures.image(middle, reconstructions[column])
        figures.image(bottom, differences[column], cmap="jet")
        score = f"score {arrays['scores'][index]:.1f}"
        bottom.text(0.5, -0.08, score, transform=bottom.transAxes, ha="center", va="top")
    caption = (
        "Test images drawn at random, their reconstructions, and their absolute differences, whose sum is the score."
    )
    return figures.CaptionedFigure("differences", caption, figure)


def draw_roc(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the ROC curve over all ones and nines of the test set."""
    figure, axes = figures.canvas(columns=1, height=4.0)
    figures.roc_curves(axes[0], arrays["labels"], {"autoencoder": arrays["scores"]})
    return figures.CaptionedFigure("roc", "ROC curve over all test ones and nines, which the source announces.", figure)


def draw_scores(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw a histogram of the scores by class over all ones and nines of the test set."""
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
    return figures.CaptionedFigure("scores", "Histogram of the scores of all test ones and nines by class.", figure)


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
    # Each changes one setting, to explain a difference from the source; run by `run mnist_dense_ae --ablate`.
    ablations={
        "trained half as long": {"epochs": 5},
        "a learning rate of 2e-4, all that is taken from another version of the source": {"learning_rate": 2e-4},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "mnist_dense_ae", *sys.argv[1:]])
