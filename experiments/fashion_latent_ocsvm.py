"""One-class SVM on the two-dimensional code of an autoencoder, compared with one on pixels: sandals and sneakers.

Source: simple_ae.ipynb and only_one_class_svm.ipynb by tocom242242, and the article that explains the first notebook,
    https://github.com/tocom242242/anomaly_detection/blob/main/fashion_mnist/simple_ae.ipynb. Written in Keras and
    scikit-learn.

Claim: A one-class SVM fitted on sandals separates sneakers from sandals better on the code of an autoencoder trained on
    the sandals, by an amount that changes from run to run, than on the pixels of Fashion-MNIST, where it hardly does.

Method: The 6000 training sandals are normal; sneakers are never trained on. A OneClassSVM with scikit-learn's default
    settings is fitted on the pixels of the sandals. This is the source's baseline, and it has no randomness. A dense
    autoencoder compresses the same images to a code of two numbers by four ReLU layers, the last of which is the code.
    It is trained for 50 epochs in batches of 32 (Keras' default). A second OneClassSVM is fitted on the codes of the
    training sandals. Both are scored on the 1000 test sandals and the 1000 test sneakers.

Deviations:
    1. Keras 3 and a current scikit-learn; Functional models instead of a subclassed one, with the same layers; the
       training step is compiled by XLA.
    2. Weights and batch order derive from the seed of the run. The source sets no seed.
    3. In the source, sandals have label 1 and a higher score means more normal. Here sneakers have label 1 and a higher
       score means more anomalous. With both reversed, the AUROC and the classification report of each class stay the
       same; the ROC curve is mirrored.
    4. The article calls the anomalies boots in some places; its code uses class 7, which is sneakers, and so do we.
    5. Added: average precision, and a description of the code: how far it spreads across its main axis, the number of
       dead units, the correlation of the two units, the fraction of images whose code is the origin, and the distance
       of the sneakers from the centre of the sandals.

Protocols:
    1. Published: nothing is chosen on the test images. But the one-class SVM decides at its own threshold of zero,
       which leaves half of the training sandals outside, so it calls half of all sandals sneakers. Held out: a fifth of
       the training sandals is kept back from autoencoder and SVM, and the threshold is set by their scores, so that a
       further sandal lies above it with a probability of at most 5 %.
    2. Published: the source reports one run, and does not say how typical it is. Held out: the loss on the sandals kept
       back shows which of several runs one would have chosen without seeing any scored image.
    3. Held out: the reconstruction error is scored too, which the source does not do.
"""

import functools
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from common import figures
from common.config import ANY_WORD, BaseConfig, option
from common.data.images import Images, choose_normal, choose_scored, of_anomaly, require_two_classes
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
from common.metrics.scores import (
    Metric,
    Undefined,
    by_epoch,
    decision_metrics,
    over,
    ranking_metrics,
    reconstruction_error,
)
from common.metrics.shown import shown_arrays
from common.metrics.thresholds import Threshold, decisions, fixed, percentile_of_normals, threshold_metrics
from common.training import keras_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras
from common.training.watch import Watch

LATENT_DIMENSIONS = 2
# Index, among the training images of its class, of the sandal and of the sneaker that the source shows.
EXAMPLE = 80


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    normal: int | str = option(5, "Fashion-MNIST class that is normal (5: sandals)", minimum=0, word=ANY_WORD)
    anomaly: int | str = option(
        7, "Fashion-MNIST class that is the anomaly (7: sneakers), or rest: all others", minimum=0, word=ANY_WORD
    )
    nu: float = option(
        0.5, "nu of both one-class SVMs: fraction of the training images left outside", minimum=1e-3, maximum=1.0
    )
    units: tuple[int, ...] = option(
        (128, 64, 32), "width of each encoder layer before the code, mirrored in the decoder", minimum=1
    )
    code_activation: str = option("relu", "activation function of the code", choices=("relu", "linear"))
    epochs: int = option(50, "number of passes over the training sandals", minimum=1)
    batch_size: int = option(32, "number of images in one training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate of the Adam optimizer", minimum=0.0)

    def check(self) -> None:
        """Refuse the same class as normal and as anomaly."""
        require_two_classes(self.normal, self.anomaly)


# The data.


@dataclass(frozen=True, kw_only=True)
class FashionSplits(Splits):
    """Images flattened to shape `(images, 784)`, pixels in [0, 1], test sandals before test sneakers.

    `examples` holds the training sandal and the training sneaker that the source shows, pixels of 0 to 255, shape
    `(2, 28, 28)`; other data may have no such anomaly.
    """

    examples: np.ndarray


def split(data: Images, config: Config, protocol: str, seed: int) -> FashionSplits:
    """Select the training sandals, and the test sandals and test sneakers; every seed gets the same images.

    Nothing leaks here: the source chooses nothing on the test images, and no training image is scored. In the held-out
    protocol, some training sandals are kept back for a threshold.
    """
    x_train, held_back = hold_back(_pixels(choose_normal(data, config.normal)), protocol)
    scored = choose_scored(data, config.normal, config.anomaly)
    # The source shows number 80 of each class; data with fewer images have no such number.
    of_each = [choose_normal(data, config.normal)]
    if scored.classes is not None:
        of_each.append(data.x_train[of_anomaly(data.y_train, config.normal, config.anomaly)])
    return FashionSplits(
        x_train=x_train,
        x_test=_pixels(data.x_test[scored.indices]),
        y_test=scored.labels,
        test_classes=scored.classes,
        labelled=scored.classes is not None,
        value_range=(0.0, 1.0),
        code_size=LATENT_DIMENSIONS,
        held_back=held_back,
        examples=np.stack([images[min(EXAMPLE, len(images) - 1)] for images in of_each if len(images)]),
    )


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


# The source's baseline. It has no randomness, so it is computed once for all seeds.


def fit_baseline(splits: Splits, config: Config) -> Result:
    """Fit OneClassSVM on the pixels, and score the test images with it."""
    baseline = one_class_svm(splits.x_train, config)
    scores, flagged = svm_scores(baseline, splits.x_test)
    metrics = printed_metrics("ocsvm_pixels", splits.y_test, scores, flagged)
    thresholds = {"ocsvm_pixels": fixed(0.0)}
    if splits.held_back is not None:
        percentile = threshold_of(svm_scores(baseline, splits.held_back)[0])
        metrics |= threshold_metrics("ocsvm_pixels.percentile", percentile, splits.y_test, scores)
        thresholds["ocsvm_pixels.percentile"] = percentile
    arrays = {"scores_pixels": scores, "flagged_pixels": flagged}
    return Result(metrics, arrays, decisions("scores_pixels", splits.y_test, scores, thresholds))


def one_class_svm(x: np.ndarray, config: Config) -> Any:
    """Fit the source's OneClassSVM, with its default settings written out; "scale" derives gamma from the data."""
    from sklearn.svm import OneClassSVM

    return OneClassSVM(kernel="rbf", gamma="scale", nu=config.nu).fit(x)


def svm_scores(svm: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute anomaly scores, and flags that are 1 for an anomaly.

    scikit-learn's `decision_function` is higher for more normal samples, and its `predict` calls samples at or below
    zero outliers. Comparing the scores with zero gives the same flags without a second evaluation of the kernel.
    """
    scores = -svm.decision_function(x)
    return scores, (scores >= 0).astype(np.uint8)


def printed_metrics(method: str, labels: np.ndarray, scores: np.ndarray, flagged: np.ndarray) -> dict[str, Metric]:
    """Compute the numbers that the source prints for a method: AUROC, confusion matrix and classification report."""
    return ranking_metrics(method, labels, scores) | decision_metrics(method, labels, flagged)


def threshold_of(held_back_scores: np.ndarray) -> Threshold:
    """Choose the threshold that a further sandal exceeds with at most the probability `FALSE_POSITIVE_RATE`."""
    return percentile_of_normals(held_back_scores, FALSE_POSITIVE_RATE, "normal training images kept back")


# The autoencoder.


class Models(NamedTuple):
    """The encoder, and the compiled autoencoder, which shares the encoder's layers."""

    encoder: Any
    autoencoder: Any


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Models:
    """Build the encoder and the compiled autoencoder for flattened images."""
    keras = start_keras()
    dense = keras_defaults.dense
    x = inputs = keras.Input(shape, name="image")
    for units in config.units:
        x = dense(units, "relu", name=f"encoder_{units}")(x)
    code = dense(LATENT_DIMENSIONS, config.code_activation, name="code")(x)
    x = code
    for units in reversed(config.units):
        x = dense(units, "relu", name=f"decoder_{units}")(x)
    outputs = dense(shape[0], "sigmoid", name="reconstruction")(x)
    autoencoder = keras.Model(inputs, outputs, name="fashion_latent_ocsvm")
    autoencoder.compile(
        optimizer=keras_defaults.adam(config.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        jit_compile=True,
    )
    return Models(keras.Model(inputs, code, name="encoder"), autoencoder)


def encode(encoder: Any, images: np.ndarray) -> np.ndarray:
    """Compute the codes of images, shape `(images, 2)`."""
    return reconstruct(encoder, images.astype(np.float32))


def errors_of(autoencoder: Any, images: np.ndarray) -> np.ndarray:
    """Compute the mean squared reconstruction error of every image, shape `(images,)`."""
    images = images.astype(np.float32)
    return reconstruction_error(images, reconstruct(autoencoder, images))


def prepare(trained: Trained, images: np.ndarray) -> Prepared:
    """Flatten further images, pixels of 0 to 255, for a trained model."""
    return Prepared(_pixels(images), np.arange(len(images)))


def score(trained: Trained, images: np.ndarray) -> Scores:
    """Score images by the one-class SVM on their codes; the errors are those of the reconstructed pixels."""
    svm = one_class_svm(trained.fitted["codes"], trained.config)
    scores, _ = svm_scores(svm, encode(trained.models.encoder, images))
    images = images.astype(np.float32)
    return Scores(scores, np.square(images - reconstruct(trained.models.autoencoder, images)))


# The run.


def run(models: Models, splits: FashionSplits, config: Config, seed: int) -> Result:
    """Run the autoencoder and the one-class SVM on its code, in the order of the source."""
    encoder, autoencoder = models
    y = splits.y_test
    metrics = count_metrics(splits)

    # Train, on normal images alone. `watch` looks on: it keeps pictures of a few test images and changes nothing.
    x_train = splits.x_train.astype(np.float32)
    x = splits.x_test.astype(np.float32)
    reconstruct_images = functools.partial(reconstruct, autoencoder)
    watch = Watch(x, y, reconstruct_images)
    history = fit(
        autoencoder, x_train, epochs=config.epochs, batch_size=config.batch_size, seed=seed, on_epoch_end=watch
    )
    metrics |= by_epoch("loss", history["loss"])

    # Score: by a one-class SVM that is fitted on the codes of the training images.
    train_codes, test_codes = encode(encoder, splits.x_train), encode(encoder, splits.x_test)
    svm = one_class_svm(train_codes, config)
    scores, flagged = svm_scores(svm, test_codes)
    metrics |= printed_metrics("ocsvm_latent", y, scores, flagged)
    metrics |= latent_metrics(train_codes, test_codes, y)

    # All that is kept: for the figures, and for the page of the report.
    arrays = {
        "labels": y.astype(np.uint8),
        "scores_latent": scores,
        "flagged_latent": flagged,
        "codes": test_codes,
        "losses": np.array(history["loss"]),
        "examples": splits.examples,
    }

    # Decide. Published: at the SVM's own limit. Held out: also at thresholds fitted on images kept back.
    limit = 0.0
    decided = decisions("scores_latent", y, scores, {"ocsvm_latent": fixed(limit)})
    if splits.held_back is not None:
        held_back_scores, _ = svm_scores(svm, encode(encoder, splits.held_back))
        percentile = threshold_of(held_back_scores)
        limit = percentile.value
        metrics |= threshold_metrics("ocsvm_latent.percentile", percentile, y, scores)
        decided += decisions("scores_latent", y, scores, {"ocsvm_latent.percentile": percentile})
        held_back_errors, errors = errors_of(autoencoder, splits.held_back), errors_of(autoencoder, splits.x_test)
        metrics["held_back.loss"] = float(held_back_errors.mean())
        metrics |= ranking_metrics("autoencoder", y, errors)
        percentile = threshold_of(held_back_errors)
        metrics |= threshold_metrics("autoencoder.percentile", percentile, y, errors)
        decided += decisions("scores", y, errors, {"autoencoder.percentile": percentile})
        arrays["scores"] = errors
    arrays |= shown_arrays(y, scores, limit, x, reconstruct_images) | watch.arrays()
    return Result(metrics, arrays, decided, {"codes": train_codes})


def count_metrics(splits: Splits) -> dict[str, Metric]:
    """Count the training images and the scored images by class."""
    return {
        "data.train_normal": len(splits.x_train),
        "data.test_normal": int(np.sum(splits.y_test == 0)),
        "data.test_anomaly": int(np.sum(splits.y_test == 1)),
    }


def latent_metrics(train_codes: np.ndarray, test_codes: np.ndarray, labels: np.ndarray) -> dict[str, Metric]:
    """Compute metrics that describe the code.

    Args:
        train_codes: codes of the training sandals, shape `(images, 2)`.
        test_codes: codes of the test images, shape `(images, 2)`.
        labels: labels of the test images, 1 for a sneaker.

    Returns:
        `latent.axis_ratio`: the standard deviation of the training codes across their main axis, divided by that along
        it: 0 if the code is a line, whose two numbers are one number, and 1 if it spreads alike in all directions;
        `latent.dead_units`: the number of units with the same output for every training sandal;
        `latent.correlation`: the correlation of the two units over the training sandals;
        `latent.normal_at_origin`, `latent.anomaly_at_origin`: the fraction of a test class whose code is the origin;
        `latent.distance_ratio`: the median distance of the test sneakers from the centre of the training codes, divided
        by that of the test sandals.
    """
    dead = np.ptp(train_codes, axis=0) == 0
    distances = mahalanobis_distances(test_codes, train_codes)
    of_normal, of_anomaly = (over(np.median, distances[labels == label]) for label in (0, 1))
    at_origin = np.all(test_codes == 0, axis=1)
    return {
        "latent.axis_ratio": axis_ratio(train_codes),
        "latent.dead_units": int(dead.sum()),
        "latent.correlation": Undefined("a unit of the code is constant over the training set")
        if dead.any()
        else float(np.corrcoef(train_codes.T.astype(float))[0, 1]),
        "latent.normal_at_origin": over(np.mean, at_origin[labels == 0]),
        "latent.anomaly_at_origin": over(np.mean, at_origin[labels == 1]),
        "latent.distance_ratio": ratio(of_anomaly, of_normal),
    }


def ratio(above: Metric, below: Metric) -> Metric:
    """Divide two distances; undefined if one of them is, or if the lower one is zero."""
    if isinstance(below, Undefined) or isinstance(above, Undefined):
        return below if isinstance(below, Undefined) else above
    return above / below if below else Undefined("the code is constant")


def axis_ratio(codes: np.ndarray) -> Metric:
    """Divide the standard deviation of codes across their main axis by that along it; undefined for a constant code."""
    across, along = np.sqrt(np.maximum(0.0, np.linalg.eigvalsh(np.cov(codes.T.astype(float)))))
    return float(across / along) if along else Undefined("the code is constant")


def mahalanobis_distances(codes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the Mahalanobis distance of each code from the mean of the reference codes.

    A direction in which the reference codes do not vary is left out.

    Args:
        codes: codes, shape `(images, 2)`.
        reference: codes that give mean and covariance, shape `(images, 2)`.
    """
    deviations = codes.astype(float) - reference.mean(axis=0, dtype=float)
    precision = np.linalg.pinv(np.cov(reference.T.astype(float)), hermitian=True)
    # A direction without variance gives a rounding error instead of zero, which may be negative.
    squared = np.einsum("ij,jk,ik->i", deviations, precision, deviations)
    return np.asarray(np.sqrt(np.maximum(0.0, squared)))


# The figures of the source, drawn from the saved arrays only.


def draw_examples(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw a sandal and a sneaker."""
    figure, axes = figures.canvas(columns=2, height=2.6)
    for axis, pixels, title in zip(axes, arrays["examples"], ("sandal, normal", "sneaker, anomaly"), strict=True):
        figures.image(axis, pixels / 255, title)
    caption = f"The training images that the source shows, number {EXAMPLE} of each class: a sandal and a sneaker."
    return figures.CaptionedFigure("examples", caption, figure)


def draw_roc(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the ROC curves of the one-class SVM on the pixels and of the one on the code in one axes."""
    figure, axes = figures.canvas(columns=1, height=4.2)
    scores = {"pixels": arrays["scores_pixels"], "autoencoder code": arrays["scores_latent"]}
    figures.roc_curves(axes[0], arrays["labels"], scores)
    caption = "ROC curves over the test images: a one-class SVM on the pixels, the source's baseline, and on the code."
    return figures.CaptionedFigure("roc", caption, figure)


def draw_codes(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the codes of the test images in the plane, coloured by true class and by predicted class."""
    figure, axes = figures.canvas(columns=2, height=3.8, sharex=True, sharey=True)
    by = {"by truth": arrays["labels"], "by prediction": arrays["flagged_latent"]}
    for axis, (title, classes) in zip(axes, by.items(), strict=True):
        figures.scatter_by_class(axis, arrays["codes"], classes)
        axis.set(title=title, xlabel="first unit of the code")
    axes[0].set_ylabel("second unit of the code")
    caption = "Codes of the test images, coloured by true class and by predicted class."
    return figures.CaptionedFigure("codes", caption, figure)


EXPERIMENT = Experiment(
    module=__name__,
    dataset="fashion_mnist",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    prepare=prepare,
    score=score,
    once=fit_baseline,
    revision=3,
    sweep=tuple(range(10)),
    methods={"one-class SVM on the code": "scores_latent", "reconstruction error": "scores"},
    figures=(draw_examples, draw_roc, draw_codes),
    held_out_figures=(draw_codes,),
    ablations={"a linear code, whose units cannot die": {"code_activation": "linear"}},
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "fashion_latent_ocsvm", *sys.argv[1:]])
