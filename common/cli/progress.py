"""Display the progress of runs: as bars on a terminal, as lines in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from common.cli.tables import console, duration, show, where
from common.experiment import PUBLISHED
from common.runs.records import OK, Record
from common.runs.tasks import Task

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


DONE = "done"
STATES = (DONE, "failed", "interrupted", "not started")


class RunDisplay:
    """A `Listener` that shows the progress of runs: a bar for each on a terminal, otherwise a line.

    The detectors that are not trained, which are many and fast, share one line; only failures get their own.

    Args:
        tasks: all runs and detectors.
        quiet: true to print only failures. Default: false.
        verbose: true to print a line for each epoch and detector, and tracebacks. Default: false.
    """

    def __init__(self, tasks: Sequence[Task], quiet: bool = False, verbose: bool = False) -> None:
        self._console = console()
        self._quiet, self._verbose, self._tasks = quiet, verbose, tasks
        self._begun: set[Task] = set()
        self._ended: dict[Task, str] = {}
        self._progress = _progress(self._console) if self._console.is_terminal and not quiet else None
        self._bars: dict[Task, TaskID] = {}
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> RunDisplay:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress:
            self._progress.stop()

    def skipped(self, task: Task, record: Record) -> None:
        """Print that a run was finished before."""
        self._ended[task] = record.status
        if task.is_training or self._verbose:
            self._say(_what(task), f"finished before (in {duration(record.durations['total'])}), skipped", "dim")

    def damaged(self, task: Task, problem: str) -> None:
        """Print the problem of a damaged record."""
        self._say(_what(task), f"damaged, set aside, run again: {problem}", "yellow", always=True)

    def started(self, task: Task) -> None:
        """Show a bar; its length is unknown until the first epoch has ended."""
        self._begun.add(task)
        if not task.is_training and task.seed is not None and (task.name, task.protocol) not in self._told:
            self._told.add((task.name, task.protocol))
            self._say(where(task), "the detectors", "dim")
        if self._progress:
            # Changed settings are only in the printed lines, since they would leave no room for the bar.
            short = " ".join(filter(None, [task.name, task.protocol * (task.protocol != PUBLISHED), task.detector]))
            self._bars[task] = self._progress.add_task(f"{short} seed {task.seed}", total=None, epoch="-", loss="-")

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Update the bar."""
        if self._progress and task in self._bars:
            self._progress.update(
                self._bars[task], completed=epoch, total=epochs, epoch=f"{epoch}/{epochs}", loss=f"{loss:.5f}"
            )
        if self._verbose:
            self._say(_what(task), f"epoch {epoch}/{epochs}, loss {loss:.6f}", "dim")

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Print the result of a run."""
        self._ended[task] = record.status
        if self._progress and task in self._bars:
            self._progress.remove_task(self._bars.pop(task))
        took = duration(record.durations["total"])
        if record.status != OK:
            self._say(_what(task), f"{record.status} after {took}: {record.error}", "red", always=True)
        elif task.is_training or self._verbose:
            self._say(_what(task), f"ok in {took}", "green")
        if details and self._verbose:
            self._console.print(Text(details, "red"))

    def print_state(self) -> None:
        """Print a table of finished and unfinished runs, after an interruption."""
        table = Table(Column("runs", overflow="fold"), title="state of the runs")
        for heading in STATES:
            table.add_column(heading, justify="right")
        states: dict[str, list[str]] = {}
        for task in self._tasks:
            what = where(task) + (", detectors" if task.detector else "")
            states.setdefault(what, []).append(self._state(task))
        for what, found in states.items():
            table.add_row(what, *(str(found.count(state)) for state in STATES))
        show(self._console, table)

    def _state(self, task: Task) -> str:
        if task in self._ended:
            return DONE if self._ended[task] == OK else "failed"
        return "interrupted" if task in self._begun else "not started"

    def _say(self, what: str, text: str, style: str, always: bool = False) -> None:
        if not self._quiet or always:
            begin = f"[{len(self._ended)}/{len(self._tasks)}] {what}: "
            self._console.print(Text(begin) + Text(text, style), soft_wrap=True)


def _progress(out: Console) -> Progress:
    # Imported only when needed, since it takes a tenth of a second.
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}  loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=out, transient=True)


def _what(task: Task) -> str:
    detector = "" if task.detector is None else f" {task.detector}"
    return f"{where(task)}{detector} seed {task.seed}"
