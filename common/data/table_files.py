"""Read the cells of a table, unconverted, from a text file (.csv and the like) or from a workbook (.xlsx)."""

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError

_DELIMITERS = ",;\t|"
WORKBOOKS = (".xlsx", ".xlsm")
# File name extensions that are read; the first ones are preferred.
EXTENSIONS = (".csv", ".tsv", ".txt", *WORKBOOKS)


class Cells(NamedTuple):
    """The unconverted cells of a file: the header, and below it the number of each row in the file and its cells.

    `delimiter` separates the cells of a text file; it is empty for a workbook.
    """

    path: Path
    header: list[str]
    rows: list[tuple[int, Sequence[Any]]]
    delimiter: str = ""


def read_cells(path: Path, columns: Sequence[str], content: bytes | None = None, lower: bool = True) -> Cells:
    """Read all rows that are not empty.

    Args:
        path: a text file, separated by commas, semicolons, tabs or bars, in UTF-8, UTF-16 or UTF-32; or a workbook.
        columns: names of the columns to look for. In a workbook the sheet `data` is read, in upper or lower case, or
            the first sheet with these columns, or the first one.
        content: content of the file, if it has been read already. Default: the file is read.
        lower: convert the names of columns to lower case. Default: yes.

    Raises:
        DataError: the file cannot be read.
    """
    with _open_lines(path, columns, content, lower) as (delimiter, lines):
        header = _names(next(lines, (1, []))[1], lower)
        rows = [(number, row) for number, row in lines if any(cell not in (None, "") for cell in row)]
        return Cells(path, header, rows, delimiter)


def require_rectangle(cells: Cells) -> None:
    """Check that no row has fewer cells than the header, and none has more unless they are empty.

    Raises:
        DataError: a row has; the message names it.
    """
    width = len(cells.header)
    for number, row in cells.rows:
        if len(row) != width and (len(row) < width or any(cell not in (None, "") for cell in row[width:])):
            raise DataError(
                f"{cells.path}, row {number}: expected {width} cells as in the header, found {len(row)} "
                "(decimal commas need semicolons between the columns)"
            )


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Check if the header of a file has certain columns; false if the file cannot be read."""
    try:
        with _open_lines(path, columns) as (_, lines):
            return set(columns) <= set(_names(next(lines, (1, []))[1]))
    except DataError:
        return False


def _open_lines(
    path: Path, columns: Sequence[str], content: bytes | None = None, lower: bool = True
) -> contextlib.AbstractContextManager[tuple[str, Iterator[Any]]]:
    """Open a file; the delimiter of its cells, and the number and the cells of each of its rows."""
    if path.suffix.lower() in WORKBOOKS:
        return _lines_of_workbook(path, columns, content, lower)
    return _lines_of_text(path, content)


def _names(row: Sequence[Any], lower: bool = True) -> list[str]:
    """Extract the column names from the first row, without the empty cells that spreadsheets append."""
    names = ["" if name is None else str(name).strip() for name in row]
    names = [name.lower() for name in names] if lower else names
    while names and not names[-1]:
        names.pop()
    return names


# Text files.


@contextlib.contextmanager
def _lines_of_text(path: Path, content: bytes | None) -> Iterator[tuple[str, Iterator[tuple[int, list[str]]]]]:
    try:
        file = io.StringIO(_decoded(path.read_bytes() if content is None else content), newline="")
        first = file.readline()
        # Spreadsheets write and read a first line that states the separator, as sep=;
        stated = first.lower().startswith("sep=")
        delimiter = max(_DELIMITERS, key=first.count)
        file.seek(len(first) if stated else 0)
        reader = csv.reader(file, delimiter=delimiter)
        yield delimiter, ((reader.line_num + stated, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8 or UTF-16: {error}") from error


def _decoded(content: bytes) -> str:
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        # Windows programs write one byte per character, such as a space between thousands; binary files hold zeros.
        if b"\0" in content:
            raise
        return content.decode("latin-1")


# Workbooks.


@contextlib.contextmanager
def _lines_of_workbook(
    path: Path, columns: Sequence[str], content: bytes | None, lower: bool
) -> Iterator[tuple[str, Iterator[tuple[int, Sequence[Any]]]]]:
    import openpyxl

    with contextlib.ExitStack() as stack:

        def open_book(values: bool) -> Any:
            source = path if content is None else io.BytesIO(content)
            book = openpyxl.load_workbook(source, read_only=True, data_only=values)
            stack.callback(book.close)
            return book

        try:
            book = open_book(values=True)
            title = _choose(book, columns, lower)
            yield "", _filled(path, title, _rows(book[title]), lambda: _rows(open_book(values=False)[title]))
        except DataError:
            raise
        except Exception as error:  # a damaged file can raise any exception of openpyxl, zipfile and the XML parser
            raise DataError(f"{path} cannot be read as .xlsx: {' '.join(str(error).split())}") from error


def _choose(book: Any, columns: Sequence[str], lower: bool) -> str:
    titles = sorted((sheet.title for sheet in book.worksheets), key=lambda title: title.strip().lower() != "data")
    if len(titles) > 1 and titles[0].strip().lower() != "data":
        fitting = [title for title in titles if set(columns) <= set(_names(next(_rows(book[title]), ()), lower))]
        titles = fitting or titles
    return str(titles[0])


def _rows(sheet: Any) -> Iterator[Sequence[Any]]:
    # Some programs write a wrong sheet size into the file.
    sheet.reset_dimensions()
    return iter(sheet.iter_rows(values_only=True))


def _filled(
    path: Path, title: str, rows: Iterator[Sequence[Any]], open_formulas: Callable[[], Iterator[Sequence[Any]]]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Number the rows, extend them to the width of the first one, and refuse formulas without a value."""
    width, formulas, last = 0, None, 0
    for number, row in enumerate(rows, start=1):
        width = width or len(row)
        if None in row:
            formulas = formulas or open_formulas()
            formula_row = next(itertools.islice(formulas, number - last - 1, None))
            last = number
            for column, (cell, formula) in enumerate(zip(row, formula_row, strict=False), start=1):
                if cell is None and formula is not None:
                    raise DataError(
                        f"{path}, sheet {title!r}, row {number}, column {column}: the formula has no stored value. "
                        "Open the file in a spreadsheet program and save it there"
                    )
        yield number, (*row, *[None] * (width - len(row)))
