"""Check the table of the paper machine against its schema, and convert its cells.

The table has 63 columns, in any order: `time`, `y` (1 in the rows where the paper sheet broke) and the sensors `x1` to
`x61`. Exports differ in date format, separators and column order, so a file is accepted if it matches this schema:
every cell is checked, and the error message gives row and column of the first wrong one.
"""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from common.data.table_files import Cells, read_cells, require_rectangle
from common.data.times import EXPECTED, out_of_order, read_times
from common.errors import DataError

SENSORS = tuple(f"x{number}" for number in range(1, 62))
COLUMNS = ("time", "y", *SENSORS)

# A smaller table cannot be split into training, validation and test parts with both classes in each.
FEWEST_ROWS = 100


class Table(NamedTuple):
    """The columns of the table: `time` (datetime64[s]), `y` (int64), and the sensors `x`, shape `(rows, 61)`.

    `note` says what was uncertain about the file; empty if nothing was.
    """

    time: np.ndarray
    y: np.ndarray
    x: np.ndarray
    note: str = ""


def read_table(path: Path) -> Table:
    """Read and check the table.

    Args:
        path: a text file or a workbook, see `read_cells`. Numbers have decimal points, or all of them decimal commas.

    Raises:
        DataError: the file cannot be read or breaks the schema; the message names file, row and column.
    """
    cells = _without_counters(read_cells(path, COLUMNS))
    _require_columns(cells)
    require_rectangle(cells)
    time, note = _times(cells)
    y, style = _breaks(cells), _style(cells)
    x = [_numbers(cells, sensor, style) for sensor in SENSORS]
    return Table(time, y, np.column_stack(x), note)


# Checking the schema.


def _without_counters(cells: Cells) -> Cells:
    """Drop the columns that are empty or only count the rows, as many programs write them beside a table."""
    header, rows = cells.header, cells.rows
    if rows and all(len(row) == len(header) + 1 for _, row in rows):
        # R writes no name above the numbers of the rows.
        header = ["", *header]
    extra = [index for index, name in enumerate(header) if name not in COLUMNS]
    dropped = {index for index in extra if _counts([row[index] for _, row in rows if index < len(row)])}
    if not dropped:
        return cells

    def kept(row: Sequence[Any]) -> list[Any]:
        return [cell for index, cell in enumerate(row) if index not in dropped]

    return Cells(cells.path, kept(header), [(number, kept(row)) for number, row in rows])


def _counts(column: Sequence[Any]) -> bool:
    """Check if the cells of a column are all empty, or whole numbers that rise."""
    texts = ["" if cell is None else str(cell).strip() for cell in column]
    numbers = [int(float(text)) for text in texts if re.fullmatch(r"\d{1,12}(\.0)?", text)]
    rising = len(numbers) == len(texts) and all(a < b for a, b in pairwise(numbers))
    return bool(texts) and (rising or not any(texts))


def _require_columns(cells: Cells) -> None:
    found = cells.header
    missing = [name for name in COLUMNS if name not in found]
    unknown = [name for name in found if name not in COLUMNS]
    repeated = sorted({name for name in found if found.count(name) > 1})
    problems = [
        f"{what} {', '.join(map(repr, names[:5]))}{' and more' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("unknown", unknown), ("repeated", repeated))
        if names
    ]
    if problems:
        raise DataError(
            f"{cells.path}, row 1: expected the {len(COLUMNS)} columns time, y, x1 to x61, "
            f"found {len(found)}: {'; '.join(problems)}"
        )
    if not cells.rows:
        raise DataError(f"{cells.path}: expected rows below the header, found none")


def _times(cells: Cells) -> tuple[np.ndarray, str]:
    index = cells.header.index("time")
    values, order, others = read_times([row[index] for _, row in cells.rows])
    wrong = np.isnat(values) | out_of_order(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        later = "" if row == 0 else f"a time after {values[row - 1]} of the row before (dates are read as {order})"
        _refuse(cells, row, "time", EXPECTED if np.isnat(values[row]) else later)
    if not others:
        return values, ""
    return values, (
        f"{cells.path}, column time: the dates can be read as {' or '.join((order, *others))}, with the same steps "
        f"from row to row; they are read as {order}, the first as {values[0]}"
    )


def _breaks(cells: Cells) -> np.ndarray:
    y = _convert(cells, "y", _label).astype(np.int64)
    for missing, found in ((1, "none"), (0, "nothing but breaks")):
        if missing not in y:
            raise DataError(
                f"{cells.path}, column y: expected breaks (1) and rows without one (0), found {found} in {len(y)} rows"
            )
    return y


def _convert(cells: Cells, column: str, convert: Callable[[Any], Any]) -> np.ndarray:
    """Convert every cell of one column; raise `DataError` for the first cell that cannot be converted."""
    index = cells.header.index(column)
    values = []
    for row, (_, line) in enumerate(cells.rows):
        try:
            values.append(convert(line[index]))
        except ValueError as error:
            _refuse(cells, row, column, str(error))
    return np.array(values)


def _refuse(cells: Cells, row: int, column: str, expected: str) -> NoReturn:
    number, line = cells.rows[row]
    cell = line[cells.header.index(column)]
    found = "an empty cell" if cell in (None, "") else repr(cell)
    raise DataError(f"{cells.path}, row {number}, column {column}: found {found}, expected {expected}")


# Numbers: how a file writes them, and a column of them.

# A number with commas or points between its thousands; with a single one, it may be a decimal mark.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.])\d{3}(?:\1\d{3})*(?:(?!\1)[,.]\d*)?")
# Spaces and quotation marks that separate thousands.
_SPACES = " \u00a0\u2009\u202f'\u2019"


class _Style(NamedTuple):
    """How the numbers of a file are written.

    Attributes:
        mark: the decimal mark, a point or a comma.
        sure: true if some number has this mark, so that the other one cannot be a decimal mark.
        grouped: true if some number shows, as 1,234.5 does, that the other mark separates thousands.
    """

    mark: str
    sure: bool
    grouped: bool


def _style(cells: Cells) -> _Style:
    """Infer how the numbers of a file are written; a mark that could be either, as in 1,234, shows nothing."""
    indices = [cells.header.index(sensor) for sensor in SENSORS]
    numbers = [row[index] for _, row in cells.rows for index in indices]
    texts = [cell for cell in numbers if isinstance(cell, str)]
    votes, separators = Counter({".": len(numbers) - len(texts)}), set()
    if any("," in text for text in texts):
        for text in texts:
            marks = re.findall("[,.]", text)
            if found := _THOUSANDS.fullmatch(text.strip()):
                if len(marks) > 1:
                    separators.add(found[1])
                    votes["," if found[1] == "." else "."] += 1
            elif len(marks) == 1:
                votes[marks[0]] += 1
    mark = "," if votes[","] > votes["."] else "."
    return _Style(mark, votes[mark] > 0, bool(separators - {mark}))


def _numbers(cells: Cells, column: str, style: _Style) -> np.ndarray:
    """Convert a column of numbers, all cells at once if they are written as most programs write them."""
    index = cells.header.index(column)
    found = [row[index] for _, row in cells.rows]
    # NumPy would also accept True and 1_000.
    usual = all(type(cell) in (int, float) or (type(cell) is str and "_" not in cell) for cell in found)
    if style.mark == "." and usual:
        with contextlib.suppress(ValueError, OverflowError):
            numbers = np.array(found, dtype=np.float64)
            if np.isfinite(numbers).all():
                return numbers
    # In a column of whole numbers the other mark can only separate thousands.
    whole = style.sure and not any(isinstance(cell, float) or style.mark in str(cell) for cell in found)
    separators = _SPACES + ("." if style.mark == "," else ",") * (style.grouped or whole)
    groups = rf"[1-9]\d{{0,2}}([{separators}])\d{{3}}(?:\1\d{{3}})*"
    pattern = re.compile(rf"[+-]?(?:{groups}|\d+)?(?:[{style.mark}]\d*)?(?:[eE][+-]?\d+)?")

    def number(cell: Any) -> float:
        plain = cell
        if isinstance(cell, str):
            is_number = pattern.fullmatch(cell.strip()) and re.search(r"\d", cell)
            plain = float(re.sub(f"[{separators}]", "", cell).replace(",", ".")) if is_number else math.nan
        return _finite(plain, style.mark)

    return _convert(cells, column, number)


# Converting one cell. Each function raises ValueError with a description of the expected value.


def _label(cell: Any) -> int:
    found = re.fullmatch(r"([01])(?:[.,]0*)?", str(cell).strip())
    if not found:
        raise ValueError("0 or 1")
    return int(found[1])


def _finite(cell: Any, mark: str) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
        due = "comma, as elsewhere in this file" if mark == "," else "point"
        raise ValueError(f"a finite number with a decimal {due}")
    return float(cell)
