"""Measurement: every way runs in its own process, one after the other, round after round.

The load of a machine changes from minute to minute. So the ways take turns, a, b, c, a, b, c, and two ways are compared
by their ratio within each round, in which the load was the same, and not by the ratio of their total times.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.rows import NOTEBOOK, OURS, OURS_APART, PUBLISHED_EPOCHS, SEEDS, Row
from common.files import ROOT


class Cost(NamedTuple):
    """Wall-clock seconds, and processor seconds of all cores together, which hardly depend on other work."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one process.

    Attributes:
        cost: cost of the work.
        peak: peak memory of the process in MiB, imports included.
        before: peak memory of the process in MiB before the work started.
        epochs: cost of each epoch, by training: the name of the experiment, with a colon and the seed if there are
            several trainings; the first epoch includes building and compiling the model.
    """

    cost: Cost
    peak: float = 0.0
    before: float = 0.0
    epochs: Mapping[str, Sequence[Cost]] = field(default_factory=dict)

    def published(self) -> Cost:
        """Estimate the cost of the published number of epochs, with each epoch not run at the cost of a typical one."""
        seconds, processor = self.cost
        for training, costs in self.epochs.items():
            experiment, _, _ = training.partition(":")
            epoch, missing = epoch_cost(costs), PUBLISHED_EPOCHS[experiment] - len(costs)
            seconds, processor = seconds + missing * epoch.seconds, processor + missing * epoch.processor
        return Cost(seconds, processor)


def epoch_cost(costs: Sequence[Cost]) -> Cost:
    """Compute the median cost of the epochs after the first."""
    later = costs[1:] or costs
    return Cost(*(statistics.median(values) for values in zip(*later, strict=True)))


class Ratio(NamedTuple):
    """Time of another way divided by ours: the median over the rounds, and the range."""

    median: float
    lowest: float
    highest: float


def paired_ratios(other: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Compare two ways round by round.

    Raises:
        ValueError: the two ways do not have one measurement each in every round.
    """
    if len(other) != len(ours) or not ours:
        raise ValueError(f"Ratios need both ways in every round. Received: {len(other)} and {len(ours)} measurements")
    ratios = [one / another for one, another in zip(other, ours, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def interleave(ways: Sequence[str], rounds: int, once: Sequence[str] = ()) -> Iterator[str]:
    """Yield the ways in the order of measurement: a, b, c, a, b, c; those in `once` in the first round only."""
    for number in range(rounds):
        yield from (way for way in ways if number == 0 or way not in once)


def measure_row(
    ways: Sequence[str], rounds: int, run: Callable[[str], Measurement], once: Sequence[str] = ()
) -> dict[str, list[Measurement]]:
    """Measure the ways in turn.

    Args:
        ways: names of the ways.
        rounds: number of rounds.
        run: function that measures a way once.
        once: ways that are measured in the first round only.

    Returns:
        The measurements of every way, in the order of the rounds.
    """
    measured: dict[str, list[Measurement]] = {way: [] for way in ways}
    for way in interleave(ways, rounds, once):
        measured[way].append(run(way))
    return measured


def time_work(
    work: Callable[[Callable[[str], None]], object],
    clock: Callable[[], float] = time.perf_counter,
    processor: Callable[[], float] = time.process_time,
) -> Measurement:
    """Measure one call of `work(mark)`, which calls `mark(experiment)` at the end of every epoch."""
    epochs: dict[str, list[Cost]] = {}
    before = peak_memory()
    started = last = (clock(), processor())

    def mark(experiment: str) -> None:
        nonlocal last
        now = (clock(), processor())
        epochs.setdefault(experiment, []).append(Cost(now[0] - last[0], now[1] - last[1]))
        last = now

    work(mark)
    return Measurement(Cost(clock() - started[0], processor() - started[1]), peak_memory(), before, epochs)


def peak_memory() -> float:
    """Return the peak memory in MiB: the larger of that of this process and that of its finished child processes."""
    import resource

    peak = max(resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run_in_children(row: Row, way: str, epochs: Mapping[str, int]) -> Measurement:
    """Measure one way in a new process, since TensorFlow fixes its threads at the start and peak memory only grows.

    In a row that measures whole processes, the notebooks are as many processes, one after the other, and our way is
    one process. In a row of several seeds, our way is also measured with a process for each.

    Raises:
        RuntimeError: a process failed; the message holds its error output.
    """
    parts = [row.name]
    if row.whole_process and way == NOTEBOOK:
        parts = [f"{row.name}:{name}" for name in row.experiments]
    if way == OURS_APART:
        parts, way = [f"{name}:{seed}" for name in row.experiments for seed in range(SEEDS)], OURS
    whole, measured = zip(*(_run_in_child(part, way, epochs) for part in parts), strict=True)
    costs = whole if row.whole_process else [part.cost for part in measured]
    return Measurement(
        Cost(sum(cost.seconds for cost in costs), sum(cost.processor for cost in costs)),
        max(part.peak for part in measured),
        max(part.before for part in measured),
        {name: seconds for part in measured for name, seconds in part.epochs.items()},
    )


def measure_limit(name: str) -> Measurement:
    """Measure what `benchmarks.limit` marks for an experiment, in a new process.

    Raises:
        RuntimeError: the process failed; the message holds its error output.
    """
    return _child("limit", name, "")


def measure_growth(name: str, factor: int) -> Measurement:
    """Measure one entry of `benchmarks.growth` at `factor` times its published size, in a new process.

    Raises:
        RuntimeError: the process failed; the message holds its error output.
    """
    return _child("growth", name, str(factor))


def _run_in_child(row: str, way: str, epochs: Mapping[str, int]) -> tuple[Cost, Measurement]:
    """Return the cost of a process from its start to its end, and the measurement that it reports."""
    started, before = time.perf_counter(), os.times()
    measurement = _child(row, way, json.dumps(dict(epochs)))
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.perf_counter() - started, processor), measurement


def _child(*arguments: str) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.child", *arguments]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {child.stderr[-2000:]}")
    return parse(json.loads(child.stdout.splitlines()[-1]))


def parse(answer: Mapping[str, Any]) -> Measurement:
    """Parse a measurement that a child process printed as JSON."""
    epochs = {name: [Cost(*cost) for cost in costs] for name, costs in answer["epochs"].items()}
    return Measurement(Cost(*answer["cost"]), answer["peak"], answer["before"], epochs)
