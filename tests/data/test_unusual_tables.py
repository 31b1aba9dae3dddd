"""Tables as programs and people write them: other times, separators, sheets, encodings, columns of row numbers."""

from datetime import datetime, timedelta

import numpy as np
import openpyxl
import pytest

from common.data import paper_machine, times
from common.errors import DataError
from tests.helpers.small_data import as_text, changed, small_table, write_xlsx

# Times.


def moments(first, rows=4, minutes=2):
    return [datetime.fromisoformat(first) + timedelta(minutes=minutes * row) for row in range(rows)]


def written(form, *args, **options):
    return [format(moment, form) for moment in moments(*args, **options)]


MAY = moments("1999-05-01 00:00")
MIDNIGHT = moments("1999-05-01 23:56")
DAY_FIRST, MONTH_FIRST = "day/month/year", "month/day/year"

# name: cells, what they mean, the other orders in which they could be read
TIMES = {
    "day first, over midnight": (written("%d/%m/%Y %H:%M", "1999-05-01 23:56"), MIDNIGHT, ()),
    "month first, over midnight": (written("%m/%d/%y %H:%M", "1999-05-01 23:56"), MIDNIGHT, ()),
    "a day above twelve": (written("%d/%m/%y %H:%M", "1999-05-13 00:00"), moments("1999-05-13 00:00"), ()),
    "no step over midnight, but the shorter span": (
        ["1/5/99 0:00", "1/5/99 0:02", "2/5/99 0:00", "3/5/99 0:00"],
        [*MAY[:2], MAY[0] + timedelta(days=1), MAY[0] + timedelta(days=2)],
        (),
    ),
    "one day alone": (written("%m/%d/%Y %H:%M", "1999-05-01 00:00"), MAY, (DAY_FIRST,)),
    "dots": (written("%d.%m.%Y %H:%M", "1999-05-01 00:00"), MAY, (MONTH_FIRST,)),
    "dots, and the month first": (written("%m.%d.%y %H:%M", "1999-05-13 00:00"), moments("1999-05-13 00:00"), ()),
    "dots in the clock": (written("%d/%m/%Y %H.%M", "1999-05-01 23:56"), MIDNIGHT, ()),
    "dots in date and clock": (written("%d.%m.%y %H.%M.%S", "1999-05-01 23:56"), MIDNIGHT, ()),
    "hyphens": (written("%d-%m-%Y %H:%M", "1999-05-01 23:56"), MIDNIGHT, ()),
    "the year first in two digits": (written("%y/%m/%d %H:%M", "1999-05-01 23:56"), MIDNIGHT, ()),
    "AM and PM": (written("%m/%d/%Y %I:%M:%S %p", "1999-05-01 23:56"), MIDNIGHT, ()),
    "a.m. after a narrow space": (
        [text.replace(" AM", "\u202fa.m.") for text in written("%m/%d/%y %I:%M %p", "1999-05-13 00:00")],
        moments("1999-05-13 00:00"),
        (),
    ),
    "seconds, and their parts": (written("%Y-%m-%d %H:%M:%S.000", "1999-05-01 00:00"), MAY, ()),
    "parts of seconds after a comma": (written("%Y-%m-%d %H:%M:%S,000", "1999-05-01 00:00"), MAY, ()),
    "no clock at midnight": (["1999-05-01", *written("%Y-%m-%d %H:%M", "1999-05-01 00:02", rows=3)], MAY, ()),
    "slashes after the year": (written("%Y/%m/%d %H:%M", "1999-05-01 00:00"), MAY, ()),
    "T and Z": (written("%Y-%m-%dT%H:%M:%SZ", "1999-05-01 00:00"), MAY, ()),
    "without separators": (written("%Y%m%dT%H%M%S", "1999-05-01 00:00"), MAY, ()),
    "an offset": (written("%Y-%m-%dT%H:%M:%S+02:00", "1999-05-01 02:00"), MAY, ()),
    "an offset after a space": (written("%Y-%m-%d %H:%M:%S +0200", "1999-05-01 02:00"), MAY, ()),
    "an offset after any form": (written("%d/%m/%Y %H:%M+02", "1999-05-13 02:00"), moments("1999-05-13 00:00"), ()),
    "an offset that changes": (
        ["1999-10-31T02:58:00+02:00", "1999-10-31T02:00:00+01:00", "1999-10-31T02:02:00+01:00"],
        moments("1999-10-31 00:58", rows=3),
        (),
    ),
    "names of months": (written("%d-%b-%y %H:%M", "1999-05-01 00:00"), MAY, ()),
    "names of months first": (written("%B %d, %Y %I:%M %p", "1999-05-01 00:00"), MAY, ()),
    "dates of a spreadsheet": (MAY, MAY, ()),
    "dates of a spreadsheet that are not quite exact": (
        [moment - timedelta(microseconds=3) for moment in MAY],
        MAY,
        (),
    ),
    "dates of a spreadsheet and texts": ([MAY[0], *written("%m/%d/%Y %H:%M", "1999-05-01 00:02", rows=3)], MAY, ()),
}


@pytest.mark.parametrize(("cells", "due", "others"), TIMES.values(), ids=TIMES)
def test_times_are_read_in_the_order_that_fits_the_whole_column(cells, due, others):
    found = times.read_times(cells)
    assert found.values.tolist() == due
    assert found.others == others


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["5/1/99 0:00", "5/1/99 24:00", "5/1/99 0:04"], 1),
        (["5/1/99 0:00", "13/1/99 0:02", "5/1/99 0:04", "5/1/99 0:06"], 1),
        (["13/1/99 0:00", "13/1/99 0:02", "1/13/99 0:04"], 2),
        (["1999-05-01T00:00:00Z", "1999-05-01T00:02:00"], 1),
        (["36281.02", "36281.04"], 0),
        (["1999", "2000"], 0),
        (["925516800", "925516920"], 0),
        ([None, MAY[0]], 0),
    ],
)
def test_cells_that_are_no_time_are_marked(cells, row):
    values = times.read_times(cells).values
    assert int(np.argmax(np.isnat(values) | times.out_of_order(values))) == row


# Whole tables. The rows of `small_table`, unless something else is said.


def replaced(old, new, **options):
    return as_text(small_table(), **options).replace(old, new, 1).encode()


def numbered(first='""', start=0, header=True):
    lines = as_text(small_table()).splitlines()
    head = f"{first},{lines[0]}" if header else lines[0]
    return "\n".join([head, *(f"{row},{line}" for row, line in enumerate(lines[1:], start))]).encode()


COMMA = {"delimiter": ";", "comma": True}
TEXTS = {
    "an index without a name": numbered(first=""),
    "an index that was read and written again": numbered(first="Unnamed: 0"),
    "an index with a name": numbered(first="index", start=7),
    "an index of R, without a header": numbered(header=False, start=1),
    "an empty column without a name": as_text([["", *row] for row in small_table()]).encode(),
    "separators after the last column": (as_text(small_table()).replace("\r\n", ",\r\n")).encode(),
    "names in capitals": as_text([[name.upper() for name in small_table()[0]], *small_table()[1:]]).encode(),
    "labels as 0.0": as_text([small_table()[0], *([r[0], float(r[1]), *r[2:]] for r in small_table()[1:])]).encode(),
    "labels as 0,0": as_text(
        [small_table()[0], *([r[0], float(r[1]), *r[2:]] for r in small_table()[1:])], **COMMA
    ).encode(),
    "labels after a space": replaced(",0,0.0,", ", 0 ,0.0,"),
    "numbers after a space": replaced("0.125", " 0.125"),
    "UTF-16": as_text(small_table(), "\t").encode("utf-16"),
    "UTF-16, the high byte first, unmarked": as_text(small_table()).encode("utf-16-be"),
    "UTF-32": as_text(small_table()).encode("utf-32"),
    "UTF-8 with a mark": as_text(small_table()).encode("utf-8-sig"),
    "a first line that states the separator": b"sep=;\r\n" + as_text(small_table(), **COMMA).encode(),
    "bars": as_text(small_table(), "|").encode(),
}


def assert_table(found, rows=None):
    rows = (rows or small_table())[1:]
    assert found.time.tolist() == [row[0] for row in rows]
    assert found.y.tolist() == [row[1] for row in rows]
    assert found.x.tolist() == [row[2:] for row in rows]


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_a_text_file_is_read(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert_table(paper_machine.read_table(path))


# name: how x2 of the first row is written, whether the file has decimal commas, and the number or what is expected
NUMBERS = {
    "thousands": ('"1,234.5"', False, 1234.5),
    "thousands and a decimal comma": ("1.234,5", True, 1234.5),
    "millions": ('"-1,234,567.25"', False, -1234567.25),
    "millions without a fraction": ("1.234.567", True, 1234567.0),
    "spaces": ("1 234.5", False, 1234.5),
    "fixed spaces and a decimal comma": ("1\u00a0234\u00a0567,5", True, 1234567.5),
    "apostrophes": ("1'234.5", False, 1234.5),
    "an exponent": ("1,2345E+03", True, 1234.5),
    "either": ('"1,234"', False, "a finite number with a decimal point"),
    "either, among decimal commas": ("1.234", True, "a finite number with a decimal comma"),
    "uneven groups": ('"1,23,456.5"', False, "a finite number"),
    "a group that begins with zero": ('"0,123.5"', False, "a finite number"),
    "two kinds of groups": ("1 234'567.5", False, "a finite number"),
    "no digit": (".", False, "a finite number"),
}


@pytest.mark.parametrize(("text", "comma", "due"), NUMBERS.values(), ids=NUMBERS)
def test_thousands_are_separated_where_nothing_else_can_be_meant(tmp_path, text, comma, due):
    path = tmp_path / "table.csv"
    path.write_bytes(replaced("0,125", text, **COMMA) if comma else replaced("0.125", text))
    if isinstance(due, str):
        with pytest.raises(DataError, match=rf"row 2, column x2: found .*, expected {due}"):
            paper_machine.read_table(path)
    else:
        assert_table(paper_machine.read_table(path), changed(2, "x2", due))


def test_other_numbers_show_what_a_comma_separates(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(as_text(small_table()).replace("0.125", '"1,234"', 1).replace("0.25", '"1,234.5"', 1))
    assert paper_machine.read_table(path).x[0, 1:3].tolist() == [1234.0, 1234.5]


def test_a_column_of_whole_numbers_shows_what_a_comma_separates(tmp_path):
    path = tmp_path / "table.csv"
    rows = small_table()
    for row, cell in zip(rows[1:], ("960", "1,040", "-1,000,000", "0"), strict=True):
        row[rows[0].index("x28")] = cell
    path.write_text(as_text(rows))
    assert paper_machine.read_table(path).x[:, 27].tolist() == [960, 1040, -1e6, 0]
    # Where no number has a decimal point, 1,040 could be little more than one.
    rows = [rows[0], *([*row[:2], *(str(cell).split(".")[0] for cell in row[2:])] for row in rows[1:])]
    rows[3][rows[0].index("x28")] = "0"
    path.write_text(as_text(rows))
    with pytest.raises(DataError, match="row 3, column x28: found '1,040', expected a finite number with a decimal p"):
        paper_machine.read_table(path)


def test_one_byte_per_character(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(as_text(small_table(), **COMMA).replace("0,125", "1\u00a0234,5", 1).encode("cp1252"))
    assert_table(paper_machine.read_table(path), changed(2, "x2", 1234.5))


@pytest.mark.parametrize("title", ["Data", "DATA ", "Tabelle2"])
def test_a_sheet_is_found_by_its_name_or_its_columns(tmp_path, title):
    path = write_xlsx(tmp_path / "table.xlsx", small_table(), sheet=title)
    book = openpyxl.load_workbook(path)
    book.create_sheet("info", 0).append(["about", "this table"])
    book.save(path)
    assert_table(paper_machine.read_table(path))


def test_a_sheet_may_number_its_rows(tmp_path):
    rows = [[None if row == 0 else row, *cells] for row, cells in enumerate(small_table())]
    assert_table(paper_machine.read_table(write_xlsx(tmp_path / "table.xlsx", rows)))


@pytest.mark.parametrize(("row", "column"), [(3, "x5"), (2, "time"), (5, "x61"), (1, "x3")])
def test_formulas_without_values_are_named(tmp_path, row, column):
    path = write_xlsx(tmp_path / "table.xlsx", changed(row, column, "=A1+1"), sheet="Data")
    index = paper_machine.COLUMNS.index(column) + 1
    with pytest.raises(DataError, match=rf"sheet 'Data', row {row}, column {index}: the formula has no stored value"):
        paper_machine.read_table(path)


def test_a_sheet_of_nothing_but_formulas_is_named(tmp_path):
    rows = [small_table()[0], *(["=1"] * 63 for _ in range(3))]
    with pytest.raises(DataError, match="sheet 'data', row 2, column 1: the formula has no stored value"):
        paper_machine.read_table(write_xlsx(tmp_path / "table.xlsx", rows))
