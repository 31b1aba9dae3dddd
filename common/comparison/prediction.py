"""The prediction interval for one further run, and the test of a published number against it."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal

import numpy as np

from common.comparison.statistics import SIGNIFICANCE, two_sided_p, two_sided_quantile

# With fewer seeds there is no interval and no verdict.
MINIMUM_SEEDS = 3

Value = float | int | None
SeedMetrics = Mapping[int, Mapping[str, Value]]


def with_ablations(seeds: SeedMetrics, ablated: Mapping[str, SeedMetrics], printed: Collection[str]) -> SeedMetrics:
    """Add to the metrics of each seed those that the source printed of an ablation, which is another network of it.

    Args:
        seeds: metrics by seed.
        ablated: by title of the ablation, its metrics by seed.
        printed: names of all metrics that the source printed. One of an ablation begins with its title as one word:
            `the_other_network.loss.last` is `loss.last` of the ablation "the other network".
    """
    added: dict[int, dict[str, Value]] = {seed: dict(metrics) for seed, metrics in seeds.items()}
    for title, of_ablation in ablated.items():
        for seed in seeds.keys() & of_ablation.keys():
            named = {f"{prefix_of(title)}{name}": value for name, value in of_ablation[seed].items()}
            added[seed] |= {name: value for name, value in named.items() if name in printed}
    return added


def prefix_of(ablation: str) -> str:
    """Give the beginning of the names of the metrics of an ablation."""
    return re.sub(r"\W+", "_", ablation) + "."


def values_of(metric: str, seeds: SeedMetrics) -> list[float]:
    """Collect the defined values of one metric, sorted by seed."""
    found = (seeds[seed].get(metric) for seed in sorted(seeds))
    return [float(value) for value in found if value is not None]


def format_as_printed(value: float, printed: str) -> str:
    """Format our value like the printed number, so that exact numbers can be compared as text.

    Whether 0.505 is printed as 0.51 or 0.50 depends on its binary representation, so both must be formatted the same
    way. Numbers with more than 12 decimals were printed with `repr`.
    """
    decimals = decimals_of(printed)
    if decimals > 12:
        return repr(float(value))
    return f"{value:.{decimals}f}"


def decimals_of(printed: str) -> int:
    """Count the digits after the decimal point of a printed number."""
    return max(0, -int(Decimal(printed).as_tuple().exponent))


class Prediction:
    """The predicted distribution of one further run, estimated from our runs, and a published number.

    Args:
        values: our values, at least `MINIMUM_SEEDS`.
        printed: the published number as printed; its last digit is the smallest difference that can be seen.
        scale: "log" for losses and thresholds, "logit" for rates, "linear" for others.
        cases: number of cases that a rate is a fraction of; `None` if unknown. One case is the smallest difference.
    """

    def __init__(self, values: Sequence[float], printed: str, scale: str, cases: int | None) -> None:
        self.published = float(printed)
        self.half_unit = 0.5 * 10.0 ** -decimals_of(printed)
        self.floor = max(self.half_unit, 0.5 / cases if cases else 0.0)
        self._forward, self._backward = _scale(scale, cases, self.half_unit)
        self._is_rate = scale == "logit"
        self._values = list(values)
        scaled = [self._forward(value) for value in values]
        self._mean = float(np.mean(scaled))
        self._spread = spread(scaled) * math.sqrt(1 + 1 / len(values))
        self.centre = self._backward(self._mean)
        self._nearest = _nearest(printed, cases, self.centre)

    def interval(self, significance: float = SIGNIFICANCE) -> tuple[float, float]:
        """Compute the prediction interval in the number's own units, at least one unit or one case wide."""
        half = two_sided_quantile(significance, len(self._values) - 1) * self._spread
        low, high = self._backward(self._mean - half), self._backward(self._mean + half)
        low, high = min(low, self.centre - self.floor), max(high, self.centre + self.floor)
        return (max(0.0, low), min(1.0, high)) if self._is_rate else (low, high)

    def p_value(self) -> float:
        """Compute the significance at which the published number lies on the end of the interval.

        The number may be any value that is printed so; the one nearest to our centre counts.
        """
        if abs(self.published - self.centre) <= self.floor * (1 + 1e-9):
            return 1.0
        if self._spread == 0:
            return 0.0
        distance = abs(self._forward(self._nearest) - self._mean) / self._spread
        return two_sided_p(distance, len(self._values) - 1)

    def outside_range(self) -> bool:
        """Check if every value that is printed like the published number lies outside the range of our seeds."""
        slack = 1e-9 * self.half_unit + 1e-12 * abs(self._nearest)
        return not min(self._values) - slack <= self._nearest <= max(self._values) + slack


def _nearest(printed: str, cases: int | None, centre: float) -> float:
    """Find the value nearest to `centre` among those that are printed like the published number.

    If only one count of the cases is printed so, it is that fraction.
    """
    published, half_unit = float(printed), 0.5 * 10.0 ** -decimals_of(printed)
    low, high = published - half_unit, published + half_unit
    if cases:
        counts = range(max(0, math.floor(low * cases)), math.ceil(high * cases) + 1)
        fractions = [count / cases for count in counts if format_as_printed(count / cases, printed) == printed]
        if len(fractions) == 1:
            return fractions[0]
    return min(max(centre, low), high)


def _scale(name: str, cases: int | None, half_unit: float) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Give the transformation of a scale and its inverse, both finite at the ends of the range."""
    if name == "linear":
        return lambda value: value, lambda scaled: scaled
    if name == "log":
        return lambda value: math.log(max(value, half_unit)), math.exp
    if name != "logit":
        raise ValueError(f"A scale is linear, log or logit. Received: {name!r}")
    # Half a case is added to the cases and to the others, so that 0 of n and n of n are finite.
    total = cases or round(0.5 / half_unit)

    def forward(rate: float) -> float:
        shrunk = (rate * total + 0.5) / (total + 1)
        return math.log(shrunk / (1 - shrunk))

    def backward(scaled: float) -> float:
        # tanh does not overflow, unlike exp.
        shrunk = 0.5 * (1 + math.tanh(scaled / 2))
        return min(1.0, max(0.0, (shrunk * (total + 1) - 0.5) / total))

    return forward, backward


def spread(values: Sequence[float]) -> float:
    """Compute the standard deviation; exactly zero for identical values, despite rounding."""
    return float(np.std(values, ddof=1)) if len(set(values)) > 1 else 0.0
