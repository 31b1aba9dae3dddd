"""Statistical tests and intervals."""

import functools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05


def two_sided_p(t: float, freedom: float) -> float:
    """Compute the probability that Student's t is at least as far from 0 as `t`.

    Args:
        t: the statistic, of either sign.
        freedom: degrees of freedom, above 0; Welch's test has fractional ones.
    """
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(t)))


@functools.cache
def two_sided_quantile(p: float, freedom: float) -> float:
    """Compute the distance from 0 that Student's t reaches or exceeds with probability `p`, between 0 and 1."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, p / 2))


class Moments(NamedTuple):
    """What Welch's test needs to know about a sample: mean, standard deviation (ddof = 1), and number of values."""

    mean: float
    standard_deviation: float
    n: int


def moments(values: Sequence[float]) -> Moments:
    """Describe a sample of two values or more."""
    return Moments(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


def welch(a: Moments, b: Moments) -> tuple[float, float]:
    """Compute the standard error of the difference of two means, and its degrees of freedom, by Welch's approximation.

    Args:
        a: one sample.
        b: the other one; the standard deviation of one of them is above 0.
    """
    u, v = (one.standard_deviation**2 / one.n for one in (a, b))
    return math.sqrt(u + v), (u + v) ** 2 / (u * u / (a.n - 1) + v * v / (b.n - 1))


def welch_p(a: Moments, b: Moments, margin: float = 0.0) -> float:
    """Compute the two-sided p-value of Welch's test for unequal means.

    Args:
        a: one sample.
        b: the other one.
        margin: part of the difference that does not count, such as the rounding of a printed mean. Default: 0.
    """
    difference = max(abs(a.mean - b.mean) - margin, 0.0)
    if a.standard_deviation == b.standard_deviation == 0:
        return 1.0 if difference == 0 else 0.0
    error, freedom = welch(a, b)
    return two_sided_p(difference / error, freedom)


def mean_p(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Compute the two-sided p-value of Student's test for a mean of zero.

    Args:
        values: two values or more.
    """
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return two_sided_p(mean / error, len(values) - 1)


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Compute Student's 95 % confidence interval for the mean.

    Args:
        values: two values or more.
    """
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = two_sided_quantile(SIGNIFICANCE, len(values) - 1) * error
    return mean - half, mean + half


def skewed_mean_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Compute a 95 % confidence interval for the mean of a skewed distribution.

    Student's interval has half of its width on each side, and holds the mean too rarely if few values decide it. Here
    the skewness is removed by Hall's transformation (On the removal of skewness by transformation, Journal of the Royal
    Statistical Society B 54, 1992), with Student's quantiles; without skewness it is Student's interval.

    Args:
        values: two values or more.
    """
    n, mean, spread = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    cubed = float(np.mean((np.asarray(values) - mean) ** 3))
    if abs(cubed) <= 1e-12 * spread**3:  # a division by so small a skewness would lose all digits
        return mean_interval(values)
    skewness = cubed / float(np.std(values)) ** 3
    quantile = two_sided_quantile(SIGNIFICANCE, n - 1) / math.sqrt(n)

    def of_transformed(t: float) -> float:
        return 3 / skewness * (math.cbrt(1 + skewness * (t - skewness / (6 * n))) - 1)

    return mean - spread * of_transformed(quantile), mean - spread * of_transformed(-quantile)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values by Holm's method, so that comparing them with alpha bounds the family-wise error by alpha."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval for a rate (1927), which is also correct near 0 and 1."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"Expected 0 <= successes <= trials and trials > 0. Received: {successes} of {trials}")
    z = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
    rate = successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high
