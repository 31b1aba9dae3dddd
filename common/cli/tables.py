"""Print lists, runs and comparisons as tables, on a terminal or in a pipe."""

import sys
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from common.cli.main import discard_output
from common.comparison import verdicts
from common.comparison.agreement import Agreement
from common.comparison.published import Published
from common.comparison.standings import Standing
from common.comparison.sweeps import Sweep
from common.data.stand_ins import stand_in_of
from common.experiment import PUBLISHED
from common.report.conclusions import headline
from common.report.markdown import summary_sentence
from common.report.markup import plain
from common.runs.records import Record
from common.runs.tasks import Task

PIPE_WIDTH = 120
# On a narrower terminal, each row is printed as lines of text, since the cells of a table would be too small.
NARROW = 90


class _Console(Console):
    """A console that continues without output if the pipe that it writes to is closed."""

    def on_broken_pipe(self) -> None:
        discard_output()


def console() -> Console:
    """Make a console for standard output; in a pipe it is wide enough for a table."""
    return _Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False)


def show(out: Console, table: Table) -> None:
    """Print a table, or on a narrow terminal each of its rows as lines of text."""
    if out.width >= NARROW:
        out.print(table)
        return
    out.print(Text(str(table.title or ""), "bold"))
    headings = [str(column.header) for column in table.columns]
    for first, *rest in zip(*(column.cells for column in table.columns), strict=True):
        cells = [
            _named(heading, cell)
            for heading, cell in zip(headings[1:], rest, strict=True)
            if str(cell) not in ("", "-")
        ]
        out.print(first if isinstance(first, Text) else Text(str(first)))
        out.print(Padding(Text(", ").join(cells), (0, 0, 0, 4)))


def _named(heading: str, cell: RenderableType) -> Text:
    return Text.assemble((f"{heading} ", "dim"), cell if isinstance(cell, Text) else str(cell))


def marked(task: Task) -> str:
    """Mark a task whose data are a stand-in."""
    return f" ({task.stand_in})" if task.stand_in else ""


def where(task: Task) -> str:
    """Describe the experiment of a task, with its protocol, changed settings and stand-in."""
    protocol = "" if task.protocol == PUBLISHED else f" ({task.protocol})"
    changes = "".join(f" {name}={value}" for name, value in task.config.changes().items())
    return f"{task.name}{protocol}{changes}{marked(task)}"


def print_list(experiments: Sequence[Published]) -> None:
    """Print the experiments: name, source, date and subject."""
    table = Table(show_lines=True)
    for heading in ("experiment", "source", "date", "what it is about"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "experiment")
    for entry in experiments:
        source = entry.source
        table.add_row(entry.experiment, f"{source.title} ({source.author})", source.date, source.summary)
    show(console(), table)


def print_plan(tasks: Sequence[Task], finished: Sequence[Record | None], seconds: float | None) -> None:
    """Print which tasks would run and which are finished, with an estimate of the time."""
    out = console()
    for task, record in zip(tasks, finished, strict=True):
        state = f"cached (took {duration(record.durations['total'])})" if record else "would run"
        detector = "" if task.detector is None else f" {task.detector}"
        out.print(Text(f"{where(task)} {task.digest}{detector} seed {task.seed}: {state}"), soft_wrap=True)
    missing = [task for task, record in zip(tasks, finished, strict=True) if record is None]
    estimate = "no earlier run to estimate from" if seconds is None else f"about {duration(seconds)} of computing"
    if seconds is not None and any(task.detector for task in missing):
        estimate += " without the detectors"
    out.print(f"{len(missing)} to run, {len(tasks) - len(missing)} cached" + (f"; {estimate}" if missing else ""))


def print_metrics(records: Sequence[Record], names: Sequence[str]) -> None:
    """Print metrics of some runs, one column for each seed."""
    stand_in = stand_in_of(records[0].data)
    data = f", {stand_in}" if stand_in else ""
    title = f"{records[0].experiment}, {records[0].protocol} protocol{data}"
    table = Table(Column("metric", overflow="fold"), title=title)
    for record in records:
        table.add_column(f"seed {record.seed}", justify="right")
    for name in names:
        table.add_row(name, *(plain(record.metrics.get(name)) for record in records))
    show(console(), table)


def print_sweep(name: str, sweep: Sweep) -> None:
    """Print the mean AUROC of the source's method by normal class (rows) and anomalous class (columns)."""
    method = sweep.methods[0]
    stand_in = f", {sweep.stand_in}" if sweep.stand_in else ""
    over = f"mean over {len(sweep.seeds)} seeds" if len(sweep.seeds) > 1 else f"seed {sweep.seeds[0]}"
    table = Table(title=f"{name}, held out{stand_in}: AUROC of the {method}, {over}")
    table.add_column("normal class")
    for one in sweep.names:
        table.add_column(one, justify="right")
    for normal, values in zip(sweep.normals, sweep.mean_of(method), strict=True):
        table.add_row(sweep.name_of(normal), *("-" if value != value else f"{value:.2f}" for value in values))
    show(console(), table)


def print_standings(title: str, rows: Sequence[Standing]) -> None:
    """Print the ranking of the methods of a source and the detectors."""
    table = Table(title=title)
    for heading in ("method", "AUROC", "95 % interval", "average precision", "FPR at 95 % recall", "it is"):
        table.add_column(heading, justify="left" if heading in ("method", "it is") else "right")
    for row in rows:
        low, high = row.auroc_interval
        numbers = (f"{row.auroc:.3f}", f"{low:.3f}..{high:.3f}", f"{row.average_precision:.3f}")
        style = "bold" if row.ours else ""
        table.add_row(Text(row.method, style), *numbers, f"{row.fpr_at_95_recall:.3f}", row.standing)
    show(console(), table)


def print_comparison(comparison: verdicts.Comparison, members: bool, notes: Sequence[str] = ()) -> None:
    """Print the comparison of one experiment with its source: numbers, verdicts, claims and their summary.

    Args:
        comparison: the comparison.
        members: true for all printed numbers, false for one number of each printed row, which decides its verdict.
        notes: remarks on the runs. Default: none.
    """
    out = console()
    if comparison.n_seeds:
        show(out, _numbers_table(comparison) if members else _groups_table(comparison))
        show(out, _claims_table(comparison.claims))
        out.print(summary_sentence(comparison), soft_wrap=True)
        for given in comparison.conditional:
            out.print(condition_sentence(given), soft_wrap=True)
    for note in notes:
        out.print(Text(note, "yellow"), soft_wrap=True)


def _groups_table(comparison: verdicts.Comparison) -> Table:
    table = Table(title=f"{comparison.experiment}: published against ours over {comparison.n_seeds} seeds")
    for heading in ("printed row or curve", "number", "published", "ours", "verdict"):
        table.add_column(heading, overflow="fold")
    for group in comparison.groups:
        number, published, ours = headline(group)
        table.add_row(group.title, number.strip("`"), published, ours, _verdict(group))
    return table


def _numbers_table(comparison: verdicts.Comparison) -> Table:
    sections = [(group, _member_rows(group.members)) for group in comparison.groups]
    headings = ["number", "published", "mean", "sd", "n", "range", "95 % interval", "verdict"]
    table = Table(title=f"{comparison.experiment}: published against ours over {comparison.n_seeds} seeds")
    table.add_column(headings[0], overflow="fold", min_width=24)
    for index, heading in enumerate(headings[1:], start=1):
        # With given widths rich does not measure every cell, which would take longer than everything else.
        width = max(len(heading), *(len(row[index]) for _, rows in sections for row in rows))
        table.add_column(heading, justify="left" if heading == "verdict" else "right", width=width, no_wrap=True)
    for group, rows in sections:
        table.add_row(Text(f"{group.name}: {group.title}", "bold"), *[""] * 6, _verdict(group))
        for row in rows:
            table.add_row(*row)
        table.add_section()
    return table


def _member_rows(members: Sequence[verdicts.MemberResult]) -> list[list[str]]:
    """Make the rows of a group; a common first part of the metric names is left out, since the title contains it."""
    first = {member.metric.partition(".")[0] for member in members}
    return [_member_row(member, len(min(first)) + 1 if len(first) == 1 else 0) for member in members]


def _member_row(member: verdicts.MemberResult, prefix: int) -> list[str]:
    spread = f"{plain(member.minimum, 3)}..{plain(member.maximum, 3)}" if member.n else "-"
    interval = "-" if member.interval is None else "..".join(plain(end, 3) for end in member.interval)
    return [
        f"  {member.metric[prefix:]}",
        member.printed if len(member.printed) < 10 else f"{float(member.printed):.5g}",
        plain(member.mean),
        plain(member.standard_deviation, 2),
        str(member.n),
        spread,
        interval,
        member.verdict if member.verdict != "no verdict" else "",
    ]


def _claims_table(claims: Sequence[verdicts.ClaimResult]) -> Table:
    table = Table(Column("claim", overflow="fold"), title="claims of the source")
    for heading in ("holds in", "rate, 95 % interval"):
        table.add_column(heading, justify="right")
    for claim in claims:
        interval = "-" if claim.interval is None else f"{claim.interval[0]:.2f}..{claim.interval[1]:.2f}"
        text = f"{claim.text} (our reading of a figure)" if claim.reading else claim.text
        table.add_row(text, f"{claim.holds} of {claim.n} seeds", interval)
    return table


def condition_sentence(given: verdicts.ConditionalResult) -> str:
    """Count the seeds that meet a condition of the source, and give the verdicts over these seeds only."""
    condition = given.condition
    interval = "" if condition.interval is None else " ({:.2f}..{:.2f})".format(*condition.interval)
    found = "; ".join(f"{group.title}: {_verdict(group)}" for group in given.groups)
    return f"{condition.text}: {condition.holds} of {condition.n} seeds{interval}. Over these alone: {found}."


def _verdict(group: verdicts.GroupResult) -> Text:
    good = group.verdict in (verdicts.EXACT, verdicts.AGREES, verdicts.REPRODUCED)
    bad = group.verdict == verdicts.DIFFERS or verdicts.lies_outside(group.verdict)
    style = "green" if good else "red" if bad else "yellow"
    text = group.verdict + (", provisional" if group.provisional else "")
    return Text(text + (f" ({group.missing} missing)" if group.missing else ""), style)


def print_agreement(title: str, rows: Sequence[Agreement], summary: str) -> None:
    """Print the comparison of the runs of this machine with a reference, one row for each metric."""
    table = Table(title=title)
    for heading in ("metric", "reference", "here", "same seeds identical", "verdict"):
        table.add_column(heading, justify="left" if heading in ("metric", "verdict") else "right", overflow="fold")
    for row in rows:
        identical = f"{row.identical} of {row.common}"
        table.add_row(row.metric, plain(row.reference_mean), plain(row.mean), identical, row.verdict)
    out = console()
    if rows:
        show(out, table)
    out.print(summary, soft_wrap=True)


def duration(seconds: float) -> str:
    """Write a duration in seconds, a long one in minutes."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
