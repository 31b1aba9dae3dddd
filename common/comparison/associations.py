"""Rank correlations over the seeds between a metric and others that may explain its spread."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.comparison.prediction import MINIMUM_SEEDS, SeedMetrics


@dataclass(frozen=True)
class Association:
    """The association of one metric with the target over the seeds in which both are defined.

    Attributes:
        metric: name of the metric.
        n: number of these seeds.
        correlation: Spearman's rank correlation; `None` below three seeds, or if one of the two is constant.
        lower: median of the metric over the seeds whose target is at most the median target; `None` without seeds.
        upper: likewise, over the seeds whose target is above it.
    """

    metric: str
    n: int
    correlation: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Associations:
    """The associations of several metrics with one target, the strongest correlation first."""

    target: str
    rows: tuple[Association, ...]


def associate(seeds: SeedMetrics, target: str, metrics: Sequence[str]) -> Associations:
    """Compute the rank correlation of metrics with a target over the seeds.

    Args:
        seeds: metrics by seed, `None` for undefined ones.
        target: the metric to explain.
        metrics: the metrics that may explain it.
    """
    rows = (_association(seeds, target, metric) for metric in metrics)
    return Associations(target, tuple(sorted(rows, key=lambda row: -abs(row.correlation or 0.0))))


def _association(seeds: SeedMetrics, target: str, metric: str) -> Association:
    pairs = [(a, b) for values in seeds.values() if None not in (a := values.get(target), b := values.get(metric))]
    if not pairs:
        return Association(metric, 0, None, None, None)
    y, x = np.array(pairs, float).T
    high = y > np.median(y)
    return Association(metric, len(pairs), spearman(x, y), _median(x[~high]), _median(x[high]))


def spearman(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float | None:
    """Compute Spearman's rank correlation, with mean ranks for ties; `None` if it is undefined."""
    if len(x) < MINIMUM_SEEDS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
