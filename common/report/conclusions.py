"""What the numbers of both protocols come to, in words: pure functions of results.json.

Nothing here is typed by hand. A sentence names its numbers, and which sentence it is follows from rules that are the
same for every experiment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, mode
from typing import Any

from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, WORSE
from common.comparison.prediction import decimals_of
from common.comparison.verdicts import (
    EXACT,
    REPRODUCED,
    STAND_IN,
    WITHIN_SPREAD,
    lies_outside,
)
from common.detectors.registry import DETECTORS
from common.experiment import HELD_OUT, PUBLISHED
from common.report.markup import number

# How far the AUROC may fall from the published protocol to the held-out one before that counts as weaker.
GAP = 0.05

RANDOM = DETECTORS["random_score"].title

HOLDS_UP = "holds up"
WEAKER = "weaker"
OPEN = "cannot be told"
FAILS = "does not hold up"
NOT_SHOWN = "not shown better than chance"

Entry = Mapping[str, Any]
Interval = tuple[float, float]


@dataclass(frozen=True)
class HoldsUp:
    """The source's method in both protocols, over our runs.

    `interval` is that of the held-out AUROC and `gap_interval` that of how far it lies above the published protocol's.
    `above_chance` counts the held-out seeds, of `seeds`, with an AUROC above one half.
    """

    verdict: str
    method: str
    published: float
    held_out: float
    interval: Interval
    gap_interval: Interval
    above_chance: int
    seeds: int

    @property
    def by_seed(self) -> str:
        """In how many seeds the AUROC is above one half, where they do not agree."""
        split = 0 < self.above_chance < self.seeds
        return f"above 0.5 in {self.above_chance} of {self.seeds} seeds" if split else ""

    @property
    def sentence(self) -> str:
        """What the verdict rests on."""
        low, high = self.interval
        by_seed = f"; {self.by_seed}" if self.by_seed else ""
        numbers = (
            f"The AUROC of the {self.method} is {self.published:.3f} in the published protocol and {self.held_out:.3f} "
            f"held out (95 % interval {low:.3f} to {high:.3f}{by_seed})"
        )
        fell, rose = self.gap_interval
        return f"{numbers}, a change of {fell:+.3f} to {rose:+.3f}: {_MEANING[self.verdict]}."


_MEANING = {
    HOLDS_UP: f"it holds up, being better than chance and not more than {GAP} below",
    WEAKER: f"it is better than chance, and weaker by more than {GAP}",
    OPEN: f"whether it is more than {GAP} weaker cannot be told",
    FAILS: f"it does not hold up, being weaker by more than {GAP} and not shown to be better than chance, which is 0.5",
    NOT_SHOWN: "in neither protocol is it shown to be better than chance, which is 0.5",
}


def holds_up(entry: Entry) -> HoldsUp | None:
    """Whether the method of a source is as good where nothing is fitted or chosen on what is scored.

    Args:
        entry: of one experiment in results.json.

    Returns:
        `None` where one of the protocols has no finished run, or the two saw different data.
    """
    published, held_out = (_reference_row(entry, protocol) for protocol in (PUBLISHED, HELD_OUT))
    if published is None or held_out is None or entry["data"] != entry["protocols"][HELD_OUT]["data"]:
        return None
    low, high = held_out["auroc_interval"]
    fell, rose = gap_interval(published, held_out)
    if low <= 0.5 and published["auroc_interval"][0] <= 0.5:
        verdict = NOT_SHOWN
    elif rose < -GAP:
        verdict = WEAKER if low > 0.5 else FAILS
    else:
        verdict = HOLDS_UP if fell >= -GAP and low > 0.5 else OPEN
    return HoldsUp(
        verdict,
        held_out["method"],
        published["auroc"],
        held_out["auroc"],
        (low, high),
        (fell, rose),
        held_out["seeds_above_chance"],
        held_out["seeds"],
    )


def gap_interval(published: Mapping[str, Any], held_out: Mapping[str, Any]) -> Interval:
    """The 95 % interval of a method's AUROC held out, less that in the published protocol.

    It follows from the intervals of both (Zou and Donner, Construction of confidence limits about effect measures,
    Statistics in Medicine 27, 2008), taken as independent. Where both protocols score the same samples, luck with
    them is shared, and the interval is wider than it would have to be.

    Args:
        published: the method's row in the table of that protocol.
        held_out: likewise.
    """
    gap = held_out["auroc"] - published["auroc"]
    (low, high), (other_low, other_high) = held_out["auroc_interval"], published["auroc_interval"]
    fell = math.hypot(held_out["auroc"] - low, other_high - published["auroc"])
    rose = math.hypot(high - held_out["auroc"], published["auroc"] - other_low)
    return gap - fell, gap + rose


def _reference_row(entry: Entry, protocol: str) -> Mapping[str, Any] | None:
    table = entry["standings"].get(protocol)
    rows = table["rows"] if table else []
    return next((row for row in rows if row["method"] == table["reference"]), None)


def detectors(entry: Entry, protocol: str) -> list[Mapping[str, Any]]:
    """The rows of the classical detectors in one protocol, best first; a random score is none."""
    table = entry["standings"].get(protocol)
    return [row for row in table["rows"] if not row["ours"] and row["method"] != RANDOM] if table else []


def beaten_by(entry: Entry, protocol: str = HELD_OUT) -> list[Mapping[str, Any]]:
    """The detectors that are better than the source's method by more than chance explains, best first."""
    return [row for row in detectors(entry, protocol) if row["standing"] == BETTER]


def detector_sentence(entry: Entry, protocol: str = HELD_OUT) -> str:
    """How the source's method stands among the detectors."""
    rows = detectors(entry, protocol)
    reference = _reference_row(entry, protocol)
    if not rows or reference is None:
        return ""
    method = f"the {reference['method']} (AUROC {reference['auroc']:.3f})"
    better = beaten_by(entry, protocol)
    if better:
        first = f"Of {len(rows)} detectors {_are(len(better))} better than {method}, led by {_named(better[0])}"
    else:
        first = f"None of {len(rows)} detectors is shown to be better than {method}; the highest is {_named(rows[0])}"
    counts = {text: sum(row["standing"] == standing for row in rows) for standing, text in _STANDINGS.items()}
    rest = ", ".join(f"{_are(count)} {text}" for text, count in counts.items() if count)
    return f"{first}." + (f" {rest[0].upper()}{rest[1:]}." if rest else "")


_STANDINGS = {WORSE: "worse", NOT_TOLD_APART: "not told apart from it"}


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['method']} with {row['auroc']:.3f}{at_chance(row)}"


def at_chance(row: Mapping[str, Any]) -> str:
    """A word on a method that is not shown to be better than chance itself."""
    return ", itself not shown to be better than chance" if row["auroc_interval"][0] <= 0.5 else ""


def reproduced(entry: Entry) -> str:
    """How many printed rows and curves came out as printed, or as runs of ours do."""
    if entry["stand_in"]:
        return "not compared (stand-in data)"
    if not entry["seeds"]:
        return "not run"
    summary, groups = entry["comparison"]["summary"], entry["comparison"]["groups"]
    verdicts = [group["verdict"] for group in groups if group["obtained"] == "one run"]
    told = {
        "reproduced": sum(verdict == REPRODUCED for verdict in verdicts),
        "within spread": sum(verdict == WITHIN_SPREAD for verdict in verdicts),
        "outside": sum(lies_outside(verdict) for verdict in verdicts),
    }
    exact = f"{summary['exact']} of {summary['exact_groups']} {EXACT}" if summary["exact_groups"] else ""
    draws = ", ".join(f"{count} {verdict}" for verdict, count in told.items() if count)
    drawn = f"of {len(verdicts)} drawn: {draws}" if draws else "" if verdicts else "no drawn number is published"
    return "; ".join(part for part in (exact, drawn) if part)


# Thresholds.


def rules(entry: Entry) -> list[str]:
    """What the names of the held-out metrics of each threshold rule begin with."""
    runs = entry["protocols"].get(HELD_OUT, {"seeds": {}})
    names = dict.fromkeys(name for metrics in runs["seeds"].values() for name in metrics)
    return [name.removesuffix(".threshold") for name in names if name.endswith(".threshold")]


def values(runs: Mapping[str, Any], metric: str) -> list[float]:
    """The defined values of a metric over the seeds of one protocol."""
    found = (metrics.get(metric) for metrics in runs["seeds"].values())
    return [float(value) for value in found if value is not None]


def false_positive_rates(runs: Mapping[str, Any], rule: str) -> list[float]:
    """The part of the normal test samples that a rule flags, for every seed in which it decides."""
    rates = []
    for metrics in runs["seeds"].values():
        flagged, passed = metrics.get(f"{rule}.test.fp"), metrics.get(f"{rule}.test.tn")
        if flagged is not None and passed is not None and flagged + passed:
            rates.append(flagged / (flagged + passed))
    return rates


def threshold_sentences(entry: Entry) -> list[str]:
    """What each rule that asks for a false-positive rate achieves on the scored samples."""
    sentences = []
    runs = entry["protocols"].get(HELD_OUT, {"seeds": {}})
    for rule in rules(entry):
        intended, achieved = values(runs, f"{rule}.intended_rate"), false_positive_rates(runs, rule)
        recalls = values(runs, f"{rule}.test.anomaly.recall")
        if intended and achieved:
            found = f" and {fmean(recalls):.1%} of the anomalies" if recalls else ""
            sentences.append(
                f"`{rule}`, meant to flag {intended[0]:.0%} of what is normal, flags {_mean_and_range(achieved)} of "
                f"the normal test samples{found}."
            )
        degenerate = values(runs, f"{rule}.degenerate")
        if any(degenerate):
            sentences.append(
                f"`{rule}` is degenerate in {sum(map(bool, degenerate))} of {len(degenerate)} seeds: precision and "
                "recall, on the samples that it was chosen on, meet at zero only."
            )
    return sentences


def _mean_and_range(rates: Sequence[float]) -> str:
    spread = f" ({min(rates):.1%} to {max(rates):.1%} over {len(rates)} seeds)" if len(set(rates)) > 1 else ""
    return f"{fmean(rates):.1%}{spread}"


# What else a held-out run tells.


def picked_seed(entry: Entry) -> tuple[str, str] | None:
    """The seed with the lowest loss on normal samples that were held back, and the name of that loss.

    None where each seed draws its own data: the lowest loss would tell of the data.
    """
    if entry["own_data"]:
        return None
    runs = entry["protocols"].get(HELD_OUT, {"seeds": {}})
    for loss in ("held_back.loss", "validation_loss.last"):
        known = {seed: metrics[loss] for seed, metrics in runs["seeds"].items() if metrics.get(loss) is not None}
        if len(known) > 1:
            return min(known, key=lambda seed: known[seed]), loss
    return None


def drift_sentences(entry: Entry) -> list[str]:
    """How far the error of normal samples has moved where time runs forward, what moved it, and when training ended."""
    runs = entry["protocols"].get(HELD_OUT, {"seeds": {}})
    medians = _medians(runs, "score")
    if medians is None:
        return []
    told = "{:.3g} in training, {:.3g} in validation, {:.3g} in the test period".format(*medians)
    train, validation, test = medians
    if max(validation, test) < 2 * train:
        return [f"The median error of normal samples stays within twice that of training: {told}."]
    sentences = [
        f"The median error of normal samples does not stay what it was: {told}, {test / train:.1f} times that of "
        "training. An error that has grown for other reasons than what is looked for says little about it."
    ]
    return [*sentences, *_drifting(runs), *_epochs(entry, runs)]


def _medians(runs: Mapping[str, Any], score: str) -> list[float] | None:
    parts = [values(runs, f"{score}.{part}_normal_median") for part in ("train", "validation", "test")]
    return [fmean(found) for found in parts] if all(parts) else None


def _drifting(runs: Mapping[str, Any]) -> list[str]:
    """Which sensor makes most of the error in each part, and what is left without them."""
    told = []
    for part, where in (("validation", "in validation"), ("test", "in the test period")):
        sensors, shares = values(runs, f"drift.{part}_sensor"), values(runs, f"drift.{part}_share")
        if not sensors or len(sensors) != len(shares):
            return []
        largest = mode(sensors)
        of_it = [share for sensor, share in zip(sensors, shares, strict=True) if sensor == largest]
        told.append(f"x{largest:.0f} makes {fmean(of_it):.0%} {where} (in {len(of_it)} of {len(sensors)} seeds)")
    medians, aurocs = _medians(runs, "without_sensors"), values(runs, "without_sensors.auroc")
    if medians is None or not aurocs:
        return []
    return [
        f"Single sensors move it: of the mean error of normal samples {' and '.join(told)}.",
        "A score without these, which nobody could have left out beforehand, would have medians of {:.3g}, {:.3g} and "
        "{:.3g}, and an AUROC of {:.3f} ({:.3f} to {:.3f} over the seeds).".format(
            *medians, fmean(aurocs), min(aurocs), max(aurocs)
        ),
    ]


def _epochs(entry: Entry, runs: Mapping[str, Any]) -> list[str]:
    """How long each protocol trained, where the validation loss may end it before all epochs are over."""
    both = [values(each, "training.epochs") for each in (entry, runs)]
    if not all(both):
        return []
    most = entry["config"]["epochs"]
    published, held_out = (
        f"{fmean(epochs):.0f} epochs ({min(epochs):.0f} to {max(epochs):.0f}; all {most} in "
        f"{sum(done >= most for done in epochs)} of {len(epochs)} seeds)"
        for epochs in both
    )
    return [f"Training took {held_out}; in the published protocol {published}."]


def outside_alone(member: Mapping[str, Any]) -> bool:
    """Whether a number, as exactly as it is printed, lies outside both ranges beside it, but not after correction."""
    if member["verdict"] not in (REPRODUCED, WITHIN_SPREAD) or member["interval"] is None:
        return False
    published, half_unit = float(member["printed"]), 0.5 * 10.0 ** -decimals_of(member["printed"])
    ends = ((member["minimum"], member["maximum"]), member["interval"])
    return all(not low - half_unit <= published <= high + half_unit for low, high in ends)


def spread_of(member: Mapping[str, Any], ends: Sequence[float | None] | None) -> str:
    """Two ends of a range, written like the printed number."""
    if ends is None or ends[0] is None:
        return "-"
    return " to ".join(number(end, member["printed"]) for end in ends)


def headline(group: Mapping[str, Any]) -> list[str]:
    """The number that a group's verdict hangs on, what was published for it, and ours."""
    if group["verdict"] == STAND_IN:
        return ["", "", "not compared"]
    if group["obtained"] == "context" and len(group["members"]) > 1:
        return [f"{len(group['members'])} numbers", "", ""]
    if group["obtained"] == "exact":
        count = len(group["members"])
        agreeing = sum(member["verdict"] == EXACT for member in group["members"])
        return [f"all {count}", "", f"{agreeing} of {count} agree" if group["n"] else "-"]
    member = group["members"][0] if group["obtained"] == "context" else deciding(group)
    ours = f"{number(member['mean'], member['printed'])} ({spread_of(member, (member['minimum'], member['maximum']))})"
    return [f"`{member['metric']}`", shortened(member["printed"]), ours if member["n"] else "-"]


def deciding(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The member that a verdict hangs on: the least likely one outside, or the free one with the widest interval."""
    free: list[Mapping[str, Any]] = [member for member in group["members"] if member["free"]]
    if lies_outside(group["verdict"]):
        outside = [member for member in group["members"] if lies_outside(member["verdict"])]
        return min(outside, key=lambda member: (not member["free"], member["p_value"]))
    if group["verdict"] == WITHIN_SPREAD:
        return max(free, key=lambda member: half_width(member) / member["tolerance"])
    return free[-1]


def half_width(member: Mapping[str, Any]) -> float:
    """Half the width of the prediction interval of a number."""
    low, high = member["interval"] or (0.0, 0.0)
    return float(high - low) / 2


def shortened(printed: str) -> str:
    """A printed number, without the digits that nobody reads."""
    return printed if len(printed) < 10 else number(float(printed), printed)
