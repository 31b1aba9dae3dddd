"""Read and check the tables of papers that are shown beside our sweeps, data/published/tables/.

They belong to no experiment, and nothing is judged by them: their protocols differ from ours, as each file says.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from common.comparison.published import PUBLISHED, Decimal
from common.errors import PublishedError
from common.files import from_plain

TABLES = PUBLISHED / "tables"

# What the spreads of a column can be, if it is judged.
STANDARD_DEVIATION, STANDARD_ERROR = "standard deviation", "standard error"


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """The printed numbers of one method, one for each row of the table.

    Attributes:
        method: name of the method in the paper.
        values: the printed numbers.
        spreads: the printed spreads, in the same order. Default: none are printed.
        spread: what the spreads are.
        runs: number of runs that a number is the mean of. Default: not stated.
        tolerance: for a column that we rebuild, the largest distance from a printed number to the mean of our runs, at
            either end of the interval of their difference, that counts as reproduced. Default: nothing is judged.
        why: reason for the tolerance.
    """

    method: str
    values: tuple[Decimal, ...]
    spreads: tuple[Decimal, ...] = ()
    spread: str = ""
    runs: Annotated[int, Meta(ge=1)] | None = None
    tolerance: Annotated[float, Meta(gt=0)] | None = None
    why: str = ""

    def __post_init__(self) -> None:
        """Check that a column that is judged has what this needs.

        Raises:
            ValueError: a rule is broken.
        """
        if self.tolerance is None:
            return
        if not self.spreads or self.spread not in (STANDARD_DEVIATION, STANDARD_ERROR):
            raise ValueError(f"{self.method!r} needs spreads that are a {STANDARD_DEVIATION} or a {STANDARD_ERROR}")
        if (self.runs or 0) < 2 or not self.why:
            raise ValueError(f"{self.method!r} needs two runs or more, and in `why` the reason for its tolerance")


class Exact(Struct, frozen=True, forbid_unknown_fields=True):
    """Printed numbers that follow from the data, one for each row of the table: double precision, all digits.

    Attributes:
        name: what they are.
        values: the printed numbers.
    """

    name: str
    values: tuple[Decimal, ...]


class PaperTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a paper with a row for each class of a data set.

    Attributes:
        name: name of the file, without its ending.
        where: place in the paper.
        dataset: name of the data set.
        role: what the class of a row is: the normal one, with all others as anomalies, or the anomaly.
        number: what the numbers are.
        differs: how the protocol differs from ours.
        classes: the class of each row, in the printed order.
        columns: the methods.
        exact: numbers of the same rows that are no results of a method. Default: none.
    """

    name: str
    title: str
    authors: str
    where: str
    address: Annotated[str, Meta(pattern="^https://")]
    dataset: str
    role: Literal["normal", "anomaly"]
    number: str
    differs: str
    classes: tuple[int, ...]
    columns: Annotated[tuple[Column, ...], Meta(min_length=1)]
    exact: tuple[Exact, ...] = ()

    def __post_init__(self) -> None:
        """Check that each class has one row, and each column one number a row.

        Raises:
            ValueError: a rule is broken.
        """
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a class has two rows. Received: {self.classes}")
        lists = {one.name: [one.values] for one in self.exact}
        lists |= {column.method: [column.values, column.spreads or column.values] for column in self.columns}
        for name, lengths in {name: {*map(len, found)} for name, found in lists.items()}.items():
            if lengths != {len(self.classes)}:
                raise ValueError(f"{name!r} needs {len(self.classes)} numbers. Received: {sorted(lengths)}")

    def printed(self, column: Column) -> dict[int, str]:
        """Give the printed text of a column by class, with its spread."""
        spreads = [f" +- {spread}" for spread in column.spreads] or [""] * len(column.values)
        return {one: value + spread for one, value, spread in zip(self.classes, column.values, spreads, strict=True)}


def read_tables(dataset: str, folder: Path = TABLES) -> list[PaperTable]:
    """Read and check the tables of papers on one data set, in the order of their file names.

    Raises:
        PublishedError: a file is no TOML or breaks a rule; the message names the file and the place.
    """
    tables = []
    for path in sorted(folder.glob("*.toml")):
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            tables.append(from_plain({**content, "name": path.stem}, PaperTable))
        except ValueError as error:
            raise PublishedError(f"{path.name}: {error}") from error
    return [table for table in tables if table.dataset == dataset]
