"""Command line of the benchmarks: `python -m benchmarks`, or `make bench`.

A complete run prints the tables and writes them into benchmarks/README.md. A run with `--only`, `--quick` or `--full`
only prints them.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pytorch, rows, table
from benchmarks.growth import FACTOR, GROWTHS, Growth
from benchmarks.limit import Limit, limit_of
from benchmarks.measure import Measurement, measure_growth, measure_limit, measure_row, run_in_children
from benchmarks.rows import ROWS, Row
from common.files import write_atomically
from common.runs import environment
from experiments import EXPERIMENTS

README = Path(__file__).parent / "README.md"
GROWTH = "growth"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen rows, print the tables, and write them after a complete run.

    Returns:
        The exit status, always 0. A missed target is shown in the table but is no failure, since other load on the
        machine changes the ratios.
    """
    options = _parse(arguments)
    machine = describe(options)
    chosen = [row for row in ROWS if options.only in (None, row.name)]
    whole = not (options.only or options.quick or options.full)
    results = []
    for row in chosen:
        results.append((row, measure(row, options)))
        print((table.seeds_table if row.several_seeds else table.ratio_table)(results[-1:]), flush=True)
    limits = measure_limits(row.name for row in chosen if row.name in EXPERIMENTS and not options.quick)
    if whole:
        # The rows take hours, so they are written before the growth table is measured, which may fail.
        _write(table.render(machine, results, limits, []))
    growths = grow() if options.only == GROWTH or not (options.only or options.quick) else []
    generated = table.render(machine, results, limits, growths)
    print(generated)
    if whole:
        _write(generated)
    return 0


def _write(generated: str) -> None:
    write_atomically(README, table.insert(README.read_text(encoding="utf-8"), generated).encode())


def measure(row: Row, options: argparse.Namespace) -> dict[str, list[Measurement]]:
    """Measure all ways of a row, in turn."""
    epochs = _epochs(options)
    ways = [way for way in row.ways if pytorch.installed() or not way.startswith(rows.PYTORCH)]
    if options.quick:
        ways = [way for way in ways if way not in row.once]

    def run(way: str) -> Measurement:
        print(f"{row.title}: {way}", file=sys.stderr)
        return run_in_children(row, way, epochs)

    return measure_row(ways, min(row.rounds or options.repeats, options.repeats), run, row.once)


def measure_limits(names: Iterable[str]) -> dict[str, Limit]:
    """Measure the limit of the machine for every experiment."""
    limits = {}
    for name in names:
        print(f"{name}: limit of the machine", file=sys.stderr)
        limits[name] = limit_of(name, measure_limit(name))
    return limits


def grow() -> list[tuple[Growth, Measurement, Measurement]]:
    """Measure every entry of the growth table at both sizes."""
    measured = []
    for growth in GROWTHS:
        print(f"{growth.what}: published size, and {FACTOR} times", file=sys.stderr)
        measured.append((growth, measure_growth(growth.name, 1), measure_growth(growth.name, FACTOR)))
    return measured


def _epochs(options: argparse.Namespace) -> Mapping[str, int]:
    if options.full:
        return rows.PUBLISHED_EPOCHS
    return rows.QUICK_EPOCHS if options.quick else rows.MEASURED_EPOCHS


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Describe the machine, the versions and the settings of this run."""
    found = environment.describe()
    load = os.getloadavg()[0]
    busy = (
        ""
        if load < 0.5
        else " (**other work was running**: it slows ways with several threads far more than ours with one thread)"
    )
    epochs = ", ".join(f"{name} {number}" for name, number in _epochs(options).items())
    return {
        "machine": f"{found['processor']}, {os.cpu_count()} cores, {found['system']}",
        "versions": ", ".join([f"Python {found['python']}", *(f"{k} {v}" for k, v in found["versions"].items())]),
        "PyTorch": "installed" if pytorch.installed() else "skipped",
        "commit": found["commit"],
        "rounds": options.repeats,
        "epochs that were run": epochs,
        "load average at the start": f"{load:.1f}{busy}",
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", choices=[*(row.name for row in ROWS), GROWTH], help="measure one row, or the growth of cost"
    )
    parser.add_argument(
        "--repeats", type=_positive, metavar="N", help="number of rounds (default: 3, or 1 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="run 3 epochs and one round, as a check")
    parser.add_argument("--full", action="store_true", help="run the published number of epochs (one hour)")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1. Received: {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
