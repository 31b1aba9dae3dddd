"""Tables of a user: times, labels, numbers, missing values, and the row and column of what is refused."""

import logging
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, DataError
from common.own.reading import Reading
from common.own.tables import read_rows, read_table
from tests.helpers.small_data import write_xlsx

TIME = Reading(time="t")
START = datetime(2024, 3, 1)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refused(path, *parts, reading=TIME, read=read_table, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(path, reading, **options)
    message = str(caught.value)
    assert "\n" not in message and (error is ConfigError or str(path) in message)
    for part in parts:
        assert part in message
    return message


def sheet(path, times, *, step=None):
    """A table of one feature and these texts as times."""
    return write(path, "t,a", *(f'"{time}",{row}' for row, time in enumerate(times)))


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "parts.csv", "t,a,event,B b", "0,1.5,0,-1", "10,2.5,1,1e3", "20,3.5,0,.5")


# What is read.


def test_a_table(small):
    table = read_table(small, Reading(time="t", label="event"))
    assert table.names.tolist() == ["a", "B b"] and table.names.dtype.kind == "U"
    assert table.features.tolist() == [[1.5, -1], [2.5, 1000], [3.5, 0.5]] and table.features.dtype == np.float64
    assert table.labels.tolist() == [0, 1, 0] and table.labels.dtype == np.int64
    assert table.times.dtype == "datetime64[s]" and table.times.astype(int).tolist() == [0, 10, 20]
    assert table.step == np.timedelta64(10, "s") and table.step.dtype == "timedelta64[s]"


def test_a_table_without_labels_and_with_columns_left_out(small):
    table = read_table(small, Reading(time="t", drop=("event", "a")))
    assert table.labels is None and table.names.tolist() == ["B b"] and table.features.shape == (3, 1)


def test_rows(small):
    rows = read_rows(small, Reading(label="event", drop=("t",)))
    assert rows.x.tolist() == [[1.5, -1], [2.5, 1000], [3.5, 0.5]]
    assert rows.labels.tolist() == [0, 1, 0] and rows.names.tolist() == ["a", "B b"]
    assert read_rows(small, Reading()).labels is None


def test_chosen_columns_keep_their_order(small):
    table = read_table(small, Reading(time="t", drop=("gone",)), columns=["B b", "a"])
    assert table.names.tolist() == ["B b", "a"] and table.features[0].tolist() == [-1, 1.5]
    rows = read_rows(write(small, "a,b", "1,2"), Reading(), columns=["b"])
    assert rows.x.tolist() == [[2]]
    refused(
        small,
        "row 1: expected 3 columns of features, missing 'z', 'y'",
        read=read_rows,
        columns=["z", "a", "y"],
        reading=Reading(),
    )
    refused(small, "expected 2 or more rows below the header, found 1", read=read_rows, reading=Reading())


def test_names_that_differ_in_case_are_two(tmp_path):
    rows = read_rows(write(tmp_path / "a.csv", "A,a,T", "1,2,3", "4,5,6"), Reading(drop=("T",)))
    assert rows.names.tolist() == ["A", "a"] and rows.x.tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_decimal_commas(tmp_path, delimiter):
    lines = [
        "t,a,b".replace(",", delimiter),
        *(delimiter.join(row) for row in (["0", "1,5", "-2,25e1"], ["1", "2", ",5"])),
    ]
    assert read_table(write(tmp_path / "a.txt", *lines), TIME).features.tolist() == [[1.5, -22.5], [2, 0.5]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("t;größe\n0;1,5\n1;2".encode(encoding))
    assert read_table(tmp_path / "a.csv", TIME).names.tolist() == ["größe"]


def test_a_workbook(tmp_path):
    cells = [["t", "A", "event"], *([START + timedelta(minutes=row), row / 2, row == 1] for row in range(3))]
    table = read_table(write_xlsx(tmp_path / "a.xlsx", cells), Reading(time="t", label="event"))
    assert table.times.tolist() == [row[0] for row in cells[1:]]
    assert table.features.tolist() == [[0], [0.5], [1]] and table.labels.tolist() == [0, 1, 0]
    assert table.names.tolist() == ["A"]
    cells[2][1] = "1,234"
    refused(write_xlsx(tmp_path / "b.xlsx", cells), "row 3, column 'A'", "no thousands", reading=Reading("t", "event"))


def test_the_sheet_with_the_columns_is_found(tmp_path):
    import openpyxl

    path = write_xlsx(tmp_path / "a.xlsx", [["Time", "A"], [0, 1], [1, 2]], sheet="measured")
    book = openpyxl.load_workbook(path)
    book.create_sheet("about", 0).append(["this", "table"])
    book.save(path)
    assert read_table(path, Reading(time="Time")).names.tolist() == ["A"]


@pytest.mark.parametrize(
    "cells", [("0", "1"), ("false", "TRUE"), ("False", "true"), ("0.0", "1.0"), (" 0", "1. "), ("0", "True")]
)
def test_labels(tmp_path, cells):
    path = write(tmp_path / "a.csv", "a,l", *(f"{row},{cell}" for row, cell in enumerate(cells)))
    assert read_rows(path, Reading(label="l")).labels.tolist() == [0, 1]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=8))
def test_numbers_are_read_exactly(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    for name, texts in (("a.csv", map(repr, numbers)), ("a.tsv", (repr(n).replace(".", ",") for n in numbers))):
        end = "\t0" if name == "a.tsv" else ",0"
        path = write(folder / name, f"a{end[0]}b", *(text + end for text in texts))
        assert read_rows(path, Reading()).x[:, 0].tolist() == numbers


# Times.

SECONDS = ["0", "10", "20"]
TIMES = {
    "seconds": (["0", "10", "20"], 0),
    "seconds since 1970": (["1700000000", "1700000010", "1700000020"], 1_700_000_000),
    "negative": (["-10", "0", "10"], -10),
    "fractions that are rounded": (["0.4", "9.6", "20.0"], 0),
    "exponents": (["1e1", "2e1", "3E1"], 10),
    "UTC": (["1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "1970-01-01T00:00:20Z"], 0),
    "an offset": (["1970-01-01T02:00:00+02:00", "1970-01-01 01:00:10+01:00", "1970-01-01T02:00:20+02:00"], 0),
    "without an offset": (["1970-01-01 00:00:00", "1970-01-01 00:00:10", "1970-01-01T00:00:20"], 0),
    "day first": (["13.1.1970 00:00:00", "13.1.1970 00:00:10", "13.1.1970 00:00:20"], 12 * 86400),
    "whole milliseconds": (["1970-01-01 00:00:00.000", "1970-01-01 00:00:10.000", "1970-01-01 00:00:20.000"], 0),
}


@pytest.mark.parametrize(("cells", "first"), TIMES.values(), ids=TIMES)
def test_times(tmp_path, cells, first):
    table = read_table(sheet(tmp_path / "a.csv", cells), TIME)
    assert table.times.astype(int).tolist() == [first, first + 10, first + 20] and table.step == np.timedelta64(10)


@given(
    st.integers(1, 100_000),
    st.lists(st.integers(1, 3), min_size=1, max_size=6),
    st.sampled_from(["s", "iso", "day", "month"]),
)
def test_any_step_and_its_gaps_are_found(tmp_path_factory, step, multiples, form):
    offsets = np.cumsum([0, *[step] * (len(multiples) + 1), *(step * one for one in multiples)])
    moments = [START.replace(day=20) + timedelta(seconds=int(offset)) for offset in offsets]
    forms = {"iso": "%Y-%m-%d %H:%M:%S", "day": "%d/%m/%Y %H:%M:%S", "month": "%m/%d/%Y %H:%M:%S"}
    texts = offsets.tolist() if form == "s" else [moment.strftime(forms[form]) for moment in moments]
    table = read_table(sheet(tmp_path_factory.mktemp("times") / "a.csv", texts), TIME)
    assert table.step == np.timedelta64(step, "s")
    assert (table.times - table.times[0]).astype(int).tolist() == offsets.tolist()


BAD_TIMES = {
    "uneven": ([*range(0, 160, 10), 157], "row 18: 7 s after the row before, where the step is 10 s"),
    "uneven at the start": ([0, 3, 13, 23], "row 3: 3 s after the row before, where the step is 10 s"),
    "twice": ([0, 10, 10, 20], "row 4, column 't': the same time as in the row before"),
    "twice, dates": (["2024-03-01 00:00", "2024-03-01 00:00"], "row 3, column 't': the same time"),
    "backwards": ([0, 10, 5], "row 4, column 't': '5' is earlier than '10' in the row before"),
    "dates backwards": (["2024-03-01 01:00", "2024-03-01 00:00"], "row 3, column 't': '2024-03-01 00:00' is earlier"),
    "within a second": (["0.1", "0.2", "0.3"], "row 3, column 't': '0.2' is the same second as '0.1'"),
    "dates within a second": (
        ["2024-03-01 00:00:00.1", "2024-03-01 00:00:00.2"],
        "row 3, column 't': '2024-03-01 00:00:00.2' is the same second",
    ),
    "missing": ([0, "", 20], "row 3, column 't': the time is missing, as in 1 of 3 rows"),
    "the first missing": (["NA", 0, ""], "row 2, column 't': the time is missing, as in 2 of 3 rows"),
    "no time": (["yesterday", "today"], "row 2, column 't': found 'yesterday', expected a time"),
    "no time among dates": (["2024-03-01 00:00", "noon"], "row 3, column 't': found 'noon', expected a time"),
    "a date among seconds": ([0, "2024-03-01 00:00"], "row 3, column 't': found '2024-03-01 00:00', expected a number"),
    "seconds among dates": (["2024-03-01 00:00", 60], "row 3, column 't': found '60', expected a time"),
    "milliseconds": ([1_700_000_000_000, 1_700_000_001_000], "row 2, column 't'", "divide milliseconds by 1000"),
    "infinite": ([0, "inf"], "row 3, column 't'", "expected seconds"),
    "one with an offset": (
        ["2024-03-01 00:00", "2024-03-01 00:01", "2024-03-01 00:02Z"],
        "row 4, column 't': '2024-03-01 00:02Z' has an offset from UTC, but '2024-03-01 00:00' in row 2 has none",
    ),
    "one without an offset": (
        ["2024-03-01 00:00+01:00", "2024-03-01 00:01", "2024-03-01 00:02+01:00"],
        "row 3, column 't': '2024-03-01 00:00+01:00' has an offset from UTC, but '2024-03-01 00:01' in row 3 has none",
    ),
}


@pytest.mark.parametrize("case", BAD_TIMES.values(), ids=BAD_TIMES)
def test_bad_times_are_named(tmp_path, case):
    cells, *parts = case
    refused(sheet(tmp_path / "a.csv", cells), *parts)


def test_gaps_are_one_warning(tmp_path, caplog):
    path = sheet(tmp_path / "a.csv", [0, 10, 20, 40, 50, 100])
    assert read_table(path, TIME).step == np.timedelta64(10)
    read_table(path, TIME)
    due = f"{path}: there are 2 gaps in the times: row 5 comes 20 s after the row before, where the step is 10 s"
    assert caplog.messages == [due] and caplog.records[0].levelno == logging.WARNING
    read_table(sheet(tmp_path / "b.csv", [0, 10, 20, 40]), TIME)
    assert "there is 1 gap in the times: row 5 comes 20 s" in caplog.messages[1]


def test_dates_that_can_be_read_in_two_orders_are_a_warning(tmp_path, caplog):
    read_table(sheet(tmp_path / "a.csv", ["1/5/2024 00:00", "1/5/2024 00:10"]), TIME)
    assert "the dates of column 't' can be read as month/day/year or day/month/year" in caplog.text


# Cells.

BAD_CELLS = {
    "text": (
        ["t,a,grade", "0,1,A", "1,2,B"],
        "column 'grade' holds text ('A' in row 2): leave it out with --drop grade",
    ),
    "text further down": (["t,a", "0,1", "1,2", "2,x y"], "column 'a' holds text ('x y' in row 4)", "--drop a"),
    "a name with a space": (["t,the grade", "0,A", "1,B"], "leave it out with --drop 'the grade'", "row 2"),
    "a long text": (["t,a", "0," + "x" * 500, "1,1"], "holds text ('xxx"),
    "a text of two lines": (["t,a", '0,"x', 'y"', "1,1"], r"holds text ('x\ny'"),
    "true": (["t,a", "0,True", "1,1"], "column 'a' holds text ('True' in row 2)"),
    "an underscore": (["t,a", "0,1_000", "1,1"], "column 'a' holds text ('1_000' in row 2)"),
    "infinite": (["t,a", "0,1", "1,inf"], "row 3, column 'a': the number is infinite"),
    "negative infinity": (["t,a", "0,-Infinity", "1,1"], "row 2, column 'a': the number is infinite"),
    "too large": (["t,a", "0,1e999", "1,1"], "row 2, column 'a': the number is infinite"),
    "thousands": (["t,a", '0,"1,234"', "1,1"], "row 2, column 'a': found '1,234'", "no thousands separators"),
    "thousands and a comma": (["t;a", "0;1.234,5", "1;1"], "row 2, column 'a': found '1.234,5'", "no thousands"),
    "commas and points": (
        ["t;a;b", "0;1,5;1", "1;1;2.5"],
        "'2.5' in row 3, column 'b', but '1,5' in row 2, column 'a'",
    ),
    "missing": (["t,a,b", "0,1,2", "1,,NA", "2,1,"], "row 3, column 'a': the value is missing", "2 more", "--fill"),
    "missing as NaN": (["t,a", "0,1", "1,nan"], "row 3, column 'a': the value is missing", "--fill drop"),
    "too few cells": (["t,a,b", "0,1,2", "1,1"], "row 3: expected 3 cells as in the header, found 2"),
    "too many cells": (["t,a", "0,1", "1,1,5"], "row 3: expected 2 cells as in the header, found 3"),
    "the same name": (["t,a,b,a", "0,1,2,3"], "row 1: expected different names, found 'a' for columns 2, 4"),
    "the name of the times twice": (["t,a,t", "0,1,2"], "row 1: expected different names, found 't' for columns 1, 3"),
    "no name": (["t,,a", "0,1,2"], "row 1: expected a name for each column, found none for column 2"),
    "several without a name": (["t,, ,a", "0,1,2,3"], "found none for columns 2, 3"),
    "no features": (["t", "0", "1"], "row 1: no column of features is left of 't'"),
    "no rows": (["t,a"], "expected 1 or more rows below the header, found 0"),
    "one row": (["t,a", "0,1"], "expected 2 or more rows below the header, found 1"),
    "no header": (["", "0,1"], "row 1: expected names of columns, found none"),
}


@pytest.mark.parametrize("case", BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_cells_are_named(tmp_path, case):
    lines, *parts = case
    refused(write(tmp_path / "a.csv", *lines), *parts)


def test_row_numbers_are_those_of_the_file(tmp_path):
    refused(write(tmp_path / "a.csv", "t,a", "0,1", "", "1,x"), "'x' in row 4")
    refused(write(tmp_path / "a.csv", "sep=;", "t;a", "0;1", "1;x"), "'x' in row 4")


BAD_LABELS = {
    "missing": (["0", "", "1", "NA"], "row 3, column 'l': the label is missing, as in 2 of 4 rows"),
    "all missing": (["", ""], "row 2, column 'l': the label is missing, as in 2 of 2 rows"),
    "two": (["0", "1", "2"], "row 4, column 'l': found '2', expected 1 (or true) for an anomaly, or 0"),
    "a text": (["0", "bad"], "row 3, column 'l': found 'bad', expected 1"),
    "a fraction": (["0.5", "1"], "row 2, column 'l': found '0.5', expected 1"),
    "negative": (["-1", "1"], "row 2, column 'l': found '-1', expected 1"),
}


@pytest.mark.parametrize(("cells", "problem"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_named(tmp_path, cells, problem):
    path = write(tmp_path / "a.csv", "a,l", *(f"{row},{cell}" for row, cell in enumerate(cells)))
    refused(path, problem, read=read_rows, reading=Reading(label="l"))


# Missing values.

HOLES = ["t,a,b,l", "0,1,2,0", "10,,4,1", "20,5,n/a,0", "30,7,NaN,1", "40,9,10,0"]


def test_missing_values_take_the_value_before(tmp_path):
    table = read_table(write(tmp_path / "a.csv", *HOLES), Reading("t", "l", fill="previous"))
    assert table.features.tolist() == [[1, 2], [1, 4], [5, 4], [7, 4], [9, 10]]
    assert table.labels.tolist() == [0, 1, 0, 1, 0]


def test_rows_that_lack_values_are_left_out(tmp_path):
    table = read_table(write(tmp_path / "a.csv", *HOLES), Reading("t", "l", fill="drop"))
    assert table.features.tolist() == [[1, 2], [9, 10]] and table.labels.tolist() == [0, 0]
    # The step is that of the file.
    assert table.times.astype(int).tolist() == [0, 40] and table.step == np.timedelta64(10)


@pytest.mark.parametrize("read", [read_table, read_rows])
def test_what_cannot_be_filled(tmp_path, read):
    reading = Reading(time="t" if read is read_table else None, fill="previous")
    first = write(tmp_path / "a.csv", "t,a,b", "0,1,", "1,2,3")
    refused(first, "row 2, column 'b'", "no row before", "--fill drop", reading=reading, read=read)
    reading = Reading(time=reading.time, fill="drop")
    refused(first, "2 or more rows below the header, found 1 without missing values", reading=reading, read=read)
    text = write(tmp_path / "b.csv", "t,a", "0,1", "1,x")
    refused(text, "column 'a' holds text", reading=reading, read=read)


@given(st.lists(st.lists(st.none() | st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=8))
def test_filling_agrees_with_one_cell_at_a_time(tmp_path_factory, rows):
    rows = [[0, 0, 0], *rows]
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path = write(tmp_path_factory.mktemp("fill") / "a.csv", "a,b,c", *(line for line in lines if line != ",,"))
    rows = [row for row in rows if row != [None] * 3]
    due = [list(rows[0])]
    for row in rows[1:]:
        due.append([before if cell is None else cell for cell, before in zip(row, due[-1], strict=True)])
    if len(rows) > 1:
        assert read_rows(path, Reading(fill="previous")).x.tolist() == due
    whole = [row for row in rows if None not in row]
    if len(whole) > 1:
        assert read_rows(path, Reading(fill="drop")).x.tolist() == whole


def test_a_constant_column_is_one_warning(tmp_path, caplog):
    path = write(tmp_path / "a.csv", "t,a,b", "0,1,2", "1,1,3")
    for _ in range(2):
        assert read_table(path, TIME).features[:, 0].tolist() == [1, 1]
    assert caplog.messages == [f"{path}: the same value in every row of 'a'"]
    read_table(write(tmp_path / "b.csv", "t,a,b", "0,1,2", "1,1,3"), TIME, columns=["a"])
    assert len(caplog.messages) == 1


def test_names_that_are_numbers_are_a_warning(tmp_path, caplog):
    read_rows(write(tmp_path / "a.csv", "1,2.5", "3,4", "5,6"), Reading())
    assert "the names of all columns are numbers" in caplog.text


# Options, and files that are no tables.

OPTIONS = {
    "time": (Reading(time="T"), "--time: there is no column 'T'; did you mean 't'?"),
    "label": (Reading("t", label="events"), "--label: there is no column 'events'; did you mean 'event'?"),
    "drop": (Reading("t", drop=("event", "bb")), "--drop: there is no column 'bb'; did you mean 'B b'?"),
    "nothing like it": (Reading("t", label="zzz"), "there is no column 'zzz'; there are 't', 'a', 'event', 'B b'"),
    "no time": (Reading(), "a sensor table needs --time"),
    "an unknown fill": (Reading("t", fill="mean"), "--fill must be one of previous, drop. Received: 'mean'"),
    "one column twice": (Reading("t", "t"), "must name different columns. Received: 't' twice"),
    "dropped and used": (Reading("t", "event", ("event",)), "must name different columns. Received: 'event' twice"),
}


@pytest.mark.parametrize(("reading", "problem"), OPTIONS.values(), ids=OPTIONS)
def test_wrong_options(small, reading, problem):
    refused(small, problem, reading=reading, error=ConfigError)


def test_rows_have_no_time(small):
    refused(small, "--time is for sensor tables", reading=TIME, read=read_rows, error=ConfigError)
    refused(small, "did you mean 'event'", reading=Reading(label="Event"), read=read_rows, error=ConfigError)


@pytest.mark.parametrize("read", [read_table, read_rows])
def test_files_that_are_no_tables(tmp_path, read):
    reading = TIME if read is read_table else Reading()
    refused(tmp_path, "is a folder; expected a table", reading=reading, read=read)
    refused(tmp_path / "a.csv", "there is no file or folder", reading=reading, read=read)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    refused(tmp_path / "a.parquet", "is no table; expected a file .csv", reading=reading, read=read)
    for name in ("a.csv", "a.xlsx"):
        for content in (b"", b" \n\n"):
            (tmp_path / name).write_bytes(content)
            refused(tmp_path / name, "is empty", reading=reading, read=read)
    (tmp_path / "a.xlsx").write_bytes(b"no workbook")
    refused(tmp_path / "a.xlsx", "cannot be read as .xlsx", reading=reading, read=read)
    (tmp_path / "a.csv").write_bytes(b"a,b\n\x80\0\1")
    refused(tmp_path / "a.csv", "cannot be read as a table", reading=reading, read=read)


def test_many_columns(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 5_000))
    names = [f"c{column}" for column in range(5_000)]
    path = write(tmp_path / "a.csv", ",".join(names), *(",".join(map(repr, row.tolist())) for row in x))
    assert np.array_equal(read_rows(path, Reading()).x, x)
