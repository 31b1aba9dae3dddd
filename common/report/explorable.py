"""Read from the records what a reader can explore on the page: scores, single samples, and the course of a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.comparison.standings import column
from common.data.datasets import DATASETS
from common.data.stand_ins import is_own
from common.errors import RecordError
from common.experiment import Experiment
from common.metrics.scores import FLAGGED
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


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Some scored samples of one run, each with its reconstruction.

    Attributes:
        seed: seed of the run.
        kind: `IMAGE`, `CURVE` or `FEATURES`.
        shape: shape of a sample.
        indices: indices of the samples among all scored ones.
        inputs: the samples one after the other: bytes, or for features float32, little endian.
        reconstructions: their reconstructions in the same form.
        features: for features, the names of those that are stored of each sample.
    """

    seed: int
    kind: str
    shape: tuple[int, ...]
    indices: tuple[int, ...]
    inputs: bytes
    reconstructions: bytes
    features: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Learning(Samples):
    """A few samples whose reconstructions are those after each of some epochs, one epoch after the other.

    Attributes:
        epochs: the epochs, counted from 1.
        losses: the training loss of every epoch.
    """

    epochs: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Explorable:
    """What can be explored of one experiment in one protocol.

    Attributes:
        runs: the scores by seed.
        samples: samples of the first of these seeds; `None` if its record holds none.
        learning: the course of its training; `None` if its record does not hold it.
        method: the method of the source whose scores they are.
    """

    runs: Mapping[int, ScoredRun] = field(default_factory=dict)
    samples: Samples | None = None
    learning: Learning | None = None
    method: str = ""


def explorable(experiment: Experiment, selection: Selection) -> Explorable:
    """Read what can be explored from the records of a selection; a seed whose arrays are damaged is left out."""
    if any(FLAGGED in name for metrics in selection.metrics().values() for name in metrics):
        return Explorable()  # Without labels, no threshold can be judged.
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
        if is_own(record.data):  # The threshold of the source was chosen for other data.
            decisions = tuple(sorted(decisions, key=lambda one: not one.rule.endswith("percentile")))
        runs[seed] = ScoredRun(scores.astype("<f8").tobytes(), "".join(map(str, labels.astype(int))), decisions)
        first = first or (seed, record, arrays)
    if first is None:
        return Explorable()
    method = next(iter(experiment.methods))
    return Explorable(runs, _samples(first[0], first[2], kind), _learning(*first, kind), method)


def _samples(seed: int, arrays: Mapping[str, NDArray[Any]], kind: str) -> Samples | None:
    if "page_samples" not in arrays:
        return None
    inputs, reconstructions = arrays["page_inputs"], arrays["page_reconstructions"]
    names = arrays["page_features"].tolist() if "page_features" in arrays else []
    form = "<f4" if names else np.uint8
    return Samples(
        seed=seed,
        kind=FEATURES if names else kind,
        shape=inputs.shape[1:] if names else _shape(inputs.shape[1:], kind),
        indices=tuple(arrays["page_samples"].tolist()),
        inputs=inputs.astype(form).tobytes(),
        reconstructions=reconstructions.astype(form).tobytes(),
        features=tuple(tuple(map(str, row)) for row in names),
    )


def _learning(seed: int, record: Record, arrays: Mapping[str, NDArray[Any]], kind: str) -> Learning | None:
    if "watched_inputs" not in arrays:
        return None
    inputs = arrays["watched_inputs"].astype(np.float32)
    low, high = float(inputs.min()), float(inputs.max())
    # The levels are those of the inputs, so that early reconstructions do not dim the later ones.
    reconstructions = np.clip(arrays["watched_reconstructions"].astype(np.float32), low, high)
    (stored, levels), _ = as_bytes([inputs, reconstructions])
    losses = (record.metrics.get(f"loss.epoch_{epoch:03d}") for epoch in range(1, len(record.metrics) + 1))
    shape = _shape(inputs.shape[1:], kind)
    return Learning(
        seed=seed,
        # A window is shown as an image: its steps in rows, its features in columns.
        kind=IMAGE if len(shape) > 1 else CURVE,
        shape=shape,
        indices=tuple(arrays["watched_samples"].tolist()),
        epochs=tuple(arrays["watched_epochs"].tolist()),
        losses=tuple(float(loss) for loss in losses if loss is not None),
        inputs=stored.tobytes(),
        reconstructions=levels.tobytes(),
    )


def _shape(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Give the shape in which a sample is drawn: images are square and have no channel."""
    if kind != IMAGE:
        return shape
    side = math.isqrt(math.prod(shape))
    return side, side
