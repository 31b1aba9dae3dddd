"""What separates the seeds in which a metric comes out high from those where it does not: ranks, and no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.comparison.prediction import MINIMUM_SEEDS, SeedMetrics


@dataclass(frozen=True)
class Separation:
    """How one metric goes with the target over the seeds in which both are defined.

    `correlation` is Spearman's, `None` below three seeds or where one of the two never varies. `lower` and `upper` are
    the metric's medians over the seeds whose target is at most, and above, the median target.
    """

    metric: str
    n: int
    correlation: float | None
    lower: float | None
    upper: float | None


def separate(seeds: SeedMetrics, target: str, metrics: Sequence[str]) -> list[Separation]:
    """Rank-correlate metrics with a target over the seeds, the strongest first.

    Args:
        seeds: metrics by seed, `None` for undefined ones.
        target: the metric to explain.
        metrics: what might go with it.
    """
    found = [_separation(seeds, target, metric) for metric in metrics]
    return sorted(found, key=lambda row: -abs(row.correlation or 0.0))


def _separation(seeds: SeedMetrics, target: str, metric: str) -> Separation:
    pairs = [(a, b) for values in seeds.values() if None not in (a := values.get(target), b := values.get(metric))]
    if not pairs:
        return Separation(metric, 0, None, None, None)
    y, x = np.array(pairs, float).T
    high = y > np.median(y)
    return Separation(metric, len(pairs), spearman(x, y), _median(x[~high]), _median(x[high]))


def spearman(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; `None` where it is not defined."""
    if len(x) < MINIMUM_SEEDS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
