"""Lay out the plots of the page: one row a number, with our runs, an interval and a published value on an axis."""

from collections.abc import Sequence
from typing import NamedTuple

from common.comparison import verdicts
from common.comparison.standings import Standing
from common.comparison.verdicts import GroupResult, MemberResult
from common.experiment import HELD_OUT, PUBLISHED
from common.report import conclusions, held_out
from common.report.markup import number
from common.report.results import ExperimentResults

# Width of a plot, and its margin on both sides, in SVG units.
WIDTH, MARGIN = 300.0, 12.0


class Plot(NamedTuple):
    """One row on its axis, in SVG units.

    Attributes:
        dots: positions of our runs, or of one result of ours.
        band: ends of the interval; empty if there is none.
        line: position of the value that ours are held against; `None` without one.
        ends: labels of the two ends of the axis; empty if the rows share one.
        words: description of the plot for screen readers.
    """

    dots: list[float]
    band: list[float]
    line: float | None
    ends: tuple[str, ...]
    words: str


class Row(NamedTuple):
    """A row of plots.

    Attributes:
        label: what it is about.
        plot: the plot; `None` if there is nothing to draw.
        numbers: the numbers in words.
        verdict: the verdict, which the page explains; empty if there is none.
        mood: CSS class for the colour of the verdict.
        ours: true for a method of the source.
    """

    label: str
    plot: Plot | None
    numbers: str
    verdict: str = ""
    mood: str = ""
    ours: bool = False


def mood(verdict: str) -> str:
    """Give the CSS class for the colour of a verdict: good, bad, or none."""
    if verdict in (verdicts.EXACT, verdicts.AGREES, verdicts.REPRODUCED, conclusions.HOLDS_UP):
        return "good"
    bad = verdict in (verdicts.DIFFERS, conclusions.WEAKER, conclusions.FAILS, conclusions.NOT_SHOWN)
    return "bad" if bad or verdicts.lies_outside(verdict) else ""


def place(value: float, low: float, high: float) -> float:
    """Find the position of a value on an axis from `low` to `high`, in SVG units."""
    return float(round(MARGIN + (value - low) * (WIDTH - 2 * MARGIN) / ((high - low) or 1), 2))


def plot(member: MemberResult, values: Sequence[float]) -> Plot:
    """Lay out a published number, our prediction interval and our seeds.

    Args:
        member: the published number.
        values: our values, at least one.
    """
    printed, interval = member.printed, member.interval
    published = float(printed)
    known = [published, *values, *(interval or ())]
    low, high = min(known), max(known)
    words = f"{member.metric}: published {printed}; our {len(values)} seeds from {number(min(values), printed)} to "
    words += number(max(values), printed)
    if interval:
        words += f"; 95 % prediction interval {number(interval[0], printed)} to {number(interval[1], printed)}"
    return Plot(
        dots=[place(value, low, high) for value in values],
        band=[place(end, low, high) for end in interval or ()],
        line=place(published, low, high),
        ends=(number(low, printed), number(high, printed)),
        words=words,
    )


def published_rows(entry: ExperimentResults) -> list[Row]:
    """Lay out one row for each printed row or curve with a verdict, by the number that the verdict depends on."""
    rows = []
    for group in entry.comparison.groups:
        if group.obtained == "context":
            continue
        if group.obtained == "one run":
            rows.append(_number(entry, group, conclusions.deciding(group), group.title))
        else:
            agreeing = sum(member.verdict in (verdicts.EXACT, verdicts.AGREES) for member in group.members)
            said = f"{agreeing} of {len(group.members)} numbers are the same" if group.n else "not run"
            rows.append(Row(group.title, None, said, group.verdict, mood(group.verdict)))
    return rows


def number_rows(entry: ExperimentResults) -> list[Row]:
    """Lay out one row for each printed number of the rows and curves from single runs that have several."""
    groups = [group for group in entry.comparison.groups if group.obtained == "one run" and len(group.members) > 1]
    return [_number(entry, group, member, member.metric) for group in groups for member in group.members]


def _number(entry: ExperimentResults, group: GroupResult, member: MemberResult, label: str) -> Row:
    values = entry.values(member.metric)
    verdict = group.verdict if label == group.title else member.verdict
    said = f"published {conclusions.shortened(member.printed)}, ours {number(member.mean, member.printed)}"
    if label == group.title:
        label = f"{label}: {member.metric}"
    drawn = plot(member, values) if values and group.verdict != verdicts.STAND_IN else None
    return Row(label, drawn, said if drawn else "not compared", verdict, mood(verdict))


def protocol_rows(entry: ExperimentResults) -> list[Row]:
    """Lay out the AUROC of the source's methods in both protocols; empty unless both have a ranking."""
    boards = {protocol: entry.standings.get(protocol) for protocol in (PUBLISHED, HELD_OUT)}
    found = [
        (f"{row.method}, {'published protocol' if protocol == PUBLISHED else 'held out'}", row)
        for protocol, board in boards.items()
        if board
        for row in board.rows
        if row.ours
    ]
    return _aurocs(found) if all(boards.values()) else []


def leaderboard_rows(entry: ExperimentResults) -> list[Row]:
    """Lay out the held-out AUROC of all methods, best first, with what each is in relation to the source's method."""
    board = entry.standings.get(HELD_OUT)
    return _aurocs([(row.method, row) for row in board.rows], board.reference_row) if board else []


def further_rows(entry: ExperimentResults) -> list[Row]:
    """Lay out the held-out AUROC of the methods beyond the classical detectors, as in `leaderboard_rows`."""
    board = entry.further.boards.get(HELD_OUT) if entry.further else None
    return _aurocs([(row.method, row) for row in board.rows], board.reference_row) if board else []


def _aurocs(found: Sequence[tuple[str, Standing]], reference: Standing | None = None) -> list[Row]:
    """Lay out AUROCs on one axis, with a line at that of the reference method, or else at chance."""
    ends = [0.5, 1.0, *(end for _, row in found for end in row.auroc_interval)]
    low, high = min(ends), max(ends)
    line = place(reference.auroc if reference else 0.5, low, high)
    rows = []
    for label, row in found:
        numbers = held_out.auroc(row)
        drawn = Plot(
            [place(row.auroc, low, high)],
            [place(end, low, high) for end in row.auroc_interval],
            line,
            (),
            f"{label}: AUROC {numbers}",
        )
        standing = row.standing if reference and row.method != reference.method else ""
        rows.append(Row(label, drawn, numbers, standing, ours=row.ours))
    return rows
