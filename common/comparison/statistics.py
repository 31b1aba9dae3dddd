"""Tail probabilities and quantiles of Student's t distribution.

`scipy.special` has both, and takes longer to import than a whole comparison takes to compute. The tests hold these two
against it.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

# Eleven digits at the slowest t, near 1.7, for up to a thousand degrees of freedom; more for fewer.
TERMS = 40


def two_sided_p(t: float, freedom: float) -> float:
    """The probability of a value at least as far from 0 as `t`.

    It is the regularised incomplete beta function at x = freedom / (freedom + t^2), with a = freedom / 2 and b = 1 / 2
    (Abramowitz and Stegun 26.7.1), computed in a form that keeps small probabilities as exact as large ones.

    Args:
        t: the statistic, of either sign.
        freedom: degrees of freedom, above 0; Welch's test has fractional ones.
    """
    ratio = t * t / freedom
    if ratio == 0:
        return 1.0
    if ratio == math.inf:
        return 0.0
    weight = _weighted_density(ratio, freedom)
    if ratio > 3 / (freedom + 2):
        return weight / (freedom / 2 * _continued_fraction(freedom / 2, 0.5, 1 / (1 + ratio)))
    # Near 0 the fraction converges from the other end alone, where the probability is large enough to be subtracted.
    return 1 - weight / (0.5 * _continued_fraction(0.5, freedom / 2, ratio / (1 + ratio)))


@functools.cache
def two_sided_quantile(p: float, freedom: float) -> float:
    """The distance from 0 that is reached or exceeded with probability `p`.

    Found by Newton's method on the logarithms of both: there the curve is concave, so that from any start the second
    step is already on the far side of the solution, and the others close in on it.

    Raises:
        ValueError: `p` is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"Expected a probability between 0 and 1. Received: {p}")
    t = -NormalDist().inv_cdf(p / 2)
    for _ in range(100):
        reached = two_sided_p(t, freedom)
        step = math.log(reached / p) * reached / (2 * _weighted_density(t * t / freedom, freedom))
        t *= math.exp(step)
        if abs(step) < 1e-13:
            break
    return t


def _weighted_density(ratio: float, freedom: float) -> float:
    """The density at t, times t, for ratio = t^2 / freedom."""
    log_beta = math.lgamma(freedom / 2) + math.lgamma(0.5) - math.lgamma((freedom + 1) / 2)
    return math.exp(0.5 * math.log(ratio) - (freedom + 1) / 2 * math.log1p(ratio) - log_beta)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """The denominator in I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) / denominator (DLMF 8.17.22), from its end."""
    value = 1.0
    for m in range(TERMS, -1, -1):
        even = (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2))
        odd = (a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 - odd / (1 + even / value)
    return value
