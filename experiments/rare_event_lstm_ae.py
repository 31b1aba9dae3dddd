"""LSTM autoencoder with curve shifting on sheet breaks of a paper machine.

Source: "LSTM Autoencoder for Anomaly Detection", a Korean blog post with its notebook, about 2020,
    https://ilvnax24er.github.io/Anomaly-Detection. Written in Keras, after
    https://towardsdatascience.com/lstm-autoencoder-for-extreme-rare-event-classification-in-keras-ce209a224cfb.
    Data: sheet breaks of a paper machine, handed out by ProcessMiner (Ranjan et al., https://arxiv.org/abs/1809.10717).

Claim: For an autoencoder trained on normal windows only, windows that end within the ten minutes before a sheet break
    have larger reconstruction errors than others. So a threshold on the error, set where precision equals recall,
    predicts breaks.

Method: The table has a row about every two minutes with 61 sensors of a paper machine; 59 of them are used, without a
    category and a flag. The curve shift labels the five rows before each break as positive and drops the rows of
    breaks. Windows of five rows have the label of their last row. They are split at random, twice, into training,
    validation and test windows, and scaled by mean and standard deviation of the last rows of the normal training
    windows. The autoencoder is trained on the normal training windows until the error of the normal validation windows
    has not fallen for five epochs, or for 200 epochs; the last weights are kept. The score of a window is the squared
    error of its last row, averaged over the sensors. The threshold is the break-even point of precision and recall on
    the validation windows; test windows strictly above it are flagged. Windows overlap, and the random split puts
    overlapping windows into different parts: the source has this leak.

Deviations:
    1. Keras 3 instead of TensorFlow 2's `tf.keras`. Every default that the source relied on is written out.
    2. Splits, weights and batch order derive from the seed of the run. The source set no seed for any of them, so its
       numbers are those of one random split and training, and so are those of each of our runs.
    3. The LSTM layers are unrolled over their five steps, and XLA compiles the training step: the same formulas in less
       time, with another order of rounding.
    4. Curve shift, windows and scaling are computed on whole arrays, not row by row. The windows are the same as those
       of the source's loop, which begins at the third row and so leaves out the first two possible windows.
    5. The validation loss is computed in one batch instead of 128 windows at a time: the same mean.
    6. A current scikit-learn, whose precision-recall curve reaches down to the smallest score; older versions stopped
       at full recall. The figure shows more on its left; the break-even point is the same.
    7. If precision equals recall only at thresholds where both are zero, the source would print zeros without comment.
       We keep the zeros and mark them by `break_even.degenerate`. If there is no such threshold at all, the source
       would fail; our metrics are then undefined.
    8. The TensorBoard log is written on request (`run rare_event_lstm_ae --tensorboard`), and by epoch only.
    9. The model graph is made by matplotlib instead of Graphviz, with output shapes and parameter counts added.
    10. Figures: errors and thresholds have logarithmic axes; the threshold is marked in the figure of precision and
       recall.
    11. Added: average precision of the test scores; confusion counts and AUROC as numbers, which the source shows in
       figures only.

Protocols:
    1. Published: overlapping windows are split at random, so nearly every test window shares rows with a training
       window. Held out: the split is along time. The first 64 % of the rows are for training, the next 16 % for
       validation and the rest for scoring, the fractions of the source. Each boundary is then moved on to the next
       break, so that no run-up to a break is cut.
    2. Published: the rows of breaks are removed before windows are cut, so windows run across breaks, and across gaps
       in time. Held out: a window consists of five rows that are two minutes apart, without a break among them. It is
       positive when a break follows within ten minutes by the clock; five rows of the table may span hours.
    3. Published: the validation windows, which also share rows with test windows, decide when training stops and set
       the threshold. Held out: the same rules, applied to past rows only, and two more thresholds fitted on them:
       `best_f1`, where F1 is highest, and `percentile`, which at most 5 % of normal windows should exceed.
       `test_third_1` to `_3` are AUROCs over successive thirds of the test period.
    4. Both: the scaler is fitted on training windows only.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common import figures
from common.config import BaseConfig, option
from common.data import windows
from common.data.sheet_breaks import (
    BreakSplits,
    Cut,
    count_metrics,
    features_of,
    fitted_scaler,
    held_out_results,
    kept_arrays,
    last_row_errors,
    last_rows,
    prepare,
    scaled_splits,
    score,
    split_along_time,
    split_at_random,
)
from common.experiment import HELD_OUT, PUBLISHED, Experiment, Result
from common.metrics import thresholds
from common.metrics.scores import Metric, Undefined, decision_metrics, history_metrics, ranking_metrics
from common.training import keras_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras
from common.training.watch import Watch

if TYPE_CHECKING:
    import pandas

# Index of the first row of the first window in the source's loop.
FIRST_ROW = 2
# The rows and columns of the table that the source prints, and the time from which its times are counted here.
HEAD_ROWS = 5
HEAD_COLUMNS = ["y", *(f"x{number}" for number in (*range(1, 9), *range(52, 62)))]
HEAD_START = np.datetime64("1999-05-01T00:00")


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    rows_before_break: int = option(5, "number of two-minute rows before a break labelled positive", minimum=1)
    timesteps: int = option(5, "number of rows of a window", minimum=1)
    test_fraction: float = option(
        0.2, "fraction of the windows (held out: rows) for the test", minimum=0.05, maximum=0.95
    )
    validation_fraction: float = option(
        0.2, "fraction of the remaining windows (held out: rows) for the validation", minimum=0.05, maximum=0.95
    )
    units: tuple[int, ...] = option(
        (32, 16), "width of each LSTM layer of the encoder, mirrored in the decoder", minimum=1
    )
    epochs: int = option(200, "largest number of passes over the normal training windows", minimum=1)
    batch_size: int = option(128, "number of windows in one training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate of the Adam optimizer", minimum=0.0)
    patience: int = option(5, "number of epochs without a lower validation loss before training stops", minimum=1)
    split_seed: int | None = option(
        None, "seed of one random split for all runs (default: the seed of each run)", minimum=0
    )


# The data.


def split(data: pandas.DataFrame, config: Config, protocol: str, seed: int) -> BreakSplits:
    """Cut the table into windows, split them, and scale all of them by the normal training windows.

    Published: two random splits of all windows, with the leaks listed under Protocols, above. Held out: a split along
    time.
    """
    table = features_of(data)
    cut = Cut(config.rows_before_break, config.timesteps, config.test_fraction, config.validation_fraction)
    if protocol == HELD_OUT:
        parts = split_along_time(table, cut)
    else:
        random_state = seed if config.split_seed is None else config.split_seed
        parts = split_at_random(table, cut, first=FIRST_ROW, random_state=random_state)
    metrics = count_metrics(table, cut, parts, "windows") | {
        "data.windows": sum(len(part.y) for part in parts.values()),
        "data.timesteps": config.timesteps,
        "data.features": table.features.shape[1],
    }
    return scaled_splits(table, parts, code_size=config.units[-1], metrics=metrics, held_out=protocol == HELD_OUT)


def read_head(splits: BreakSplits, config: Config) -> Result:
    """Read the first rows of the table after the curve shift, as far as the source prints them.

    Returns:
        Metrics such as `head.row_0.x1`, with the new label as `y` and the time as `minutes`; none when held out, since
        nothing is learned from them.
    """
    table = splits.table
    if splits.held_out or table.recorded is None:
        return Result({}, {})
    shifted = windows.curve_shift(table.breaks, config.rows_before_break)
    head = table.recorded.iloc[shifted.rows[:HEAD_ROWS]].assign(y=shifted.labels[:HEAD_ROWS])
    minutes = (head["time"].to_numpy() - HEAD_START) / np.timedelta64(1, "m")
    values = head[HEAD_COLUMNS].assign(minutes=minutes).to_dict("records")
    return Result({f"head.row_{row}.{name}": float(x) for row, one in enumerate(values) for name, x in one.items()}, {})


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build and compile the LSTM autoencoder: the decoder receives the code of a window at every time step."""
    keras = start_keras()
    inputs = keras.Input(shape, name="window")
    x = inputs
    for units in config.units[:-1]:
        x = keras_defaults.lstm(units, return_sequences=True)(x)
    x = keras_defaults.lstm(config.units[-1], return_sequences=False)(x)
    x = keras.layers.RepeatVector(shape[0])(x)
    for units in reversed(config.units):
        x = keras_defaults.lstm(units, return_sequences=True)(x)
    outputs = keras.layers.TimeDistributed(keras_defaults.dense(shape[1]))(x)
    autoencoder = keras.Model(inputs, outputs, name="rare_event_lstm_ae")
    autoencoder.compile(
        optimizer=keras_defaults.adam(config.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        jit_compile=True,
    )
    return autoencoder


# The threshold.


def break_even_metrics(
    point: thresholds.Threshold | None, y_test: np.ndarray, test_scores: np.ndarray
) -> dict[str, Metric]:
    """Compute metrics of the break-even point on the validation windows, and of its threshold on the test windows.

    The source computes precision and recall for `score >= threshold`, but flags test windows for `score > threshold`.
    """
    # Without a break-even point nothing is flagged, and only the names of these metrics are used.
    found = point or thresholds.Threshold(np.inf, "no rule", "no windows", 0, precision=0.0, recall=0.0)
    assert found.precision is not None and found.recall is not None
    metrics = {
        "break_even.threshold": found.value,
        "break_even.precision": found.precision,
        "break_even.recall": found.recall,
        "break_even.degenerate": int(found.recall == 0),
        **decision_metrics("break_even.test", y_test, found.flag(test_scores)),
    }
    if point is None:
        return {name: Undefined("no threshold makes precision equal to recall") for name in metrics}
    return metrics


# The run.


def run(autoencoder: Any, splits: BreakSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    validation = splits.parts["validation"]
    reconstruct_windows = functools.partial(reconstruct, autoencoder)

    # Train, on normal windows alone. `watch` looks on: it keeps pictures of a few test windows and changes nothing.
    watch = Watch(splits.x_test, splits.y_test, reconstruct_windows)
    history = fit(
        autoencoder,
        splits.x_train.astype(np.float32),
        validation=validation.x[validation.y == 0].astype(np.float32),
        epochs=config.epochs,
        batch_size=config.batch_size,
        patience=config.patience,
        seed=seed,
        on_epoch_end=watch,
    )

    # Score: the squared error of the last row of a window. Decide: at the break-even point of the validation windows.
    validation_errors = last_row_errors(reconstruct_windows, validation.x)
    validation_scores = validation_errors.mean(axis=1)
    point = thresholds.break_even(validation.y, validation_scores, "validation windows")
    reconstructed = last_rows(reconstruct_windows(splits.x_test.astype(np.float32)))
    test_errors = np.square(last_rows(splits.x_test) - reconstructed)
    test_scores = test_errors.mean(axis=1)

    # Measure.
    metrics = {**splits.metrics, "model.parameters": autoencoder.count_params()}
    metrics |= {"training.epochs": len(history["loss"]), **history_metrics(history)}
    metrics |= break_even_metrics(point, splits.y_test, test_scores)
    metrics |= ranking_metrics("autoencoder", splits.y_test, test_scores)

    # All that is kept: for the figures, and for the page of the report.
    arrays = kept_arrays(
        autoencoder,
        history,
        splits,
        validation_scores=validation_scores,
        scores=test_scores,
        threshold=None if point is None else point.value,
        reconstructed=reconstructed,
    )
    arrays |= watch.arrays()

    # Held out, two more rules, and the errors along time.
    rules = {"break_even": point}
    if splits.held_out:
        train_errors = last_row_errors(reconstruct_windows, splits.x_train)
        errors = {"train": train_errors, "validation": validation_errors, "test": test_errors}
        added = held_out_results(splits, errors, "windows")
        rules |= added.rules
        metrics |= added.metrics
        arrays |= added.arrays
    decided = thresholds.decisions("scores", splits.y_test, test_scores, rules)
    return Result(metrics, arrays, decided, fitted_scaler(splits))


EXPERIMENT = Experiment(
    module=__name__,
    dataset="processminer",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    prepare=prepare,
    score=score,
    revision=5,
    once=read_head,
    methods={"LSTM autoencoder": "scores"},
    figures=(
        figures.layers,
        figures.losses,
        figures.precision_and_recall,
        figures.errors_by_index,
        figures.confusion,
        figures.roc,
    ),
    held_out_figures=(figures.losses, figures.confusion, figures.errors_by_time, figures.sensors_by_time),
    # In the published protocol the random split derives from the seed of the run, so each run scores other windows.
    split_by_seed=(PUBLISHED,),
    # Changes one setting, to explain the spread over the seeds; run by `run rare_event_lstm_ae --ablate`.
    ablations={"the same split for every seed, so that the training alone varies": {"split_seed": 0}},
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "rare_event_lstm_ae", *sys.argv[1:]])
