"""LSTM autoencoder with curve shifting, on sheet breaks of a paper machine.

Source: "LSTM Autoencoder for Anomaly Detection", a Korean blog post with its notebook, about 2020,
    https://ilvnax24er.github.io/Anomaly-Detection (document 002). Written in Keras, after
    https://towardsdatascience.com/lstm-autoencoder-for-extreme-rare-event-classification-in-keras-ce209a224cfb.
    Data: sheet breaks of a paper machine, handed out by ProcessMiner (Ranjan et al., https://arxiv.org/abs/1809.10717).

Claim: A reconstruction error of windows that end within the ten minutes before a sheet break stands out, for an
    autoencoder trained on normal windows only. So a threshold on it, set where precision equals recall, predicts
    breaks.

Method: Every row holds 61 sensors of a paper machine, two minutes after the one before; 59 of them are used, without a
    category and a flag. The curve shift labels the five rows before each break as positive and drops the rows of
    breaks. Windows of five rows take the label of their last row. They are split at random, twice, into training,
    validation and test windows, and scaled by mean and standard deviation of the normal training windows' last rows.
    The autoencoder learns the normal training windows until the error of the normal validation windows stops falling.
    The score of a window is the squared error of its last row, on average over the sensors.
    The threshold is the break-even point of precision and recall on the validation windows; test windows strictly above
    it are flagged. Windows overlap, and the random split puts neighbours on both sides: that leak is the source's own.

Deviations:
    1. Keras 3 instead of TensorFlow 2's `tf.keras`. Every default that the source relied on is written out.
    2. Splits, weights and batch order derive from the seed of the run. The source seeded none of them, so its numbers
       are one draw over splits and trainings together, and so is each of our runs.
    3. The LSTM layers are unrolled over their five steps, and XLA compiles the training step: the same formulas in less
       time, rounded in another order.
    4. Curve shift, windows and scaling are computed on whole arrays, not row by row. The windows are the same, the
       source's loop over them included: it begins at the third row, so that two possible windows are never made.
    5. The validation loss is computed in one batch instead of 128 windows at a time: the same mean.
    6. scikit-learn of today, whose precision-recall curve reaches down to the smallest score, where older ones stopped
       at full recall. The figure shows more on its left; the break-even point is the same.
    7. Where the only threshold at which precision equals recall is one at which both are zero, the source would print
       zeros without a word. We keep them and say so in `break_even.degenerate`. Where there is none, it would fail; our
       numbers then have no value.
    8. The TensorBoard log is written on demand (`run rare_event_lstm_ae --tensorboard`), and by epoch only.
    9. The model graph is drawn by matplotlib instead of Graphviz, with output shapes and parameters added.
    10. Figures: errors and thresholds on logarithmic axes, the threshold drawn among precision and recall.
    11. Added: average precision of the test scores; confusion counts and AUROC as numbers, which the source shows in
       figures only.

Protocols:
    1. Published: windows that overlap are split at random, so nearly every test window shares rows with a training
       window. Held out: time runs forward. 64 % of the rows train, the next 16 % validate, the rest is scored, the
       fractions of the source; then each boundary moves on to the next break, so that no run-up to a break is cut.
    2. Published: breaks are removed first, so windows run across them, and across gaps in time. Held out: a window is
       made of five rows two minutes apart, with no break among them, and it is positive when a break follows within ten
       minutes by the clock, where five rows of the table may span hours.
    3. Published: validation windows, which share rows with test windows too, decide when training stops and where the
       threshold lies. Held out: the same rules, on the past alone.
    4. Both: the scaler sees training windows only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common import figures
from common.config import BaseConfig, option
from common.data.windows import (
    boundaries_after_events,
    curve_shift,
    episodes,
    event_within,
    stretches,
    windows,
    windows_within,
)
from common.experiment import FALSE_POSITIVE_RATE, HELD_OUT, PUBLISHED, Arrays, Experiment, Result, Splits
from common.metrics import drift
from common.metrics.scores import (
    Metric,
    Undefined,
    by_epoch,
    classification_metrics,
    confusion_counts,
    ranking_metrics,
)
from common.metrics.thresholds import Threshold, best_f1, break_even, percentile_of_normals, threshold_metrics
from common.training.fit import fit, layer_arrays, reconstruct
from common.training.keras import start_keras

if TYPE_CHECKING:
    import pandas

# Not features: the time, the label, and the two columns that are categories (x28, a type of paper, and x61, a flag).
NOT_FEATURES = ["time", "y", "x28", "x61"]
# The source's loop over windows begins with the one whose first row is this.
FIRST_ROW = 2
# From one row to the next where none is missing.
STEP = np.timedelta64(2, "m")


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters, each an option of the command line."""

    rows_before_break: int = option(5, "rows of two minutes before a break that become positive", minimum=1)
    timesteps: int = option(5, "rows of a window", minimum=1)
    test_fraction: float = option(0.2, "part of the windows set aside as test set", minimum=0.05, maximum=0.95)
    validation_fraction: float = option(0.2, "part of the rest set aside for validation", minimum=0.05, maximum=0.95)
    units: tuple[int, ...] = option((32, 16), "width of the encoder's LSTM layers, mirrored", minimum=1)
    epochs: int = option(200, "passes over the normal training windows, at most", minimum=1)
    batch_size: int = option(128, "windows of one training step", minimum=1)
    learning_rate: float = option(1e-3, "of Adam", minimum=0.0)
    patience: int = option(5, "epochs without a lower validation loss before training stops", minimum=1)
    split_seed: int | None = option(None, "one split for all runs, of this seed (default: each run its own)", minimum=0)


class Table(NamedTuple):
    """The table as it was recorded: features, shape `(rows, features)`, and of every row its time and whether a break.

    `sensors` are the numbers of the features, 1 for x1; `columns` is how many the table has, features or not.
    """

    features: np.ndarray
    sensors: np.ndarray
    breaks: np.ndarray
    times: np.ndarray
    columns: int


class Windows(NamedTuple):
    """Windows, shape `(windows, timesteps, features)`, their labels, 1 before a break, and the rows they are made of.

    `rows` are indices into the table, shape `(windows, timesteps)`.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True)
class WindowSplits(Splits):
    """Scaled windows, shape `(windows, timesteps, features)`; `x_train` holds normal ones only, the rest both classes.

    `rows` are those of the windows of each part ("train", "validation", "test"), in their order. `metrics` counts them.
    `scaler` is fitted on the last rows of `x_train`.
    """

    x_validation: np.ndarray
    y_validation: np.ndarray
    rows: Mapping[str, np.ndarray]
    table: Table
    scaler: Any
    metrics: Mapping[str, Metric]
    held_out: bool


# The data.


def split(data: pandas.DataFrame, config: Config, protocol: str, seed: int) -> WindowSplits:
    """Cut the table into windows, split these, and scale them all by the normal training windows.

    Published: at random, twice, over all windows; what leaks is said above. Held out: along time.
    """
    from sklearn.preprocessing import StandardScaler

    table = features_of(data)
    if protocol == HELD_OUT:
        made, parts = split_along_time(table, config)
    else:
        made, parts = split_at_random(table, config, seed)
    windows_of = {name: Windows(made.x[part], made.y[part], made.rows[part]) for name, part in parts.items()}
    train, validation, test = windows_of.values()
    normal = train.x[train.y == 0]
    scaler = StandardScaler().fit(last_step(normal))
    return WindowSplits(
        x_train=scaled(normal, scaler),
        x_test=scaled(test.x, scaler),
        y_test=test.y,
        code_size=config.units[-1],
        groups=episodes(table.breaks)[test.rows[:, -1]],
        x_validation=scaled(validation.x, scaler),
        y_validation=validation.y,
        rows={"train": train.rows[train.y == 0], "validation": validation.rows, "test": test.rows},
        table=table,
        scaler=scaler,
        metrics=count_metrics(table, config, made, windows_of),
        held_out=protocol == HELD_OUT,
    )


def features_of(data: pandas.DataFrame) -> Table:
    """Take the features, the breaks and the times from the table of the paper machine."""
    features = data.drop(columns=NOT_FEATURES)
    sensors = np.array([int(name.removeprefix("x")) for name in features.columns])
    x = features.to_numpy(np.float64)
    return Table(x, sensors, data["y"].to_numpy(), data["time"].to_numpy(), data.shape[1])


def count_metrics(table: Table, config: Config, made: Windows, windows_of: Mapping[str, Windows]) -> dict[str, Metric]:
    """Count rows and windows, of all and of each part."""
    metrics: dict[str, Metric] = {
        "data.rows": len(table.breaks),
        "data.columns": table.columns,
        "data.normal_rows": int((table.breaks == 0).sum()),
        "data.break_rows": int((table.breaks == 1).sum()),
        "data.shifted_rows": len(curve_shift(table.breaks, config.rows_before_break).rows),
        "data.windows": len(made.x),
        "data.timesteps": made.x.shape[1],
        "data.features": made.x.shape[2],
    }
    for name, (_, y, _) in windows_of.items():
        metrics[f"data.{name}_windows"] = len(y)
        metrics[f"data.{name}_normal_windows"] = int((y == 0).sum())
        metrics[f"data.{name}_positive_rate"] = float(y.mean())
    return metrics


def split_at_random(data: Table, config: Config, seed: int) -> tuple[Windows, dict[str, np.ndarray]]:
    """Cut the source's windows, made after the breaks were removed, and split them at random twice, as it does."""
    from sklearn.model_selection import train_test_split

    shifted = curve_shift(data.breaks, config.rows_before_break)
    rows = windows(shifted.rows[:, np.newaxis], config.timesteps, first=FIRST_ROW)[..., 0]
    made = Windows(data.features[rows], shifted.labels[FIRST_ROW + config.timesteps - 1 :], rows)
    random_state = seed if config.split_seed is None else config.split_seed
    rest, test = train_test_split(np.arange(len(rows)), test_size=config.test_fraction, random_state=random_state)
    train, validation = train_test_split(rest, test_size=config.validation_fraction, random_state=random_state)
    return made, {"train": train, "validation": validation, "test": test}


def split_along_time(data: Table, config: Config) -> tuple[Windows, dict[str, np.ndarray]]:
    """Cut windows of rows that follow each other without a gap or a break, and split them, past before future."""
    labels = event_within(data.times, data.breaks, config.rows_before_break * STEP)
    rows = windows_within(stretches(data.times, data.breaks, STEP), data.breaks, config.timesteps)
    made = Windows(data.features[rows], labels[rows[:, -1]], rows)
    before_test = 1 - config.test_fraction
    fractions = [before_test * (1 - config.validation_fraction), before_test]
    part = np.digitize(rows[:, -1], boundaries_after_events(data.breaks, fractions, config.rows_before_break))
    return made, {name: np.flatnonzero(part == index) for index, name in enumerate(("train", "validation", "test"))}


def last_step(x: np.ndarray) -> np.ndarray:
    """Take the last row of every window, shape `(windows, features)`."""
    return np.asarray(x[:, -1, :])


def scaled(x: np.ndarray, scaler: Any) -> np.ndarray:
    """Scale every row of every window alike, in a copy."""
    return np.asarray(scaler.transform(x.reshape(-1, x.shape[-1])).reshape(x.shape))


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build the LSTM autoencoder, compiled: the code of a window is repeated once for every step to be decoded."""
    keras = start_keras()
    inputs = keras.Input(shape, name="window")
    x = inputs
    for units in config.units[:-1]:
        x = lstm(units, return_sequences=True)(x)
    x = lstm(config.units[-1], return_sequences=False)(x)
    x = keras.layers.RepeatVector(shape[0])(x)
    for units in reversed(config.units):
        x = lstm(units, return_sequences=True)(x)
    output = keras.layers.Dense(
        shape[1], activation="linear", kernel_initializer="glorot_uniform", bias_initializer="zeros"
    )
    autoencoder = keras.Model(inputs, keras.layers.TimeDistributed(output)(x), name="rare_event_lstm_ae")
    autoencoder.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7),
        loss=keras.losses.MeanSquaredError(),
        jit_compile=True,
    )
    return autoencoder


def lstm(units: int, return_sequences: bool) -> Any:
    """Make an LSTM layer with every default of Keras written out, unrolled for speed."""
    return start_keras().layers.LSTM(
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=return_sequences,
        unroll=True,
    )


# The threshold.


def break_even_metrics(point: Threshold | None, y_test: np.ndarray, test_scores: np.ndarray) -> dict[str, Metric]:
    """Judge the break-even point on the validation windows, and its threshold on the test windows.

    The source counts precision and recall of `score >= threshold`, and flags what lies strictly above.
    """
    flagged = (test_scores > (np.inf if point is None else point.value)).astype(int)
    method = "break_even.test"
    test = classification_metrics(method, y_test, flagged) | confusion_counts(method, y_test, flagged)
    if point is None:
        names = [*(f"break_even.{name}" for name in ("threshold", "precision", "recall", "degenerate")), *test]
        return {name: Undefined("no threshold makes precision equal to recall") for name in names}
    assert point.precision is not None and point.recall is not None
    return {
        "break_even.threshold": point.value,
        "break_even.precision": point.precision,
        "break_even.recall": point.recall,
        "break_even.degenerate": int(point.recall == 0),
        **test,
    }


# The run.


def run(autoencoder: Any, splits: WindowSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    history = fit(
        autoencoder,
        splits.x_train.astype(np.float32),
        validation=splits.x_validation[splits.y_validation == 0].astype(np.float32),
        epochs=config.epochs,
        batch_size=config.batch_size,
        patience=config.patience,
        seed=seed,
    )
    validation_errors = last_step_errors(autoencoder, splits.x_validation)
    validation_scores = validation_errors.mean(axis=1)
    point = break_even(splits.y_validation, validation_scores, "validation windows")
    test_errors = last_step_errors(autoencoder, splits.x_test)
    test_scores = test_errors.mean(axis=1)

    metrics = {**splits.metrics, "model.parameters": autoencoder.count_params()}
    metrics |= loss_metrics(history)
    metrics |= break_even_metrics(point, splits.y_test, test_scores)
    metrics |= ranking_metrics("autoencoder", splits.y_test, test_scores)
    arrays = {
        **layer_arrays(autoencoder),
        "loss": np.array(history["loss"]),
        "validation_loss": np.array(history["val_loss"]),
        "validation_labels": splits.y_validation,
        "validation_scores": validation_scores,
        "threshold": np.array(np.nan if point is None else point.value),
        "labels": splits.y_test,
        "scores": test_scores,
    }
    if splits.held_out:
        metrics |= other_rules(splits, validation_scores, test_scores)
        train_errors = last_step_errors(autoencoder, splits.x_train)
        parts = parts_along_time(splits, train_errors, validation_errors, test_errors)
        metrics |= drift.drift_metrics(parts, splits.table.sensors)
        arrays |= drift.drift_arrays(parts, splits.table.sensors)
        arrays["break_times"] = splits.table.times[splits.table.breaks == 1].astype("datetime64[s]").astype(np.int64)
    return Result(metrics, arrays)


def other_rules(splits: WindowSplits, validation_scores: np.ndarray, test_scores: np.ndarray) -> dict[str, Metric]:
    """Judge two more rules, fitted on the validation windows, on the test windows: is the break-even to blame?"""
    normal = validation_scores[splits.y_validation == 0]
    rules = {
        "best_f1": best_f1(splits.y_validation, validation_scores, "validation windows"),
        "percentile": percentile_of_normals(normal, FALSE_POSITIVE_RATE, "normal validation windows"),
    }
    metrics: dict[str, Metric] = {}
    for rule, threshold in rules.items():
        metrics |= threshold_metrics(rule, threshold, splits.y_test, test_scores)
    return metrics


def parts_along_time(splits: WindowSplits, *errors: np.ndarray) -> dict[str, drift.Part]:
    """Gather the last rows of all windows by part, with their squared errors of training, validation and test."""
    inputs = {
        "train": (splits.x_train, np.zeros(len(splits.x_train), dtype=int)),
        "validation": (splits.x_validation, splits.y_validation),
        "test": (splits.x_test, splits.y_test),
    }
    return {
        name: drift.Part(splits.table.times[splits.rows[name][:, -1]], labels, last_step(x), of_part)
        for (name, (x, labels)), of_part in zip(inputs.items(), errors, strict=True)
    }


def last_step_errors(autoencoder: Any, x: np.ndarray) -> np.ndarray:
    """Compute the squared errors of the last rows of windows, shape `(windows, features)`; their mean is the score."""
    reconstructions = reconstruct(autoencoder, x.astype(np.float32))
    return np.asarray(np.square(last_step(x) - last_step(reconstructions)))


def loss_metrics(history: Mapping[str, list[float]]) -> dict[str, Metric]:
    """Name the losses by epoch, and those of the last one, after which training stopped."""
    metrics: dict[str, Metric] = {"training.epochs": len(history["loss"])}
    for name, losses in (("loss", history["loss"]), ("validation_loss", history["val_loss"])):
        metrics |= {**by_epoch(name, losses), f"{name}.last": losses[-1]}
    return metrics


# The figures of the source, drawn from saved arrays alone.


def draw_model(arrays: Arrays) -> figures.Drawing:
    """The layers of the autoencoder, from input to output."""
    figure, axes = figures.canvas(columns=1, height=4.2)
    figures.model_graph(axes[0], arrays["layer_names"], arrays["layer_shapes"], arrays["layer_parameters"])
    caption = f"The autoencoder, layer by layer: {arrays['layer_parameters'].sum():,} parameters."
    return figures.Drawing("model", caption, figure)


def draw_loss(arrays: Arrays) -> figures.Drawing:
    """Training and validation loss over the epochs."""
    figure, axes = figures.canvas(columns=1, height=2.8)
    epochs = np.arange(1, len(arrays["loss"]) + 1)
    axes[0].plot(epochs, arrays["loss"], label="training")
    axes[0].plot(epochs, arrays["validation_loss"], label="validation")
    axes[0].set(xlabel="epoch", ylabel="mean squared error")
    axes[0].legend()
    caption = f"Loss on the normal windows of training and validation, over the {len(epochs)} epochs trained."
    return figures.Drawing("loss", caption, figure)


def draw_precision_and_recall(arrays: Arrays) -> figures.Drawing:
    """Precision and recall of the validation windows over the threshold, shifted by one as in the source."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(arrays["validation_labels"], arrays["validation_scores"])
    figure, axes = figures.canvas(columns=1, height=2.8)
    axes[0].plot(thresholds, precision[1:], label="precision")
    axes[0].plot(thresholds, recall[1:], label="recall")
    axes[0].axvline(float(arrays["threshold"]), label="break-even", **figures.THRESHOLD_LINE)
    axes[0].set(xlabel="threshold", ylabel="precision, recall", xscale="log")
    axes[0].legend()
    caption = (
        "Precision and recall on the validation windows over the threshold. As in the source, each threshold is drawn "
        "with the values of the next higher one."
    )
    return figures.Drawing("precision_and_recall", caption, figure)


def draw_test_errors(arrays: Arrays) -> figures.Drawing:
    """Errors of the test windows by class, with the threshold."""
    figure, axes = figures.canvas(columns=1, height=3.2)
    figures.scores_by_index(axes[0], arrays["scores"], arrays["labels"], float(arrays["threshold"]))
    axes[0].set_yscale("log")
    caption = "Reconstruction error of every test window by class; an anomaly ends within ten minutes before a break."
    return figures.Drawing("test_errors", caption, figure)


def draw_confusion_matrix(arrays: Arrays) -> figures.Drawing:
    """What is flagged among the test windows."""
    figure, axes = figures.canvas(columns=1, height=3.2)
    flagged = (arrays["scores"] > arrays["threshold"]).astype(int)
    figures.confusion_matrix(axes[0], arrays["labels"], flagged)
    return figures.Drawing("confusion_matrix", "Test windows by true and predicted class at the threshold.", figure)


def draw_roc(arrays: Arrays) -> figures.Drawing:
    """ROC curve of the test scores."""
    figure, axes = figures.canvas(columns=1, height=3.6)
    figures.roc_curves(axes[0], arrays["labels"], {"LSTM autoencoder": arrays["scores"]})
    return figures.Drawing("roc", "ROC curve of the test windows' reconstruction errors.", figure)


EXPERIMENT = Experiment(
    module=__name__,
    dataset="processminer",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    revision=3,
    methods={"LSTM autoencoder": "scores"},
    figures=(draw_model, draw_loss, draw_precision_and_recall, draw_test_errors, draw_confusion_matrix, draw_roc),
    held_out_figures=(draw_loss, draw_confusion_matrix, figures.errors_by_time, figures.sensors_by_time),
    # The source's random split is drawn by the seed of the run, so that no two runs score the same samples.
    split_by_seed=(PUBLISHED,),
    # Explains a spread: the same experiment with one thing changed, run by `run rare_event_lstm_ae --ablate`.
    ablations={"the same split for every seed, so that the training alone varies": {"split_seed": 0}},
)

if __name__ == "__main__":
    from experiments.__main__ import main

    sys.exit(main(["run", "rare_event_lstm_ae", *sys.argv[1:]]))
