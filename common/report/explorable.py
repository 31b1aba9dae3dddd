"""Read from the records what a reader can explore on the page: scores, single samples, and the course of a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.comparison.standings import column
from common.data.datasets import DATASETS
from common.errors import RecordError
from common.experiment import Experiment
from common.metrics.shown import as_bytes
from common.metrics.thresholds import Decision
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection

# Largest number of seeds whose scores are embedded in the page.
EXPLORABLE_SEEDS = 10

# What a sample looks like: a grey image, a curve, or values of named features.
IMAGE, CURVE, FEATURES = "image", "curve", "features"


@dataclass(frozen=True)
class ScoredRun:
    """The scores of the source's main method in one run, for the threshold explorer.

    Attributes:
        scores: scores of the test samples, float64, little endian.
        labels: their labels, one character each, "1" for an anomaly.
        decisions: the decisions of the run that are based on these scores.
    """

    scores: bytes
    labels: str
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Samples:
    """Some scored samples of one run, each with its reconstruction.

    Attributes:
        seed: seed of the run.
        kind: `IMAGE`, `CURVE` or `FEATURES`.
        shape: shape of a sample.
        indices: indices of the samples among all scored ones.
        inputs: the samples one after the other: bytes, or for features float32, little endian.
        reconstructions: their reconstructions in the same form.
        limits: the numbers that the bytes 0 and 255 stand for; empty for features.
        features: for features, the names of those that are stored of each sample.
    """

    seed: int
    kind: str
    shape: tuple[int, ...]
    indices: tuple[int, ...]
    inputs: bytes
    reconstructions: bytes
    limits: tuple[float, ...] = ()
    features: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Learning:
    """Reconstructions of a few samples after some epochs of one training.

    Attributes:
        seed: seed of the run.
        kind: `IMAGE` or `CURVE`.
        shape: shape of a sample.
        indices: indices of the samples among all scored ones.
        epochs: the epochs, counted from 1.
        losses: the training loss of every epoch.
        inputs: the samples one after the other, bytes.
        reconstructions: for each epoch, their reconstructions in the same form.
        limits: the numbers that the bytes 0 and 255 stand for.
    """

    seed: int
    kind: str
    shape: tuple[int, ...]
    indices: tuple[int, ...]
    epochs: tuple[int, ...]
    losses: tuple[float, ...]
    inputs: bytes
    reconstructions: bytes
    limits: tuple[float, ...]


@dataclass(frozen=True)
class Explorable:
    """What can be explored of one experiment in one protocol.

    Attributes:
        runs: the scores by seed.
        samples: samples of the first of these seeds; `None` if its record holds none.
        learning: the course of its training; `None` if its record does not hold it.
    """

    runs: Mapping[int, ScoredRun] = field(default_factory=dict)
    samples: Samples | None = None
    learning: Learning | None = None


def explorable(experiment: Experiment, selection: Selection) -> Explorable:
    """Read what can be explored from the records of a selection; a seed whose arrays are damaged is left out."""
    array = next(iter(experiment.methods.values()))
    kind = IMAGE if experiment.dataset and DATASETS[experiment.dataset].classes else CURVE
    runs: dict[int, ScoredRun] = {}
    first: tuple[int, Record, Mapping[str, NDArray[Any]]] | None = None
    for seed, (folder, record) in sorted(selection.runs.items())[:EXPLORABLE_SEEDS]:
        try:
            arrays = records.read_arrays(folder, record)
            scores, labels = (column(arrays, name, folder) for name in (array, "labels"))
        except RecordError:
            continue
        decisions = tuple(decision for decision in record.decisions if decision.scores == array)
        runs[seed] = ScoredRun(scores.astype("<f8").tobytes(), "".join(map(str, labels.astype(int))), decisions)
        first = first or (seed, record, arrays)
    if first is None:
        return Explorable()
    return Explorable(runs, _samples(first[0], first[2], kind), _learning(*first, kind))


def _samples(seed: int, arrays: Mapping[str, NDArray[Any]], kind: str) -> Samples | None:
    if "page_samples" not in arrays:
        return None
    indices = tuple(arrays["page_samples"].tolist())
    inputs, reconstructions = arrays["page_inputs"], arrays["page_reconstructions"]
    if "page_features" in arrays:
        features = tuple(tuple(map(str, row)) for row in arrays["page_features"].tolist())
        stored, rebuilt = (numbers.astype("<f4").tobytes() for numbers in (inputs, reconstructions))
        return Samples(seed, FEATURES, inputs.shape[1:], indices, stored, rebuilt, features=features)
    limits = tuple(arrays["page_range"].tolist())
    shape = _shape(inputs.shape[1:], kind)
    return Samples(seed, kind, shape, indices, inputs.tobytes(), reconstructions.tobytes(), limits)


def _learning(seed: int, record: Record, arrays: Mapping[str, NDArray[Any]], kind: str) -> Learning | None:
    if "watched_inputs" not in arrays:
        return None
    inputs, reconstructions = (
        arrays[name].astype(np.float32) for name in ("watched_inputs", "watched_reconstructions")
    )
    # The levels are those of the inputs, so that early reconstructions do not dim the later ones.
    (stored,), limits = as_bytes([inputs])
    low, high = limits.tolist()
    levels = np.rint((np.clip(reconstructions, low, high) - low) / ((high - low) / 255 or 1.0)).astype(np.uint8)
    losses = (record.metrics.get(f"loss.epoch_{epoch:03d}") for epoch in range(1, len(record.metrics) + 1))
    known = tuple(float(loss) for loss in losses if loss is not None)
    shape = _shape(inputs.shape[1:], kind)
    # A window is shown as an image: its steps in rows, its features in columns.
    shown_as = IMAGE if len(shape) > 1 else CURVE
    indices, epochs = (tuple(arrays[name].tolist()) for name in ("watched_samples", "watched_epochs"))
    return Learning(
        seed, shown_as, shape, indices, epochs, known, stored.tobytes(), levels.tobytes(), (low, high)
    )  # fmt: skip


def _shape(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Give the shape in which a sample is drawn: images are square and have no channel."""
    if kind != IMAGE:
        return shape
    side = math.isqrt(math.prod(shape))
    return side, side
