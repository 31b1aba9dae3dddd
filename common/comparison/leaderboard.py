"""Rank methods by their mean AUROC over seeds, with intervals and tests from a paired bootstrap.

The mean AUROC of a method is uncertain for two reasons: both the test samples and the seeds are finite. Each replicate
of the bootstrap resamples both: groups of samples (dependent samples, such as the windows of one event, are resampled
together, or the intervals would be too narrow), and seeds. All methods use the same replicates. A sample that is hard
for one method is often hard for another, and a lucky split is lucky for both; this cancels in a paired difference, so
the difference of two methods is known more precisely than each of them. So overlapping intervals say little about it.
The tests of all methods against the reference are corrected by Holm's method.

Groups and seeds are crossed if all seeds share the test samples, and partly nested if they share some. Both are
resampled separately, and the product of their counts is the weight; this covers both cases. For groups see Rutter,
Bootstrap estimation of diagnostic accuracy with patient-clustered data (Academic Radiology 7, 2000); for crossed
factors Owen, The pigeonhole bootstrap (Annals of Applied Statistics 1, 2007), which shows that the intervals are rather
too wide. If the noise of samples or of training dominates, simulations of ten seeds gave 3 to 8 % false positives at 5
%, and of twenty seeds intervals that hold the true value in 92.6 to 94.2 % of cases; where the interaction of both
dominates, more than 99 % do (`python -m tests.helpers.error_rates`). With few seeds the interval misses a part of the
variation of training, and with one seed all of it. Groups are treated as independent; if neighbours in time are
similar, and if there are few groups, the intervals are somewhat too narrow.

If each seed has a test set of its own, both factors would count the noise of its samples. The AUROCs of the seeds are
then independent. Tests, and intervals of differences, are Student's t over the seeds, paired. AUROCs that pile up below
1 are skewed, so their intervals are corrected for skewness. In the same simulations both hold the true value in 95 % of
cases.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.comparison.statistics import SIGNIFICANCE, holm, mean_interval, mean_p, skewed_mean_interval
from common.metrics.scores import Metric, detection_metrics

REFERENCE = "reference"
BETTER = "better"
WORSE = "worse"
NOT_TOLD_APART = "not told apart"

Interval = tuple[float, float]
Values = Mapping[str, NDArray[np.float64]]

_METRICS = ("auroc", "average_precision", "fpr_at_95_recall")

# Number of replicates computed at once, so that the running sums of one test set fit into the processor's cache.
_CHUNK = 500

# Negatives are summed by group, with a table of groups by positives, if it has at most this many cells per negative.
_DENSE = 64


@dataclass(frozen=True)
class Scored:
    """The scores of all methods on the test set of one seed.

    Attributes:
        labels: shape `(samples,)`, 1 for an anomaly.
        groups: group number of each sample, shape `(samples,)`. Samples with the same number are resampled together,
            also if they belong to different seeds.
        scores: by method, each of shape `(samples,)`, higher = more anomalous.
    """

    labels: NDArray[np.integer]
    groups: NDArray[np.integer]
    scores: Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Row:
    """The metrics of one method, as means over its seeds, and its comparison with the reference.

    Attributes:
        method: the method.
        seeds: number of its seeds.
        auroc: mean AUROC.
        auroc_interval: 95 % interval, of percentiles of the bootstrap, or of Student's t corrected for skewness.
        auroc_spread: standard deviation of the AUROC over the seeds; `None` for one seed.
        seeds_above_chance: number of seeds with an AUROC above 0.5.
        average_precision: mean average precision.
        fpr_at_95_recall: mean false-positive rate at 95 % recall.
        difference: mean AUROC less that of the reference, over the seeds that both have; `None` for the reference
            itself, or if there are no such seeds.
        difference_interval: likewise, of the difference.
        p_value: two-sided p-value of no difference, after Holm's correction over the methods of its family.
        standing: `BETTER`, `WORSE`, `NOT_TOLD_APART` or `REFERENCE`, which follows from the p-value.
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
    seeds: Mapping[int, Scored],
    reference: str,
    replicates: int = 2000,
    random_state: int = 0,
    students_t: bool = False,
    families: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rank methods by their mean AUROC over seeds, the best first.

    Args:
        seeds: scores by seed. A method may lack some seeds; if its scores are the same in several, they are computed
            once.
        reference: the method that all others are compared with.
        replicates: number of bootstrap replicates. Default: 2000.
        random_state: seed of the bootstrap. Default: 0.
        students_t: true if no two seeds share test samples, and there are two or more; then intervals and tests are
            Student's t over the seeds, for the interval of an AUROC corrected for skewness. Default: false.
        families: family of tests of each method. Holm's correction is over each family by itself. Default: all methods
            are one family.

    Raises:
        ValueError: the reference has no scores, a test set has only one class, scores are not finite, shapes differ, or
            a class has so few samples that no replicate contains both classes.
    """
    _check(seeds, reference, replicates)
    points = _points(seeds)
    drawn = None if students_t else _replicated_aurocs(seeds, replicates, random_state)
    seed_counts = _draw_counts(np.random.default_rng([random_state, 1]), len(seeds), replicates)
    rows = [_row(method, reference, points, drawn, seed_counts) for method in points]
    adjusted: dict[str, float] = {}
    family_of = {row.method: (families or {}).get(row.method) for row in rows if row.p_value is not None}
    for family in dict.fromkeys(family_of.values()):
        members = [row for row in rows if row.method in family_of and family_of[row.method] == family]
        adjusted |= holm({row.method: row.p_value for row in members if row.p_value is not None})
    rows = [_judged(row, adjusted[row.method]) if row.method in adjusted else row for row in rows]
    return sorted(rows, key=lambda row: (-row.auroc, row.method))


def _row(
    method: str,
    reference: str,
    points: Mapping[str, Values],
    drawn: Values | None,
    seed_counts: NDArray[np.float32],
) -> Row:
    """Describe one method; without replicates (`drawn`), intervals and tests are of the seeds' own AUROCs."""
    aurocs = points[method]["auroc"]
    means = {name: float(np.nanmean(values)) for name, values in points[method].items()}
    n = int(np.sum(~np.isnan(aurocs)))
    difference = aurocs - points[reference]["auroc"]
    estimate = interval = p_value = None
    if drawn is None:
        low, high = skewed_mean_interval(aurocs[~np.isnan(aurocs)])
    else:
        low, high = _interval(_over_seeds(drawn[method], seed_counts))
    if method != reference and not np.isnan(difference).all():
        estimate = float(np.nanmean(difference))
        if drawn is None:
            both = difference[~np.isnan(difference)]
            interval, p_value = mean_interval(both), mean_p(both)
        else:
            replicated = _over_seeds(drawn[method] - drawn[reference], seed_counts)
            interval, p_value = _interval(replicated), _p_value(replicated)
    return Row(
        method,
        n,
        auroc_interval=(max(0.0, low), min(1.0, high)),
        auroc_spread=float(np.nanstd(aurocs, ddof=1)) if n > 1 else None,
        seeds_above_chance=int(np.sum(aurocs > 0.5)),
        difference=estimate,
        difference_interval=interval,
        p_value=p_value,
        standing=REFERENCE if method == reference else NOT_TOLD_APART,
        **means,
    )


def _judged(row: Row, p_value: float) -> Row:
    """Complete a row with its corrected p-value, and with the standing that follows from it."""
    if p_value >= SIGNIFICANCE or not row.difference:
        return replace(row, p_value=p_value)
    return replace(row, p_value=p_value, standing=BETTER if row.difference > 0 else WORSE)


def _over_seeds(drawn: NDArray[np.float64], seed_counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the mean over the resampled seeds for each replicate, and drop replicates without a defined value.

    Args:
        drawn: a statistic, shape `(replicates, seeds)`; NaN where it is undefined, which leaves the seed out.
        seed_counts: number of times that each replicate contains each seed, the same shape.
    """
    defined = ~np.isnan(drawn)
    total = np.sum(np.where(defined, drawn, 0) * seed_counts, axis=1)
    count = np.sum(defined * seed_counts, axis=1)
    if not count.any():
        raise ValueError(
            f"None of {len(drawn)} replicates contains both classes: too few groups, or too few replicates"
        )
    return np.asarray(total[count > 0] / count[count > 0])


def _interval(replicated: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(replicated, [2.5, 97.5])
    return float(low), float(high)


def _p_value(replicated: NDArray[np.float64]) -> float:
    """Compute the two-sided p-value of no difference: twice the fraction of replicates on the other side of zero."""
    tail = min(np.sum(replicated <= 0), np.sum(replicated >= 0))
    return float(min(1, 2 * (tail + 1) / (len(replicated) + 1)))


def _points(seeds: Mapping[int, Scored]) -> Mapping[str, Values]:
    """Compute the metrics of each method over the sorted seeds; NaN for a seed that the method lacks."""
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


def _replicated_aurocs(seeds: Mapping[int, Scored], replicates: int, random_state: int) -> Values:
    """Compute the AUROC by method, shape `(replicates, seeds)`; NaN where it is undefined."""
    numbers = np.unique(np.concatenate([np.asarray(scored.groups) for scored in seeds.values()]))
    rankings, places = _distinct_rankings(seeds, numbers)
    values = {key: np.empty(replicates) for key in rankings}
    random = np.random.default_rng([random_state, 0])
    for start in range(0, replicates, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, replicates))
        # The counts of each group, shape `(groups, replicates of the chunk)`.
        weights = np.ascontiguousarray(_draw_counts(random, len(numbers), chunk.stop - chunk.start).T)
        for key, ranking in rankings.items():
            values[key][chunk] = ranking.weighted_auroc(weights)
    drawn = {method: np.full((replicates, len(seeds)), np.nan) for method in _methods(seeds)}
    for (method, place), key in places.items():
        drawn[method][:, place] = values[key]
    return drawn


def _draw_counts(random: np.random.Generator, items: int, replicates: int) -> NDArray[np.float32]:
    """Draw as many items with replacement as there are, and count each of them, shape `(replicates, items)`."""
    draws = (random.integers(items, size=items) for _ in range(replicates))
    return np.array([np.bincount(drawn, minlength=items) for drawn in draws], dtype=np.float32)


class _Ranking:
    """A test set, sorted by the scores of one method.

    Args:
        labels: true for an anomaly, shape `(samples,)`.
        rows: row of each sample's group in the table of weights, the same shape.
        scores: anomaly scores, the same shape.
    """

    def __init__(self, labels: NDArray[np.bool_], rows: NDArray[np.intp], scores: NDArray[np.floating]) -> None:
        order = np.argsort(scores, kind="stable")
        labels, rows, scores = labels[order], rows[order], scores[order]
        self.positives, self.negatives = rows[labels], rows[~labels]
        # For each negative, the number of positives that score less than it, and of those that score no more.
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
        """Compute the AUROC for each column of weights, the counts of each group.

        It is 1 less the fraction of pairs of a positive and a negative in which the negative scores more, with ties
        counted half. In single precision these counts are exact up to 8 million, and correct to six digits beyond.
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
    return np.asarray(np.einsum("nr,nr->r", a, b))


def _running_sums(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of the first 0, 1, 2, ... rows. Row by row, which is several times faster than `np.cumsum` down columns."""
    sums = np.zeros((len(rows) + 1, rows.shape[1]), rows.dtype)
    for before, row, after in zip(sums[:-1], rows, sums[1:], strict=True):
        np.add(before, row, out=after)
    return sums


def _distinct_rankings(
    seeds: Mapping[int, Scored], numbers: NDArray[np.integer]
) -> tuple[dict[bytes, _Ranking], dict[tuple[str, int], bytes]]:
    """Every distinct ranking by its digest, and which one each method has at each place in the order of the seeds."""
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
