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


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """The printed numbers of one method, one for each row of the table.

    Attributes:
        method: name of the method in the paper.
        values: the printed numbers.
        spreads: the printed spreads, in the same order. Default: none are printed.
        spread: what the spreads are.
        runs: number of runs that a number is the mean of. Default: not stated.
    """

    method: str
    values: tuple[Decimal, ...]
    spreads: tuple[Decimal, ...] = ()
    spread: str = ""
    runs: Annotated[int, Meta(ge=1)] | None = None


class PaperTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a paper with a row for each class of a data set.

    Attributes:
        where: place in the paper.
        dataset: name of the data set.
        role: what the class of a row is: the normal one, with all others as anomalies, or the anomaly.
        number: what the numbers are.
        differs: how the protocol differs from ours.
        classes: the class of each row, in the printed order.
        columns: the methods.
    """

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

    def __post_init__(self) -> None:
        """Check that each class has one row, and each column one number a row.

        Raises:
            ValueError: a rule is broken.
        """
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a class has two rows. Received: {self.classes}")
        for column in self.columns:
            lengths = {len(column.values), len(column.spreads) or len(column.values)}
            if lengths != {len(self.classes)}:
                raise ValueError(f"{column.method!r} needs {len(self.classes)} numbers. Received: {sorted(lengths)}")

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
            tables.append(from_plain(tomllib.loads(path.read_text(encoding="utf-8")), PaperTable))
        except ValueError as error:
            raise PublishedError(f"{path.name}: {error}") from error
    return [table for table in tables if table.dataset == dataset]
