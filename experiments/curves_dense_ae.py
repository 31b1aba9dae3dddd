"""Dense autoencoder on synthetic curves, and random forests trained on its residuals.

Source: "Python-Anomalieerkennung mit Autoencodern in Python", a German translation of a Russian article, 2020,
    https://habr.com/ru/articles/491552/. Written in PyTorch.

Claim: Anomalies that are hard to see in the curves stand out in the residuals of an autoencoder trained on normal
    curves only. A random forest on the residuals finds more of them than any method on the curves. A random forest on
    ten-bin histograms of the residuals finds the most.

Method: 2000 normal curves have one peak of height 1; 200 anomalous curves have a second peak of height 0.12 as well. A
    fifth of all curves is set aside as test set. Three methods are trained on the training curves themselves:
    OneClassSVM and IsolationForest without labels, RandomForest with them. The autoencoder is trained on the normal
    training curves. Its residuals on the TEST curves, with their labels, are the training data of two more random
    forests. All five methods are scored on 100 + 100 further curves, which the source calls the validation set.

Deviations:
    1. Keras 3 on TensorFlow instead of PyTorch, with the training step compiled by XLA. PyTorch's initialisation is
       written out: weights and biases uniform in +-1/sqrt(fan_in).
    2. PyTorch's Adam is written out as well: epsilon is added after the second moment is corrected for its bias, and
       the weight decay is added to the gradients of weights and biases. Keras' own `weight_decay` is the decoupled
       kind, a different method.
    3. Training runs on a CPU; the source used a GPU.
    4. Weights, batch order and forests derive from the seed of the run. The source seeded only the data, with a fixed
       seed. We use the same seed for the data, so every run sees the same curves.
    5. A current scikit-learn instead of 0.22.
    6. The source shows a box plot of the test errors after every epoch; we keep the errors of all epochs and show three
       box plots.
    7. Figures: box plots have a logarithmic axis; the bars of histograms lie between the edges of their bins.
    8. Added: AUROC and average precision of the plain reconstruction error, which the source does not evaluate.

Protocols:
    1. Published: nothing leaks, because no scored curve was trained on. But all runs use the one data set that the
       source's seed gives. Held out: every run draws its own curves.
    2. Both: all three random forests are trained with labels, those on residuals with the labels of the test curves.
       OneClassSVM and IsolationForest are trained without labels, on training curves that include anomalies. The
       part of anomalies that they expect (`nu`, `contamination`) is the true one.
    3. Published: no threshold is set on the reconstruction error. Held out: a fifth of the normal training curves is
       kept back from all methods, and the threshold is set by their errors, so that a further normal curve lies above
       it with a probability of at most 5 %.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import figures
from common.config import BaseConfig, option
from common.errors import ConfigError
from common.experiment import FALSE_POSITIVE_RATE, HELD_OUT, Arrays, Experiment, Result, Splits, hold_back, with_labels
from common.metrics.scores import Metric, by_epoch, ranking_metrics, reconstruction_error, report_metrics
from common.metrics.shown import shown_arrays
from common.metrics.thresholds import Decision, decisions, fixed, percentile_of_normals, threshold_metrics
from common.own.tables import Rows, as_they_are
from common.training import pytorch, torch_defaults
from common.training.fit import fit, reconstruct, reconstruction_scores
from common.training.keras import start_keras, threads
from common.training.watch import ErrorsByEpoch, Watch

# Index, among all curves of its class, of the normal and of the anomalous curve that the source shows.
EXAMPLE = 42
MAJORITY = 0.5  # of the trees: a forest flags a curve if more of them vote for an anomaly


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    normal_curves: int = option(2000, "number of normal curves, training and test together", minimum=10)
    anomalous_curves: int = option(200, "number of anomalous curves, training and test together", minimum=10)
    validation_curves: int = option(100, "number of curves of each class that the methods are scored on", minimum=1)
    points: int = option(256, "number of points of a curve", minimum=8)
    test_fraction: float = option(0.2, "fraction of the curves set aside as test set", minimum=0.05, maximum=0.95)
    data_seed: int = option(42, "seed of curves and split, published protocol only", minimum=0, maximum=2**32 - 1)
    max_features: int = option(100, "number of points tried at each split of a forest", minimum=1)
    trees: int = option(100, "number of trees of each forest, except the one on histograms", minimum=1)
    units: tuple[int, ...] = option((128, 64, 16, 4), "width of each encoder layer, mirrored in the decoder", minimum=1)
    negative_slope: float = option(0.2, "slope of every LeakyReLU for negative inputs", minimum=0.0)
    initializer: str = option("pytorch", "library whose default initialisation is used", choices=("pytorch", "keras"))
    baselines: bool = option(True, "also fit the three methods on the curves themselves")
    framework: str = option("keras", "library that trains the autoencoder", choices=("keras", "pytorch"))
    epochs: int = option(100, "number of passes over the normal training curves", minimum=1)
    batch_size: int = option(32, "number of curves in one training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate of the Adam optimizer", minimum=0.0)
    weight_decay: float = option(1e-5, "factor of the weight decay, which is added to the gradient", minimum=0.0)
    histogram_bins: int = option(10, "number of bins of a residual histogram", minimum=1)
    histogram_limit: float = option(0.3, "largest absolute residual that a histogram counts", minimum=1e-6)
    histogram_trees: int = option(10, "number of trees of the forest on histograms", minimum=1)

    def check(self) -> None:
        """Refuse more points per split of a forest than a curve has."""
        if self.max_features > self.points:
            raise ConfigError(f"max_features must be at most points. Received: {self.max_features} of {self.points}")


@dataclass(frozen=True, kw_only=True)
class CurveSplits(Splits):
    """Curves, shape `(curves, points)`; the methods are scored on the source's validation curves, here `x_test`.

    `x_labelled` are all training curves, normal and anomalous, and `y_labelled` their labels; `x_source_test` and
    `y_source_test` are the source's test curves, from which the forests on residuals learn. `examples` are the three
    curves that the source shows of its data: one with its peak at 0.3, a normal and an anomalous one. `anomalous_part`
    is the fraction of anomalies among training and test curves.
    """

    x_labelled: np.ndarray
    y_labelled: np.ndarray
    x_source_test: np.ndarray
    y_source_test: np.ndarray
    examples: np.ndarray
    anomalous_part: float


# The data: bell curves. The order of the draws is part of the protocol, since all draws share one random state.


def bell_curves(peaks: np.ndarray, widths: np.ndarray, height: float, points: int) -> np.ndarray:
    """Compute Gaussian densities on [0, 1], each scaled so that its largest sampled value is `height`.

    Args:
        peaks: position of each peak, shape `(curves,)`.
        widths: standard deviation of each curve, shape `(curves,)`.
        height: the largest value of every curve.
        points: number of points on [0, 1].

    Returns:
        Shape `(curves, points)`.
    """
    grid = np.linspace(0, 1, points)
    mu, sigma = peaks[:, None], widths[:, None]
    density = 1 / (sigma * np.sqrt(2 * np.pi)) * np.exp(-((grid - mu) ** 2) / (2 * sigma**2))
    return np.asarray(density * (height / density.max(axis=1, keepdims=True)))


def draw_normal(random_state: np.random.RandomState, curves: int, points: int) -> np.ndarray:
    """Draw curves with one peak of height 1."""
    peaks = random_state.uniform(0.1, 0.9, curves)
    widths = random_state.uniform(0.05, 0.5, curves)
    return bell_curves(peaks, widths, 1.0, points)


def draw_anomalous(random_state: np.random.RandomState, curves: int, points: int) -> np.ndarray:
    """Draw normal curves, and add to each a second, narrow peak of height 0.12."""
    first = draw_normal(random_state, curves, points)
    peaks = random_state.uniform(0.1, 0.9, curves)
    widths = random_state.uniform(0.01, 0.05, curves)
    return np.asarray(first + bell_curves(peaks, widths, 0.12, points))


def draw_curves(config: Config, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw all curves of the source with one seed: normal, anomalous, then the validation set, anomalous before normal.

    Returns:
        Curves, shape `(curves, points)`, and their labels, 1 for an anomaly; validation curves and their labels.
    """
    random_state = np.random.RandomState(seed)
    normal = draw_normal(random_state, config.normal_curves, config.points)
    anomalous = draw_anomalous(random_state, config.anomalous_curves, config.points)
    validation_anomalous = draw_anomalous(random_state, config.validation_curves, config.points)
    validation_normal = draw_normal(random_state, config.validation_curves, config.points)
    x_validation = np.concatenate([validation_anomalous, validation_normal])
    return *with_labels(normal, anomalous), x_validation, np.repeat([1, 0], config.validation_curves)


def split(data: Rows | None, config: Config, protocol: str, seed: int) -> CurveSplits:
    """Draw the curves, and set the test curves aside.

    Published: curves and split are drawn with the seed of the data, so they are the same in every run. Held out: they
    are drawn with the seed of the run, and some normal training curves are kept back for a threshold. In both, nothing
    is trained on the curves that the methods are scored on. The two forests on residuals are trained with the labels of
    the test curves; OneClassSVM and IsolationForest are trained without labels.

    A user's own curves are split the same for every seed. Without labels, only the autoencoder is trained.
    """
    from sklearn.model_selection import train_test_split

    own = data is not None
    random_state = 0 if own else seed if protocol == HELD_OUT else config.data_seed
    drawn = data.divided(config.test_fraction) if data is not None else draw_curves(config, random_state)
    x, y, x_validation, y_validation = drawn
    first = x[0] if own else bell_curves(np.array([0.3]), np.array([0.05]), 1.0, config.points)[0]
    shown = [x[y == label][min(EXAMPLE, np.sum(y == label) - 1)] for label in np.unique(y)]
    parts = train_test_split(
        x, y, test_size=config.test_fraction, random_state=random_state, stratify=y if own else None
    )
    x_labelled, x_source_test, y_labelled, y_source_test = parts
    normal, held_back = hold_back(np.flatnonzero(y_labelled == 0), protocol, random_state)
    kept = np.sort(np.concatenate([normal, np.flatnonzero(y_labelled == 1)]))
    return CurveSplits(
        x_train=x_labelled[normal],
        x_test=x_validation,
        y_test=y_validation,
        code_size=config.units[-1],
        held_back=None if held_back is None else x_labelled[held_back],
        x_labelled=x_labelled[kept],
        y_labelled=y_labelled[kept],
        x_source_test=x_source_test,
        y_source_test=y_source_test,
        examples=np.stack([first, *shown]),
        anomalous_part=float(np.mean(y == 1)),
        labelled=len(shown) > 1,
    )


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build and compile the dense autoencoder: LeakyReLU after every layer, the code and the output included."""
    keras = start_keras()
    inputs = keras.Input(shape, name="curve")
    x = inputs
    for units in layer_units(config, shape[-1]):
        x = torch_defaults.dense(x, units, initializer=config.initializer)
        x = keras.layers.LeakyReLU(negative_slope=config.negative_slope)(x)
    autoencoder = keras.Model(inputs, x, name="curves_dense_ae")
    autoencoder.compile(
        optimizer=torch_defaults.adam(config.learning_rate, weight_decay=config.weight_decay),
        loss=keras.losses.MeanSquaredError(),
        metrics=[torch_defaults.mean_of_batch_means],
        jit_compile=True,
    )
    return autoencoder


def layer_units(config: Config, points: int) -> list[int]:
    """List the width of every layer after the input: encoder, decoder and output."""
    return [*config.units, *reversed(config.units[:-1]), points]


def reconstruct_by(framework: Callable[[Any, np.ndarray], np.ndarray], model: Any, curves: np.ndarray) -> np.ndarray:
    """Reconstruct curves in single precision, with a model and the function of its framework."""
    return framework(model, curves.astype(np.float32))


# The run.


def run(autoencoder: Any, splits: CurveSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    # The curves that all methods are scored on. The source calls them validation curves.
    x, y = splits.x_test, splits.y_test
    metrics: dict[str, Metric] = {"curve.maximum": float(splits.examples[0].max())}
    forest_scores: dict[str, np.ndarray] = {}
    if config.baselines and splits.labelled:
        predictions, forest_scores["random_forest_scores"] = baseline_predictions(splits, config, seed)
        for method, flagged in predictions.items():
            metrics |= report_metrics(method, y, flagged)

    # The ablation in the source's framework trains a model of PyTorch in place of that of Keras.
    model, framework, generator = autoencoder, reconstruct, None
    if config.framework == "pytorch":
        framework, generator = pytorch.reconstruct, pytorch.generator(seed)
        slope, units = config.negative_slope, layer_units(config, x.shape[1])
        model = pytorch.dense_autoencoder(x.shape[1], units, negative_slope=slope, generator=generator)

    # Train, on normal curves alone. What is called after every epoch only looks on: it keeps errors and pictures.
    reconstruct_curves = functools.partial(reconstruct_by, framework, model)
    watch = Watch(x, y, reconstruct_curves)
    look = ErrorsByEpoch(splits.x_source_test.astype(np.float32), reconstruct_curves, also=watch)
    normal = splits.x_train.astype(np.float32)
    steps: dict[str, Any] = {"epochs": config.epochs, "batch_size": config.batch_size, "on_epoch_end": look}

    if config.framework == "pytorch":
        rates: dict[str, Any] = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
        losses = pytorch.fit(model, normal, **steps, **rates, generator=generator)
    else:
        history = fit(model, normal, **steps, seed=seed)
        batches = -(-len(normal) // config.batch_size)  # of an epoch; the source prints the sum of their losses
        losses = [batches * mean for mean in history["mean_of_batch_means"]]
    metrics |= by_epoch("loss", losses)

    # Residuals: those of the source's test curves train the forests; those of the curves to be scored, `x`, are scored.
    test_residuals = splits.x_source_test - reconstruct_curves(splits.x_source_test)
    reconstructions = reconstruct_curves(x)
    residuals = x - reconstructions
    metrics |= {"residual.min": float(test_residuals.min()), "residual.max": float(test_residuals.max())}

    # Learn, with labels, what residuals of anomalies look like; then score.
    test_histograms = residual_histograms(test_residuals, config)
    flags: dict[str, np.ndarray] = {}
    if splits.labelled:
        by_residual = fit_forest(test_residuals, splits.y_source_test, config.trees, config.max_features, seed)
        flags["forest_residual"], forest_scores["forest_residual_scores"] = flag_and_score(by_residual, residuals)

        # The same on histograms of the residuals: the source's best method.
        histograms = residual_histograms(residuals, config)
        by_histogram = fit_forest(test_histograms, splits.y_source_test, config.histogram_trees, "sqrt", seed)
        flags["forest_histogram"], forest_scores["forest_histogram_scores"] = flag_and_score(by_histogram, histograms)
    for method, flagged in flags.items():
        metrics |= report_metrics(method, y, flagged)

    # Added: the reconstruction error as a score, without labels.
    scores = reconstruction_error(x, reconstructions)
    metrics |= ranking_metrics("autoencoder", y, scores)
    decided: list[Decision] = []
    # Decide. The forests by a majority of their trees; held out, the error by a threshold fitted on curves kept back.
    for name, votes in forest_scores.items():
        decided += decisions(name, y, votes, {name.removesuffix("_scores"): fixed(MAJORITY)})
    if splits.held_back is not None:
        held_back_errors = reconstruction_error(splits.held_back, reconstruct_curves(splits.held_back))
        metrics["held_back.loss"] = float(held_back_errors.mean())
        threshold = percentile_of_normals(held_back_errors, FALSE_POSITIVE_RATE, "normal curves kept back")
        metrics |= threshold_metrics("percentile", threshold, y, scores)
        decided += decisions("scores", y, scores, {"percentile": threshold})

    # All that is kept: for the figures, and for the page of the report.
    example = np.flatnonzero(splits.y_source_test == 0)[[10 % np.sum(splits.y_source_test == 0)]]
    arrays = {
        "examples": splits.examples.astype(np.float32),
        "labels": y,
        "scores": scores,
        "curves": x.astype(np.float32),
        "reconstructions": reconstructions,
        **forest_scores,
    }

    arrays |= {
        **{f"{method}_flagged": flagged for method, flagged in flags.items()},
        "losses": np.array(losses),
        "test_labels": splits.y_source_test,
        "test_errors_by_epoch": np.stack(look.errors),
        "test_example": splits.x_source_test[example],
        "test_example_reconstruction": reconstruct_curves(splits.x_source_test[example]),
        "test_histograms": test_histograms,
        "histogram_limit": np.array(config.histogram_limit),
    }
    shown_scores, limit = forest_scores.get("forest_histogram_scores", scores), MAJORITY if splits.labelled else None
    arrays |= shown_arrays(y, shown_scores, limit, x, reconstruct_curves) | watch.arrays()
    return Result(metrics, arrays, decided)


def baseline_predictions(splits: CurveSplits, config: Config, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Flag curves with the three methods on the curves themselves, and score them with the random forest.

    OneClassSVM and IsolationForest are trained without labels, RandomForest with them.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    part = min(0.5, splits.anomalous_part)  # more is not allowed
    one_class_svm = OneClassSVM(nu=part).fit(splits.x_labelled)
    features = min(config.max_features, splits.x_test.shape[1])
    isolation_forest = IsolationForest(
        n_estimators=config.trees, contamination=part, max_features=features, random_state=seed
    ).fit(splits.x_labelled)
    random_forest = fit_forest(splits.x_labelled, splits.y_labelled, config.trees, config.max_features, seed)
    flagged, scores = flag_and_score(random_forest, splits.x_test)
    # scikit-learn's outlier detectors predict -1 for an outlier; here an anomaly is 1.
    predictions = {
        "ocsvm": (one_class_svm.predict(splits.x_test) == -1).astype(int),
        "isolation_forest": (isolation_forest.predict(splits.x_test) == -1).astype(int),
        "random_forest": flagged,
    }
    return predictions, scores


def flag_and_score(forest: Any, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict with a fitted forest: 1 for a flagged anomaly, and the mean anomaly probability over the trees."""
    return forest.predict(samples), forest.predict_proba(samples)[:, 1]


def fit_forest(x: np.ndarray, y: np.ndarray, trees: int, max_features: int | str, seed: int) -> Any:
    """Fit a random forest, several trees at a time where the run has several threads.

    It predicts with one thread, since with several the order of summation changes from run to run.
    """
    from sklearn.ensemble import RandomForestClassifier

    if isinstance(max_features, int):
        max_features = min(max_features, x.shape[1])
    forest = RandomForestClassifier(trees, max_features=max_features, random_state=seed, n_jobs=threads())
    return forest.fit(x, y).set_params(n_jobs=1)


def residual_histograms(residuals: np.ndarray, config: Config) -> np.ndarray:
    """Count each curve's residuals in bins of equal width; residuals beyond the limit are dropped, as in the source.

    Args:
        residuals: shape `(curves, points)`.
        config: the number of bins, and the largest absolute residual counted.

    Returns:
        Counts, shape `(curves, histogram_bins)`.
    """
    limits = (-config.histogram_limit, config.histogram_limit)
    return np.stack([np.histogram(row, bins=config.histogram_bins, range=limits)[0] for row in residuals])


# The figures of the source, drawn from the saved arrays only.


def draw_examples(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the curves that the source shows of its data."""
    figure, axes = figures.canvas(columns=3, height=2.4, sharey=True)
    titles = ("peak at 0.3, width 0.05", f"normal, number {EXAMPLE}", f"anomaly, number {EXAMPLE}")
    for axis, curve, title in zip(axes, arrays["examples"], titles, strict=True):
        _plot_curve(axis, curve, title=title)
    axes[0].set_ylabel("value")
    caption = "The curves that the source shows: one of given shape, a normal one, and an anomaly with its second peak."
    return figures.CaptionedFigure("curves", caption, figure)


def draw_test_errors(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw box plots of the test errors by class after the first, the middle and the last epoch."""
    errors, labels = arrays["test_errors_by_epoch"], arrays["test_labels"]
    epochs = sorted({1, max(1, len(errors) // 2), len(errors)})
    figure, axes = figures.canvas(columns=len(epochs), height=3.0, sharey=True)
    for axis, epoch in zip(axes, epochs, strict=True):
        figures.boxes_by_class(axis, errors[epoch - 1], labels)
        axis.set(title=f"after epoch {epoch}", yscale="log")
    axes[0].set_ylabel("mean squared error of a test curve")
    caption = "Reconstruction errors of the test curves by class: after the first, the middle and the last epoch."
    return figures.CaptionedFigure("test_errors", caption, figure)


def draw_reconstruction(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw a normal test curve and its reconstruction."""
    figure, axes = figures.canvas(columns=1, height=2.6)
    _plot_reconstruction(axes[0], arrays["test_example"][0], arrays["test_example_reconstruction"][0], "curve")
    return figures.CaptionedFigure("reconstruction", "A normal test curve and its reconstruction.", figure)


def draw_missed(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the first anomaly that the forest on residuals missed, and its reconstruction."""
    missed = np.flatnonzero((arrays["labels"] == 1) & (arrays["forest_residual_flagged"] == 0))
    figure, axes = figures.canvas(columns=1, height=2.6)
    if len(missed) == 0:
        axes[0].set_axis_off()
        return figures.CaptionedFigure("missed_anomaly", "In this run no anomaly was missed.", figure)
    _plot_reconstruction(axes[0], arrays["curves"][missed[0]], arrays["reconstructions"][missed[0]], "missed anomaly")
    caption = f"The first of {len(missed)} anomalies that the forest on residuals missed, and its reconstruction."
    return figures.CaptionedFigure("missed_anomaly", caption, figure)


def draw_residuals(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw residuals as images, one row per curve: missed anomalies, found anomalies, normal curves not flagged."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    labels, flagged = arrays["labels"], arrays["forest_residual_flagged"]
    residuals = arrays["curves"] - arrays["reconstructions"]
    groups = {
        "missed anomalies": residuals[(labels == 1) & (flagged == 0)],
        "caught anomalies": residuals[(labels == 1) & (flagged == 1)],
        "normal, called normal": residuals[(labels == 0) & (flagged == 0)],
    }
    scale = Normalize(0, 1, clip=True)
    figure, axes = figures.canvas(columns=3, height=3.6, sharex=True)
    for axis, (title, rows) in zip(axes, groups.items(), strict=True):
        if len(rows):
            axis.imshow(rows, aspect="auto", norm=scale, cmap="viridis", interpolation="nearest")
        axis.set(title=f"{title} ({len(rows)})", xlabel="point")
        axis.grid(visible=False)
    axes[0].set_ylabel("curve")
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, label="residual, clipped to 0..1")
    caption = "Residuals of the validation curves, one row per curve, on the source's colour scale of 0 to 1."
    return figures.CaptionedFigure("residuals", caption, figure)


def draw_histograms(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the residual histograms of the first normal and the first anomalous test curve."""
    histograms, labels = arrays["test_histograms"], arrays["test_labels"]
    limit = float(arrays["histogram_limit"])
    edges = np.linspace(-limit, limit, histograms.shape[1] + 1)
    figure, axes = figures.canvas(columns=2, height=2.6, sharey=True)
    for axis, label, title in zip(axes, (0, 1), ("normal", "anomaly"), strict=True):
        first = histograms[labels == label][:1].sum(axis=0)
        axis.bar(edges[:-1], first, width=np.diff(edges), align="edge", color=figures.CLASS_COLOURS[label])
        axis.set(title=title, xlabel="residual")
    axes[0].set_ylabel("points of the curve")
    caption = "Residual histograms of the first normal and the first anomalous test curve."
    return figures.CaptionedFigure("histograms", caption, figure)


def _plot_curve(axis: Any, curve: np.ndarray, title: str = "", **style: Any) -> None:
    axis.plot(np.linspace(0, 1, len(curve)), curve, **style)
    axis.set(title=title, xlabel="position")


def _plot_reconstruction(axis: Any, curve: np.ndarray, reconstruction: np.ndarray, label: str) -> None:
    _plot_curve(axis, curve, label=label)
    _plot_curve(axis, reconstruction, label="reconstruction", linestyle="--")
    axis.legend()


EXPERIMENT = Experiment(
    module=__name__,
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    prepare=as_they_are,
    score=reconstruction_scores,
    revision=3,
    methods={
        "forest on histograms (labels)": "forest_histogram_scores",
        "forest on residuals (labels)": "forest_residual_scores",
        "forest on curves (labels)": "random_forest_scores",
        "dense autoencoder": "scores",
    },
    figures=(draw_examples, draw_test_errors, draw_reconstruction, draw_missed, draw_residuals, draw_histograms),
    # In the held-out protocol every run draws its own curves.
    split_by_seed=(HELD_OUT,),
    own_test_set=(HELD_OUT,),
    generator=("normal_curves", "anomalous_curves", "validation_curves", "points", "data_seed"),
    # Each changes one setting, to explain a difference from the source; run by `run curves_dense_ae --ablate`.
    ablations={
        "trained in PyTorch, the source's framework": {"framework": "pytorch", "baselines": False},
        "Keras' initialisation instead of PyTorch's": {"initializer": "keras", "baselines": False},
        "no weight decay": {"weight_decay": 0.0, "baselines": False},
        "trained twice as long": {"epochs": 200, "baselines": False},
        "trained four times as long": {"epochs": 400, "baselines": False},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "curves_dense_ae", *sys.argv[1:]])
