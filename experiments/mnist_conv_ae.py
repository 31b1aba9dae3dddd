"""Convolutional autoencoder on handwritten digits: trained on sevens; fives are the anomalies.

Source: "Anomaly Detection", a lecture notebook by Seungchul Lee, Industrial AI Lab,
    https://i-systems.github.io/teaching/DL/iNotes/14_Anomaly_Detection.html. Written in Keras.

Claim: An autoencoder trained on sevens only separates sevens from fives in two ways: in the plane of its two-number
    code, and by its reconstruction error, where fives lie above a threshold chosen by eye and sevens below it.

Method: The training images of the digit 7, scaled to [0, 1], train an encoder of three convolutions with a code of
    1x1x2, and a decoder of three transposed convolutions. The codes of 1000 test sevens and 50 test fives, drawn with
    replacement, are shown as a scatter plot. The first 200 test sevens and the first 200 test fives are scored by their
    mean squared error, which is compared with a threshold of 0.05.

Deviations:
    1. Keras 3 instead of the Keras within TensorFlow 2. Every default that the source relies on is written out:
       Glorot's uniform initialisation, zero biases, Adam's constants, batches of 32, no XLA. Functional models instead
       of sequential ones, with the same layers.
    2. Weights, batch order and the images of the scatter plot derive from the seed of the run. The source seeds
       Python's generator before some of its draws. This fixes its eight sample images, which we show too, but neither
       the scatter plot, whose images NumPy draws, nor the training.
    3. Errors are computed in one batch instead of image by image. The source's text says root mean squared error, its
       code computes the mean squared error; so do we.
    4. Added: confusion counts, precision, recall and F1 at the threshold, AUROC and average precision, on the 200 + 200
       images and on the whole test set. The source shows figures only.
    5. Figures: model summaries are shown as graphs; the errors of the fives lie behind those of the sevens, not over
       them.
    6. Added: the separation of the classes by the best straight line in the scatter plot of the codes, measured as the
       AUROC along Fisher's discriminant. The discriminant is fitted with labels to the same codes that it is evaluated
       on, so this AUROC is optimistic.

Protocols:
    1. Published: the threshold was chosen on the same errors that it is applied to. Held out: a fifth of the training
       sevens is kept back from training, and the threshold is set by their errors, so that a further seven lies above
       it with a probability of at most 5 %.
    2. Published: the first 200 test images of each class are scored. Held out: all test sevens and fives are scored.
"""

import functools
import random
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from common import figures
from common.config import ANY_WORD, BaseConfig, option
from common.data.images import Images, choose_normal, choose_scored, require_two_classes
from common.errors import ConfigError
from common.experiment import (
    FALSE_POSITIVE_RATE,
    HELD_OUT,
    Arrays,
    Experiment,
    Prepared,
    Result,
    Splits,
    Trained,
    hold_back,
    with_labels,
)
from common.metrics.scores import Metric, by_epoch, decision_metrics, over, ranking_metrics, reconstruction_error
from common.metrics.shown import shown_arrays
from common.metrics.thresholds import decisions, fixed, percentile_of_normals, threshold_metrics
from common.training import keras_defaults
from common.training.fit import fit, layer_arrays, reconstruct, reconstruction_scores
from common.training.keras import start_keras
from common.training.watch import Watch


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    normal: int | str = option(7, "digit that is normal and trained on", minimum=0, word=ANY_WORD)
    anomaly: int | str = option(5, "digit that is the anomaly, or rest: all other classes", minimum=0, word=ANY_WORD)
    filters: tuple[int, ...] = option(
        (32, 64), "number of filters of each strided convolution; the decoder mirrors them", minimum=1
    )
    code_channels: int = option(2, "size of the code; the scatter plot shows the first two numbers", minimum=2)
    epochs: int = option(10, "number of passes over the training images", minimum=1)
    batch_size: int = option(32, "number of images in one training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate of the Adam optimizer", minimum=0.0)
    threshold: float = option(
        0.05, "mean squared error above which an image is flagged; the source chose it by eye", minimum=0.0
    )
    scored_images: int = option(200, "number of test images of each class scored, published protocol only", minimum=1)
    scattered_normal: int = option(1000, "number of normal test images drawn for the scatter plot", minimum=2)
    scattered_anomalies: int = option(50, "number of anomalous test images drawn for the scatter plot", minimum=2)

    def check(self) -> None:
        """Refuse the same digit as normal and as anomaly, and any other number of strided convolutions than two."""
        require_two_classes(self.normal, self.anomaly)
        if len(self.filters) != 2:
            raise ConfigError(f"filters needs two values. Received: {len(self.filters)}")


# The data.


@dataclass(frozen=True, kw_only=True)
class ConvSplits(Splits):
    """Images scaled to [0, 1], shape `(images, 28, 28, 1)`.

    `x_test_all` holds all test images of both digits, normal ones first, and `y_test_all` holds their labels. `scored`
    holds the indices into `x_test_all` of the images in `x_test`.
    """

    x_test_all: np.ndarray
    y_test_all: np.ndarray
    scored: np.ndarray


def split(data: Images, config: Config, protocol: str, seed: int) -> ConvSplits:
    """Select the training sevens, the test sevens and the test fives, in the order of the files.

    Published: no test image is trained on, but the source chose its threshold on the same errors that it is applied to.
    Held out: some training sevens are kept back for the threshold, and all test sevens and fives are scored.
    """
    x_train, held_back = hold_back(scaled(choose_normal(data, config.normal)), protocol)
    both = choose_scored(data, config.normal, config.anomaly)
    x_test_all, y_test_all = scaled(data.x_test[both.indices]), both.labels
    most = None if protocol == HELD_OUT else config.scored_images
    scored = np.concatenate([np.flatnonzero(y_test_all == label)[:most] for label in (0, 1)])
    return ConvSplits(
        x_train=x_train,
        x_test=x_test_all[scored],
        y_test=y_test_all[scored],
        code_size=config.code_channels,
        held_back=held_back,
        test_classes=None if both.classes is None else both.classes[scored],
        labelled=both.classes is not None,
        value_range=(0.0, 1.0),
        x_test_all=x_test_all,
        y_test_all=y_test_all,
        scored=scored,
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """Scale pixels of 0 to 255, shape `(images, 28, 28)`, to [0, 1], shape `(images, 28, 28, 1)`."""
    return np.asarray(images[..., np.newaxis].astype(np.float32) / 255)


# The model: an encoder, a decoder, and the autoencoder made of both.


class Models(NamedTuple):
    """The encoder, the decoder, and the compiled autoencoder, which shares their weights."""

    encoder: Any
    decoder: Any
    autoencoder: Any


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Models:
    """Build and compile the convolutional autoencoder for images of 28 x 28 x 1."""
    keras = start_keras()
    encoder, decoder = build_encoder(config, shape), build_decoder(config)
    inputs = keras.Input(shape, name="image")
    autoencoder = keras.Model(inputs, decoder(encoder(inputs)), name="mnist_conv_ae")
    autoencoder.compile(
        optimizer=keras_defaults.adam(config.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        jit_compile=False,
    )
    return Models(encoder, decoder, autoencoder)


def build_encoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build the encoder: from 28x28x1 to 14x14, to 7x7, and by one 7x7 convolution to a code of 1x1."""
    keras = start_keras()
    first, second = config.filters
    inputs = keras.Input(shape, name="image")
    x = keras.layers.Conv2D(first, 3, strides=2, padding="same", activation="relu", **keras_defaults.INITIALIZERS)(
        inputs
    )
    x = keras.layers.Conv2D(second, 3, strides=2, padding="same", activation="relu", **keras_defaults.INITIALIZERS)(x)
    code = keras.layers.Conv2D(config.code_channels, 7, strides=1, padding="valid", **keras_defaults.INITIALIZERS)(x)
    return keras.Model(inputs, code, name="encoder")


def build_decoder(config: Config) -> Any:
    """Build the decoder, which mirrors the encoder except that its last layer has a 7x7 kernel and is linear."""
    keras = start_keras()
    first, second = config.filters
    inputs = keras.Input((1, 1, config.code_channels), name="code")
    transposed = keras.layers.Conv2DTranspose
    x = transposed(second, 7, strides=1, padding="valid", activation="relu", **keras_defaults.INITIALIZERS)(inputs)
    x = transposed(first, 3, strides=2, padding="same", activation="relu", **keras_defaults.INITIALIZERS)(x)
    outputs = transposed(1, 7, strides=2, padding="same", **keras_defaults.INITIALIZERS)(x)
    return keras.Model(inputs, outputs, name="decoder")


# Number of parts that a batch is cut into, each for a thread of its own. It changes the speed alone.
PARTS = 2


# The run.


def run(models: Models, splits: ConvSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    encoder, decoder, autoencoder = models
    normal, anomalous = (np.flatnonzero(splits.y_test_all == label) for label in (0, 1))
    samples, sample_labels = draw_samples(splits.x_train, splits.x_test_all[anomalous])

    # Train, on normal images alone. `watch` looks on: it keeps pictures of a few test images and changes nothing.
    reconstruct_images = functools.partial(reconstruct, autoencoder)
    watch = Watch(splits.x_test, splits.y_test, reconstruct_images)
    history = fit(
        autoencoder,
        splits.x_train,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        parts=PARTS,
        on_epoch_end=watch,
    )

    metrics: dict[str, Metric] = {
        "data.train_normal": len(splits.x_train),
        "data.test_normal": len(normal),
        "data.test_anomaly": len(anomalous),
        "model.encoder_parameters": encoder.count_params(),
        "model.decoder_parameters": decoder.count_params(),
    }
    metrics |= by_epoch("loss", history["loss"])

    # The codes of some test images, for the scatter plot.
    scattered, latent_labels = draw_scattered(splits, config, seed)
    latent = encode(encoder, scattered)

    # Score: the mean squared error of every test image.
    all_errors = np.empty(len(splits.x_test_all), np.float32)
    for images in filter(len, (normal, anomalous)):  # The classes are scored one after the other, as in the source.
        all_errors[images] = errors_of(autoencoder, splits.x_test_all[images])
    first = splits.x_test_all[np.concatenate([normal[:1], anomalous[:1]])]
    for name, images in (("normal", normal), ("anomaly", anomalous)):
        metrics[f"reconstruction_error.{name}_first"] = over(np.max, all_errors[images[:1]])

    # The images that are decided on: the first 200 of each class, or held out all of them.
    errors, labels = all_errors[splits.scored], splits.y_test
    metrics["reconstruction_error.normal_median"] = over(np.median, errors[labels == 0])
    metrics["reconstruction_error.anomaly_median"] = over(np.median, errors[labels == 1])
    metrics |= ranking_metrics("autoencoder", labels, errors)
    # Decide. Published: at the source's threshold. Held out: at one fitted on the errors of images kept back.
    if splits.held_back is None:
        rule, threshold = "threshold_fixed", fixed(config.threshold)
        metrics |= decision_metrics(rule, labels, threshold.flag(errors))
        # The discriminant is fitted with the labels of the codes that it is evaluated on.
        across = fisher_discriminant(latent, latent_labels)
        metrics["latent.auroc"] = ranking_metrics("latent", latent_labels, across)["latent.auroc"]
        metrics |= ranking_metrics("autoencoder_full", splits.y_test_all, all_errors)
    else:
        held_back_errors = errors_of(autoencoder, splits.held_back)
        metrics["held_back.loss"] = float(held_back_errors.mean())
        rule = "percentile"
        threshold = percentile_of_normals(held_back_errors, FALSE_POSITIVE_RATE, "normal training images kept back")
        metrics |= threshold_metrics(rule, threshold, labels, errors)

    # All that is kept: for the figures, and for the page of the report.
    arrays = {
        "samples": as_bytes(samples),
        "sample_labels": sample_labels,
        **layer_arrays(encoder, "encoder"),
        **layer_arrays(decoder, "decoder"),
        "latent": latent,
        "latent_labels": latent_labels,
        "first": as_bytes(first),
        "first_reconstructions": reconstruct(autoencoder, first)[..., 0].astype(np.float16),
    }

    arrays |= {
        "labels": labels,
        "errors": errors,
        "threshold": np.array(threshold.value),
        **shown_arrays(labels, errors, threshold.value, splits.x_test, reconstruct_images),
        **watch.arrays(),
    }
    return Result(metrics, arrays, decisions("errors", labels, errors, {rule: threshold}))


def draw_samples(normal_train: np.ndarray, anomalous_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the eight images that the source shows, with the source's two seeds: four training sevens, four test fives.

    The source draws ten sevens and shows the sixth to the ninth.

    Args:
        normal_train: the training sevens, in the published protocol all of them, shape `(images, 28, 28, 1)`.
        anomalous_test: all test fives, shape `(images, 28, 28, 1)`.

    Returns:
        The images, shape `(8, 28, 28, 1)`, and their labels, 1 for an anomaly.
    """
    normal = random.Random(6).sample(range(len(normal_train)), min(10, len(normal_train)))[5:9]
    anomalous = random.Random(11).sample(range(len(anomalous_test)), min(4, len(anomalous_test)))
    return with_labels(normal_train[normal], anomalous_test[anomalous])


def draw_scattered(splits: ConvSplits, config: Config, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw test images for the scatter plot of the codes, with replacement, as in the source.

    Returns:
        The images, normal before anomalous, and their labels, 1 for an anomaly.
    """
    generator = np.random.default_rng(seed)
    normal, anomalous = (
        splits.x_test_all[generator.choice(images, number, replace=True) if len(images) else []]
        for label, number in enumerate((config.scattered_normal, config.scattered_anomalies))
        for images in [np.flatnonzero(splits.y_test_all == label)]
    )
    return with_labels(normal, anomalous)


def errors_of(autoencoder: Any, images: np.ndarray) -> np.ndarray:
    """Compute the mean squared reconstruction error of every image, shape `(images,)`."""
    return reconstruction_error(images, reconstruct(autoencoder, images))


def prepare(trained: Trained, images: np.ndarray) -> Prepared:
    """Scale further images, pixels of 0 to 255, for a trained model."""
    return Prepared(scaled(images), np.arange(len(images)))


def encode(encoder: Any, images: np.ndarray) -> np.ndarray:
    """Compute the codes of images, shape `(images, code_channels)`."""
    return np.asarray(reconstruct(encoder, images).reshape(len(images), -1))


def fisher_discriminant(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Project codes on Fisher's discriminant, the direction that best separates the classes relative to their spread.

    Args:
        codes: codes, shape `(samples, channels)`.
        labels: labels that the direction is fitted to, shape `(samples,)`, 1 for an anomaly.

    Returns:
        Positions along the direction, shape `(samples,)`; the mean of the anomalies is the larger one.
    """
    normal, anomalous = codes[labels == 0], codes[labels == 1]
    scatter = sum(np.cov(group, rowvar=False) * (len(group) - 1) for group in (normal, anomalous))
    # The pseudo-inverse, since the scatter matrix is singular when a channel of the code is constant.
    return np.asarray(codes @ np.linalg.pinv(scatter) @ (anomalous.mean(axis=0) - normal.mean(axis=0)))


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Convert images back to the form of the files: pixels of 0 to 255, shape `(images, 28, 28)`."""
    return np.asarray(np.rint(images[..., 0] * 255), dtype=np.uint8)


# The figures of the source, drawn from the saved arrays only.


def draw_sample_images(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw four normal and four anomalous images."""
    figure, axes = figures.canvas(columns=4, height=4.2, rows=2)
    for axis, pixels, label in zip(axes, arrays["samples"], arrays["sample_labels"], strict=True):
        figures.image(axis, pixels / 255, title=figures.CLASS_NAMES[label])
    caption = "The sample images of the source: four training sevens and four test fives."
    return figures.CaptionedFigure("samples", caption, figure)


def draw_models(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the layers of encoder and decoder, which the source prints as summaries."""
    figure, axes = figures.canvas(columns=2, height=3.0)
    parameters = []
    for axis, model in zip(axes, ("encoder", "decoder"), strict=True):
        names, shapes, counts = (arrays[f"{model}_{what}"] for what in ("names", "shapes", "parameters"))
        figures.model_graph(axis, names, shapes, counts)
        axis.set_title(model)
        parameters.append(f"{model}, {counts.sum():,} parameters")
    return figures.CaptionedFigure("models", f"The layers of the models: {' and '.join(parameters)}.", figure)


def draw_latent(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the codes of test images in the plane by class."""
    figure, axes = figures.canvas(columns=1, height=4.2)
    figures.scatter_by_class(axes[0], arrays["latent"][:, :2], arrays["latent_labels"])
    axes[0].set(xlabel="first number of the code", ylabel="second number of the code")
    normal, anomalies = np.bincount(arrays["latent_labels"], minlength=2)
    caption = f"Codes of {normal} test sevens and {anomalies} test fives, drawn with replacement."
    return figures.CaptionedFigure("latent", caption, figure)


def draw_first(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the first normal and the first anomalous test image, each beside its reconstruction and with its error."""
    errors = [arrays["errors"][arrays["labels"] == label][0] for label in (0, 1)]
    figure, axes = figures.canvas(columns=4, height=2.4)
    for label, name in enumerate(figures.CLASS_NAMES):
        figures.image(axes[2 * label], arrays["first"][label] / 255, title=name)
        reconstruction = arrays["first_reconstructions"][label].astype(np.float32)
        figures.image(axes[2 * label + 1], reconstruction, title=f"error {errors[label]:.4f}")
    caption = "The first seven and the first five of the test set, each beside its reconstruction."
    return figures.CaptionedFigure("first_images", caption, figure)


def draw_errors(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw errors by index of the test image, with the threshold as a line; anomalies lie behind normal images."""
    errors, labels = arrays["errors"], arrays["labels"]
    figure, axes = figures.canvas(columns=1, height=3.2)
    figures.scores_by_index(axes[0], errors, labels, float(arrays["threshold"]))
    normal, anomalies = np.bincount(labels, minlength=2)
    caption = f"Reconstruction errors of {normal} test sevens and {anomalies} test fives, in the order of the files."
    return figures.CaptionedFigure("errors", caption, figure)


EXPERIMENT = Experiment(
    module=__name__,
    dataset="mnist",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    prepare=prepare,
    score=reconstruction_scores,
    revision=3,
    sweep=tuple(range(10)),
    parts=PARTS,
    methods={"convolutional autoencoder": "errors"},
    figures=(draw_sample_images, draw_models, draw_latent, draw_first, draw_errors),
    held_out_figures=(draw_errors,),
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "mnist_conv_ae", *sys.argv[1:]])
