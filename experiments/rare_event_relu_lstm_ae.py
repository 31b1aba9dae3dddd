"""LSTM autoencoder with ReLU on sheet breaks of a paper machine: windows of ten minutes, labelled four minutes ahead.

Source: "LSTM Autoencoder for Extreme Rare Event Classification in Keras", an article by Chitta Ranjan, 2019,
    https://towardsdatascience.com/lstm-autoencoder-for-extreme-rare-event-classification-in-keras-ce209a224cfb, and the
    executed notebooks of its repository, https://github.com/cran2367/lstm_autoencoder_classifier. Written in Keras.
    Data: sheet breaks of a paper machine, handed out by ProcessMiner (Ranjan et al., https://arxiv.org/abs/1809.10717).

Claim: An autoencoder of LSTM layers, trained on normal windows only, reconstructs the last row of a window shortly
    before a sheet break worse than others. So a threshold on the error predicts breaks four minutes ahead.

Method: The table has a row about every two minutes with 61 sensors of a paper machine; 59 of them are used, without a
    category and a flag. The curve shift labels the two rows before each break as positive and drops the rows of breaks.
    Windows of five rows have the label of their last row. They are split at random, twice, with a fixed seed, and
    scaled by mean and standard deviation of the last rows of the normal training windows. The autoencoder, of LSTM
    layers of 32, 16, 16 and 32 units with ReLU, is trained on the normal training windows for 200 epochs; the last
    weights are kept. The score of a window is the squared error of its last row, averaged over the sensors. Test
    windows above a threshold of 0.3, chosen by eye, are flagged. Windows overlap, and the random split puts overlapping
    windows into different parts: the source has this leak.

Deviations:
    1. Keras 3 on TensorFlow instead of Keras 2.2. Every default that the source relied on is written out; among them
       are the gates, a piecewise linear function in Keras 2.2, a sigmoid since Keras 2.3.
    2. Weights and batch order derive from the seed of the run. The source's seeds, 7 for NumPy and 11 for TensorFlow,
       give other numbers in today's libraries, so its numbers are those of one training, and so are those of each of
       our runs. The split has the source's seed and is the same in every run.
    3. The LSTM layers are unrolled over their five steps, and XLA compiles the training step: the same formulas in less
       time, with another order of rounding.
    4. Curve shift, windows and scaling are computed on whole arrays, not row by row. The windows are the same as those
       of the source's loop, which begins at the third row and so leaves out the first two possible windows.
    5. The validation loss is computed in one batch instead of 64 windows at a time: the same mean.
    6. A current scikit-learn, whose precision-recall curve reaches down to the smallest score. The figure shows more on
       its left.
    7. TensorBoard logs are written on request (`run rare_event_relu_lstm_ae --tensorboard`), and by epoch only.
    8. The source printed the ROC curve before its last training, so its AUROC belongs to an earlier one, perhaps of
       another network.
    9. Figures: errors and thresholds have logarithmic axes; the threshold is marked in the figure of precision and
       recall. The layers of the network, which the source prints as a table, are drawn. The errors of the training
       windows are not, since they are meant as a check of the code.
    10. Added: average precision of the test scores; confusion counts and AUROC as numbers.

Protocols:
    1. Published: overlapping windows are split at random, so nearly every test window shares rows with a training
       window. Held out: the split is along time. The first 64 % of the rows are for training, the next 16 % for
       validation and the rest for scoring, the fractions of the source. Each boundary is then moved on to the next
       break, so that no run-up to a break is cut.
    2. Published: the rows of breaks are removed before windows are cut, so windows run across breaks, and across gaps
       in time. Held out: a window consists of five rows that are two minutes apart, without a break among them. It is
       positive when a break follows within four minutes by the clock; two rows of the table may span hours.
    3. Published: the threshold is 0.3, chosen by eye on figures of the validation and the test windows. Held out: the
       same, though it was chosen on rows of the whole period, and two more fitted on the validation windows: `best_f1`,
       where F1 is highest, and `percentile`, which at most 5 % of normal windows should exceed. `test_third_1` to `_3`
       are AUROCs over successive thirds of the test period.
    4. Both: the scaler is fitted on training windows only, and nothing decides when training stops.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common import figures
from common.config import BaseConfig, option
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
from common.experiment import HELD_OUT, Experiment, Result
from common.metrics import thresholds
from common.metrics.scores import history_metrics, ranking_metrics
from common.training import keras_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras
from common.training.watch import Watch

if TYPE_CHECKING:
    import pandas

# Index of the first row of the first window in the source's loop.
FIRST_ROW = 2


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    rows_before_break: int = option(2, "number of two-minute rows before a break labelled positive", minimum=1)
    timesteps: int = option(5, "number of rows of a window", minimum=1)
    test_fraction: float = option(
        0.2, "fraction of the windows (held out: rows) for the test", minimum=0.05, maximum=0.95
    )
    validation_fraction: float = option(
        0.2, "fraction of the remaining windows (held out: rows) for the validation", minimum=0.05, maximum=0.95
    )
    split_seed: int = option(123, "seed of the random split, published protocol only", minimum=0)
    units: tuple[int, ...] = option(
        (32, 16), "width of each LSTM layer of the encoder, mirrored in the decoder", minimum=1
    )
    activation: str = option("relu", "activation of the LSTM layers", choices=("relu", "tanh"))
    gates: str = option(
        "hard_sigmoid", "function of their gates, as in Keras 2.2 or later", choices=("hard_sigmoid", "sigmoid")
    )
    epochs: int = option(200, "number of passes over the normal training windows", minimum=1)
    batch_size: int = option(64, "number of windows in one training step", minimum=1)
    learning_rate: float = option(1e-4, "learning rate of the Adam optimizer", minimum=0.0)
    threshold: float = option(0.3, "error above which a window is flagged", minimum=0.0)


# The data.


def split(data: pandas.DataFrame, config: Config, protocol: str, seed: int) -> BreakSplits:
    """Cut the table into windows, split them, and scale all of them by the normal training windows.

    Published: two random splits of all windows with the seed of the source, and the leaks listed under Protocols,
    above. Held out: a split along time.
    """
    table = features_of(data)
    cut = Cut(config.rows_before_break, config.timesteps, config.test_fraction, config.validation_fraction)
    if protocol == HELD_OUT:
        parts = split_along_time(table, cut)
    else:
        parts = split_at_random(table, cut, first=FIRST_ROW, random_state=config.split_seed)
    return scaled_splits(
        table,
        parts,
        code_size=config.units[-1],
        metrics=count_metrics(table, cut, parts, "windows"),
        held_out=protocol == HELD_OUT,
    )


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build and compile the LSTM autoencoder: the decoder receives the code of a window at every time step."""
    keras = start_keras()
    inputs = keras.Input(shape, name="window")
    x = inputs
    for units in config.units[:-1]:
        x = lstm(units, config, return_sequences=True)(x)
    x = lstm(config.units[-1], config, return_sequences=False)(x)
    x = keras.layers.RepeatVector(shape[0])(x)
    for units in reversed(config.units):
        x = lstm(units, config, return_sequences=True)(x)
    outputs = keras.layers.TimeDistributed(keras_defaults.dense(shape[1]))(x)
    autoencoder = keras.Model(inputs, outputs, name="rare_event_relu_lstm_ae")
    autoencoder.compile(
        optimizer=keras_defaults.adam(config.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        jit_compile=True,
    )
    return autoencoder


def lstm(units: int, config: Config, return_sequences: bool) -> Any:
    """Make an LSTM layer with the activation and the gates of the source."""
    gates = hard_sigmoid if config.gates == "hard_sigmoid" else config.gates
    return keras_defaults.lstm(
        units, return_sequences=return_sequences, activation=config.activation, recurrent_activation=gates
    )


def hard_sigmoid(x: Any) -> Any:
    """Compute the piecewise linear sigmoid of Keras 2, with a slope of 1/5; that of Keras 3 has a slope of 1/6."""
    return start_keras().ops.clip(0.2 * x + 0.5, 0.0, 1.0)


# The run.


def run(autoencoder: Any, splits: BreakSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    validation, x, y = splits.parts["validation"], splits.x_test, splits.y_test
    reconstruct_windows = functools.partial(reconstruct, autoencoder)

    # Train, on normal windows alone. `watch` looks on: it keeps pictures of a few test windows and changes nothing.
    watch = Watch(x, y, reconstruct_windows)
    history = fit(
        autoencoder,
        splits.x_train.astype(np.float32),
        validation=validation.x[validation.y == 0].astype(np.float32),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        on_epoch_end=watch,
    )
    metrics = {**splits.metrics, "model.parameters": autoencoder.count_params(), **history_metrics(history)}

    # Score: the squared error of the last row of a window. Decide: at the threshold of the source.
    validation_errors = last_row_errors(reconstruct_windows, validation.x)
    reconstructed = last_rows(reconstruct_windows(x.astype(np.float32)))
    test_errors = np.square(last_rows(x) - reconstructed)
    scores = test_errors.mean(axis=1)
    rules: dict[str, thresholds.Threshold | None] = {"fixed": thresholds.fixed(config.threshold)}
    metrics |= thresholds.threshold_metrics("fixed", rules["fixed"], y, scores)
    metrics |= ranking_metrics("autoencoder", y, scores)

    # All that is kept: for the figures, and for the page of the report.
    arrays = kept_arrays(
        autoencoder,
        history,
        splits,
        validation_scores=validation_errors.mean(axis=1),
        scores=scores,
        threshold=config.threshold,
        reconstructed=reconstructed,
    )
    arrays |= watch.arrays()

    # Held out, two more rules, and the errors along time.
    if splits.held_out:
        train_errors = last_row_errors(reconstruct_windows, splits.x_train)
        errors = {"train": train_errors, "validation": validation_errors, "test": test_errors}
        added = held_out_results(splits, errors, "windows")
        rules |= added.rules
        metrics |= added.metrics
        arrays |= added.arrays
    decided = thresholds.decisions("scores", y, scores, rules)
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
    methods={"ReLU LSTM autoencoder": "scores"},
    figures=(
        figures.layers,
        figures.losses,
        figures.precision_and_recall,
        figures.errors_by_index,
        figures.confusion,
        figures.roc,
    ),
    held_out_figures=(figures.losses, figures.confusion, figures.errors_by_time, figures.sensors_by_time),
    # Each changes one setting, to explain a difference from the source; run by `run rare_event_relu_lstm_ae --ablate`.
    ablations={
        "sigmoid gates, the default since Keras 2.3": {"gates": "sigmoid"},
        "tanh instead of ReLU": {"activation": "tanh"},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "rare_event_relu_lstm_ae", *sys.argv[1:]])
