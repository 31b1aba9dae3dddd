"""Convert the columns of a user's table: numbers, labels and times."""

import contextlib
import math
import re
import reprlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from common.data import times
from common.errors import DataError

# Texts that stand for a missing value, in any case.
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none"}
_LABELS = {"true": 1, "false": 0}
_NUMBER = re.compile(r"[+-]?(?:(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?|inf(?:inity)?)", re.IGNORECASE)
# The first second of the year 10000: larger numbers are no seconds since 1970.
_LAST_SECOND = 253_402_300_800


class Sheet(NamedTuple):
    """The cells of a table by column.

    Attributes:
        path: path of the file.
        rows: number of each row in the file; the header is row 1.
        columns: cells of each column by its name.
        comma: true if numbers may have decimal commas, since commas do not separate the columns.
    """

    path: Path
    rows: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    comma: bool

    def refuse(self, row: int, name: str, problem: str) -> NoReturn:
        """Raise `DataError` for one cell, given the position of its row."""
        raise DataError(f"{self.path}, row {self.rows[row]}, column {name!r}: {problem}")


def is_missing(cell: Any) -> bool:
    """Check if a cell is empty or holds a text that stands for a missing value."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING)


def is_number(text: str) -> bool:
    """Check if a text is a number with a decimal point or comma."""
    return bool(_NUMBER.fullmatch(text.strip()))


# Numbers.


def read_numbers(sheet: Sheet, name: str) -> np.ndarray:
    """Convert a column to float64, shape `(rows,)`, NaN where the value is missing.

    Raises:
        DataError: a cell holds text or an infinite number.
    """
    cells = sheet.columns[name]
    # NumPy would also accept True and 1_000.
    if all(type(cell) in (int, float) or (type(cell) is str and "_" not in cell) for cell in cells):
        with contextlib.suppress(ValueError, OverflowError):
            numbers = np.array(cells, dtype=np.float64)
            if np.isfinite(numbers).all():
                return numbers
    return np.array([_number_in(sheet, name, row) for row in range(len(cells))])


def require_one_mark(sheet: Sheet, names: Sequence[str]) -> None:
    """Check that the numbers of some columns do not have both decimal points and decimal commas.

    Raises:
        DataError: they have.
    """
    if not sheet.comma:
        return
    found: dict[str, str] = {}
    for name in names:
        for row, cell in zip(sheet.rows, sheet.columns[name], strict=True):
            if isinstance(cell, str) and ("," in cell or "." in cell):
                found.setdefault("," if "," in cell else ".", f"{cell.strip()!r} in row {row}, column {name!r}")
    if len(found) > 1:
        raise DataError(
            f"{sheet.path}: expected decimal points or decimal commas in all numbers, found {found['.']}, "
            f"but {found[',']} (thousands separators are not read)"
        )


def _number_in(sheet: Sheet, name: str, row: int) -> float:
    cell = sheet.columns[name][row]
    number = _number(cell, sheet.comma)
    if number is not None and not math.isinf(number):
        return number
    if number is not None:
        sheet.refuse(row, name, f"the number is infinite; expected a finite one, or leave it out with {_drop(name)}")
    if isinstance(cell, str) and re.fullmatch(r"[+-]?\d[\d.,'\s]*", cell.strip()):
        what = "a decimal point or comma" if sheet.comma else "a decimal point"
        sheet.refuse(row, name, f"found {_shown(cell)}, expected {what} and no thousands separators")
    text = f"column {name!r} holds text ({_shown(cell)} in row {sheet.rows[row]})"
    raise DataError(f"{sheet.path}: {text}: leave it out with {_drop(name)}")


def _number(cell: Any, comma: bool) -> float | None:
    """Convert a cell to a number; NaN if it is missing, `None` if it is no number."""
    if is_missing(cell):
        return math.nan
    if isinstance(cell, str):
        text = cell.strip()
        return float(text.replace(",", ".")) if is_number(text) and (comma or "," not in text) else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if abs(cell) < 1e308 else math.inf


def _shown(cell: Any) -> str:
    """Write a cell in quotation marks, shortened, in one line."""
    return reprlib.repr(cell if isinstance(cell, str) else str(cell))


def _drop(name: str) -> str:
    return f"--drop {shlex.quote(name) if name.isprintable() else repr(name)}"


# Labels.


def read_labels(sheet: Sheet, name: str) -> np.ndarray:
    """Convert a column of labels to int64, shape `(rows,)`: 1 or true for an anomaly, 0 or false for a normal row.

    Raises:
        DataError: labels are missing, or one is something else.
    """
    cells = sheet.columns[name]
    missing = [row for row, cell in enumerate(cells) if is_missing(cell)]
    if missing:
        sheet.refuse(
            missing[0], name, f"the label is missing, as in {len(missing)} of {len(cells)} rows; expected 0 or 1"
        )
    return np.array([_label_in(sheet, name, row) for row in range(len(cells))], dtype=np.int64)


def _label_in(sheet: Sheet, name: str, row: int) -> int:
    text = str(sheet.columns[name][row]).strip().lower()
    if text in _LABELS:
        return _LABELS[text]
    found = re.fullmatch(r"([01])(?:[.,]0*)?", text)
    if not found:
        expected = "1 (or true) for an anomaly, or 0 (or false)"
        sheet.refuse(row, name, f"found {_shown(sheet.columns[name][row])}, expected {expected}")
    return int(found[1])


# Times.


def read_times(sheet: Sheet, name: str) -> tuple[np.ndarray, str]:
    """Convert a column of times to datetime64[s], shape `(rows,)`: dates, or numbers of seconds.

    Times with an offset from UTC are converted to UTC; fractions of a second are rounded.

    Returns:
        The times, and a note on what is uncertain about them; empty if nothing is.

    Raises:
        DataError: a time is missing, is none, or is not later than the one of the row before; or some have an offset
            from UTC and others have none.
    """
    cells = sheet.columns[name]
    missing = [row for row, cell in enumerate(cells) if is_missing(cell)]
    if missing:
        sheet.refuse(missing[0], name, f"the time is missing, as in {len(missing)} of {len(cells)} rows")
    if _number(cells[0], sheet.comma) is not None:
        values, note = _seconds(sheet, name), ""
    else:
        values, note = _dates(sheet, name)
    _require_order(sheet, name, values)
    return values, note


def _seconds(sheet: Sheet, name: str) -> np.ndarray:
    numbers = []
    for row, cell in enumerate(sheet.columns[name]):
        number = _number(cell, sheet.comma)
        if number is None:
            sheet.refuse(row, name, f"found {_shown(cell)}, expected a number of seconds as in the rows before")
        if not abs(number) < _LAST_SECOND:
            sheet.refuse(row, name, f"found {_shown(cell)}, expected seconds: divide milliseconds by 1000")
        numbers.append(number)
    return np.floor(np.array(numbers) + 0.5).astype(np.int64).astype("datetime64[s]")


def _dates(sheet: Sheet, name: str) -> tuple[np.ndarray, str]:
    cells = sheet.columns[name]
    values, order, others = times.read_times(cells)
    wrong = np.isnat(values)
    if wrong.any():
        zoned = times.have_offset(cells)
        # All cells before the first that differs from them are alike.
        row = int(np.argmax(zoned != zoned[0]))
        if row and not np.isnat(times.read_times([cells[row]]).values[0]):
            with_offset, without = (row, 0) if zoned[row] else (0, row)
            offset = f"{_shown(cells[with_offset])} has an offset from UTC"
            none = f"{_shown(cells[without])} in row {sheet.rows[without]} has none"
            sheet.refuse(with_offset if with_offset else without, name, f"{offset}, but {none}")
        row = int(np.argmax(wrong))
        sheet.refuse(row, name, f"found {_shown(cells[row])}, expected {times.EXPECTED}, or a number of seconds")
    if not others:
        return values, ""
    return values, (
        f"the dates of column {name!r} can be read as {' or '.join((order, *others))}; they are read as {order}, "
        f"the first as {values[0]}"
    )


def _require_order(sheet: Sheet, name: str, values: np.ndarray) -> None:
    wrong = times.out_of_order(values)
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    cell, before = sheet.columns[name][row], sheet.columns[name][row - 1]
    if values[row] < values[row - 1]:
        sheet.refuse(
            row, name, f"{_shown(cell)} is earlier than {_shown(before)} in the row before; sort the rows by time"
        )
    if _plain(cell) == _plain(before):
        sheet.refuse(row, name, f"the same time as in the row before ({_shown(cell)}); expected a later one")
    problem = (
        f"{_shown(cell)} is the same second as {_shown(before)} in the row before; times within a second are not read"
    )
    sheet.refuse(row, name, problem)


def _plain(cell: Any) -> Any:
    return cell if isinstance(cell, datetime) else str(cell).strip()


def find_step(sheet: Sheet, name: str, values: np.ndarray) -> tuple[np.timedelta64, str]:
    """Find the most common difference between the times of successive rows; of several, the smallest.

    Returns:
        The step, and a note on the gaps, where the difference is a multiple of it; empty if there are none.

    Raises:
        DataError: a difference is no multiple of the step.
    """
    differences = np.diff(values).astype(np.int64)
    step = min(Counter(differences.tolist()).items(), key=lambda item: (-item[1], item[0]))[0]
    uneven = differences % step != 0
    if uneven.any():
        row = int(np.argmax(uneven))
        raise DataError(
            f"{sheet.path}, row {sheet.rows[row + 1]}: {differences[row]} s after the row before, "
            f"where the step is {step} s; expected multiples of it"
        )
    gaps = np.flatnonzero(differences > step)
    if not len(gaps):
        return np.timedelta64(step, "s"), ""
    first = f"row {sheet.rows[gaps[0] + 1]} comes {differences[gaps[0]]} s after the row before"
    count = "is 1 gap" if len(gaps) == 1 else f"are {len(gaps)} gaps"
    return np.timedelta64(step, "s"), f"there {count} in the times: {first}, where the step is {step} s"
