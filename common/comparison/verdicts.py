"""Verdicts: compare published numbers with the metrics of our seeds. Pure functions that read no files.

A published number is either exact (it follows from data and a deterministic method) or from one run (a single random
result, and our seeds are further samples of its distribution). An exact number is compared as text, formatted as its
source formatted it. A one-run number is compared with the 95 % prediction interval for one further run,
m +- t * s * sqrt(1 + 1/n), on a scale on which the spread is roughly constant: log for losses, logit for rates.
A t-test of our mean against one printed run would be wrong: its rate of false positives grows with n.

There is one verdict per printed row or curve. It rests on the free quantities alone (two recalls determine all seven
numbers of a classification report); the others are functions of them and are shown without a verdict. The free ones are
tested together, with Holm's correction, since in a row of many numbers one of them lies outside by chance.

With few runs a number lies outside too often if the distribution is skewed, or if the training has a rare second mode
that the source is in and none of our runs. So below 20 runs, a number outside is not called `differs`. With 20, at most
6.5 % of the rows differ by chance (tests/comparison/test_error_rates.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.comparison.prediction import MINIMUM_SEEDS, Prediction, SeedMetrics, format_as_printed, spread, values_of
from common.comparison.published import Claim, Group, Published
from common.comparison.statistics import SIGNIFICANCE, holm, wilson_interval

# With fewer seeds a verdict is provisional.
FIRM_SEEDS = 20
# Largest fraction of one-run rows that lie outside by chance alone, in simulations of 20 seeds.
CHANCE_OUTSIDE = 0.065

EXACT = "exact"
AGREES = "agrees"
FOLLOWS = "follows"
REPRODUCED = "reproduced"
WITHIN_SPREAD = "within spread"
DIFFERS = "differs"
OUTSIDE = "outside so far"
STAND_IN = "stand-in data"
DIFFERS_HIGHER = "differs (higher)"
DIFFERS_LOWER = "differs (lower)"
NO_VERDICT = "no verdict"
NOT_RUN = "not run"
NEXT_REFERENCE = "with the next reference"
CONTEXT = "context"
_WITHOUT_SEEDS = (STAND_IN, NO_VERDICT, NOT_RUN, NEXT_REFERENCE)


@dataclass(frozen=True)
class MemberResult:
    """One published number and our values for it.

    Attributes:
        metric: name of the metric.
        printed: the published number as printed.
        free: true for a free quantity of a one-run row.
        n: number of seeds in which the metric is defined.
        missing: number of seeds in which it is not, failed ones included.
        mean: mean over the seeds; this and the following are `None` without enough seeds.
        standard_deviation: standard deviation over the seeds.
        minimum: smallest value.
        maximum: largest value.
        interval: 95 % prediction interval for one further run.
        tolerance: largest distance from the published number to either end of the interval that counts as reproduced,
            in the number's own units.
        p_value: p-value of the published number, after Holm's correction over the free numbers of the row.
        verdict: verdict on this number alone; the row has its own.
    """

    metric: str
    printed: str
    free: bool
    n: int
    missing: int
    mean: float | None = None
    standard_deviation: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    interval: tuple[float, float] | None = None
    tolerance: float | None = None
    p_value: float | None = None
    verdict: str = NO_VERDICT

    @property
    def reach(self) -> float:
        """Distance from the published number to the farther end of the interval; 0 without an interval."""
        return max((abs(end - float(self.printed)) for end in self.interval or ()), default=0.0)


@dataclass(frozen=True)
class GroupResult:
    """The verdict on one printed row or curve.

    Attributes:
        name: name of the row in the file of published numbers; so are `obtained`, `where`, `address` and `how`.
        title: its title, and which run of the source printed it if there are several.
        verdict: verdict on the row.
        provisional: true if it is based on too few seeds.
        n: number of seeds that it is based on.
        missing: number of seeds that lack one of its numbers.
        members: the numbers of the row.
    """

    name: str
    title: str
    obtained: str
    where: str
    verdict: str
    provisional: bool
    n: int
    missing: int
    members: tuple[MemberResult, ...]
    address: str | None = None
    how: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """The number of seeds in which a claim of the source holds.

    Attributes:
        name: name of the claim.
        text: the claim.
        reading: true if the claim is our reading of a figure.
        holds: number of seeds in which it holds.
        n: number of seeds in which it is defined.
        missing: number of other seeds, failed ones included.
        interval: 95 % Wilson interval for the rate at which it holds; `None` without seeds.
    """

    name: str
    text: str
    holds: int
    n: int
    missing: int
    interval: tuple[float, float] | None
    reading: bool = False


@dataclass(frozen=True)
class ConditionalResult:
    """The verdicts on the one-run rows over only those seeds that meet a condition of the source.

    Attributes:
        condition: the condition, and the number of seeds that meet it.
        seeds: these seeds.
        metrics: names of the metrics that the condition depends on.
        groups: the verdicts.
    """

    condition: ClaimResult
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    groups: tuple[GroupResult, ...]


@dataclass(frozen=True)
class Summary:
    """Counts over the rows of one experiment.

    Attributes:
        exact: number of exact rows with the verdict `exact`.
        exact_groups: number of exact rows with a verdict.
        outside: number of one-run rows that lie outside.
        one_run_groups: number of one-run rows with a verdict.
        expected_outside: largest number of these that lie outside by chance alone.
        verdicts: number of rows by verdict.
    """

    exact: int
    exact_groups: int
    outside: int
    one_run_groups: int
    expected_outside: float
    verdicts: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """One experiment compared with its source.

    Attributes:
        experiment: name of the experiment.
        n_seeds: number of finished seeds.
        failed_seeds: the seeds without metrics.
        groups: the verdicts on the printed rows and curves.
        claims: the claims of the source.
        summary: counts of the verdicts.
        conditional: the verdicts over the seeds that meet a condition of the source.
    """

    experiment: str
    n_seeds: int
    failed_seeds: tuple[int, ...]
    groups: tuple[GroupResult, ...]
    claims: tuple[ClaimResult, ...]
    summary: Summary
    conditional: tuple[ConditionalResult, ...] = ()


def compare(
    published: Published, seeds: SeedMetrics, failed_seeds: Sequence[int] = (), stand_in: bool = False
) -> Comparison:
    """Compare the metrics of all finished seeds with the published numbers and claims of one source.

    Args:
        published: the published numbers.
        seeds: metrics of each finished seed; `None` for an undefined one.
        failed_seeds: seeds without metrics, which count as missing everywhere.
        stand_in: true if the runs used stand-in data; then no verdict is given.
    """
    failed = len(failed_seeds)
    groups = tuple(judge_group(group, seeds, failed, stand_in) for group in published.groups)
    compared = Comparison(
        published.experiment, len(seeds), tuple(sorted(failed_seeds)), groups, claims=(), summary=summarise(groups)
    )
    if stand_in:
        return compared
    claims = tuple(judge_claim(claim, seeds, failed) for claim in published.claims)
    given = tuple(judge_given(condition, published.groups, seeds, failed) for condition in published.conditions)
    return replace(compared, claims=claims, conditional=given)


def lies_outside(verdict: str) -> bool:
    """Check if a verdict says that a one-run number lies outside our prediction interval and range."""
    return verdict in (DIFFERS_HIGHER, DIFFERS_LOWER, OUTSIDE)


def summarise(groups: Sequence[GroupResult]) -> Summary:
    """Count the verdicts over the rows of an experiment."""
    judged = [group for group in groups if group.verdict not in _WITHOUT_SEEDS]
    exact = [group for group in judged if group.obtained == "exact"]
    one_run = [group for group in judged if group.obtained == "one run"]
    return Summary(
        exact=sum(group.verdict == EXACT for group in exact),
        exact_groups=len(exact),
        outside=sum(lies_outside(group.verdict) for group in one_run),
        one_run_groups=len(one_run),
        expected_outside=CHANCE_OUTSIDE * len(one_run),
        verdicts=dict(Counter(group.verdict for group in groups)),
    )


# One group.


def judge_group(group: Group, seeds: SeedMetrics, failed: int = 0, stand_in: bool = False) -> GroupResult:
    """Give the verdict on one printed row or curve.

    Args:
        group: the published numbers.
        seeds: metrics by seed, `None` for undefined ones.
        failed: number of seeds without any metrics, which are shown beside the verdict.
        stand_in: true if the runs used stand-in data; then our numbers are described without a verdict.
    """
    predictions = {} if stand_in else _predictions(group, seeds)
    members = [_describe(group, metric, seeds, failed, predictions.get(metric)) for metric in group.numbers]
    deciding = members if stand_in else [member for member in members if member.free] or members
    n = min(member.n for member in deciding)
    computed = {metric for values in seeds.values() for metric in values}
    if stand_in:
        verdict = STAND_IN
    elif not all(member.metric in computed for member in deciding):
        verdict = NOT_RUN
    elif group.obtained in ("exact", "derived"):
        agreeing = EXACT if group.obtained == "exact" else AGREES
        members = [_judge_exact(member, seeds, agreeing) for member in members]
        verdict = agreeing if all(member.verdict == agreeing for member in members) else DIFFERS
    elif group.obtained != "one run":
        verdict = CONTEXT
    elif n < MINIMUM_SEEDS:
        verdict = NO_VERDICT
    else:
        members = _judge_one_run(members, predictions)
        verdict = _verdict_of_row(members)
    provisional = verdict not in _WITHOUT_SEEDS and group.obtained == "one run" and n < FIRM_SEEDS
    missing = max(member.missing for member in deciding)
    place = group.name, group.title_with_run, group.obtained, group.where
    return GroupResult(*place, verdict, provisional, n, missing, tuple(members), group.address, group.how)


def _predictions(group: Group, seeds: SeedMetrics) -> dict[str, Prediction]:
    """Predict one further run for each number of a one-run row that is defined in enough seeds."""
    values = {metric: values_of(metric, seeds) for metric in group.numbers}
    return {
        metric: Prediction(values[metric], printed, group.scale, group.cases)
        for metric, printed in group.numbers.items()
        if group.obtained == "one run" and len(values[metric]) >= MINIMUM_SEEDS
    }


def _describe(
    group: Group, metric: str, seeds: SeedMetrics, failed: int, prediction: Prediction | None
) -> MemberResult:
    values, one_run = values_of(metric, seeds), group.obtained == "one run"
    return MemberResult(
        metric,
        group.numbers[metric],
        free=one_run and metric in group.free,
        n=len(values),
        missing=len(seeds) - len(values) + failed,
        mean=float(np.mean(values)) if values else None,
        standard_deviation=spread(values) if len(values) > 1 else None,
        minimum=min(values, default=None),
        maximum=max(values, default=None),
        interval=prediction.interval() if prediction else None,
        tolerance=group.tolerance_of(metric) if one_run else None,
    )


def _judge_exact(member: MemberResult, seeds: SeedMetrics, agreeing: str) -> MemberResult:
    texts = {format_as_printed(value, member.printed) for value in values_of(member.metric, seeds)}
    agrees = texts == {member.printed} and member.n == len(seeds)
    return replace(member, verdict=agreeing if agrees else DIFFERS)


def _judge_one_run(members: Sequence[MemberResult], predictions: Mapping[str, Prediction]) -> list[MemberResult]:
    """Give the verdicts on the free numbers of a row, with Holm's correction; the others follow from them."""
    p_values = {member.metric: predictions[member.metric].p_value() for member in members if member.free}
    adjusted = holm(p_values)
    judged = []
    for member in members:
        verdict, p_value = FOLLOWS, adjusted.get(member.metric)
        if p_value is not None:
            verdict = _one_run_verdict(predictions[member.metric], p_value, member)
        judged.append(replace(member, p_value=p_value, verdict=verdict))
    return judged


def _one_run_verdict(prediction: Prediction, adjusted_p: float, member: MemberResult) -> str:
    if adjusted_p < SIGNIFICANCE and prediction.outside_range():
        if member.n < FIRM_SEEDS:
            return OUTSIDE
        return DIFFERS_HIGHER if prediction.centre > prediction.published else DIFFERS_LOWER
    assert member.tolerance is not None
    return REPRODUCED if member.reach <= member.tolerance else WITHIN_SPREAD


def _verdict_of_row(members: Sequence[MemberResult]) -> str:
    """Combine the verdicts on the free numbers of a row: that of the least likely one outside, or of all."""
    outside = [member for member in members if lies_outside(member.verdict)]
    if outside:
        return min(outside, key=lambda member: member.p_value or 0.0).verdict
    return WITHIN_SPREAD if any(m.free and m.verdict != REPRODUCED for m in members) else REPRODUCED


# Claims.


def judge_claim(claim: Claim, seeds: SeedMetrics, failed: int = 0) -> ClaimResult:
    """Count the seeds in which all inequalities of a claim hold; a seed with an undefined metric is missing."""
    outcomes = [claim.holds_in(seeds[seed]) for seed in sorted(seeds)]
    known = [outcome for outcome in outcomes if outcome is not None]
    holds, n, missing = sum(known), len(known), len(outcomes) - len(known) + failed
    interval = wilson_interval(holds, n) if n else None
    return ClaimResult(claim.name, claim.text, holds, n, missing, interval, claim.reading)


def judge_given(condition: Claim, groups: Sequence[Group], seeds: SeedMetrics, failed: int = 0) -> ConditionalResult:
    """Give the verdicts on the one-run rows over the seeds that meet a condition.

    If a training has two modes, the prediction interval of their mixture is wide. If the source shows the mode of its
    run, it can be compared with the seeds of that mode alone.
    """
    meeting = {seed: seeds[seed] for seed in sorted(seeds) if condition.holds_in(seeds[seed])}
    return ConditionalResult(
        judge_claim(condition, seeds, failed),
        tuple(meeting),
        tuple(sorted(condition.metrics())),
        tuple(
            judge_group(group, meeting)
            for group in groups
            if group.obtained == "one run" and condition.run in ("", group.run)
        ),
    )
