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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.comparison.prediction import MINIMUM_SEEDS, Prediction, SeedMetrics, format_as_printed, spread, values_of
from common.comparison.published import Claim, Group, Published
from common.comparison.statistics import SIGNIFICANCE, holm, wilson_interval

FIRM_SEEDS = 8


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
        standard_deviation=spread(values) if n > 1 else None,
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


# This machine against the reference.
