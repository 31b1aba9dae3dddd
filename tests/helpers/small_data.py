"""Small data sets of the same kind as the real ones, and the files that they come in."""

import csv
import gzip
import hashlib
import io
from datetime import datetime, timedelta

import numpy as np

from common.data import datasets
from common.data import images as image_files
from common.data import paper_machine as processminer


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def put(folder, files):
    """Write files, by their paths in a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def assert_same(images, expected):
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(images, expected, strict=True))


def idx_bytes(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def small_images(seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(256, size=(12, 28, 28), dtype=np.uint8), (np.arange(12, dtype=np.uint8) + seed) % 10
    return image_files.Images(x[:8], y[:8], x[8:], y[8:])


def idx_files(images):
    names = [file.name for file in datasets.DATASETS["mnist"].forms[0].files]
    return {name: gzip.compress(idx_bytes(array), mtime=0) for name, array in zip(names, images, strict=True)}


def npz_file(images):
    content = io.BytesIO()
    np.savez_compressed(content, **images._asdict())
    return {"mnist.npz": content.getvalue()}


def small_table(rows=4):
    moments = [datetime(1999, 5, 1) + timedelta(minutes=2 * row) for row in range(rows)]
    return [
        list(processminer.COLUMNS),
        *([moment, row % 2, *(row + number / 8 for number in range(61))] for row, moment in enumerate(moments)),
    ]


def as_text(rows, delimiter=",", comma=False):
    def cell(value):
        if isinstance(value, datetime):
            return f"{value.month}/{value.day}/{value:%y} {value.hour}:{value:%M}"
        return str(value).replace(".", ",") if comma and isinstance(value, float) else str(value)

    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_csv(path, rows, **options):
    path.write_text(as_text(rows, **options), encoding="utf-8")
    return path


def write_xlsx(path, rows, sheet="data"):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def reordered(rows):
    return [row[::-1] for row in rows]


def iso(rows):
    return [rows[0], *([row[0].isoformat(" "), *row[1:]] for row in rows[1:])]


def changed(row, column, value):
    rows = small_table()
    rows[row - 1][processminer.COLUMNS.index(column)] = value
    return rows


def rising_table(rows=700, every=35):
    """A table like the paper machine's: wandering sensors that rise before each break."""
    import pandas as pd

    random = np.random.default_rng(3)
    y = np.zeros(rows, dtype=int)
    y[every::every] = 1
    sensors = np.cumsum(random.normal(size=(rows, 61)), axis=0) * 0.05 + random.normal(size=(rows, 61))
    for row in np.flatnonzero(y):
        sensors[row - 3 : row, :20] += 4.0
    table = pd.DataFrame(sensors, columns=[f"x{number}" for number in range(1, 62)])
    table.insert(0, "y", y)
    table.insert(0, "time", pd.date_range("1999-05-01", periods=rows, freq="2min"))
    return table
