"""Whether what is normal stays what it was, where time runs forward: a drift is the first thing to look for.

All of this looks at what is scored, to explain it; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.metrics.scores import Metric, Undefined, ranking_metrics

PARTS = ("train", "validation", "test")
NO_ERROR = "no normal sample has an error"


class Part(NamedTuple):
    """Samples of one part of a time series, in order of time.

    `times` and `labels`, 1 for an anomaly, have the shape `(samples,)`. `values` are the inputs in standard deviations
    of what was trained on and `errors` their squared reconstruction errors, both of shape `(samples, features)`.
    """

    times: NDArray[np.datetime64]
    labels: NDArray[np.integer]
    values: NDArray[np.floating]
    errors: NDArray[np.floating]

    @property
    def normal_errors(self) -> NDArray[np.floating]:
        """Of the normal samples alone."""
        return np.asarray(self.errors[self.labels == 0])


def drift_metrics(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> dict[str, Metric]:
    """How far the score of normal samples moves, which sensors move it, and what would be left without these.

    Args:
        parts: by the names of `PARTS`.
        sensors: number of the sensor behind each feature, shape `(features,)`.

    Returns:
        `score.<part>_normal_median` and `score.test_anomaly_median`; `test_third_<1|2|3>.auroc` in order of time; for
        validation and test `drift.<part>_sensor`, the one with the largest share of the error of normal samples, and
        `drift.<part>_share`; and below `without_sensors` medians and AUROC of the score without these one or two.
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
    scores = without["test"].errors.mean(axis=1)
    return metrics | medians("without_sensors", without) | ranking_metrics("without_sensors", test.labels, scores)


def drifting_sensors(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> NDArray[np.integer]:
    """The sensors with the largest share of the normal error in validation and in test: one number or two."""
    largest = [parts[name].normal_errors.sum(axis=0).argmax() for name in ("validation", "test")]
    return np.asarray(sensors[np.unique(largest)])


def medians(name: str, parts: Mapping[str, Part]) -> dict[str, Metric]:
    """The median score of normal samples in each part, and that of the anomalies of the test part."""
    test = parts["test"]
    errors = {f"{part}_normal": parts[part].normal_errors for part in PARTS}
    errors["test_anomaly"] = test.errors[test.labels == 1]
    return {
        f"{name}.{which}_median": float(np.median(of_it.mean(axis=1)))
        if len(of_it)
        else Undefined("there is no such sample")
        for which, of_it in errors.items()
    }


def drift_arrays(parts: Mapping[str, Part], sensors: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
    """What the figures below are drawn from: times as seconds since 1970, scores, and the sensors that drift most."""
    drifting = drifting_sensors(parts, sensors)
    arrays: dict[str, NDArray[Any]] = {"drifting_sensors": drifting}
    for name, part in parts.items():
        arrays[f"{name}_times"] = part.times.astype("datetime64[s]").astype(np.int64)
        arrays[f"{name}_sensors"] = part.values[:, np.isin(sensors, drifting)].astype(np.float32)
        if name == "train":
            arrays["train_scores"] = part.errors.mean(axis=1)
    return arrays
