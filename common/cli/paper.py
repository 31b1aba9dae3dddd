"""Implement the command `paper`: rebuild the column of a paper, and compare it with the printed one."""

import argparse

from rich.table import Table

from common.cli import tables
from common.cli.execution import seeds_of
from common.data.datasets import Source
from common.errors import ConfigError
from common.papers import isolation_forest


def paper_command(options: argparse.Namespace) -> int:
    """Rebuild the column, and print it beside the printed one.

    Raises:
        ConfigError: there are fewer than two seeds, so that ours have no spread.
    """
    seeds = seeds_of(options, [*isolation_forest.SEEDS])
    if len(seeds) < 2:
        raise ConfigError("a mean is compared with its spread, which needs two seeds or more")
    rebuilt = isolation_forest.rebuild(Source(data_dir=options.data_dir), seeds, show_digit)
    paper, column = isolation_forest.printed()
    title = f"{paper.authors}, {paper.where}, {column.method}: {paper.number}, {len(seeds)} seeds of ours"
    table = Table(title=title)
    for heading in ("normal digit", "printed", "ours", "difference (95 % interval)", "p", "verdict"):
        table.add_column(heading, justify="left" if heading == "verdict" else "right")
    for digit, row in zip(paper.classes, isolation_forest.judge(rebuilt), strict=True):
        table.add_row(str(digit), *row.texts())
    tables.show(tables.console(), table)
    for name, (same, total) in isolation_forest.count_exact(rebuilt).items():
        print(f"{name}: {same} of {total} equal to the printed numbers in every decimal")
    return 0


def show_digit(digit: int) -> None:
    """Say which digit is computed."""
    print(f"isolation forests on digit {digit}, {digit + 1} of 10")
