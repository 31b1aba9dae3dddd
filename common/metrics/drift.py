"""Measure how the errors of normal samples drift over the parts of a time series.

These metrics use the scored samples and their labels to explain a result; no threshold or setting is chosen from them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.metrics.scores import Metric, Undefined, ranking_metrics

PARTS = ("train", "validation", "test")
NO_ERROR = "no normal sample has an error"


class Part(NamedTuple):
    """Samples of one part of a time series, in order of time.

    Attributes:
        times: times of the samples, shape `(samples,)`.
        labels: shape `(samples,)`, 1 for an anomaly.
        values: inputs in standard deviations of the training samples, shape `(samples, features)`.
        errors: squared reconstruction errors of the inputs, the same shape.
    """

    times: NDArray[np.datetime64]
    labels: NDArray[np.integer]
    values: NDArray[np.floating]
    errors: NDArray[np.floating]

    @property
    def normal_errors(self) -> NDArray[np.floating]:
        """The errors of the normal samples, shape `(normal samples, features)`."""
        return np.asarray(self.errors[self.labels == 0])


def drift_metrics(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> dict[str, Metric]:
    """Compute metrics of the drift: medians of the score, the sensors that contribute most, and results without them.

    Args:
        parts: the samples of each part; the keys are those of `PARTS`.
        sensors: number of the sensor behind each feature, shape `(features,)`.

    Returns:
        - `score.<part>_normal_median` and `score.test_anomaly_median`: medians of the score;
        - `test_third_<1|2|3>.auroc` and `.average_precision`: for each third of the test part, in order of time;
        - `drift.<validation|test>_sensor`: the sensor with the largest share of the error of normal samples;
        - `drift.<validation|test>_share`: that share, from 0 to 1;
        - `without_sensors.*`: medians, AUROC and average precision of the score without these sensors (one or two).
    """
    test = parts["test"]
    metrics = medians("score", parts)
    for third, part in enumerate(np.array_split(np.arange(len(test.labels)), 3), start=1):
        metrics |= ranking_metrics(f"test_third_{third}", test.labels[part], test.errors[part].mean(axis=1))
    for name in ("validation", "test"):
        by_feature = parts[name].normal_errors.sum(axis=0)
        known = by_feature.any()
        metrics[f"drift.{name}_sensor"] = int(sensors[by_feature.argmax()]) if known else Undefined(NO_ERROR)
        metrics[f"drift.{name}_share"] = float(by_feature.max() / by_feature.sum()) if known else Undefined(NO_ERROR)
    kept = ~np.isin(sensors, drifting_sensors(parts, sensors))
    without = {name: part._replace(errors=part.errors[:, kept]) for name, part in parts.items()}
    if not kept.any():
        undefined = Undefined("no other sensor is left")
        return metrics | dict.fromkeys(("without_sensors.auroc", "without_sensors.average_precision"), undefined)
    scores = without["test"].errors.mean(axis=1)
    return metrics | medians("without_sensors", without) | ranking_metrics("without_sensors", test.labels, scores)


def drifting_sensors(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> NDArray[np.integer]:
    """Find the sensor with the largest share of the error of normal samples, in validation and in test.

    Returns:
        Their numbers, shape `(2,)`, or `(1,)` if both parts have the same one.
    """
    largest = [parts[name].normal_errors.sum(axis=0).argmax() for name in ("validation", "test")]
    return np.asarray(sensors[np.unique(largest)])


def medians(name: str, parts: Mapping[str, Part]) -> dict[str, Metric]:
    """Compute the median score of the normal samples of each part and of the anomalies of the test part.

    Args:
        name: prefix of the metric names.
        parts: the samples of each part; the keys are those of `PARTS`.
    """
    test = parts["test"]
    errors = {f"{part}_normal": parts[part].normal_errors for part in PARTS}
    errors["test_anomaly"] = test.errors[test.labels == 1]
    missing = Undefined("there is no such sample")
    return {
        f"{name}.{which}_median": float(np.median(of_it.mean(axis=1))) if len(of_it) else missing
        for which, of_it in errors.items()
    }


def drift_arrays(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
    """Collect the arrays that `figures.errors_by_time` and `figures.sensors_by_time` need.

    Returns:
        Times in seconds since 1970, values of the sensors that drift most, their numbers, and the training scores.
    """
    drifting = drifting_sensors(parts, sensors)
    arrays: dict[str, NDArray[Any]] = {"drifting_sensors": drifting}
    for name, part in parts.items():
        arrays[f"{name}_times"] = part.times.astype("datetime64[s]").astype(np.int64)
        arrays[f"{name}_sensors"] = part.values[:, np.isin(sensors, drifting)].astype(np.float32)
        if name == "train":
            arrays["train_scores"] = part.errors.mean(axis=1)
    return arrays
