"""How runs go, on a terminal as bars, in a pipe as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli.tables import console, duration, marked, show
from common.experiment import PUBLISHED
from common.runs.records import OK, Record
from common.runs.tasks import Task

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


DONE = "done"


STATES = (DONE, "failed", "broken off", "not begun")


class RunDisplay:
    """Tells how runs go: a bar for each on a terminal, else one line per run. A `Listener` of the runner.

    Detectors are many, each done in seconds: they are announced together, and only those that fail have a line.

    Args:
        tasks: the runs that are to come.
        quiet: say nothing but what failed.
        verbose: a line per epoch and per detector, and the traceback of a failure.
    """

    def __init__(self, tasks: Sequence[Task], quiet: bool = False, verbose: bool = False) -> None:
        self._console = console()
        self._quiet, self._verbose, self._tasks = quiet, verbose, tasks
        self._begun: set[Task] = set()
        self._ended: dict[Task, str] = {}
        self._progress = _progress(self._console) if self._console.is_terminal and not quiet else None
        self._bars: dict[Task, TaskID] = {}
        self._announced: set[tuple[str, str]] = set()

    def __enter__(self) -> RunDisplay:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress:
            self._progress.stop()

    def skipped(self, task: Task, record: Record) -> None:
        """Say that a run was finished before."""
        self._ended[task] = record.status
        if task.detector is None or self._verbose:
            self._say(_what(task), f"finished before (in {duration(record.durations['total'])}), skipped", "dim")

    def damaged(self, task: Task, problem: str) -> None:
        """Say what is wrong with a record."""
        self._say(_what(task), f"damaged, set aside, run again: {problem}", "yellow", always=True)

    def started(self, task: Task) -> None:
        """Show a bar without a length, until the first epoch tells how many there are."""
        self._begun.add(task)
        if task.detector is not None and (task.name, task.protocol) not in self._announced:
            self._announced.add((task.name, task.protocol))
            self._say(_where(task), "the classical detectors", "dim")
        if self._progress:
            # Settings that were changed would leave no room for the bar; the lines name them.
            short = " ".join(filter(None, [task.name, task.protocol * (task.protocol != PUBLISHED), task.detector]))
            self._bars[task] = self._progress.add_task(f"{short} seed {task.seed}", total=None, epoch="-", loss="-")

    def epoch(self, task: Task, epoch: int, epochs: int, loss: float) -> None:
        """Move the bar."""
        if self._progress and task in self._bars:
            self._progress.update(
                self._bars[task], completed=epoch, total=epochs, epoch=f"{epoch}/{epochs}", loss=f"{loss:.5f}"
            )
        if self._verbose:
            self._say(_what(task), f"epoch {epoch}/{epochs}, loss {loss:.6f}", "dim")

    def finished(self, task: Task, record: Record, details: str | None) -> None:
        """Say how a run has ended."""
        self._ended[task] = record.status
        if self._progress and task in self._bars:
            self._progress.remove_task(self._bars.pop(task))
        took = duration(record.durations["total"])
        if record.status != OK:
            self._say(_what(task), f"{record.status} after {took}: {record.error}", "red", always=True)
        elif task.detector is None or self._verbose:
            self._say(_what(task), f"ok in {took}", "green")
        if details and self._verbose:
            self._console.print(Text(details, "red"))

    def print_state(self) -> None:
        """After something has ended all runs: what is done of each experiment, and what is not."""
        table = Table(title="what is done")
        table.add_column("runs", overflow="fold")
        for heading in STATES:
            table.add_column(heading, justify="right")
        states: dict[str, list[str]] = {}
        for task in self._tasks:
            what = _where(task) + (", detectors" if task.detector else "")
            states.setdefault(what, []).append(self._state(task))
        for what, found in states.items():
            table.add_row(what, *(str(found.count(state)) for state in STATES))
        show(self._console, table)

    def _state(self, task: Task) -> str:
        if task in self._ended:
            return DONE if self._ended[task] == OK else "failed"
        return "broken off" if task in self._begun else "not begun"

    def _say(self, what: str, text: str, style: str, always: bool = False) -> None:
        if not self._quiet or always:
            begin = f"[{len(self._ended)}/{len(self._tasks)}] {what}: "
            self._console.print(Text(begin) + Text(text, style), soft_wrap=True)


def _progress(out: Console) -> Progress:
    # Imported where there is a bar to draw: a list or a comparison should not wait for it.
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}  loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=out, transient=True)


def _where(task: Task) -> str:
    """An experiment, what of it is not as published, and whether its data are real."""
    protocol = "" if task.protocol == PUBLISHED else f" ({task.protocol})"
    changes = "".join(f" {name}={value}" for name, value in task.config.changes().items())
    return f"{task.name}{protocol}{changes}{marked(task)}"


def _what(task: Task) -> str:
    detector = "" if task.detector is None else f" {task.detector}"
    return f"{_where(task)}{detector} seed {task.seed}"
