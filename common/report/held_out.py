"""The sections of the report on the held-out protocol and the classical detectors, as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from common.comparison.leaderboard import BETTER, REFERENCE, Interval
from common.comparison.standings import Standing, Standings
from common.comparison.verdicts import NEXT_REFERENCE
from common.experiment import HELD_OUT, PUBLISHED
from common.report import conclusions
from common.report.markup import escaped, filled, plain, table
from common.report.results import ExperimentResults, ProtocolRuns, Results, Runs


def how_to_read() -> str:
    """Explain the conclusions about the held-out protocol and the detectors."""
    return filled("how_to_read_held_out.md.jinja", conclusions=conclusions)


def page_one(results: Results) -> str:
    """Make the table with one row for each source: is it reproduced, does it hold up, which detectors beat it."""
    rows = []
    for name, entry in results.experiments.items():
        cells = [_finding(entry), beaten(entry)]
        if entry.held_out is not None and entry.held_out.stand_in:
            cells = [f"{cell} (stand-in data)" for cell in cells]
        source = f"`{name}`{' (of an older revision)' if entry.outdated else ''}"
        rows.append([source, conclusions.reproduced(entry), *cells])
    headings = [
        "source",
        "printed rows",
        "holds up in the held-out protocol (95 % interval)",
        "classical detectors that are better",
    ]
    return table(headings, rows)


def _finding(entry: ExperimentResults) -> str:
    finding = conclusions.holds_up(entry)
    if finding is None:
        in_both = all(entry.standings.get(protocol) for protocol in (PUBLISHED, HELD_OUT))
        return "not compared: the protocols used different data" if in_both else "not run"
    row = finding.held_out
    numbers = f"{row.method}, AUROC {finding.published.auroc:.3f}, held out {auroc(row)}"
    return ", ".join(part for part in (f"**{finding.verdict}**: {numbers}", finding.by_seed) if part)


def beaten(entry: ExperimentResults) -> str:
    """Count the detectors that are better than the source's method in each protocol, and name the best."""
    parts = []
    for protocol, name in ((PUBLISHED, "published protocol"), (HELD_OUT, "held out")):
        known, board = conclusions.detectors(entry, protocol), entry.standings.get(protocol)
        if known and board is not None and board.reference_row is not None:
            parts.append(f"{name}: {_beaten(known, board.reference_row)}")
    return "; ".join(parts) or "not run"


def _beaten(known: Sequence[Standing], reference: Standing) -> str:
    if any(row.standing == NEXT_REFERENCE for row in known):
        return NEXT_REFERENCE
    better = [row for row in known if row.standing == BETTER]
    count = f"{len(better) or 'none'} of {len(known)}"
    if better:
        count += f", the highest {better[0].method} ({better[0].auroc:.3f}{conclusions.at_chance(better[0])})"
    if conclusions.at_chance(reference):
        above = len(conclusions.above_chance(known))
        count += f", {above or 'none'} of them shown better than chance, as it is not"
    return count + (" (they learn without labels, it does not)" if conclusions.learns_from_labels(reference) else "")


def sections(name: str, entry: ExperimentResults, entries: Mapping[str, ExperimentResults]) -> str:
    """Write the sections of one experiment; empty if the report leaves the held-out protocol out.

    Args:
        name: name of the experiment.
        entry: its results.
        entries: the results of all experiments, among which others may be on the same data.
    """
    runs, board = entry.held_out, entry.standings.get(HELD_OUT)
    if runs is None:
        return ""
    finding, own = conclusions.holds_up(entry), entry.is_of_user
    sentences = [
        *([finding.sentence] if finding else []),
        *([] if own else conclusions.drift_sentences(entry, runs)),
        *conclusions.threshold_sentences(runs),
        *conclusions.flagged_sentences(runs),
    ]
    return filled(
        "held_out.md.jinja",
        entry=entry,
        runs=runs,
        sentences=sentences,
        own=own,
        together="" if own else conclusions.on_the_same_data(name, {**entries, name: entry}),
        rules=_rules(runs),
        aurocs=_aurocs(entry, runs),
        board=board,
        detectors=conclusions.detector_sentence(entry),
        leaderboard=leaderboard_table(board, board.rows) if board and board.rows else "",
        side_by_side=_side_by_side(entry),
    )


def on_own_data(name: str, entry: ExperimentResults, entries: Mapping[str, ExperimentResults], further: str) -> str:
    """Write the section of an experiment on a user's own data.

    Args:
        name: name of the experiment.
        entry: its results.
        entries: the results of all experiments.
        further: the section on the methods beyond the classical detectors.
    """
    runs = entry.held_out
    assert runs is not None
    return filled(
        "own.md.jinja",
        entry=entry,
        runs=runs,
        labelled=conclusions.is_labelled(runs),
        held_out=sections(name, entry, entries),
        further=further,
        settings=", ".join(f"{field} {escaped(str(value))}" for field, value in entry.config.items()),
        holes=holes(runs),
    )


def holes(runs: Runs) -> list[str]:
    """List the seeds that failed, and the records that are damaged."""
    failed = [f"Seed {seed} failed: {escaped(error)}." for seed, error in runs.failed.items()]
    return failed + [f"Damaged, left out: {escaped(problem)}." for problem in runs.damaged]


# The held-out protocol.


def _rules(runs: ProtocolRuns) -> str:
    """Make the table of the threshold rules, with the means of their test metrics over the seeds."""
    rows = []
    for rule in conclusions.rules(runs):
        names = ("threshold", "test.anomaly.precision", "test.anomaly.recall", "test.anomaly.f1")
        means = [_mean(runs.values(f"{rule}.{name}")) for name in names]
        rates = conclusions.false_positive_rates(runs, rule)
        rows.append([f"`{rule}`", *means, _mean(rates), str(len(rates or runs.values(f"{rule}.threshold")))])
    headings = ["rule", "threshold", "precision", "recall", "F1", "false-positive rate", "seeds with a threshold"]
    heading = "Decisions on the test samples, means over the seeds in which they are defined:"
    return f"{heading}\n\n{table(headings, rows)}" if rows else ""


def _aurocs(entry: ExperimentResults, runs: ProtocolRuns) -> str:
    """Make the table of every AUROC over the seeds, and in the seed with the lowest loss."""
    picked = conclusions.picked_seed(entry)
    names = sorted({name for metrics in runs.seeds.values() for name in metrics if name.endswith(".auroc")})
    rows = []
    for name in names:
        found = runs.values(name)
        if found:
            spread = f"{plain(min(found))} to {plain(max(found))}"
            of_picked = [plain(runs.seeds[picked[0]].get(name))] if picked else []
            rows.append([f"`{name}`", plain(fmean(found)), spread, *of_picked])
    headings = ["number", "mean", "range", *([f"seed {picked[0]}"] if picked else [])]
    heading = "AUROC over the seeds"
    if picked:
        heading += f", and in seed {picked[0]}, which has the lowest `{picked[1]}`"
    return f"{heading}:\n\n{table(headings, rows)}" if rows else ""


def _mean(found: Sequence[float]) -> str:
    return plain(fmean(found), 3) if found else "-"


# The detectors.


def leaderboard_table(board: Standings, shown: Sequence[Standing]) -> str:
    """Make the table of some rows of a ranking."""
    rows = [
        {
            "method": _name(row),
            "AUROC, 95 % interval": auroc(row),
            f"difference to the {board.reference}": change(row.difference, row.difference_interval),
            "it is": "" if row.standing == REFERENCE else row.standing,
            "average precision": f"{row.average_precision:.3f}",
            "FPR at 95 % recall": f"{row.fpr_at_95_recall:.3f}",
            "fit, s": _seconds(row.fit_seconds),
            "score, s": _seconds(row.score_seconds),
        }
        for row in shown
    ]
    return table([*rows[0]], [[*row.values()] for row in rows])


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def _side_by_side(entry: ExperimentResults) -> str:
    """Make the table of each method in both protocols, with the change of its AUROC."""
    published_board, held_out_board = (entry.standings.get(protocol) for protocol in (PUBLISHED, HELD_OUT))
    if published_board is None or held_out_board is None:
        return ""
    published_rows = {row.method: row for row in published_board.rows}
    rows = []
    for held_out in held_out_board.rows:
        published = published_rows.get(held_out.method)
        if published is not None:
            gap = change(held_out.auroc - published.auroc, conclusions.gap_interval(published, held_out))
            rows.append([_name(held_out), auroc(published), auroc(held_out), gap])
    headings = ["method", "AUROC, published protocol", "AUROC, held out", "change"]
    return f"The same methods in both protocols:\n\n{table(headings, rows)}" if rows else ""


def _name(row: Standing) -> str:
    collapsed = f" (collapsed in {row.collapsed} of {row.seeds} seeds)" if row.collapsed else ""
    return f"**{row.method}**" if row.ours else f"{row.method}{collapsed}"


def auroc(row: Standing) -> str:
    """Format the AUROC of a method with its interval."""
    low, high = row.auroc_interval
    return f"{row.auroc:.3f} ({low:.3f} to {high:.3f})"


def change(difference: float | None, interval: Interval | None) -> str:
    """Format a difference of AUROCs with its interval; a dash for `None`."""
    if difference is None or interval is None:
        return "-"
    low, high = interval
    return f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"


def appendix(results: Results) -> str:
    """Write the section on the detectors, and on the methods that the sources name and that are not run."""
    return filled(
        "appendix.md.jinja",
        notes=[f"- {title}{f': {note}' if note else ''}." for title, note in results.detectors.items()],
        not_run=[f"- {name}: {why}." for name, why in results.detectors_not_run.items()],
    )
