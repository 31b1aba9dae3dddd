"""Samples of the paper machine's table: rows or windows of its sensors, their labels, and two ways to split them.

A label says if a sheet break follows soon. The experiments on this table share its columns, the labels and both splits.
Which of them a protocol uses, and with which settings, stands in the `split` of each experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.data import windows
from common.experiment import FALSE_POSITIVE_RATE, Splits
from common.metrics import drift, thresholds
from common.metrics.scores import Metric
from common.metrics.shown import shown_features
from common.training.fit import layer_arrays

if TYPE_CHECKING:
    import pandas

# Columns that are not features: the time, the label, and two categories (x28, a type of paper, and x61, a flag).
NOT_FEATURES = ["time", "y", "x28", "x61"]
# Time from one row to the next where no row is missing.
STEP = np.timedelta64(2, "m")
PARTS = ("train", "validation", "test")


class Table(NamedTuple):
    """The recorded table: features, shape `(rows, features)`, and for every row its time and a flag for a break.

    `sensors` holds the sensor numbers of the features, 1 for x1; `recorded` is the table itself, with all its columns.
    """

    features: np.ndarray
    sensors: np.ndarray
    breaks: np.ndarray
    times: np.ndarray
    recorded: pandas.DataFrame


class Cut(NamedTuple):
    """The settings by which samples are cut from the table.

    Attributes:
        rows_before: number of rows before a break that become positive.
        timesteps: number of rows of a window; `None` for single rows.
        test: fraction of all samples, along time of all rows, for the test.
        validation: fraction of the remaining ones for the validation.
    """

    rows_before: int
    timesteps: int | None
    test: float
    validation: float


class Samples(NamedTuple):
    """Windows, shape `(samples, timesteps, features)`, or rows, shape `(samples, features)`, and their labels.

    `rows` holds the indices of their rows in the table, shape `(samples, timesteps)`; `(samples, 1)` for single rows.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray

    def take(self, which: np.ndarray) -> Samples:
        """Select some of the samples, by indices or by a mask."""
        return Samples(*(array[which] for array in self))


@dataclass(frozen=True, kw_only=True)
class BreakSplits(Splits):
    """Scaled samples: `x_train` is normal only, the others have both classes.

    `parts` holds the samples of each part ("train", which is `x_train`, "validation" and "test"). `metrics` counts rows
    and samples. `scaler` is fitted on the last rows of the normal training samples.
    """

    parts: Mapping[str, Samples]
    table: Table
    scaler: Any
    metrics: Mapping[str, Metric]
    held_out: bool


def features_of(data: pandas.DataFrame) -> Table:
    """Extract features, breaks and times from the table of the paper machine."""
    features = data.drop(columns=NOT_FEATURES)
    sensors = np.array([int(name.removeprefix("x")) for name in features.columns])
    x = features.to_numpy(np.float64)
    return Table(x, sensors, data["y"].to_numpy(), data["time"].to_numpy(), data)


def split_at_random(table: Table, cut: Cut, *, first: int, random_state: int) -> dict[str, Samples]:
    """Shift the labels, drop the rows of breaks, cut windows from what remains, and split them at random twice.

    Args:
        table: the table.
        cut: the settings.
        first: index of the row at which the first window begins.
        random_state: seed of both splits.

    Returns:
        The samples of each part, unscaled, in random order.
    """
    from sklearn.model_selection import train_test_split

    shifted = windows.curve_shift(table.breaks, cut.rows_before)
    steps = cut.timesteps or 1
    rows = windows.windows(shifted.rows[:, np.newaxis], steps, first=first)[..., 0]
    made = _samples(table, rows, shifted.labels[first + steps - 1 :], cut)
    rest, for_test = train_test_split(np.arange(len(rows)), test_size=cut.test, random_state=random_state)
    train, for_validation = train_test_split(rest, test_size=cut.validation, random_state=random_state)
    return dict(zip(PARTS, map(made.take, (train, for_validation, for_test)), strict=True))


def split_along_time(table: Table, cut: Cut) -> dict[str, Samples]:
    """Cut windows of consecutive rows without a gap or a break, label them by the clock, and split them along time.

    The training rows come first, the test rows last. Each boundary is moved on to the next break, so that no run-up to
    a break is cut.

    Returns:
        The samples of each part, unscaled, in order of time.
    """
    labels = windows.event_within(table.times, table.breaks, cut.rows_before * STEP)
    stretches = windows.stretches(table.times, table.breaks, STEP)
    rows = windows.windows_within(stretches, table.breaks, cut.timesteps or 1)
    made = _samples(table, rows, labels[rows[:, -1]], cut)
    fractions = [(1 - cut.test) * (1 - cut.validation), 1 - cut.test]
    part = np.digitize(rows[:, -1], windows.boundaries_after_events(table.breaks, fractions, cut.rows_before))
    return {name: made.take(part == index) for index, name in enumerate(PARTS)}


def _samples(table: Table, rows: np.ndarray, labels: np.ndarray, cut: Cut) -> Samples:
    return Samples(table.features[rows if cut.timesteps else rows[:, -1]], labels, rows)


def scaled_splits(
    table: Table,
    made: Mapping[str, Samples],
    *,
    code_size: int,
    metrics: Mapping[str, Metric],
    held_out: bool,
    scored: str = "test",
) -> BreakSplits:
    """Scale all samples by mean and standard deviation of the last rows of the normal training samples.

    Args:
        table: the table.
        made: the unscaled samples of each part.
        code_size: number of values in the autoencoder's code.
        metrics: counts of rows and samples.
        held_out: true in the held-out protocol.
        scored: the part that is scored. Default: "test".
    """
    from sklearn.preprocessing import StandardScaler

    made = {**made, "train": made["train"].take(made["train"].y == 0)}
    scaler = StandardScaler().fit(last_rows(made["train"].x))
    parts = {name: one._replace(x=scaled(one.x, scaler)) for name, one in made.items()}
    return BreakSplits(
        x_train=parts["train"].x,
        x_test=parts[scored].x,
        y_test=parts[scored].y,
        code_size=code_size,
        groups=windows.episodes(table.breaks)[parts[scored].rows[:, -1]],
        parts=parts,
        table=table,
        scaler=scaler,
        metrics=metrics,
        held_out=held_out,
    )


def last_rows(x: np.ndarray) -> np.ndarray:
    """Return the last row of every window, shape `(samples, features)`; single rows stay as they are."""
    return np.asarray(x[:, -1, :] if x.ndim == 3 else x)


def last_row_errors(reconstruct: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Compute the squared errors of the last rows of samples, shape `(samples, features)`; their mean is the score.

    Args:
        reconstruct: computes the reconstructions of samples in single precision.
        x: samples, as in `Samples`.
    """
    return np.asarray(np.square(last_rows(x) - last_rows(reconstruct(x.astype(np.float32)))))


def scaled(x: np.ndarray, scaler: Any) -> np.ndarray:
    """Return samples with every row scaled by the same fitted scaler."""
    return np.asarray(scaler.transform(x.reshape(-1, x.shape[-1])).reshape(x.shape))


def count_metrics(table: Table, cut: Cut, parts: Mapping[str, Samples], unit: str) -> dict[str, Metric]:
    """Count the rows of the table, and the samples of each part before anomalies are taken out of training.

    Args:
        table: the table.
        cut: the settings that they were cut by.
        parts: the samples of each part.
        unit: what the samples are called in the names of the metrics: "windows" or "rows".
    """
    metrics: dict[str, Metric] = {
        "data.rows": len(table.breaks),
        "data.columns": table.recorded.shape[1],
        "data.normal_rows": int((table.breaks == 0).sum()),
        "data.break_rows": int((table.breaks == 1).sum()),
        "data.shifted_rows": len(windows.curve_shift(table.breaks, cut.rows_before).rows),
    }
    for name, part in parts.items():
        metrics[f"data.{name}_{unit}"] = len(part.y)
        metrics[f"data.{name}_normal_{unit}"] = int((part.y == 0).sum())
        metrics[f"data.{name}_positive_rate"] = float(part.y.mean())
    return metrics


# What is kept of a run.


def kept_arrays(
    autoencoder: Any,
    history: Mapping[str, list[float]],
    splits: BreakSplits,
    *,
    validation_scores: np.ndarray,
    scores: np.ndarray,
    threshold: float | None,
    reconstructed: np.ndarray,
) -> dict[str, np.ndarray]:
    """Collect the arrays that the figures and the page of the report need.

    Args:
        autoencoder: the trained model.
        history: its loss and `val_loss` by epoch.
        splits: the samples.
        validation_scores: scores of the validation samples, shape `(validation samples,)`.
        scores: scores of the scored samples, shape `(samples,)`.
        threshold: threshold of the source; `None` if its rule finds none.
        reconstructed: reconstructions of the last rows of the scored samples, shape `(samples, features)`.
    """
    x, y = last_rows(splits.x_test), splits.y_test
    return {
        **layer_arrays(autoencoder),
        "loss": np.array(history["loss"]),
        "validation_loss": np.array(history["val_loss"]),
        "validation_labels": splits.parts["validation"].y,
        "validation_scores": validation_scores,
        "threshold": np.array(np.nan if threshold is None else threshold),
        "labels": y,
        "scores": scores,
        **shown_features(y, scores, threshold, x, reconstructed, splits.table.sensors),
    }


# What the held-out protocol adds to a run.


class HeldOut(NamedTuple):
    """The threshold rules that the held-out protocol adds, and its metrics and arrays."""

    rules: Mapping[str, thresholds.Threshold | None]
    metrics: Mapping[str, Metric]
    arrays: Mapping[str, np.ndarray]


def held_out_results(splits: BreakSplits, errors: Mapping[str, np.ndarray], unit: str) -> HeldOut:
    """Fit two more rules on the validation samples, and measure how the errors of normal samples drift along time.

    The rules are `best_f1`, where F1 is highest, and `percentile`, which at most 5 % of normal samples should exceed.

    Args:
        splits: the samples; those of the validation lie before the test samples.
        errors: by part, the squared errors of the last rows of its samples, shape `(samples, features)`.
        unit: what the samples are called: "windows" or "rows".
    """
    table, labels = splits.table, splits.parts["validation"].y
    scores = {name: of_part.mean(axis=1) for name, of_part in errors.items()}
    rules: dict[str, thresholds.Threshold | None] = {
        "best_f1": thresholds.best_f1(labels, scores["validation"], f"validation {unit}"),
        "percentile": thresholds.percentile_of_normals(
            scores["validation"][labels == 0], FALSE_POSITIVE_RATE, f"normal validation {unit}"
        ),
    }
    metrics: dict[str, Metric] = {}
    for name, rule in rules.items():
        metrics |= thresholds.threshold_metrics(name, rule, splits.y_test, scores["test"])
    parts = {
        name: drift.Part(table.times[part.rows[:, -1]], part.y, last_rows(part.x), errors[name])
        for name, part in splits.parts.items()
    }
    break_times = table.times[table.breaks == 1].astype("datetime64[s]").astype(np.int64)
    arrays = drift.drift_arrays(parts, table.sensors) | {"break_times": break_times}
    return HeldOut(rules, metrics | drift.drift_metrics(parts, table.sensors), arrays)
