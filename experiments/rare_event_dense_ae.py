"""Dense autoencoder on sheet breaks of a paper machine: single rows, labelled four minutes ahead.

Source: "Extreme Rare Event Classification using Autoencoders in Keras", an article by Chitta Ranjan, May 2019,
    https://towardsdatascience.com/extreme-rare-event-classification-using-autoencoders-in-keras-a565b386f098, and the
    executed notebooks of its repository, https://github.com/cran2367/autoencoder_classifier. Written in Keras.
    Data: sheet breaks of a paper machine, handed out by ProcessMiner (Ranjan et al., https://arxiv.org/abs/1809.10717).

Claim: An autoencoder trained on normal rows only reconstructs the rows shortly before a sheet break worse than others.
    So a threshold on the error predicts 9 of 32 breaks, about 28 %, four minutes ahead, with about 6.3 % false alarms.

Method: The table has a row about every two minutes with 61 sensors of a paper machine; 59 of them are used, without a
    category and a flag. The curve shift labels the two rows before each break as positive and drops the rows of breaks.
    The rows are split at random, twice, with a fixed seed, and scaled by mean and standard deviation of the normal
    training rows. The autoencoder, 59-32-16-16-32-59 with an L1 penalty on its first layer, is trained on the normal
    training rows for 200 epochs; the weights with the lowest loss on the normal validation rows are kept. The score of
    a row is its mean squared error. Rows above a threshold of 0.4, chosen by eye, are flagged. The article has another
    network (59-32-16-16-59 with tanh, 100 epochs, threshold 0.85), which is an ablation here.

Deviations:
    1. Keras 3 on TensorFlow instead of Keras 2.2. Every default that the source relied on is written out. Keras 2.2
       sums the penalty over a batch, Keras 3 divides that by the number of its rows, so we multiply by it again.
    2. Weights and batch order derive from the seed of the run. The source's seeds, 1 for NumPy and 2 for TensorFlow,
       give other numbers in today's libraries, so its numbers are those of one training, and so are those of each of
       our runs. The split has the source's seed and is the same in every run.
    3. XLA compiles the training step: the same formulas in less time, with another order of rounding.
    4. Curve shift and scaling are computed on whole arrays, not by shifting columns of a table.
    5. A current scikit-learn, whose precision-recall curve reaches down to the smallest score. The figure shows more on
       its left.
    6. TensorBoard logs are written on request (`run rare_event_dense_ae --tensorboard`), and by epoch only.
    7. The article calls its confusion matrix that of the test rows, but its code computes it on the validation rows. We
       rebuild it so; the test rows appear in one figure alone, and get an AUROC of their own.
    8. Figures: errors and thresholds have logarithmic axes; the threshold is marked in the figure of precision and
       recall. The layers of the network, which the source prints as a table, are drawn.
    9. Added: average precision of the scores; confusion counts and AUROC as numbers.

Protocols:
    1. Published: the validation rows are scored. The normal ones among them decide which weights are kept, and the
       threshold was chosen by eye. Held out: later rows are scored, on which nothing of ours is chosen.
    2. Published: rows are split at random, so most scored rows lie two minutes from a training row. Held out: the split
       is along time. The first 64 % of the rows are for training, the next 16 % for validation and the rest for
       scoring, the fractions of the source. Each boundary is then moved on to the next break, so that no run-up to a
       break is cut.
    3. Published: a row is positive if a break is one of the next two rows of the table, which may span hours. Held out:
       when a break follows within four minutes by the clock.
    4. Published: the threshold is 0.4. Held out: the same, which the source chose on rows of the whole period, so it
       may suit the scored rows too; and two more fitted on the validation rows, which also decide which weights are
       kept: `best_f1`, where F1 is highest, and `percentile`, which at most 5 % of normal rows should exceed.
       `test_third_1` to `_3` are AUROCs over successive thirds of the test period.
    5. Both: the scaler is fitted on training rows only.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
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
    prepare,
    scaled_splits,
    score,
    split_along_time,
    split_at_random,
)
from common.errors import ConfigError
from common.experiment import HELD_OUT, PUBLISHED, Arrays, Experiment, Result
from common.metrics import thresholds
from common.metrics.scores import history_metrics, ranking_metrics
from common.training import keras_defaults
from common.training.fit import fit, reconstruct
from common.training.keras import start_keras
from common.training.watch import Watch

if TYPE_CHECKING:
    import pandas


# The network of the article, of which it printed numbers too, and changes of it.
ARTICLE = "the network of the article"
OF_ARTICLE = {
    "units": (32, 16, 16),
    "activations": ("tanh", "relu", "tanh", "relu"),
    "epochs": 100,
    "threshold": 0.85,
}


@dataclass(frozen=True)
class Config(BaseConfig):
    """The published hyperparameters; the command line has an option for each."""

    rows_before_break: int = option(2, "number of two-minute rows before a break labelled positive", minimum=1)
    test_fraction: float = option(0.2, "fraction of the rows for the test", minimum=0.05, maximum=0.95)
    validation_fraction: float = option(
        0.2, "fraction of the remaining rows for the validation", minimum=0.05, maximum=0.95
    )
    split_seed: int = option(123, "seed of the random split, published protocol only", minimum=0)
    units: tuple[int, ...] = option((32, 16, 16, 32), "width of each hidden layer", minimum=1)
    activations: tuple[str, ...] = option(
        ("relu", "relu", "relu", "relu", "linear"),
        "activation of each hidden layer and of the output",
        choices=("relu", "tanh", "linear"),
    )
    penalty: float = option(1e-3, "factor of the L1 penalty on the outputs of the first layer", minimum=0.0)
    penalty_over: str = option(
        "batch", "what the penalty is summed over: a batch, or each row, averaged", choices=("batch", "row")
    )
    epochs: int = option(200, "number of passes over the normal training rows", minimum=1)
    batch_size: int = option(128, "number of rows in one training step", minimum=1)
    learning_rate: float = option(1e-3, "learning rate of the Adam optimizer", minimum=0.0)
    weights: str = option(
        "best", "weights that are kept: of the lowest validation loss, or the last", choices=("best", "last")
    )
    threshold: float = option(0.4, "error above which a row is flagged", minimum=0.0)

    def check(self) -> None:
        """Refuse another number of activations than of layers."""
        if len(self.activations) != len(self.units) + 1:
            raise ConfigError(
                f"activations must be one more than units. Received: {len(self.activations)} and {len(self.units)}"
            )


# The data.


def split(data: pandas.DataFrame, config: Config, protocol: str, seed: int) -> BreakSplits:
    """Label the rows of the table, split them, and scale all of them by the normal training rows.

    Published: two random splits of all rows with the seed of the source; the validation rows are scored. Held out: a
    split along time; the test rows are scored.
    """
    table = features_of(data)
    cut = Cut(config.rows_before_break, None, config.test_fraction, config.validation_fraction)
    if protocol == HELD_OUT:
        parts = split_along_time(table, cut)
    else:
        parts = split_at_random(table, cut, first=0, random_state=config.split_seed)
    return scaled_splits(
        table,
        parts,
        code_size=min(config.units),
        metrics=count_metrics(table, cut, parts, "rows"),
        held_out=protocol == HELD_OUT,
        scored="validation" if protocol == PUBLISHED else "test",
    )


# The autoencoder.


def build_autoencoder(config: Config, shape: tuple[int, ...]) -> Any:
    """Build and compile the dense autoencoder, with every default of Keras written out."""
    keras = start_keras()
    inputs = keras.Input(shape, name="row")
    x = inputs
    for number, (units, activation) in enumerate(zip([*config.units, shape[0]], config.activations, strict=True)):
        penalty = l1_penalty(config.penalty, config.penalty_over) if number == 0 else None
        x = keras_defaults.dense(units, activation, activity_regularizer=penalty)(x)
    autoencoder = keras.Model(inputs, x, name="rare_event_dense_ae")
    autoencoder.compile(
        optimizer=keras_defaults.adam(config.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        # Keras 2.2 takes "accuracy" of several outputs for this: the largest input is also the largest output.
        metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
        jit_compile=True,
    )
    return autoencoder


def l1_penalty(factor: float, over: str) -> Any:
    """Make a penalty on the absolute outputs of a layer, summed over its units and over the rows of a batch.

    Args:
        factor: factor of the penalty.
        over: "batch" for the sum over the rows, as in Keras 2.2; "row" for the mean over them, as in Keras 3.
    """
    keras = start_keras()

    class L1Penalty(keras.regularizers.L1):  # type: ignore[misc, name-defined]
        """An L1 penalty that undoes the division by the number of rows, which Keras 3 does afterwards."""

        def __call__(self, outputs: Any) -> Any:
            summed = super().__call__(outputs)
            return summed * keras.ops.cast(keras.ops.shape(outputs)[0], summed.dtype) if over == "batch" else summed

    return L1Penalty(factor)


# The run.


def run(autoencoder: Any, splits: BreakSplits, config: Config, seed: int) -> Result:
    """Run the whole experiment, in the order of the source."""
    validation = splits.parts["validation"]
    reconstruct_rows = functools.partial(reconstruct, autoencoder)

    # Train, on normal rows alone. `watch` looks on: it keeps pictures of a few scored rows and changes nothing.
    watch = Watch(splits.x_test, splits.y_test, reconstruct_rows)
    history = fit(
        autoencoder,
        splits.x_train.astype(np.float32),
        validation=validation.x[validation.y == 0].astype(np.float32),
        validation_batch_size=config.batch_size,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        on_epoch_end=watch,
        callbacks=best_weights(config),
    )

    best = int(np.argmin(history["val_loss"]))
    metrics = {**splits.metrics, "model.parameters": autoencoder.count_params(), **history_metrics(history)}
    metrics |= {"validation_loss.lowest": history["val_loss"][best], "training.best_epoch": best + 1}

    # Score: the mean squared error of a row. Decide: at the threshold of the source.
    errors = {name: last_row_errors(reconstruct_rows, part.x) for name, part in splits.parts.items()}
    reconstructed = reconstruct_rows(splits.x_test.astype(np.float32))
    scores = np.square(splits.x_test - reconstructed).mean(axis=1)
    rules: dict[str, thresholds.Threshold | None] = {"fixed": thresholds.fixed(config.threshold)}
    metrics |= thresholds.threshold_metrics("fixed", rules["fixed"], splits.y_test, scores)
    metrics |= ranking_metrics("autoencoder", splits.y_test, scores)

    # The test rows, which the published protocol does not score: the source shows their errors in a figure.
    test_labels, test_scores = splits.parts["test"].y, errors["test"].mean(axis=1)
    if not splits.held_out:
        metrics |= ranking_metrics("unscored_test", test_labels, test_scores)

    # All that is kept: for the figures, and for the page of the report.
    arrays = kept_arrays(
        autoencoder,
        history,
        splits,
        validation_scores=errors["validation"].mean(axis=1),
        scores=scores,
        threshold=config.threshold,
        reconstructed=reconstructed,
    )
    arrays |= watch.arrays() | {"test_labels": test_labels, "test_scores": test_scores}

    # Held out, two more rules, and the errors along time.
    if splits.held_out:
        added = held_out_results(splits, errors, "rows")
        rules |= added.rules
        metrics |= added.metrics
        arrays |= added.arrays
    decided = thresholds.decisions("scores", splits.y_test, scores, rules)
    return Result(metrics, arrays, decided, fitted_scaler(splits))


def best_weights(config: Config) -> list[Any]:
    """Make the callback that brings the weights of the lowest validation loss back; none if the last ones are kept.

    It never stops the training: its patience is all of it.
    """
    if config.weights == "last":
        return []
    return [start_keras().callbacks.EarlyStopping("val_loss", patience=config.epochs, restore_best_weights=True)]


# The figure of the test rows; the others are those of every experiment with a threshold.


def draw_test_errors(arrays: Arrays) -> figures.CaptionedFigure:
    """Draw the errors of the test rows by class, with the threshold."""
    shown = {"scores": arrays["test_scores"], "labels": arrays["test_labels"], "threshold": arrays["threshold"]}
    caption = "Reconstruction error of each test row by class; anomalies are those before a break."
    return replace(figures.errors_by_index(shown), caption=caption)


EXPERIMENT = Experiment(
    module=__name__,
    dataset="processminer",
    config=Config,
    split=split,
    build=build_autoencoder,
    run=run,
    prepare=prepare,
    score=score,
    methods={"dense autoencoder": "scores"},
    figures=(
        figures.layers,
        figures.losses,
        figures.precision_and_recall,
        draw_test_errors,
        figures.confusion,
        figures.roc,
    ),
    held_out_figures=(figures.losses, figures.confusion, figures.errors_by_time, figures.sensors_by_time),
    # The first is the network of the article, whose printed numbers are held against it. Each of the others changes one
    # setting of it or of the last notebook, to explain a difference. Run by `run rare_event_dense_ae --ablate`.
    ablations={
        ARTICLE: OF_ARTICLE,
        f"{ARTICLE}, its penalty divided by the rows of a batch": {**OF_ARTICLE, "penalty_over": "row"},
        f"{ARTICLE}, its last weights instead of the best": {**OF_ARTICLE, "weights": "last"},
        f"{ARTICLE}, with ReLU instead of tanh": {**OF_ARTICLE, "activations": ("relu", "relu", "relu", "relu")},
        "the penalty divided by the rows of a batch, as in Keras 3": {"penalty_over": "row"},
        "the last weights instead of the best": {"weights": "last"},
        "tanh instead of ReLU": {"activations": ("tanh", "tanh", "tanh", "tanh", "linear")},
    },
)

if __name__ == "__main__":
    from experiments.__main__ import program

    program(["run", "rare_event_dense_ae", *sys.argv[1:]])
