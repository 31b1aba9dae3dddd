"""Published against ours: pure functions, no files.

A published number is either exact (it follows from data and a deterministic method) or one run (a single draw from
the distribution of which our seeds are further draws). An exact number is compared as text, formatted as its source
printed it. A one-run number is compared with the 95 % prediction interval for one further run,
m +- t * s * sqrt(1 + 1/n), on a scale where spread is roughly even: log for losses, logit for rates.
A t-test of our mean against one printed run would be wrong: its false alarms grow with n.

One verdict per printed row or curve: its members are tested together, with Holm's correction, so that a row of many
numbers is not a row of many chances to differ. Whether the interval is narrow enough to say something is decided by the
free quantities (two recalls determine all seven numbers of a classification report); the others are functions of them.

A training with a rare second mode fools every rule that has only n runs to go by: all n fall into the common mode, the
source into the rare one, with probability p (1 - p)^n. At worst that is 6.7 % for n = 5 and 4.3 % for n = 8. So below
8 runs a number outside is called just that, and `differs` is not said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import NormalDist

import numpy as np

from common.comparison.published import Claim, Group, Published
from common.comparison.statistics import two_sided_p, two_sided_quantile

SIGNIFICANCE = 0.05
MINIMUM_SEEDS = 3
FIRM_SEEDS = 8

Value = float | int | None
SeedMetrics = Mapping[int, Mapping[str, Value]]

EXACT = "exact"
REPRODUCED = "reproduced"
WITHIN_SPREAD = "within spread"
DIFFERS = "differs"
OUTSIDE = "outside so far"
STAND_IN = "stand-in data"
DIFFERS_HIGHER = "differs (higher)"
DIFFERS_LOWER = "differs (lower)"
NO_VERDICT = "no verdict"
NOT_RUN = "not run"
CONTEXT = "context"
NOT_PUBLISHED = "not published"


@dataclass(frozen=True)
class MemberResult:
    """One published number and our values for it. `interval` is the 95 % prediction interval for one further run."""

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


@dataclass(frozen=True)
class GroupResult:
    """The verdict on one printed row or curve, and on how many seeds it stands."""

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


@dataclass(frozen=True)
class ClaimResult:
    """In how many seeds a claim of the source holds, with a 95 % Wilson interval for that rate."""

    name: str
    text: str
    holds: int
    n: int
    missing: int
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class ConditionalResult:
    """The one-run groups over those seeds alone that meet a condition of the source.

    `condition` tells in how many seeds it holds; `seeds` are these, and `metrics` what it is told by.
    """

    condition: ClaimResult
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    groups: tuple[GroupResult, ...]


@dataclass(frozen=True)
class Summary:
    """Counts over the groups of one experiment; `expected_outside` is what chance alone would put outside."""

    exact: int
    exact_groups: int
    outside: int
    one_run_groups: int
    expected_outside: float
    verdicts: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """One experiment held against its source."""

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
    """Hold the metrics of every finished seed against all published numbers and claims of one source.

    Args:
        published: the source's numbers.
        seeds: for each finished seed its metrics; `None` for one that was undefined.
        failed_seeds: seeds that left no metrics; they are counted as missing everywhere.
        stand_in: the runs saw stand-in data: our numbers are shown, and compared with nothing.
    """
    if stand_in:
        return _uncompared(published, seeds, failed_seeds)
    groups = tuple(judge_group(group, seeds, len(failed_seeds)) for group in published.groups)
    claims = tuple(judge_claim(claim, seeds, len(failed_seeds)) for claim in published.claims)
    conditional = tuple(
        judge_given(condition, published.groups, seeds, len(failed_seeds)) for condition in published.conditions
    )
    failed = tuple(sorted(failed_seeds))
    return Comparison(published.experiment, len(seeds), failed, groups, claims, summarise(groups), conditional)


def _uncompared(published: Published, seeds: SeedMetrics, failed_seeds: Sequence[int]) -> Comparison:
    """Our numbers beside the published ones, without any verdict."""
    groups = []
    for group in published.groups:
        members = [
            replace(_describe(group, metric, seeds, len(failed_seeds)), interval=None) for metric in group.numbers
        ]
        n, missing = min(member.n for member in members), max(member.missing for member in members)
        groups.append(
            GroupResult(
                group.name,
                group.title,
                group.obtained,
                group.where,
                STAND_IN,
                False,
                n,
                missing,
                tuple(members),
                group.address,
            )
        )
    return Comparison(
        published.experiment, len(seeds), tuple(sorted(failed_seeds)), tuple(groups), (), summarise(groups)
    )


def lies_outside(verdict: str) -> bool:
    """Whether a verdict puts a one-run number outside of what our runs lead one to expect."""
    return verdict in (DIFFERS_HIGHER, DIFFERS_LOWER, OUTSIDE)


def summarise(groups: Sequence[GroupResult]) -> Summary:
    """Count verdicts, and what chance alone would put outside among the one-run groups that have a verdict."""
    exact = [group for group in groups if group.obtained == "exact" and group.verdict not in (NOT_RUN, STAND_IN)]
    judged = [
        group
        for group in groups
        if group.obtained == "one run" and group.verdict not in (NO_VERDICT, NOT_RUN, STAND_IN)
    ]
    verdicts: dict[str, int] = {}
    for group in groups:
        verdicts[group.verdict] = verdicts.get(group.verdict, 0) + 1
    return Summary(
        exact=sum(group.verdict == EXACT for group in exact),
        exact_groups=len(exact),
        outside=sum(lies_outside(group.verdict) for group in judged),
        one_run_groups=len(judged),
        expected_outside=SIGNIFICANCE * len(judged),
        verdicts=verdicts,
    )


# One group.


def judge_group(group: Group, seeds: SeedMetrics, failed: int = 0) -> GroupResult:
    """Judge one printed row or curve over our seeds.

    Args:
        group: the published numbers, how they were obtained, and the tolerance fixed beforehand.
        seeds: metrics by seed, `None` for undefined ones.
        failed: number of seeds that left no metrics at all: shown beside a verdict, which stands on the others.
    """
    members = [_describe(group, metric, seeds, failed) for metric in group.numbers]
    deciding = [member for member in members if member.free] or members
    n = min(member.n for member in deciding)
    missing = max(member.missing for member in deciding)
    provisional = False
    if not any(member.metric in values for member in deciding for values in seeds.values()):
        verdict = NOT_RUN
    elif group.obtained == "exact":
        members = [_judge_exact(member, seeds) for member in members]
        verdict = EXACT if all(member.verdict == EXACT for member in members) else DIFFERS
    elif group.obtained != "one run":
        verdict = CONTEXT
    elif n < MINIMUM_SEEDS:
        verdict = NO_VERDICT
    else:
        members = _judge_draws(group, members, seeds)
        verdict = _worst(members)
        provisional = n < FIRM_SEEDS
    return GroupResult(
        group.name,
        group.title,
        group.obtained,
        group.where,
        verdict,
        provisional,
        n,
        missing,
        tuple(members),
        group.address,
    )


def values_of(metric: str, seeds: SeedMetrics) -> list[float]:
    """Our defined values of one metric, in the order of the seeds."""
    found = (seeds[seed].get(metric) for seed in sorted(seeds))
    return [float(value) for value in found if value is not None]


def _describe(group: Group, metric: str, seeds: SeedMetrics, failed: int) -> MemberResult:
    values = values_of(metric, seeds)
    n = len(values)
    described = MemberResult(
        metric,
        group.numbers[metric],
        free=group.obtained == "one run" and metric in group.free,
        n=n,
        missing=len(seeds) - n + failed,
        tolerance=group.tolerance_of(metric) if group.obtained == "one run" else None,
    )
    if n == 0:
        return described
    return replace(
        described,
        mean=float(np.mean(values)),
        standard_deviation=_spread(values) if n > 1 else None,
        minimum=min(values),
        maximum=max(values),
        interval=(
            Prediction(values, group.numbers[metric], group.scale, group.cases).interval()
            if group.obtained == "one run" and n >= MINIMUM_SEEDS
            else None
        ),
    )


def _judge_exact(member: MemberResult, seeds: SeedMetrics) -> MemberResult:
    texts = {format_as_printed(value, member.printed) for value in values_of(member.metric, seeds)}
    undefined = len(seeds) - member.n
    agrees = texts == {member.printed} and not undefined
    return replace(member, verdict=EXACT if agrees else DIFFERS)


def _judge_draws(group: Group, members: list[MemberResult], seeds: SeedMetrics) -> list[MemberResult]:
    """Judge every member that is defined in enough seeds, all of them together."""
    judged = {
        member.metric: Prediction(values_of(member.metric, seeds), member.printed, group.scale, group.cases)
        for member in members
        if member.n >= MINIMUM_SEEDS
    }
    adjusted = holm({metric: prediction.p_value() for metric, prediction in judged.items()})
    return [
        replace(
            member,
            p_value=adjusted[member.metric],
            verdict=_draw_verdict(judged[member.metric], adjusted[member.metric], member),
        )
        if member.metric in judged
        else member
        for member in members
    ]


def _draw_verdict(prediction: Prediction, adjusted_p: float, member: MemberResult) -> str:
    if adjusted_p < SIGNIFICANCE and prediction.outside_range():
        if member.n < FIRM_SEEDS:
            return OUTSIDE
        return DIFFERS_HIGHER if prediction.centre > prediction.published else DIFFERS_LOWER
    low, high = prediction.interval()
    assert member.tolerance is not None
    return REPRODUCED if (high - low) / 2 <= member.tolerance else WITHIN_SPREAD


def _worst(members: Sequence[MemberResult]) -> str:
    outside = [member for member in members if lies_outside(member.verdict)]
    if outside:
        return min(outside, key=lambda member: member.p_value or 0.0).verdict
    return WITHIN_SPREAD if any(m.free and m.verdict != REPRODUCED for m in members) else REPRODUCED


# One number.


def format_as_printed(value: float, printed: str) -> str:
    """Format our value as the source's library formatted its own, to compare texts and not rounded floats.

    `0.505` prints as `0.51` or `0.50` depending on its binary neighbour; only the same formatting decides alike.
    Numbers with more than 12 decimals were printed with `repr`.
    """
    decimals = decimals_of(printed)
    if decimals > 12:
        return repr(float(value))
    return f"{value:.{decimals}f}"


def decimals_of(printed: str) -> int:
    """Digits behind the decimal point of a printed number."""
    exponent = Decimal(printed).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


class Prediction:
    """The distribution of one further run, judged from our runs, against one published number.

    Args:
        values: our values, at least `MINIMUM_SEEDS` of them.
        printed: the published number as printed; its last digit is the unit below which nothing can be told.
        scale: "log" for losses and thresholds, "logit" for rates, "linear" for the rest.
        cases: how many cases a rate counts, or None. One case is the smallest step that the rate can take.
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
        self._spread = _spread(scaled) * math.sqrt(1 + 1 / len(values))
        self.centre = self._backward(self._mean)

    def interval(self, significance: float = SIGNIFICANCE) -> tuple[float, float]:
        """The prediction interval in the number's own units, never narrower than half a unit or half a case."""
        half = two_sided_quantile(significance, len(self._values) - 1) * self._spread
        low, high = self._backward(self._mean - half), self._backward(self._mean + half)
        low, high = min(low, self.centre - self.floor), max(high, self.centre + self.floor)
        return (max(0.0, low), min(1.0, high)) if self._is_rate else (low, high)

    def p_value(self) -> float:
        """The significance at which the published number would just lie outside the interval."""
        if abs(self.published - self.centre) <= self.floor * (1 + 1e-9):
            return 1.0
        if self._spread == 0:
            return 0.0
        distance = abs(self._forward(self.published) - self._mean) / self._spread
        return two_sided_p(distance, len(self._values) - 1)

    def outside_range(self) -> bool:
        """Whether the published number lies outside the range of our seeds by more than its own rounding."""
        slack = self.half_unit * (1 + 1e-9)
        return not min(self._values) - slack <= self.published <= max(self._values) + slack


def _scale(name: str, cases: int | None, half_unit: float) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """The transformation of a scale and its inverse, both finite at the ends of the range."""
    if name == "linear":
        return lambda value: value, lambda scaled: scaled
    if name == "log":
        return lambda value: math.log(max(value, half_unit)), math.exp
    if name != "logit":
        raise ValueError(f"A scale is linear, log or logit. Received: {name!r}")
    # Half a case is added to both sides, so that 0 of n and n of n stay finite.
    total = cases or round(0.5 / half_unit)

    def forward(rate: float) -> float:
        shrunk = (rate * total + 0.5) / (total + 1)
        return math.log(shrunk / (1 - shrunk))

    def backward(scaled: float) -> float:
        # Written with tanh, which does not overflow where exp would.
        shrunk = 0.5 * (1 + math.tanh(scaled / 2))
        return min(1.0, max(0.0, (shrunk * (total + 1) - 0.5) / total))

    return forward, backward


def _spread(values: Sequence[float]) -> float:
    """Standard deviation, exactly zero for identical values, where summation in floating point may miss it."""
    return float(np.std(values, ddof=1)) if len(set(values)) > 1 else 0.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment: comparing the results with alpha bounds the family-wise error by alpha."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


# Claims.


def judge_claim(claim: Claim, seeds: SeedMetrics, failed: int = 0) -> ClaimResult:
    """Count the seeds in which every inequality of a claim holds; a seed with an undefined side is missing."""
    outcomes = [claim.holds_in(seeds[seed]) for seed in sorted(seeds)]
    known = [outcome for outcome in outcomes if outcome is not None]
    return ClaimResult(
        claim.name,
        claim.text,
        holds=sum(known),
        n=len(known),
        missing=len(outcomes) - len(known) + failed,
        interval=wilson_interval(sum(known), len(known)) if known else None,
    )


def judge_given(condition: Claim, groups: Sequence[Group], seeds: SeedMetrics, failed: int = 0) -> ConditionalResult:
    """Judge the one-run groups over the seeds that meet a condition.

    A training with two modes mixes two distributions, and the prediction interval of the mixture is wide. Where the
    source shows which mode its run was in, the seeds of that mode are the further draws to compare it with.
    """
    meeting = {seed: seeds[seed] for seed in sorted(seeds) if condition.holds_in(seeds[seed])}
    return ConditionalResult(
        judge_claim(condition, seeds, failed),
        tuple(meeting),
        tuple(sorted(condition.metrics())),
        tuple(judge_group(group, meeting) for group in groups if group.obtained == "one run"),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval for a rate after Wilson (1927), which behaves near 0 and 1 where the textbook one does not."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"Expected 0 <= successes <= trials and trials > 0. Received: {successes} of {trials}")
    z = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
    rate = successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


# This machine against the reference.


@dataclass(frozen=True)
class Agreement:
    """One metric here and in a reference. `common` seeds were run in both, `identical` of them to the last digit."""

    metric: str
    reference_mean: float | None
    mean: float | None
    common: int
    identical: int
    verdict: str


def agree(reference: SeedMetrics, ours: SeedMetrics) -> list[Agreement]:
    """Whether two sets of runs of the same experiment give the same, for every metric that the reference holds.

    Runs of the same seed are `identical`, or `equal to rounding` (six digits), where another processor or thread count
    rounds otherwise. Training magnifies rounding, so what differs by seed is compared as two samples: Welch's t-test,
    right here since both sides are samples of runs, with Holm's correction over all metrics.
    """
    metrics = sorted({name for values in reference.values() for name in values})
    p_values = {name: _welch(values_of(name, reference), values_of(name, ours)) for name in metrics}
    adjusted = holm({name: p for name, p in p_values.items() if p is not None})
    return [_agreement(name, reference, ours, adjusted.get(name)) for name in metrics]


def _agreement(name: str, reference: SeedMetrics, ours: SeedMetrics, adjusted_p: float | None) -> Agreement:
    pairs = [(reference[seed].get(name), ours[seed].get(name)) for seed in sorted(set(reference) & set(ours))]
    identical = sum(a == b for a, b in pairs)
    theirs, here = values_of(name, reference), values_of(name, ours)
    # Where a number varies with the seed, seeds are compared with their like; where it does not, all with all.
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
        verdict = DIFFERS if adjusted_p < SIGNIFICANCE else "same distribution"
    return Agreement(name, _mean(theirs), _mean(here), len(pairs), identical, verdict)


def _close(a: Value, b: Value) -> bool:
    return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _welch(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Two-sided p-value of Welch's test for unequal means; None below three values on a side."""
    if min(len(a), len(b)) < MINIMUM_SEEDS:
        return None
    u, v = (float(np.var(side, ddof=1)) / len(side) for side in (a, b))
    difference = abs(float(np.mean(a)) - float(np.mean(b)))
    if u + v == 0:
        return 1.0 if difference == 0 else 0.0
    freedom = (u + v) ** 2 / (u * u / (len(a) - 1) + v * v / (len(b) - 1))
    return two_sided_p(difference / math.sqrt(u + v), freedom)
