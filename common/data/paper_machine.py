"""Reads the table of the paper machine, from its owner's .xlsx or from a .csv.

The table has 63 columns, in any order: `time`, `y` (1 where the sheet broke) and the sensors `x1` to `x61`. Everyone
exports it in their own way, so the schema decides whether a file is taken: every cell is checked, and the first one
that is wrong is named by its row and column.
"""

from __future__ import annotations

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


# With fewer there is nothing to be split into three parts with both classes in each.
FEWEST_ROWS = 100


class Table(NamedTuple):
    """Time of each row (datetime64[s]), `y` (int64), and the sensors, shape `(rows, 61)`."""

    time: np.ndarray
    y: np.ndarray
    x: np.ndarray


class _Cells(NamedTuple):
    """The cells of a file as they stand there, row by row, each with its number in the file."""

    path: Path
    header: list[str]
    numbers: list[int]
    rows: Sequence[Sequence[Any]]
    decimal_comma: bool = False


def read_table(path: Path) -> Table:
    """Read and check the table.

    Args:
        path: a .csv (commas, or semicolons with decimal commas or points) or an .xlsx (sheet `data`, or the first).

    Raises:
        DataError: the file cannot be read or breaks the schema; the message names file, row and column.
    """
    cells = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    _require_columns(cells)
    _require_rectangle(cells)
    return Table(
        _times(cells),
        _breaks(cells),
        np.column_stack([_convert(cells, sensor, _decimal(cells)) for sensor in SENSORS]),
    )


# From a file to its cells.


def _read_csv(path: Path) -> _Cells:
    numbers: list[int] = []
    rows: list[Sequence[Any]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = _header(next(reader, []))
            for row in reader:
                if any(row):
                    numbers.append(reader.line_num)
                    rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8: {error}") from error
    comma = delimiter != "," and any("," in cell for row in rows for cell in row)
    return _Cells(path, header, numbers, rows, comma)


def _header(row: Sequence[Any]) -> list[str]:
    """The names in the first row, without the empty cells that spreadsheets leave behind the last one."""
    names = ["" if name is None else str(name).strip() for name in row]
    while names and not names[-1]:
        names.pop()
    return names


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _read_xlsx(path: Path) -> _Cells:
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book["data"] if "data" in book.sheetnames else book.worksheets[0]
            # The size that a sheet states of itself is wrong in the files of some programs.
            sheet.reset_dimensions()
            lines = [*enumerate(sheet.iter_rows(values_only=True), start=1)]
        finally:
            book.close()
    except Exception as error:  # damage goes through three libraries, and each has its own words for it
        raise DataError(f"{path} cannot be read as .xlsx: {' '.join(str(error).split())}") from error
    header = _header(lines[0][1]) if lines else []
    filled = [(number, row) for number, row in lines[1:] if any(cell is not None for cell in row)]
    # Empty cells at the end of a row may be left out.
    padded = [(*row, *[None] * (len(header) - len(row))) for _, row in filled]
    return _Cells(path, header, [number for number, _ in filled], padded)


# The schema.


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
    for number, row in zip(cells.numbers, cells.rows, strict=True):
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
    """One column, every cell of it converted; the first that cannot be is named."""
    index = cells.header.index(column)
    values = []
    for row, line in enumerate(cells.rows):
        try:
            values.append(convert(line[index]))
        except ValueError as error:
            _refuse(cells, row, column, str(error))
    return np.array(values)


def _refuse(cells: _Cells, row: int, column: str, expected: str) -> NoReturn:
    cell = cells.rows[row][cells.header.index(column)]
    found = "an empty cell" if cell in (None, "") else repr(cell)
    raise DataError(f"{cells.path}, row {cells.numbers[row]}, column {column}: found {found}, expected {expected}")


# One cell. Each function raises ValueError with what it expected.


def _time(cell: Any) -> np.datetime64:
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, str):
        moment = _parse_time(cell.strip())
    else:
        raise ValueError("a date and time (in a spreadsheet: a cell that is formatted as a date)")
    # A spreadsheet counts in fractions of days, which may miss the second by a little.
    return np.datetime64((moment + timedelta(milliseconds=500)).replace(microsecond=0), "s")


def _parse_time(text: str) -> datetime:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise ValueError("a time as 5/1/99 0:00 (month/day/year) or 1999-05-01 00:00") from None


def _label(cell: Any) -> int:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str) or cell not in (0, 1, "0", "1", "0.0", "1.0"):
        raise ValueError("0 or 1")
    return int(float(cell))


def _decimal(cells: _Cells) -> Callable[[Any], float]:
    return _number_with_comma if cells.decimal_comma else _number


def _number(cell: Any) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        raise ValueError("a finite number")
    # Python would also read 1_000 as a number.
    number = math.nan if isinstance(cell, str) and "_" in cell else _float(cell)
    if not math.isfinite(number):
        raise ValueError("a finite number with a decimal point")
    return number


def _float(cell: Any) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _number_with_comma(cell: str) -> float:
    if "." in cell:
        raise ValueError("a number with a decimal comma, as elsewhere in this file")
    try:
        return _number(cell.replace(",", "."))
    except ValueError:
        raise ValueError("a finite number with a decimal comma, as elsewhere in this file") from None
