"""Command line of the benchmarks: `python -m benchmarks`, or `make bench`.

Each section of benchmarks/README.md can be measured on its own. A section is printed, and written to that file unless
it was shortened by `--only`, `--quick` or `--full`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import announced, pytorch, rows, table
from benchmarks.growth import FACTOR, GROWTHS
from benchmarks.limit import limit_of
from benchmarks.measure import Measurement, measure_growth, measure_limit, measure_row, run_in_children
from benchmarks.rows import ROWS, Row
from common.files import write_atomically
from common.runs import environment

README = Path(__file__).parent / "README.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen sections, print their tables, and write them to benchmarks/README.md.

    Returns:
        The exit status, always 0. A missed target is shown in the table but is no failure, since other load on the
        machine changes the ratios.
    """
    options = _parse(arguments)
    for section in options.sections or SECTIONS:
        machine = describe(options)
        generated = f"{table.circumstances(machine)}\n\n{SECTIONS[section](options)}\n"
        print(generated, flush=True)
        if not (options.only or options.quick or options.full):
            text = table.insert(README.read_text(encoding="utf-8"), section, generated)
            write_atomically(README, text.encode())
    return 0


def speed(options: argparse.Namespace) -> str:
    """Measure single trainings, scoring, windows, and all experiments from end to end."""
    return table.speed(_measured(options, lambda row: not row.several_seeds))


def seeds(options: argparse.Namespace) -> str:
    """Measure ten trainings of each experiment."""
    return table.seeds(_measured(options, lambda row: row.several_seeds))


def limit(options: argparse.Namespace) -> str:
    """Measure one training of each experiment in every way, and the limit of the machine."""
    trainings = _measured(options, lambda row: row.is_training, rounds=1)
    limits = []
    for row, measured in trainings:
        print(f"{row.title}: limit of the machine", file=sys.stderr)
        limits.append((row, measured, limit_of(row.name, measure_limit(row.name))))
    return table.limit(limits)


def growth(options: argparse.Namespace) -> str:
    """Measure every entry of the growth table at both sizes."""
    measured = []
    for entry in GROWTHS:
        print(f"{entry.what}: published size, and {FACTOR} times", file=sys.stderr)
        measured.append((entry, measure_growth(entry.name, 1), measure_growth(entry.name, FACTOR)))
    return table.growth_table(measured)


def vae(options: argparse.Namespace) -> str:
    """Measure the training of a VAE beside that of a plain autoencoder."""
    return announced.table(options.repeats)


SECTIONS: Mapping[str, Callable[[argparse.Namespace], str]] = {
    function.__name__: function for function in (speed, seeds, limit, growth, vae)
}


def _measured(
    options: argparse.Namespace, wanted: Callable[[Row], bool], rounds: int | None = None
) -> list[tuple[Row, dict[str, list[Measurement]]]]:
    chosen = [row for row in ROWS if wanted(row) and options.only in (None, row.name)]
    return [(row, measure(row, options, rounds or options.repeats)) for row in chosen]


def measure(row: Row, options: argparse.Namespace, rounds: int) -> dict[str, list[Measurement]]:
    """Measure all ways of a row, in turn, in as many rounds or in the largest number of the row."""
    epochs = _epochs(options)
    ways = [way for way in row.ways if pytorch.installed() or not way.startswith(rows.PYTORCH)]
    if options.quick:
        ways = [way for way in ways if way not in row.once]

    def run(way: str) -> Measurement:
        print(f"{row.title}: {way}", file=sys.stderr)
        return run_in_children(row, way, epochs)

    return measure_row(ways, min(row.rounds or rounds, rounds), run, row.once)


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
        "epochs that were run": epochs,
        "load average at the start": f"{load:.1f}{busy}",
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"sections to measure: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--only", choices=[row.name for row in ROWS], metavar="ROW", help="measure one row only")
    parser.add_argument(
        "--repeats", type=_positive, metavar="N", help="number of rounds (default: 3, or 1 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="run 3 epochs and one round, as a check")
    parser.add_argument("--full", action="store_true", help="run the published number of epochs (one hour)")
    options = parser.parse_args(arguments)
    for section in options.sections:
        if section not in SECTIONS:
            parser.error(f"there is no section {section}; there are {', '.join(SECTIONS)}")
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1. Received: {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
