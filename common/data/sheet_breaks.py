"""Samples of the paper machine's table: rows or windows of its sensors, their labels, and two ways to split them.

A label says if a sheet break follows soon. The experiments on this table share its columns, the labels and both splits.
Which of them a protocol uses, and with which settings, stands in the `split` of each experiment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.data import windows
from common.errors import DataError
from common.experiment import FALSE_POSITIVE_RATE, Prepared, Scores, Splits, Trained
from common.metrics import drift, thresholds
from common.metrics.scores import Metric
from common.metrics.shown import shown_features
from common.training.fit import layer_arrays, reconstruct

if TYPE_CHECKING:
    import pandas

# Columns that are not features: the time, the label, and two categories (x28, a type of paper, and x61, a flag).
NOT_FEATURES = ["time", "y", "x28", "x61"]
# Time from one row to the next where no row is missing.
STEP = np.timedelta64(2, "m")
PARTS = ("train", "validation", "test")


class Table(NamedTuple):
    """A recorded table: features, shape `(rows, features)`, and for every row its time and a flag for a break.

    Attributes:
        features: the values of the sensors.
        names: names of the features, shape `(features,)`.
        sensors: their numbers, 1 for x1.
        breaks: 1 for a row of a break, or in a user's own table of another event; all 0 without labels.
        times: times of the rows, ascending.
        step: time from one row to the next where no row is missing.
        labelled: false if the table does not say which rows are of a break.
        recorded: the table itself, with all its columns; `None` for a user's own.
    """

    features: np.ndarray
    names: np.ndarray
    sensors: np.ndarray
    breaks: np.ndarray
    times: np.ndarray
    step: np.timedelta64 = STEP
    labelled: bool = True
    recorded: pandas.DataFrame | None = None


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


def features_of(data: pandas.DataFrame | Table) -> Table:
    """Extract features, breaks and times from the table of the paper machine; a user's own table is ready."""
    if isinstance(data, Table):
        return data
    features = data.drop(columns=NOT_FEATURES)
    names = np.array(features.columns, dtype=str)
    sensors = np.array([int(name.removeprefix("x")) for name in names])
    x = features.to_numpy(np.float64)
    return Table(x, names, sensors, data["y"].to_numpy(), data["time"].to_numpy(), recorded=data)


def of_user(
    features: np.ndarray, names: np.ndarray, labels: np.ndarray | None, times: np.ndarray, step: np.timedelta64
) -> Table:
    """Make the table of a user's own data; `labels` are 1 for a row of an event, `None` if that is not known."""
    breaks = np.zeros(len(features), int) if labels is None else labels
    return Table(features, names, np.arange(1, len(names) + 1), breaks, times, step, bool(breaks.any()))


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
    labels = windows.event_within(table.times, table.breaks, cut.rows_before * table.step)
    rows = _uninterrupted(table, cut.timesteps)
    made = _samples(table, rows, labels[rows[:, -1]], cut)
    fractions = [(1 - cut.test) * (1 - cut.validation), 1 - cut.test]
    if table.breaks.any():
        boundaries = windows.boundaries_after_events(table.breaks, fractions, cut.rows_before)
    else:
        boundaries = [round(fraction * len(table.breaks)) for fraction in fractions]
    # Windows across a boundary are left out; behind an event there are none.
    first, last = (np.digitize(rows[:, end], boundaries) for end in (0, -1))
    return {name: made.take((first == index) & (last == index)) for index, name in enumerate(PARTS)}


def _uninterrupted(table: Table, timesteps: int | None) -> np.ndarray:
    """List the windows without a gap or a break among their rows: row indices, shape `(windows, timesteps)`."""
    stretches = windows.stretches(table.times, table.breaks, table.step)
    return windows.windows_within(stretches, table.breaks, timesteps or 1)


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
        labelled=table.labelled,
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
        "data.columns": table.features.shape[1] if table.recorded is None else table.recorded.shape[1],
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
        **shown_features(y, scores, threshold, x, reconstructed, splits.table.names),
    }


def fitted_scaler(splits: BreakSplits) -> dict[str, np.ndarray]:
    """Give what scoring further rows needs: names, mean and scale of the features, and the step from row to row."""
    table, scaler = splits.table, splits.scaler
    return {"names": table.names, "mean": scaler.mean_, "scale": scaler.scale_, "step": _seconds(table.step)}


def _seconds(step: np.timedelta64) -> np.ndarray:
    return np.array(step / np.timedelta64(1, "s"))


# A trained model on further rows.


def prepare(trained: Trained, table: Table) -> Prepared:
    """Cut windows without a gap from further rows, or take single ones, and scale them for a trained model.

    Raises:
        DataError: the rows have another step than those of training, or no window fits between their gaps.
    """
    step, expected = float(_seconds(table.step)), float(trained.fitted["step"])
    if step != expected:
        raise DataError(f"the rows are {step:g} s apart, but those of training {expected:g} s")
    timesteps = getattr(trained.config, "timesteps", None)
    rows = _uninterrupted(table, timesteps)
    if not len(rows):
        raise DataError(f"a sample needs {timesteps} rows without a gap, and there are none")
    x = (table.features - trained.fitted["mean"]) / trained.fitted["scale"]
    return Prepared(x[rows if timesteps else rows[:, -1]], rows[:, -1])


def score(trained: Trained, samples: np.ndarray) -> Scores:
    """Score samples by the mean squared error of their last row; the parts are its features."""
    errors = last_row_errors(functools.partial(reconstruct, trained.models), samples)
    return Scores(errors.mean(axis=1), errors)


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
