"""Dense autoencoder on handwritten digits: trained on ones; nines are the anomalies.

Source: "[PYTHON] Anomaly detection using MNIST by Autoencoder (PyTorch)", a translation of a Japanese article, 2020,
    and the author's repository with the settings and an executed notebook,
    https://github.com/satolab12/anomaly-detection-using-autoencoder-PyTorch. Written in PyTorch.

Claim: An autoencoder trained on ones only reconstructs ones well and nines badly, so the absolute difference between
    input and output separates the two.

Method: The training images of the digit 1, scaled to [-1, 1], train a dense autoencoder of widths 784-256-128-64 and
    back, with ReLU after the hidden layers, a linear code and a tanh output. The score of a test image is the absolute
    difference between image and reconstruction, both scaled back to [0, 1], summed over the pixels. The source prints
    the score below each of six test images, in two runs.

Deviations:
    1. Keras 3 on TensorFlow instead of PyTorch, with the training step compiled by XLA. PyTorch's initialisation is
       written out: weights and biases uniform in +-1/sqrt(fan_in).
    2. PyTorch's Adam is written out as well: epsilon is added after the second moment is corrected for its bias, and
       the weight decay is added to the gradients of weights and biases. Keras' own Adam does neither.
    3. Training runs on a CPU; the source used a GPU.
    4. Weights and batch order derive from the seed of the run. The source sets no seed.
    5. The source does not say which images its two figures show. Their pictures identify them: each has one test image
       of its class that is equal up to the rounding of the picture, and no second one that is close. We score these
       twelve images. In other data, the first images of each class are shown, and no score is compared.
    6. The source prints the loss of the last batch of every epoch. That batch holds the 6 images that remain after 421
       batches of 16. We record the same loss, computed with the weights before the step of that batch, as a training
       loop prints it.
    7. The article says about 6000 training images; its code trains on all 6742 ones, and so do we.
    8. Added: AUROC, average precision, ROC curve and score histogram over all ones and nines of the test set, which the
       source announces but does not show.

Protocols:
    1. Published: nothing is chosen on a score and no test image is trained on, but no threshold is set either. Held
       out: a fifth of the training ones is kept back from training, and the threshold is set by their scores, so that a
       further one lies above it with a probability of at most 5 %. Both protocols score all ones and nines of the test
       set.
"""

import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import figures
from common.comparison.published import read_published
from common.config import ANY_WORD, BaseConfig, option
from common.data.images import Images, choose_normal, choose_scored, require_two_classes
from common.experiment import (
    FALSE_POSITIVE_RATE,
    Arrays,
    Experiment,
    Prepared,
    Result,
    Scores,
    Splits,
    Trained,
    hold_back,
)
from common.metrics.scores import Metric, by_epoch, over, ranking_metrics, reconstruction_error
from common.metrics.shown import shown_arrays
from common.metrics.thresholds import Threshold, decisions, percentile_of_normals, threshold_metrics
from common.training import torch_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras
from common.training.watch import Watch

# The source's two figures with scores: the test images of MNIST that each shows, from left to right.
SHOWN = {
    "scores_2020_05": (9061, 1338, 1861, 4407, 6895, 9539),
    "scores_2020_12": (2504, 7728, 9653, 6618, 1554, 5805),
}
# Digest of the pixels of these images in this order, by which MNIST is told from other data.
SHOWN_SHA256 = "548092dd687563abc2d0b67e329676e069b03911b04323a85d8e670aed8b6627"
# Number of images of each class that are shown of other data.
SHOWN_OF_OTHER_DATA = 3


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    normal: int | str = option(1, "digit that is normal and trained on", minimum=0, word=ANY_WORD)
    anomaly: int | str = option(9, "digit that is the anomaly, or rest: all other classes", minimum=0, word=ANY_WORD)
    units: tuple[int, ...] = option((256, 128, 64), "width of each encoder layer, mirrored in the decoder", minimum=1)
    epochs: int = option(10, "number of passes over the training images", minimum=1)
    batch_size: int = option(16, "number of images in one training step", minimum=1)
    learning_rate: float = option(3e-4, "learning rate of the Adam optimizer", minimum=0.0)
    weight_decay: float = option(1e-5, "factor of the weight decay, which is added to the gradient", minimum=0.0)

    def check(self) -> None:
        """Refuse the same digit as normal and as anomaly."""
        require_two_classes(self.normal, self.anomaly)


# The data.


@dataclass(frozen=True, kw_only=True)
class DigitSplits(Splits):
    """Images as rows of numbers between -1 and 1, shape `(images, 784)`, ones before nines.

    `shown` holds the indices into `x_test` of the images in the source's figures, by the name of the metric with their
    score, such as "scores_2020_12.image_2504". It is empty if the scored images are others than the source's.
    """

    shown: Mapping[str, int]


def split(data: Images, config: Config, protocol: str, seed: int) -> DigitSplits:
    """Select the training ones, and all test ones and test nines; ones come before nines.

    Nothing leaks here: no test image is trained on, and nothing is chosen on its score. In the held-out protocol, some
    training ones are kept back for a threshold.
    """
    x_train, held_back = hold_back(flatten(choose_normal(data, config.normal)), protocol)
    scored = choose_scored(data, config.normal, config.anomaly)
    return DigitSplits(
        x_train=x_train,
        x_test=flatten(data.x_test[scored.indices]),
        y_test=scored.labels,
        test_classes=scored.classes,
        labelled=scored.classes is not None,
        value_range=(-1.0, 1.0),
        code_size=config.units[-1],
        held_back=held_back,
        shown=find_shown(data.x_test, scored.indices) if config.normal == Config().normal else {},
    )


def find_shown(x_test: np.ndarray, scored: np.ndarray) -> dict[str, int]:
    """Find the images of the source's two figures among the scored ones.

    Args:
        x_test: all test images, pixels of 0 to 255, shape `(images, 28, 28)`.
        scored: indices into `x_test` of the scored images, shape `(scored images,)`.

    Returns:
        Indices into `scored` by the name of the metric; nothing unless all twelve images of the source are scored.
    """
    images = [image for figure in SHOWN.values() for image in figure]
    if not np.isin(images, scored).all() or hashlib.sha256(x_test[images].tobytes()).hexdigest() != SHOWN_SHA256:
        return {}
    place = {image: index for index, image in enumerate(scored.tolist())}
    return {f"{figure}.image_{image}": place[image] for figure, shown in SHOWN.items() for image in shown}


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


def run(autoencoder: Any, splits: DigitSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    x, labels = splits.x_test, splits.y_test
    metrics: dict[str, Metric] = {
        "data.train_normal": len(splits.x_train),
        "data.test_normal": int(np.sum(labels == 0)),
        "data.test_anomaly": int(np.sum(labels == 1)),
    }

    # Train, on normal images alone. `watch` looks on: it keeps pictures of a few test images and changes nothing.
    reconstruct_images = functools.partial(reconstruct, autoencoder)
    watch = Watch(x, labels, reconstruct_images)
    history = fit(
        autoencoder, splits.x_train, epochs=config.epochs, batch_size=config.batch_size, seed=seed, on_epoch_end=watch
    )
    losses, last_batch_losses = history["mean_of_batch_means"], history["last_batch_loss"]
    metrics |= by_epoch("last_batch_loss", last_batch_losses) | by_epoch("loss", losses)

    # Score: the sum of the absolute differences.
    reconstructions = reconstruct(autoencoder, x)
    scores = anomaly_scores(x, reconstructions)

    metrics |= {name: float(scores[index]) for name, index in splits.shown.items()}
    metrics |= ranking_metrics("autoencoder", labels, scores)
    metrics["score.normal_median"] = over(np.median, scores[labels == 0])
    metrics["score.anomaly_median"] = over(np.median, scores[labels == 1])

    # All that is kept: for the figures, and for the page of the report.
    first = np.concatenate([np.flatnonzero(labels == label)[:SHOWN_OF_OTHER_DATA] for label in (0, 1)])
    shown = np.array([*splits.shown.values()]) if splits.shown else first
    arrays = {
        "labels": labels.astype(np.uint8),
        "scores": scores,
        "losses": np.array(losses),
        "last_batch_losses": np.array(last_batch_losses),
        "shown": shown,
        "shown_names": np.array([*splits.shown], dtype=str),
        "shown_images": as_pictures(x[shown]).astype(np.float16),
        "shown_reconstructions": as_pictures(reconstructions[shown]).astype(np.float16),
    }

    # The source decides nothing. Held out: at a threshold fitted on images kept back.
    thresholds: dict[str, Threshold] = {}
    if splits.held_back is not None:
        reconstructions = reconstruct(autoencoder, splits.held_back)
        metrics["held_back.loss"] = float(reconstruction_error(splits.held_back, reconstructions).mean())
        held_back_scores = anomaly_scores(splits.held_back, reconstructions)
        threshold = percentile_of_normals(held_back_scores, FALSE_POSITIVE_RATE, "normal training images kept back")
        thresholds["percentile"] = threshold
        metrics |= threshold_metrics("percentile", threshold, labels, scores)
        arrays["threshold"] = np.array(threshold.value)
    limit = thresholds["percentile"].value if thresholds else None
    arrays |= shown_arrays(labels, scores, limit, x, reconstruct_images) | watch.arrays()
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


def prepare(trained: Trained, images: np.ndarray) -> Prepared:
    """Flatten further images, pixels of 0 to 255, for a trained model."""
    return Prepared(flatten(images), np.arange(len(images)))


def score(trained: Trained, images: np.ndarray) -> Scores:
    """Score images by the sum of their absolute differences; the parts are pixels."""
    errors = np.abs(images / 2 - reconstruct(trained.models, images) / 2)
    return Scores(errors.sum(axis=1), errors)


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
    """Draw six test images in a row, their reconstructions, and their absolute differences with the score below each.

    Below the images of the source's figures, the score that it printed stands over ours.
    """
    images = arrays["shown_images"].astype(np.float32)
    reconstructions = arrays["shown_reconstructions"].astype(np.float32)
    printed = {
        metric: text for group in read_published("mnist_dense_ae").groups for metric, text in group.numbers.items()
    }
    blocks = np.array_split(np.arange(len(images)), max(1, len(images) // 6))
    figure, axes = figures.canvas(columns=len(blocks[0]), height=4.6 * len(blocks), rows=3 * len(blocks))
    rows = axes.reshape(len(blocks), 3, -1)
    names = arrays["shown_names"] if len(arrays["shown_names"]) else [""] * len(images)
    for block, shown in zip(rows, blocks, strict=True):
        for (top, middle, bottom), index in zip(block.T, shown, strict=True):
            figures.image(top, images[index], title=figures.CLASS_NAMES[arrays["labels"][arrays["shown"][index]]])
            figures.image(middle, reconstructions[index])
            figures.image(bottom, np.abs(images[index] - reconstructions[index]), cmap="jet")
            score = f"ours {arrays['scores'][arrays['shown'][index]]:.1f}"
            if names[index]:
                score = f"printed {float(printed[names[index]]):.1f}\n{score}"
            bottom.text(0.5, -0.08, score, transform=bottom.transAxes, ha="center", va="top")
    which = "The images of the source's two figures" if len(blocks) > 1 else "The first test images of each class"
    caption = f"{which}, their reconstructions, and their absolute differences, whose sum is the score."
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
    prepare=prepare,
    score=score,
    revision=3,
    sweep=tuple(range(10)),
    methods={"dense autoencoder": "scores"},
    figures=(draw_loss, draw_differences, draw_roc, draw_scores),
    held_out_figures=(draw_scores,),
    # Each changes one setting, to explain a difference from the source; run by `run mnist_dense_ae --ablate`.
    ablations={
        "learning rate 2e-4, as in another version of the source": {"learning_rate": 2e-4},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "mnist_dense_ae", *sys.argv[1:]])
