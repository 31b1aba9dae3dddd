"""Compare the runs of this machine with those of a reference, metric by metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.comparison.leaderboard import NOT_TOLD_APART
from common.comparison.prediction import MINIMUM_SEEDS, SeedMetrics, Value, values_of
from common.comparison.statistics import SIGNIFICANCE, holm, moments, welch_p
from common.comparison.verdicts import DIFFERS


@dataclass(frozen=True)
class Agreement:
    """The comparison of one metric.

    Attributes:
        metric: name of the metric.
        reference_mean: mean over the seeds of the reference; `None` if it is undefined in all.
        mean: likewise, over ours.
        common: number of seeds that both have.
        identical: number of these with exactly the same value.
        verdict: the verdict, in words.
    """

    metric: str
    reference_mean: float | None
    mean: float | None
    common: int
    identical: int
    verdict: str


def agree(reference: SeedMetrics, ours: SeedMetrics) -> list[Agreement]:
    """Compare two sets of runs of the same experiment, for every metric of the reference.

    Runs of the same seed are `identical`, or `equal to rounding` (six digits), if another processor or number of
    threads rounds differently. Training magnifies such differences. So metrics that differ further are compared as two
    samples of runs by Welch's t-test, with Holm's correction over all metrics.
    """
    metrics = sorted({name for values in reference.values() for name in values})
    samples = {name: (values_of(name, reference), values_of(name, ours)) for name in metrics}
    enough = {name: pair for name, pair in samples.items() if min(map(len, pair)) >= MINIMUM_SEEDS}
    adjusted = holm({name: welch_p(moments(pair[0]), moments(pair[1])) for name, pair in enough.items()})
    return [_agreement(name, reference, ours, adjusted.get(name)) for name in metrics]


def _agreement(name: str, reference: SeedMetrics, ours: SeedMetrics, adjusted_p: float | None) -> Agreement:
    pairs = [(reference[seed].get(name), ours[seed].get(name)) for seed in sorted(set(reference) & set(ours))]
    identical = sum(a == b for a, b in pairs)
    theirs, here = values_of(name, reference), values_of(name, ours)
    # Without common seeds, all values can only be equal if the metric does not depend on the seed.
    close = [_close(a, b) for a, b in pairs] or [_close(theirs[0], value) for value in (*theirs, *here) if theirs]
    if pairs and identical == len(pairs):
        verdict = "identical"
    elif bool(theirs) != bool(here):
        verdict = "defined on one side only"
    elif close and all(close):
        verdict = "equal to rounding"
    elif adjusted_p is None:
        verdict = "too few seeds"
    else:
        verdict = DIFFERS if adjusted_p < SIGNIFICANCE else NOT_TOLD_APART
    return Agreement(name, _mean(theirs), _mean(here), len(pairs), identical, verdict)


def _close(a: Value, b: Value) -> bool:
    return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
