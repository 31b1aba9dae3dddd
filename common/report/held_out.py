"""The part of the report that the sources do not have: held out, and beside the classical detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from common.comparison.leaderboard import REFERENCE
from common.experiment import HELD_OUT, PUBLISHED
from common.report import conclusions
from common.report.markup import outside, pictures, plain, ranges, table

HOW_TO_READ = f"""\
- **{conclusions.HOLDS_UP}**: held out, the AUROC of the source's method is above 0.5, which is chance, and at most
  {conclusions.GAP} below that in the published protocol; both by all of a 95 % interval, of itself and of the change.
- **{conclusions.WEAKER}**: above chance, and by all of the interval of the change more than {conclusions.GAP} below.
  **{conclusions.FAILS}**: as far below, and not shown to be above chance. **{conclusions.OPEN}**: the intervals are too
  wide for any of these. **{conclusions.NOT_SHOWN}**: in neither protocol does the interval lie above 0.5.
- Intervals are of one kind for all methods: a paired bootstrap over the test samples, and over the seeds where there
  are several. On the paper machine what is drawn is breaks with all that leads up to them, not single windows; these
  are few, and neighbours resemble each other, so its intervals are somewhat too narrow.
- A detector is **better** or **worse** when its difference to the source's method is told from zero at 5 % after Holm's
  correction over all methods of the table. The intervals are not corrected, so one may exclude zero without that.
- Seconds are medians of the wall clock on one thread, beside whatever else the machine did: orders of magnitude. The
  scoring of an autoencoder includes everything that it reconstructs."""


def page_one(results: Mapping[str, Any]) -> str:
    """For each source: is it reproduced, does it hold up, what beats it."""
    rows = []
    for name, entry in results["experiments"].items():
        cells = [_finding(entry), beaten(entry)]
        if entry["protocols"].get(HELD_OUT, {}).get("stand_in"):
            cells = [f"{cell} (stand-in data)" for cell in cells]
        rows.append([f"`{name}`", conclusions.reproduced(entry), *cells])
    headings = [
        "source",
        "reproduced",
        "holds up where nothing is chosen on what is scored",
        "beaten by, of the classical detectors",
    ]
    return table(headings, rows)


def _finding(entry: Mapping[str, Any]) -> str:
    finding = conclusions.holds_up(entry)
    if finding is None:
        in_both = all(entry["standings"].get(protocol) for protocol in (PUBLISHED, HELD_OUT))
        return "not compared: the protocols saw different data" if in_both else "not run"
    low, high = finding.interval
    numbers = f"AUROC {finding.published:.3f}, held out {finding.held_out:.3f} ({low:.3f} to {high:.3f})"
    return ", ".join(part for part in (f"**{finding.verdict}**: {numbers}", finding.by_seed) if part)


def beaten(entry: Mapping[str, Any]) -> str:
    """How many of the classical detectors are better than the source's method, held out, and which most."""
    known = conclusions.detectors(entry, HELD_OUT)
    better = conclusions.beaten_by(entry)
    if not known:
        return "not run"
    if not better:
        return f"none of {len(known)}"
    first = f"{better[0]['method']} ({better[0]['auroc']:.3f}{conclusions.at_chance(better[0])})"
    return f"{len(better)} of {len(known)}, most by {first}"


def sections(entry: Mapping[str, Any]) -> list[str]:
    """The sections of one experiment: held out, and the detectors."""
    if HELD_OUT not in entry["protocols"]:
        return []
    return [*_held_out(entry, entry["protocols"][HELD_OUT]), *_detectors(entry)]


# Held out.


def _held_out(entry: Mapping[str, Any], runs: Mapping[str, Any]) -> list[str]:
    parts = ["### Held out", entry["description"].get("protocols", "")]
    if not runs["seeds"]:
        return [*parts, "No finished run."]
    finding = conclusions.holds_up(entry)
    sentences = [
        *([finding.sentence] if finding else []),
        *conclusions.drift_sentences(entry),
        *conclusions.threshold_sentences(entry),
    ]
    return [
        *parts,
        f"**Not the real data.** These runs saw {outside(runs['stand_in'])}." if runs["stand_in"] else "",
        "\n".join(f"- {sentence}" for sentence in sentences),
        _rules(entry, runs),
        _aurocs(entry, runs),
        *pictures(runs.get("figures", [])),
    ]


def _rules(entry: Mapping[str, Any], runs: Mapping[str, Any]) -> str:
    """What each threshold decides on the test samples, on average over the seeds."""
    rows = []
    for rule in conclusions.rules(entry):
        found = {
            name: conclusions.values(runs, f"{rule}.{name}")
            for name in ("threshold", "test.anomaly.precision", "test.anomaly.recall", "test.anomaly.f1")
        }
        rates = conclusions.false_positive_rates(runs, rule)
        rows.append([f"`{rule}`", *map(_mean, found.values()), _mean(rates), str(len(rates))])
    headings = ["rule", "threshold", "precision", "recall", "F1", "false-positive rate", "seeds with one"]
    heading = "Decisions on the test samples, means over the seeds in which they are defined:"
    return f"{heading}\n\n{table(headings, rows)}" if rows else ""


def _aurocs(entry: Mapping[str, Any], runs: Mapping[str, Any]) -> str:
    """Every AUROC of the held-out runs over the seeds, and in the seed that one would have picked."""
    picked = conclusions.picked_seed(entry)
    names = sorted({name for metrics in runs["seeds"].values() for name in metrics if name.endswith(".auroc")})
    rows = []
    for name in names:
        found = conclusions.values(runs, name)
        if found:
            spread = f"{plain(min(found))} to {plain(max(found))}"
            of_picked = [plain(runs["seeds"][picked[0]].get(name))] if picked else []
            rows.append([f"`{name}`", plain(fmean(found)), spread, *of_picked])
    headings = ["number", "mean", "range", *([f"seed {picked[0]}"] if picked else [])]
    heading = "AUROC over the seeds"
    if picked:
        heading += f", and in seed {picked[0]}, which its `{picked[1]}`, the lowest of all, would have us pick"
    return f"{heading}:\n\n{table(headings, rows)}" if rows else ""


def _mean(found: Sequence[float]) -> str:
    return plain(fmean(found), 3) if found else "-"


# The detectors.


def _detectors(entry: Mapping[str, Any]) -> list[str]:
    board = entry["standings"].get(HELD_OUT)
    if not board or not board["rows"]:
        return []
    grouped = board["groups"] < board["samples"]
    groups = f", in {board['groups']} groups that are drawn together" if grouped else ""
    about = (
        f"Held out, on {board['samples']} test samples{groups}, over seeds {ranges(board['seeds'])}. "
        f"{board['prevalence']:.1%} of the samples are anomalies, which is the average precision of knowing nothing."
    )
    return [
        "### Was an autoencoder needed?",
        conclusions.detector_sentence(entry),
        about,
        _leaderboard(board),
        _side_by_side(entry),
        _missing(board),
    ]


def _leaderboard(board: Mapping[str, Any]) -> str:
    rows = []
    for row in board["rows"]:
        interval = row["difference_interval"]
        difference = "-" if interval is None else f"{row['difference']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
        low, high = row["auroc_interval"]
        rows.append(
            [
                f"**{row['method']}**" if row["ours"] else row["method"],
                f"{row['auroc']:.3f} ({low:.3f} to {high:.3f})",
                difference,
                "" if row["standing"] == REFERENCE else row["standing"],
                f"{row['average_precision']:.3f}",
                f"{row['fpr_at_95_recall']:.3f}",
                _seconds(row["fit_seconds"]),
                _seconds(row["score_seconds"]),
            ]
        )
    headings = [
        "method",
        "AUROC, 95 % interval",
        f"difference to the {board['reference']}",
        "it is",
        "average precision",
        "FPR at 95 % recall",
        "fit, s",
        "score, s",
    ]
    return table(headings, rows)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def _side_by_side(entry: Mapping[str, Any]) -> str:
    """Each method in both protocols, and the gap."""
    boards = [entry["standings"].get(protocol) for protocol in (PUBLISHED, HELD_OUT)]
    if any(board is None for board in boards):
        return ""
    by_method = [{row["method"]: row for row in board["rows"]} for board in boards if board]
    rows = []
    for method, held_out in by_method[1].items():
        published = by_method[0].get(method)
        if published is not None:
            gap = held_out["auroc"] - published["auroc"]
            low, high = conclusions.gap_interval(published, held_out)
            name = f"**{method}**" if held_out["ours"] else method
            change = f"{gap:+.3f} ({low:+.3f} to {high:+.3f})"
            rows.append([name, _with_interval(published), _with_interval(held_out), change])
    headings = ["method", "AUROC, published protocol", "AUROC, held out", "change"]
    return f"The same methods in both protocols:\n\n{table(headings, rows)}" if rows else ""


def _with_interval(row: Mapping[str, Any]) -> str:
    low, high = row["auroc_interval"]
    return f"{row['auroc']:.3f} ({low:.3f} to {high:.3f})"


def _missing(board: Mapping[str, Any]) -> str:
    """What could not be ranked; a seed that lacks a detector which others have is left out with all its scores."""
    lines = [f"Left out: {outside(what)} (seeds {ranges(seeds)})." for what, seeds in board["missing"].items()]
    return "\n".join(f"- {line}" for line in lines)


def appendix(results: Mapping[str, Any]) -> list[str]:
    """What the detectors are, and what else the sources suggest to try."""
    notes = "\n".join(f"- {title}{f': {note}' if note else ''}." for title, note in results["detectors"].items())
    rest = "\n".join(f"- {name}: {why}." for name, why in results["detectors_not_run"].items())
    return [
        "## The classical detectors",
        "scikit-learn's, with its default settings unless said here; fitted on the normal samples that the "
        "autoencoder was trained on, and never tuned. No detector sees a labelled anomaly; methods of the sources that "
        "learn from some are marked (labels).",
        notes,
        "What the sources list as further methods, and is not run:",
        rest,
    ]
