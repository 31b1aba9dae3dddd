"""Read the table of the paper machine, from its owner's .xlsx file or from a .csv export.

The table has 63 columns, in any order: `time`, `y` (1 in the rows where the paper sheet broke) and the sensors `x1` to
`x61`. Exports differ in date format, separators and column order, so a file is accepted if it matches this schema:
every cell is checked, and the error message gives row and column of the first wrong one.
"""

import contextlib
import csv
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from common.errors import DataError

SENSORS = tuple(f"x{number}" for number in range(1, 62))
COLUMNS = ("time", "y", *SENSORS)
_DATE_FORMATS = ("%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")

# A smaller table cannot be split into training, validation and test parts with both classes in each.
FEWEST_ROWS = 100


class Table(NamedTuple):
    """The columns of the table: `time` (datetime64[s]), `y` (int64), and the sensors `x`, shape `(rows, 61)`."""

    time: np.ndarray
    y: np.ndarray
    x: np.ndarray


class _Cells(NamedTuple):
    """The unconverted cells of a file: below the header, the number of each row in the file, and its cells."""

    path: Path
    header: list[str]
    rows: list[tuple[int, Sequence[Any]]]
    decimal_comma: bool = False


def read_table(path: Path) -> Table:
    """Read and check the table.

    Args:
        path: a .csv file, separated by commas, or by semicolons or tabs with decimal points or commas; or an .xlsx
            file, of which the sheet `data` is read, or the first sheet if none has this name.

    Raises:
        DataError: the file cannot be read or breaks the schema; the message names file, row and column.
    """
    cells = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    _require_columns(cells)
    _require_rectangle(cells)
    time, y = _times(cells), _breaks(cells)
    number = _number_with_comma if cells.decimal_comma else _number
    return Table(time, y, np.column_stack([_convert(cells, sensor, number) for sensor in SENSORS]))


# Reading the cells of a file.


def _read_csv(path: Path) -> _Cells:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = _header(next(reader, []))
            rows: list[tuple[int, Sequence[Any]]] = [(reader.line_num, row) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8: {error}") from error
    comma = delimiter != "," and any("," in cell for _, row in rows for cell in row)
    return _Cells(path, header, rows, comma)


def _header(row: Sequence[Any]) -> list[str]:
    """Extract the column names from the first row, without the empty cells that spreadsheets append."""
    names = ["" if name is None else str(name).strip() for name in row]
    while names and not names[-1]:
        names.pop()
    return names


def _read_xlsx(path: Path) -> _Cells:
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book["data"] if "data" in book.sheetnames else book.worksheets[0]
            # Some programs write a wrong sheet size into the file.
            sheet.reset_dimensions()
            lines = [*enumerate(sheet.iter_rows(values_only=True), start=1)]
        finally:
            book.close()
    except Exception as error:  # a damaged file can raise any exception of openpyxl, zipfile and the XML parser
        raise DataError(f"{path} cannot be read as .xlsx: {' '.join(str(error).split())}") from error
    header = _header(lines[0][1]) if lines else []
    filled = [(number, row) for number, row in lines[1:] if any(cell is not None for cell in row)]
    # A row may lack its trailing empty cells.
    return _Cells(path, header, [(number, (*row, *[None] * (len(header) - len(row)))) for number, row in filled])


# Checking the schema.


def _require_columns(cells: _Cells) -> None:
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


def _require_rectangle(cells: _Cells) -> None:
    width = len(cells.header)
    for number, row in cells.rows:
        if len(row) != width and (len(row) < width or any(cell not in (None, "") for cell in row[width:])):
            raise DataError(
                f"{cells.path}, row {number}: expected {width} cells as in the header, found {len(row)} "
                "(decimal commas need semicolons between the columns)"
            )


def _times(cells: _Cells) -> np.ndarray:
    time = _convert(cells, "time", _time).astype("datetime64[s]")
    steps = np.diff(time).astype(np.int64)
    if np.any(steps <= 0):
        row = int(np.argmax(steps <= 0)) + 1
        _refuse(cells, row, "time", f"a time after {time[row - 1]} of the row before (dates are month/day/year)")
    return time


def _breaks(cells: _Cells) -> np.ndarray:
    y = _convert(cells, "y", _label).astype(np.int64)
    for missing, found in ((1, "none"), (0, "nothing but breaks")):
        if missing not in y:
            raise DataError(
                f"{cells.path}, column y: expected breaks (1) and rows without one (0), found {found} in {len(y)} rows"
            )
    return y


def _convert(cells: _Cells, column: str, convert: Callable[[Any], Any]) -> np.ndarray:
    """Convert every cell of one column; raise `DataError` for the first cell that cannot be converted."""
    index = cells.header.index(column)
    values = []
    for row, (_, line) in enumerate(cells.rows):
        try:
            values.append(convert(line[index]))
        except ValueError as error:
            _refuse(cells, row, column, str(error))
    return np.array(values)


def _refuse(cells: _Cells, row: int, column: str, expected: str) -> NoReturn:
    number, line = cells.rows[row]
    cell = line[cells.header.index(column)]
    found = "an empty cell" if cell in (None, "") else repr(cell)
    raise DataError(f"{cells.path}, row {number}, column {column}: found {found}, expected {expected}")


# Converting one cell. Each function raises ValueError with a description of the expected value.


def _time(cell: Any) -> np.datetime64:
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, str):
        moment = _parse_time(cell.strip())
    else:
        raise ValueError("a date and time (in a spreadsheet: a cell that is formatted as a date)")
    # A spreadsheet stores times as fractions of a day, so they need rounding to the second.
    return np.datetime64((moment + timedelta(milliseconds=500)).replace(microsecond=0), "s")


def _parse_time(text: str) -> datetime:
    for form in _DATE_FORMATS:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise ValueError("a time as 5/1/99 0:00 (month/day/year) or 1999-05-01 00:00") from None


def _label(cell: Any) -> int:
    if isinstance(cell, bool) or cell not in (0, 1, "0", "1", "0.0", "1.0"):
        raise ValueError("0 or 1")
    return int(float(cell))


def _number(cell: Any) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        raise ValueError("a finite number")
    try:
        # Python's float() would also accept 1_000.
        number = math.nan if isinstance(cell, str) and "_" in cell else float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a finite number with a decimal point")
    return number


def _number_with_comma(cell: str) -> float:
    if "." in cell:
        raise ValueError("a number with a decimal comma, as elsewhere in this file")
    try:
        return _number(cell.replace(",", "."))
    except ValueError:
        raise ValueError("a finite number with a decimal comma, as elsewhere in this file") from None
