"""Ranks detectors by AUROC, and says which differences test samples and seeds are enough to tell.

What is estimated is the mean over seeds of a method's AUROC. It is uncertain twice: the test samples are finite, and so
are the seeds. A hierarchical bootstrap redraws both in each replicate: groups of samples (samples that hang together,
like the windows of one event, come and go together, or the intervals would be too narrow), and seeds. Every method sees
the same draws. A sample that is hard for one method tends to be hard for another, and a lucky split is lucky for both;
in a paired difference that cancels, so the difference of two methods can be told far more finely than their own
intervals suggest. Whether these overlap says little, and is not used. A table asks the same question of every method,
so whether one is better or worse than the reference is decided with Holm's correction over all of them.

Groups and seeds cross where seeds share test samples, and nest where they do not; drawing each on its own, with the
product of both counts as weight, serves both. For groups see Rutter, Bootstrap estimation of diagnostic accuracy with
patient-clustered data (Academic Radiology 7, 2000); for crossed draws Owen, The pigeonhole bootstrap (Annals of Applied
Statistics 1, 2007), which shows that they err on the wide side. They do so where seeds share little, as with a test set
of its own for each: that noise is then counted by both draws, and 5 % of false alarms become fewer than 1 %. Where the
samples or the trainings decide, simulations of ten seeds gave 3 to 8 %. With few seeds the interval misses some of the
variation of training, and a single seed says nothing about it. Groups are drawn as if they were independent; where
neighbours in time resemble each other, and where they are few, intervals are somewhat too narrow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.comparison.statistics import SIGNIFICANCE, holm
from common.metrics.scores import Metric, detection_metrics

REFERENCE = "reference"
BETTER = "better"
WORSE = "worse"
NOT_TOLD_APART = "not told apart"

Interval = tuple[float, float]

_METRICS = ("auroc", "average_precision", "fpr_at_95_recall")

# Replicates whose weights are held at once, so that the running sums of one test set stay in the processor's cache.
_CHUNK = 500

# Negatives are summed by group, through a table of groups by positives, while it has at most so many cells a negative.
_DENSE = 64


@dataclass(frozen=True)
class Scored:
    """The scores of all methods on the test set of one seed.

    `labels` are 1 for an anomaly and `groups` whole numbers, both of shape `(samples,)`. Samples of the same group are
    redrawn together, across seeds too: a group's number means the same in every seed. `scores` are by method, each of
    shape `(samples,)`, higher = more anomalous.
    """

    labels: NDArray[np.integer]
    groups: NDArray[np.integer]
    scores: Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Row:
    """One method: means over its seeds, and its AUROC less the reference's over the seeds that both have.

    Intervals are 95 % percentile intervals of the bootstrap; `auroc_spread` is the standard deviation over seeds,
    `None` for one seed, and `seeds_above_chance` counts those with an AUROC above one half. `p_value` is that of no
    difference, two-sided, after Holm's correction over the table, and what `standing` follows from. The difference is
    `None` for the reference itself, and where no seed is common.
    """

    method: str
    seeds: int
    auroc: float
    auroc_interval: Interval
    auroc_spread: float | None
    seeds_above_chance: int
    average_precision: float
    fpr_at_95_recall: float
    difference: float | None
    difference_interval: Interval | None
    p_value: float | None
    standing: str


def leaderboard(
    seeds: Mapping[int, Scored], reference: str, replicates: int = 2000, random_state: int = 0
) -> list[Row]:
    """Rank methods by their mean AUROC over seeds, the best first.

    Args:
        seeds: scores by seed. A method may lack seeds; scores that are the same in several seeds are computed once.
        reference: the method that all others are compared with.
        replicates: number of bootstrap replicates.
        random_state: seed of the draws; the same one gives the same intervals.

    Raises:
        ValueError: a reference without scores, a test set without both classes, scores that are not finite, shapes
            that disagree, or so few samples of a class that no replicate holds both.
    """
    _check(seeds, reference, replicates)
    drawn = _replicated_aurocs(seeds, replicates, random_state)
    points = _points(seeds)
    seed_counts = _draw_counts(np.random.default_rng([random_state, 1]), len(seeds), replicates)
    rows = [_row(method, reference, points, drawn, seed_counts) for method in drawn]
    adjusted = holm({row.method: row.p_value for row in rows if row.p_value is not None})
    rows = [_judged(row, adjusted[row.method]) if row.method in adjusted else row for row in rows]
    return sorted(rows, key=lambda row: (-row.auroc, row.method))


def _row(
    method: str,
    reference: str,
    points: Mapping[str, Mapping[str, NDArray[np.float64]]],
    drawn: Mapping[str, NDArray[np.float64]],
    seed_counts: NDArray[np.float32],
) -> Row:
    aurocs = points[method]["auroc"]
    means = {name: float(np.nanmean(values)) for name, values in points[method].items()}
    n = int(np.sum(~np.isnan(aurocs)))
    difference = aurocs - points[reference]["auroc"]
    estimate = interval = p_value = None
    if method != reference and not np.isnan(difference).all():
        differences = _over_seeds(drawn[method] - drawn[reference], seed_counts)
        estimate, interval, p_value = float(np.nanmean(difference)), _interval(differences), _p_value(differences)
    return Row(
        method,
        n,
        auroc_interval=_interval(_over_seeds(drawn[method], seed_counts)),
        auroc_spread=float(np.nanstd(aurocs, ddof=1)) if n > 1 else None,
        seeds_above_chance=int(np.sum(aurocs > 0.5)),
        difference=estimate,
        difference_interval=interval,
        p_value=p_value,
        standing=REFERENCE if method == reference else NOT_TOLD_APART,
        **means,
    )


def _judged(row: Row, p_value: float) -> Row:
    """The row with its p value after correction, and what that says."""
    if p_value >= SIGNIFICANCE or not row.difference:
        return replace(row, p_value=p_value)
    return replace(row, p_value=p_value, standing=BETTER if row.difference > 0 else WORSE)


def _over_seeds(drawn: NDArray[np.float64], seed_counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean over the drawn seeds, by replicate; of those replicates in which there is one.

    Args:
        drawn: a statistic by replicate and seed, NaN where it is not defined; such a seed drops out of the mean.
        seed_counts: how often each replicate drew each seed, the same shape.
    """
    defined = ~np.isnan(drawn)
    total = np.sum(np.where(defined, drawn, 0) * seed_counts, axis=1)
    count = np.sum(defined * seed_counts, axis=1)
    if not count.any():
        raise ValueError(f"None of {len(drawn)} replicates holds both classes: too few groups, or too few replicates")
    means: NDArray[np.float64] = total[count > 0] / count[count > 0]
    return means


def _interval(replicated: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(replicated, [2.5, 97.5])
    return float(low), float(high)


def _p_value(replicated: NDArray[np.float64]) -> float:
    """Of no difference: twice the part of the replicates on the other side of zero, never less than one of them."""
    tail = min(np.sum(replicated <= 0), np.sum(replicated >= 0))
    return float(min(1, 2 * (tail + 1) / (len(replicated) + 1)))


def _points(seeds: Mapping[int, Scored]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """By method, each metric over the seeds in their order; NaN where the method lacks the seed."""
    points = {method: {name: np.full(len(seeds), np.nan) for name in _METRICS} for method in _methods(seeds)}
    found: dict[bytes, dict[str, Metric]] = {}
    for place, seed in enumerate(sorted(seeds)):
        for method, scores in seeds[seed].scores.items():
            key = _digest(seeds[seed].labels, scores)
            if key not in found:
                found[key] = detection_metrics(seeds[seed].labels, scores)
            for name in _METRICS:
                points[method][name][place] = found[key][name]
    return points


# The replicates.


def _replicated_aurocs(
    seeds: Mapping[int, Scored], replicates: int, random_state: int
) -> dict[str, NDArray[np.float64]]:
    """By method, the AUROC of each replicate and seed, shape `(replicates, seeds)`, NaN where it is not defined."""
    rankings, places = _distinct_rankings(seeds)
    values = {key: np.empty(replicates) for key in rankings}
    for chunk, weights in _weights(seeds, replicates, random_state):
        for key, ranking in rankings.items():
            values[key][chunk] = ranking.weighted_auroc(weights)
    drawn = {method: np.full((replicates, len(seeds)), np.nan) for method in _methods(seeds)}
    for (method, place), key in places.items():
        drawn[method][:, place] = values[key]
    return drawn


def _weights(
    seeds: Mapping[int, Scored], replicates: int, random_state: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """How often each group was drawn, shape `(groups, replicates of the chunk)`, chunk by chunk."""
    random = np.random.default_rng([random_state, 0])
    for start in range(0, replicates, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, replicates))
        counts = _draw_counts(random, len(_group_numbers(seeds)), chunk.stop - chunk.start)
        yield chunk, np.ascontiguousarray(counts.T)


def _draw_counts(random: np.random.Generator, items: int, replicates: int) -> NDArray[np.float32]:
    """How often each item is met in as many draws with replacement as there are items: `(replicates, items)`."""
    draws = (random.integers(items, size=items) for _ in range(replicates))
    return np.array([np.bincount(drawn, minlength=items) for drawn in draws], dtype=np.float32)


class _Ranking:
    """One test set in the order of one method's scores.

    Args:
        labels: True for an anomaly, shape `(samples,)`.
        rows: the row of each sample's group in the table of weights, the same shape.
        scores: the same shape.
    """

    def __init__(self, labels: NDArray[np.bool_], rows: NDArray[np.intp], scores: NDArray[np.floating]) -> None:
        order = np.argsort(scores, kind="stable")
        labels, rows, scores = labels[order], rows[order], scores[order]
        self.positives, self.negatives = rows[labels], rows[~labels]
        # For each negative, how many positives score less, and how many no more, than it.
        self.below, self.at_most = (
            np.searchsorted(scores[labels], scores[~labels], side) for side in ("left", "right")
        )
        self.groups, group = np.unique(self.negatives, return_inverse=True)
        self.sizes = np.bincount(group).astype(np.float32)
        self.table = None
        if len(self.groups) * (len(self.positives) + 1) <= _DENSE * len(self.negatives):
            self.table = np.zeros((len(self.groups), len(self.positives) + 1), np.float32)
            np.add.at(self.table, (group, self.below), 0.5)
            np.add.at(self.table, (group, self.at_most), 0.5)

    def weighted_auroc(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """The AUROC under each column of weights, as if each sample were there as often as its group was drawn.

        Of all pairs of a positive and a negative, those in which the negative scores more are lost, and half of those
        that tie. In single precision these counts are exact up to 8 million, and good to six digits beyond.
        """
        sums = _running_sums(weights[self.positives])
        pairs = sums[-1] * (self.sizes @ weights[self.groups]).astype(float)
        defined = pairs > 0
        aurocs = np.full(len(pairs), np.nan)
        aurocs[defined] = 1 - self._lost(weights, sums)[defined] / pairs[defined]
        return aurocs

    def _lost(self, weights: NDArray[np.float32], sums: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.table is not None:
            return _column_products(weights[self.groups], self.table @ sums)
        negatives, tied = weights[self.negatives], self.at_most > self.below
        lost = _column_products(negatives, sums[self.below])
        return lost + 0.5 * _column_products(negatives[tied], sums[self.at_most[tied]] - sums[self.below[tied]])


def _column_products(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    products: NDArray[np.float32] = np.einsum("nr,nr->r", a, b)
    return products


def _running_sums(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of the first 0, 1, 2, ... rows. Row by row, which is several times faster than `np.cumsum` down columns."""
    sums = np.zeros((len(rows) + 1, rows.shape[1]), rows.dtype)
    for before, row, after in zip(sums[:-1], rows, sums[1:], strict=True):
        np.add(before, row, out=after)
    return sums


def _distinct_rankings(seeds: Mapping[int, Scored]) -> tuple[dict[bytes, _Ranking], dict[tuple[str, int], bytes]]:
    """Every distinct ranking by its digest, and which one each method has at each place in the order of the seeds."""
    numbers = _group_numbers(seeds)
    rankings: dict[bytes, _Ranking] = {}
    places = {}
    for place, seed in enumerate(sorted(seeds)):
        scored = seeds[seed]
        rows = np.searchsorted(numbers, scored.groups)
        for method, scores in scored.scores.items():
            key = places[method, place] = _digest(scored.labels, scored.groups, scores)
            if key not in rankings:
                rankings[key] = _Ranking(np.asarray(scored.labels) == 1, rows, np.asarray(scores))
    return rankings, places


def _digest(*arrays: NDArray[np.generic]) -> bytes:
    digest = hashlib.blake2b()
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.digest()


def _group_numbers(seeds: Mapping[int, Scored]) -> NDArray[np.integer]:
    return np.unique(np.concatenate([np.asarray(scored.groups) for scored in seeds.values()]))


def _methods(seeds: Mapping[int, Scored]) -> list[str]:
    return sorted({method for scored in seeds.values() for method in scored.scores})


# What is refused.


def _check(seeds: Mapping[int, Scored], reference: str, replicates: int) -> None:
    methods = _methods(seeds)
    if reference not in methods:
        raise ValueError(f"The reference must be one of the methods [{', '.join(methods)}]. Received: {reference!r}")
    if replicates < 1:
        raise ValueError(f"At least one replicate is needed. Received: {replicates}")
    for seed, scored in seeds.items():
        _check_samples(f"Seed {seed}", scored)
        for method, scores in scored.scores.items():
            _check_scores(f"Seed {seed}, {method}", np.asarray(scores), len(scored.labels))


def _check_samples(where: str, scored: Scored) -> None:
    labels, groups = np.asarray(scored.labels), np.asarray(scored.groups)
    if labels.ndim != 1 or labels.shape != groups.shape:
        raise ValueError(f"{where}: labels {labels.shape} and groups {groups.shape} must be vectors of one length")
    if groups.dtype.kind not in "iu":
        raise ValueError(f"{where}: groups must be whole numbers. Received: {groups.dtype}")
    classes = np.unique(labels).tolist()
    if classes != [0, 1]:
        raise ValueError(f"{where}: labels must be 0 and 1, and both must occur. Received: {classes[:4]}")


def _check_scores(where: str, scores: NDArray[np.floating], samples: int) -> None:
    if scores.shape != (samples,):
        raise ValueError(f"{where}: expected scores of shape ({samples},). Received: {scores.shape}")
    strange = np.flatnonzero(~np.isfinite(scores))
    if len(strange):
        first = f"{scores[strange[0]]} at index {strange[0]}"
        raise ValueError(f"{where}: scores must be finite. Received: {len(strange)} that are not, the first {first}")
