"""What a reader of the page may explore: scores of the source's method, and the thresholds that were set on them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.comparison.standings import column
from common.errors import RecordError
from common.experiment import Experiment
from common.metrics.scores import confusion_counts
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection

# So many seeds can be picked from: a page holds the scores of each.
SEEDS = 10
COUNTS = ("tn", "fp", "fn", "tp")


class Decision(NamedTuple):
    """A threshold that some rule has set, and what it decides on the test samples, as the record has it."""

    rule: str
    threshold: float
    counts: dict[str, int]


def explorable(experiment: Experiment, selection: Selection) -> dict[str, Any]:
    """The scores of the first seeds of one protocol.

    Args:
        experiment: the first of its methods is the one whose scores are given.
        selection: its finished runs.

    Returns:
        By seed: `scores` (float64, little endian) in base 64, `labels` as zeros and ones, and the `decisions`.
    """
    found = {}
    array = next(iter(experiment.methods.values()))
    for seed, (folder, record) in sorted(selection.runs.items())[:SEEDS]:
        try:
            arrays = records.read_arrays(folder, record)
            scores = column(arrays, array, folder).astype("<f8")
            labels = column(arrays, "labels", folder).astype(int)
            decided = decisions(record, labels, scores)
        except (RecordError, ValueError):  # damaged, or not the arrays of such a run at all
            continue
        found[str(seed)] = {
            "scores": base64.b64encode(scores.tobytes()).decode(),
            "labels": "".join(map(str, labels)),
            "decisions": [decision._asdict() for decision in decided],
        }
    return found


def decisions(record: Record, labels: NDArray[np.int_], scores: NDArray[np.float64]) -> list[Decision]:
    """The rules of a run that decide on these scores: those whose recorded counts come out again.

    A run has rules for other scores as well, and a record does not say which belongs to which; the counts do.
    """
    found = []
    for rule, counts in _counts(record.metrics):
        for threshold in _thresholds(record, rule):
            if confusion_counts("at", labels, (scores > threshold).astype(int)) == {
                f"at.{name}": count for name, count in counts.items()
            }:
                found.append(Decision(rule, threshold, counts))
                break
    return found


def _counts(metrics: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    for name in metrics:
        if name.endswith(".tp"):
            place = name.removesuffix(".tp")
            counts = {count: metrics.get(f"{place}.{count}") for count in COUNTS}
            if None not in counts.values():
                yield place.removesuffix(".test"), {count: int(value or 0) for count, value in counts.items()}


def _thresholds(record: Record, rule: str) -> list[float]:
    """Where a rule may have its threshold: a metric, the config, or 0, which is where a one-class SVM decides."""
    candidates = (record.metrics.get(f"{rule}.threshold"), record.config.get("threshold"), 0.0)
    return [float(value) for value in candidates if value is not None]
