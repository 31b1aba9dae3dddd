"""Compare printed means of several runs with the means of ours. Pure functions that read no files.

Theirs is a sample too, known by its mean, its spread and its size. So the two means are compared by Welch's test, where
a number from a single run is held against a prediction interval (common/comparison/verdicts.py). A printed mean is
rounded: half a printed unit is added to both ends of the interval of the difference, and the test leaves it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.comparison.prediction import decimals_of
from common.comparison.statistics import SIGNIFICANCE, Moments, holm, moments, two_sided_quantile, welch, welch_p
from common.comparison.verdicts import DIFFERS_HIGHER, DIFFERS_LOWER, REPRODUCED, WITHIN_SPREAD
from common.papers.tables import STANDARD_ERROR, Column


@dataclass(frozen=True)
class MeanResult:
    """One printed mean beside ours.

    Attributes:
        printed: the printed mean with its spread.
        ours: mean, standard deviation and number of our runs.
        difference: our mean less theirs.
        interval: 95 % interval of the difference, with half a printed unit for the rounding at both ends.
        p_value: p-value of the difference, after Holm's correction over the rows of the column.
        verdict: the verdict.
    """

    printed: str
    ours: Moments
    difference: float
    interval: tuple[float, float]
    p_value: float
    verdict: str

    def texts(self) -> list[str]:
        """Format what is printed, our mean and spread, the difference with its interval, the p-value, the verdict."""
        low, high = self.interval
        return [
            self.printed,
            f"{self.ours.mean:.2f} +- {self.ours.standard_deviation:.2f}",
            f"{self.difference:+z.2f} ({low:+z.2f} to {high:+z.2f})",
            f"{self.p_value:.2g}",
            self.verdict,
        ]


def printed_moments(column: Column, row: int) -> Moments:
    """Give mean, standard deviation and number of runs of a printed row.

    A spread that is printed as zero counts as half a printed unit.

    Args:
        column: a column that is judged.
        row: index of the row.
    """
    assert column.runs is not None
    spread = float(column.spreads[row]) or half_a_unit(column.spreads[row])
    if column.spread == STANDARD_ERROR:
        spread *= column.runs**0.5
    return Moments(float(column.values[row]), spread, column.runs)


def half_a_unit(printed: str) -> float:
    """Compute half of the last printed decimal, which is the most that rounding changes."""
    return float(0.5 * 10.0 ** -decimals_of(printed))


def judge_column(column: Column, ours: Sequence[Sequence[float]]) -> list[MeanResult]:
    """Give the verdict on each row of a column.

    A row is reproduced if the interval of the difference lies within the tolerance at both ends, even if it excludes
    zero. Else it differs if the difference is significant, and is within spread if it is not.

    Args:
        column: a column that is judged.
        ours: for each row, the values of our runs, in printed units; two or more, which differ.
    """
    assert column.tolerance is not None
    theirs = [printed_moments(column, row) for row in range(len(column.values))]
    rows = [*zip(map(moments, ours), theirs, map(half_a_unit, column.values), strict=True)]
    p_values = holm({str(row): welch_p(mine, other, half) for row, (mine, other, half) in enumerate(rows)})
    results = []
    for row, (mine, other, half) in enumerate(rows):
        error, freedom = welch(mine, other)
        difference, reach = mine.mean - other.mean, two_sided_quantile(SIGNIFICANCE, freedom) * error + half
        interval, p_value = (difference - reach, difference + reach), p_values[str(row)]
        if max(map(abs, interval)) <= column.tolerance:
            verdict = REPRODUCED
        elif p_value < SIGNIFICANCE:
            verdict = DIFFERS_HIGHER if difference > 0 else DIFFERS_LOWER
        else:
            verdict = WITHIN_SPREAD
        printed = f"{column.values[row]} +- {column.spreads[row]}"
        results.append(MeanResult(printed, mine, difference, interval, p_value, verdict))
    return results
