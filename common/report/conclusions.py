"""Conclusions from the results, in words: pure functions that follow the same rules for every experiment."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, mode
from typing import NamedTuple

from common.comparison import verdicts
from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, WORSE, Interval
from common.comparison.prediction import MINIMUM_SEEDS, decimals_of
from common.comparison.standings import Standing
from common.comparison.statistics import mean_interval
from common.detectors.registry import DETECTORS
from common.experiment import HELD_OUT, LABELS, PUBLISHED
from common.metrics.scores import FLAGGED, TEST_SAMPLES
from common.report.markup import number
from common.report.results import Ablation, ExperimentResults, Runs

# Largest drop of the AUROC from the published to the held-out protocol with which a method still holds up.
GAP = 0.05

RANDOM = DETECTORS["random_score"].title

HOLDS_UP = "holds up"
WEAKER = "weaker"
OPEN = "cannot be told"
FAILS = "does not hold up"
NOT_SHOWN = "not shown better than chance"


@dataclass(frozen=True)
class HoldsUp:
    """The source's method in both protocols, and the conclusion from its AUROC.

    Attributes:
        verdict: one of `HOLDS_UP`, `WEAKER`, `OPEN`, `FAILS` and `NOT_SHOWN`.
        published: standing of the method in the published protocol.
        held_out: likewise, in the held-out protocol.
        gap_interval: 95 % interval of the held-out AUROC less the published one.
    """

    verdict: str
    published: Standing
    held_out: Standing
    gap_interval: Interval

    @property
    def by_seed(self) -> str:
        """The number of held-out seeds with an AUROC above 0.5, in words; empty if that holds in all or none."""
        above, seeds = self.held_out.seeds_above_chance, self.held_out.seeds
        return f"above 0.5 in {above} of {seeds} seeds" if 0 < above < seeds else ""

    @property
    def sentence(self) -> str:
        """The verdict with its numbers, as a sentence."""
        held_out, (low, high), (fell, rose) = self.held_out, self.held_out.auroc_interval, self.gap_interval
        by_seed = f"; {self.by_seed}" if self.by_seed else ""
        return (
            f"The AUROC of the {held_out.method} is {self.published.auroc:.3f} in the published protocol and "
            f"{held_out.auroc:.3f} held out (95 % interval {low:.3f} to {high:.3f}{by_seed}), a change of {fell:+.3f} "
            f"to {rose:+.3f}: {_MEANING[self.verdict]}."
        )


_MEANING = {
    HOLDS_UP: f"it holds up, being better than chance and not more than {GAP} below",
    WEAKER: f"it is better than chance, and weaker by more than {GAP}",
    OPEN: f"whether it is more than {GAP} weaker cannot be told",
    FAILS: f"it does not hold up, being weaker by more than {GAP} and not shown to be better than chance, which is 0.5",
    NOT_SHOWN: "in neither protocol is it shown to be better than chance, which is 0.5",
}


def holds_up(entry: ExperimentResults) -> HoldsUp | None:
    """Judge if the source's method is as good when nothing is fitted or chosen on the test samples.

    Returns:
        The judgement; `None` if a protocol has no ranking, or the two protocols used different data.
    """
    published, held_out = (_reference_row(entry, protocol) for protocol in (PUBLISHED, HELD_OUT))
    if published is None or held_out is None or entry.held_out is None or entry.data != entry.held_out.data:
        return None
    fell, rose = gap_interval(published, held_out)
    above_chance = held_out.auroc_interval[0] > 0.5
    if not above_chance and published.auroc_interval[0] <= 0.5:
        verdict = NOT_SHOWN
    elif rose < -GAP:
        verdict = WEAKER if above_chance else FAILS
    else:
        verdict = HOLDS_UP if fell >= -GAP and above_chance else OPEN
    return HoldsUp(verdict, published, held_out, (fell, rose))


def gap_interval(published: Standing, held_out: Standing) -> Interval:
    """Compute the 95 % interval of a method's held-out AUROC less its AUROC in the published protocol.

    It follows from the intervals of both (Zou and Donner, Construction of confidence limits about effect measures,
    Statistics in Medicine 27, 2008), which are taken as independent. If both protocols score the same samples, they are
    not, and the interval is wider than necessary.
    """
    gap = held_out.auroc - published.auroc
    (low, high), (other_low, other_high) = held_out.auroc_interval, published.auroc_interval
    fell = math.hypot(held_out.auroc - low, other_high - published.auroc)
    rose = math.hypot(high - held_out.auroc, published.auroc - other_low)
    return gap - fell, gap + rose


def _reference_row(entry: ExperimentResults, protocol: str) -> Standing | None:
    board = entry.standings.get(protocol)
    return board.reference_row if board else None


def detectors(entry: ExperimentResults, protocol: str = HELD_OUT) -> list[Standing]:
    """List the standings of the classical detectors without the random score, best first."""
    board = entry.standings.get(protocol)
    return [row for row in board.rows if not row.ours and row.method != RANDOM] if board else []


def learns_from_labels(row: Standing) -> bool:
    """Check if a method learns from labelled anomalies, which the names of the source's methods say."""
    return row.method.endswith(LABELS)


def detector_sentence(entry: ExperimentResults) -> str:
    """Compare the source's method with the detectors, as a sentence; empty if none was run."""
    rows = detectors(entry)
    reference = _reference_row(entry, HELD_OUT)
    if not rows or reference is None:
        return ""
    method = f"the {reference.method} (AUROC {reference.auroc:.3f})"
    if any(row.standing == verdicts.NEXT_REFERENCE for row in rows):
        return f"Which of {len(rows)} detectors are better or worse than {method} comes {verdicts.NEXT_REFERENCE}."
    better = [row for row in rows if row.standing == BETTER]
    count = f"{len(rows)} detector{'s' if len(rows) > 1 else ''}"
    if better:
        first = f"Of {count} {_are(len(better))} better than {method}; the highest is {_named(better[0])}"
    else:
        first = f"Of {count} none is shown to be better than {method}; the highest is {_named(rows[0])}"
    counts = {text: sum(row.standing == standing for row in rows) for standing, text in _STANDINGS.items()}
    rest = ", ".join(f"{_are(count)} {text}" for text, count in counts.items() if count)
    labels = f" The {reference.method} learns from labels; no detector does." if learns_from_labels(reference) else ""
    above = above_chance(rows)
    if at_chance(reference):
        labels += f" The {reference.method} is itself not shown to be better than chance; of the detectors "
        labels += f"{_are(len(above))}."
    return f"{first}." + (f" {rest[0].upper()}{rest[1:]}." if rest else "") + labels


def above_chance(rows: Sequence[Standing]) -> list[Standing]:
    """List the methods whose AUROC is above 0.5, which is chance, by the whole interval."""
    return [row for row in rows if row.auroc_interval[0] > 0.5]


_STANDINGS = {WORSE: "worse", NOT_TOLD_APART: "not told apart from it"}


def _are(count: int) -> str:
    return f"{count or 'none'} {'are' if count > 1 else 'is'}"


def _named(row: Standing) -> str:
    return f"{row.method} with {row.auroc:.3f}{at_chance(row)}"


def at_chance(row: Standing) -> str:
    """Give a remark on a method that is not significantly better than chance; empty for the others."""
    return ", itself not shown to be better than chance" if row.auroc_interval[0] <= 0.5 else ""


def reproduced(entry: ExperimentResults) -> str:
    """Count the verdicts on the printed rows and curves, in words."""
    if entry.stand_in:
        return "not compared (stand-in data)"
    if not entry.seeds:
        return "not run"
    summary = entry.comparison.summary
    found = [group.verdict for group in entry.comparison.groups if group.obtained == "one run"]
    counts = Counter("outside" if verdicts.lies_outside(verdict) else verdict for verdict in found)
    shown = verdicts.REPRODUCED, verdicts.WITHIN_SPREAD, "outside", verdicts.NEXT_REFERENCE
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in shown if counts[kind])
    exact = f"{summary.exact} of {summary.exact_groups} {verdicts.EXACT}" if summary.exact_groups else ""
    one_run = f"from single runs, of {len(found)}: {kinds}" if kinds else "" if found else "no row from a single run"
    return "; ".join(part for part in (exact, one_run) if part)


# Thresholds.


def rules(runs: Runs) -> list[str]:
    """List the threshold rules, which are the prefixes of the metrics that end in `.threshold`."""
    names = dict.fromkeys(name for metrics in runs.seeds.values() for name in metrics)
    return [name.removesuffix(".threshold") for name in names if name.endswith(".threshold")]


def false_positive_rates(runs: Runs, rule: str) -> list[float]:
    """Compute the fraction of the normal test samples that a rule flags, for every seed in which it has a threshold."""
    rates = []
    for metrics in runs.seeds.values():
        flagged, passed = metrics.get(f"{rule}.test.fp"), metrics.get(f"{rule}.test.tn")
        if flagged is not None and passed is not None and flagged + passed:
            rates.append(flagged / (flagged + passed))
    return rates


def threshold_sentences(runs: Runs) -> list[str]:
    """Compare the intended false-positive rate of each rule with that on the test samples, one sentence each."""
    sentences = []
    for rule in rules(runs):
        intended, achieved = runs.values(f"{rule}.intended_rate"), false_positive_rates(runs, rule)
        recalls = runs.values(f"{rule}.test.anomaly.recall")
        if intended and achieved:
            found = f" and {_mean_and_range(recalls)} of the anomalies" if recalls else ""
            sentences.append(
                f"`{rule}`, meant to flag {intended[0]:.0%} of normal samples, flags {_mean_and_range(achieved)} of "
                f"the normal test samples{found}."
            )
        degenerate = runs.values(f"{rule}.degenerate")
        if any(degenerate):
            sentences.append(
                f"`{rule}` is degenerate in {sum(map(bool, degenerate))} of {len(degenerate)} seeds: on the samples "
                "that it was fitted on, precision equals recall only where both are zero."
            )
    return sentences


def _mean_and_range(rates: Sequence[float]) -> str:
    ends = f" ({_percent(min(rates))} to {_percent(max(rates))} over {len(rates)} seeds)" if len(set(rates)) > 1 else ""
    return f"{_percent(fmean(rates))}{ends}"


def _percent(rate: float) -> str:
    """Format a rate in per cent, with as many decimals as tell it from 0 and from 1."""
    digits = 1
    while 0 < rate < 1 and float(f"{rate:.{digits + 2}f}") in (0.0, 1.0):
        digits += 1
    return f"{rate:.{digits}%}"


def flagged_sentences(runs: Runs) -> list[str]:
    """Say how many of the test samples without labels each rule flags, one sentence each."""
    sentences = []
    for name in sorted({name for metrics in runs.seeds.values() for name in metrics if name.endswith(FLAGGED)}):
        found, rule = [f"{count:.0f}" for count in runs.values(name)], name.removesuffix(FLAGGED)
        samples = max(runs.values(TEST_SAMPLES))
        sentences.append(f"`{rule}` flags {', '.join(found)} of {samples:.0f} test samples (one number a seed).")
    return sentences


def is_labelled(runs: Runs) -> bool:
    """Check if it is known which test samples of a user's own data are anomalies."""
    return not any(name.endswith(FLAGGED) for metrics in runs.seeds.values() for name in metrics)


# Training and drift.


def picked_seed(entry: ExperimentResults) -> tuple[int, str] | None:
    """Find the seed with the lowest loss on held-back normal samples, and the name of that loss.

    `None` if each seed has its own data: then their losses cannot be compared.
    """
    if entry.own_data or entry.held_out is None:
        return None
    for loss in ("held_back.loss", "validation_loss.last"):
        known = entry.held_out.by_seed(loss)
        if len(known) > 1:
            return min(known, key=lambda seed: known[seed]), loss
    return None


def drift_sentences(entry: ExperimentResults, runs: Runs) -> list[str]:
    """Compare the error of normal samples between the parts along time, with its causes and the length of training."""
    medians = _medians(runs, "score")
    if medians is None:
        return []
    numbers = "{:.3g} in training, {:.3g} in validation, {:.3g} in the test period".format(*medians)
    train, validation, test = medians
    if max(validation, test) < 2 * train:
        return [f"The median error of normal samples stays within twice that of training: {numbers}."]
    return [
        f"The median error of normal samples changes over time: {numbers}, {test / train:.1f} times that of training. "
        "So a large error may have other causes than an anomaly.",
        *_drifting(runs),
        *_epochs(entry, runs),
    ]


def _medians(runs: Runs, score: str) -> list[float] | None:
    parts = [runs.values(f"{score}.{part}_normal_median") for part in ("train", "validation", "test")]
    return [fmean(found) for found in parts] if all(parts) else None


def _drifting(runs: Runs) -> list[str]:
    """Name the sensor with the largest share of the error in each part, and give the AUROC without these sensors."""
    shares_of_parts = []
    for part, where in (("validation", "in validation"), ("test", "in the test period")):
        sensors, shares = runs.values(f"drift.{part}_sensor"), runs.values(f"drift.{part}_share")
        if not sensors or len(sensors) != len(shares):
            return []
        largest = mode(sensors)
        of_it = [share for sensor, share in zip(sensors, shares, strict=True) if sensor == largest]
        shares_of_parts.append(
            f"{fmean(of_it):.0%} from x{largest:.0f} {where} (in {len(of_it)} of {len(sensors)} seeds)"
        )
    medians, aurocs = _medians(runs, "without_sensors"), runs.values("without_sensors.auroc")
    if medians is None or not aurocs:
        return []
    return [
        f"The largest part of the mean error of normal samples is {' and '.join(shares_of_parts)}.",
        "A score without these sensors, which could not have been known beforehand, would have medians of {:.3g}, "
        "{:.3g} and {:.3g}, and an AUROC of {:.3f} ({:.3f} to {:.3f} over the seeds).".format(
            *medians, fmean(aurocs), min(aurocs), max(aurocs)
        ),
    ]


def _epochs(entry: ExperimentResults, runs: Runs) -> list[str]:
    """Compare the number of epochs in both protocols, which differs if the validation loss ends training early."""
    both = [each.values("training.epochs") for each in (entry, runs)]
    if not all(both):
        return []
    most = entry.config["epochs"]
    published, held_out = (
        f"{fmean(epochs):.0f} epochs ({min(epochs):.0f} to {max(epochs):.0f}; all {most} in "
        f"{sum(done >= most for done in epochs)} of {len(epochs)} seeds)"
        for epochs in both
    )
    return [f"Training took {held_out}; in the published protocol {published}."]


def on_the_same_data(name: str, entries: Mapping[str, ExperimentResults]) -> str:
    """Say if the sources on one recorded table agree on how well they hold up, and on what moves their errors.

    Args:
        name: name of one of them.
        entries: the results of all experiments.

    Returns:
        A paragraph; empty if no other source was run, held out, on the data of this one.
    """
    boards = {one: entry.standings.get(HELD_OUT) for one, entry in entries.items() if entry.data == entries[name].data}
    rows = {one: board.reference_row for one, board in boards.items() if board is not None}
    drifts = {one: _drift(entries[one].held_out) for one, row in rows.items() if row is not None}
    known = {one: drift for one, drift in drifts.items() if drift is not None}
    if name not in known or len(known) < 2:
        return ""
    aurocs = [(one, row) for one, row in rows.items() if row is not None and one in known]
    above = len(above_chance([row for _, row in aurocs]))
    told = ", ".join(
        "`{}` {:.3f} ({:.3f} to {:.3f})".format(one, row.auroc, *row.auroc_interval) for one, row in aurocs
    )
    ratios = ", ".join(f"{drift.ratio:.1f}" for drift in known.values())
    sensors = {drift.sensor for drift in known.values()}
    shares = ", ".join(f"{drift.share:.0%} from x{drift.sensor}" for drift in known.values())
    agree = "They agree" if len(sensors) == 1 else "They do not agree"
    return (
        f"{len(known)} sources use this table. Held out, their AUROCs are {told}; {above or 'none'} of them "
        f"{'is' if above < 2 else 'are'} shown to be better than chance. In this order, the median error of normal "
        f"samples in the test period is {ratios} times that of training, and the largest part of their mean error is "
        f"{shares}. {agree} on the sensor that moves the errors most."
    )


class _Drift(NamedTuple):
    """How the errors of normal samples moved: their median over that of training, and the sensor behind most of it."""

    ratio: float
    sensor: int
    share: float


def _drift(runs: Runs | None) -> _Drift | None:
    medians = _medians(runs, "score") if runs else None
    if runs is None or medians is None or not (sensors := runs.values("drift.test_sensor")):
        return None
    sensor = mode(sensors)
    shares = zip(sensors, runs.values("drift.test_share"), strict=True)
    return _Drift(medians[2] / medians[0], int(sensor), fmean(share for one, share in shares if one == sensor))


# One printed row.


def outside_alone(member: verdicts.MemberResult) -> bool:
    """Check if a number lies outside both the range and the interval, but not after Holm's correction."""
    if member.verdict not in (verdicts.REPRODUCED, verdicts.WITHIN_SPREAD) or member.interval is None:
        return False
    assert member.minimum is not None and member.maximum is not None
    published, half_unit = float(member.printed), 0.5 * 10.0 ** -decimals_of(member.printed)
    ends = ((member.minimum, member.maximum), member.interval)
    return all(not low - half_unit <= published <= high + half_unit for low, high in ends)


def spread_of(member: verdicts.MemberResult, ends: tuple[float | None, float | None] | None) -> str:
    """Format the two ends of a range with the decimals of the printed number."""
    if ends is None or ends[0] is None:
        return "-"
    return " to ".join(number(end, member.printed) for end in ends)


def range_of(member: verdicts.MemberResult) -> str:
    """Format the range of our values with the decimals of the printed number."""
    return spread_of(member, (member.minimum, member.maximum))


def headline(group: verdicts.GroupResult) -> list[str]:
    """Give the number that a row's verdict depends on: its name, the published value, and ours."""
    if group.verdict == verdicts.STAND_IN:
        return ["", "", "not compared"]
    if group.obtained == "context" and len(group.members) > 1:
        return [f"{len(group.members)} numbers", "", ""]
    if group.obtained in ("exact", "derived"):
        count = len(group.members)
        agreeing = sum(member.verdict in (verdicts.EXACT, verdicts.AGREES) for member in group.members)
        return [f"all {count}", "", f"{agreeing} of {count} agree" if group.n else "-"]
    member = group.members[0] if group.obtained == "context" else deciding(group)
    ours = f"{number(member.mean, member.printed)} ({range_of(member)})"
    return [f"`{member.metric}`", shortened(member.printed), ours if member.n else "-"]


def deciding(group: verdicts.GroupResult) -> verdicts.MemberResult:
    """Find the free number that a verdict depends on: the least likely one outside, or the one least precisely known.

    The interval of the latter reaches farthest from the published number in relation to its tolerance.
    """
    free = [member for member in group.members if member.free]
    if verdicts.lies_outside(group.verdict):
        outside = [member for member in free if verdicts.lies_outside(member.verdict)]
        return min(outside, key=lambda member: member.p_value or 0.0)
    if group.verdict == verdicts.WITHIN_SPREAD:
        return max(free, key=lambda member: member.reach / (member.tolerance or math.inf))
    return free[-1]


class Effect(NamedTuple):
    """The mean effect of a change of settings on a metric, with its 95 % interval."""

    mean: float
    low: float
    high: float


def effect_of(entry: ExperimentResults, ablation: Ablation, metric: str) -> Effect | None:
    """Compute the effect of an ablation on a metric, paired over the seeds.

    Returns:
        The effect; `None` if fewer than three seeds have the metric both as published and in the ablation.
    """
    published, changed = entry.by_seed(metric), ablation.by_seed(metric)
    differences = [changed[seed] - published[seed] for seed in sorted(changed.keys() & published.keys())]
    if len(differences) < MINIMUM_SEEDS:
        return None
    return Effect(fmean(differences), *mean_interval(differences))


def shortened(printed: str) -> str:
    """Shorten a printed number of ten characters or more to four decimals."""
    return printed if len(printed) < 10 else number(float(printed), printed)
