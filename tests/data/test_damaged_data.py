"""Every kind of damage that data files come with: read right, or named with its file, its place and what was due."""

import gzip
import io
import zipfile
from datetime import datetime

import numpy as np
import pytest

from common.data import images as image_files
from common.data import paper_machine as processminer
from common.errors import DataError
from tests.helpers.small_data import (
    as_text,
    changed,
    idx_bytes,
    idx_files,
    iso,
    npz_file,
    reordered,
    small_images,
    small_table,
    write_csv,
    write_xlsx,
)

# What a case expects when the file is unusual and still right.
WHOLE = None

IDX = idx_bytes(np.zeros((3, 4), np.uint8))
PACKED = gzip.compress(IDX, mtime=0)
WEB_PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def one_idx(content):
    def build(folder):
        path = folder / "images.gz"
        path.write_bytes(content)
        return path

    return image_files.read_idx, build


def four_idx(**changes):
    """The four files of a data set, some arrays exchanged, or written as they are where they are bytes."""

    def build(folder):
        images = small_images()
        files = idx_files(images._replace(**changes))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return [folder / name for name in files]

    return image_files.read_images, build


def one_npz(content=None, **changes):
    def build(folder):
        path = folder / "mnist.npz"
        if content is None:
            np.savez(path, **{k: v for k, v in (small_images()._asdict() | changes).items() if v is not MISSING})
        else:
            path.write_bytes(content)
        return [path]

    return image_files.read_images, build


MISSING = object()
NPZ = npz_file(small_images())["mnist.npz"]


def single_array():
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def table(rows, kind, **options):
    def build(folder):
        blanked = [[None if cell == "" and kind == "xlsx" else cell for cell in row] for row in rows]
        return (write_csv if kind == "csv" else write_xlsx)(folder / f"table.{kind}", blanked, **options)

    return processminer.read_table, build


def bytes_of_table(content, kind):
    def build(folder):
        path = folder / f"table.{kind}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return processminer.read_table, build


def damaged_xlsx(damage):
    def build(folder):
        path = write_xlsx(folder / "table.xlsx", small_table())
        path.write_bytes(damage(path.read_bytes()))
        return path

    return processminer.read_table, build


def zipped(name, content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, content)
    return archive.getvalue()


def all_labelled(label):
    header, *rows = small_table()
    return [header, *([row[0], label, *row[2:]] for row in rows)]


# Wrong in any kind of file.
TABLES = {
    "text in a number": (changed(3, "x7", "broken"), "row 3, column x7: found 'broken', expected a finite number"),
    "empty cell": (changed(5, "x61", ""), "row 5, column x61: found an empty cell, expected a finite number"),
    "not a number": (changed(2, "x1", "nan"), "row 2, column x1: found 'nan', expected a finite number"),
    "infinity": (changed(2, "x1", "inf"), "row 2, column x1: found 'inf', expected a finite number"),
    "underscores": (changed(2, "x1", "1_000"), "row 2, column x1: found '1_000', expected a finite number"),
    "one comma": (changed(2, "x1", "0,5"), "column x1: found '0,5', expected a finite number with a decimal point"),
    "label 2": (changed(4, "y", 2), "expected 0 or 1"),
    "label 0.5": (changed(4, "y", "0.5"), "row 4, column y: found '0.5', expected 0 or 1"),
    "no label": (changed(4, "y", ""), "row 4, column y: found an empty cell, expected 0 or 1"),
    "no break": (all_labelled(0), "found none in 4 rows"),
    "only breaks": (all_labelled(1), "found nothing but breaks in 4 rows"),
    "no time": (changed(2, "time", "yesterday"), "column time: found 'yesterday', expected a time as 5/1/99 0:00"),
    "day first": (changed(2, "time", "13/5/99 0:00"), "row 2, column time: found '13/5/99 0:00', expected a time"),
    "unsorted times": (changed(4, "time", datetime(1999, 5, 1)), "row 4, column time: found"),
    "repeated time": (changed(4, "time", datetime(1999, 5, 1, 0, 2)), "expected a time after 1999-05-01T00:02:00"),
    "repeated column": (changed(1, "x5", "x4"), "missing 'x5'; repeated 'x4'"),
    "unknown column": (changed(1, "x5", "speed"), "missing 'x5'; unknown 'speed'"),
    "no rows": (small_table()[:1], "expected rows below the header, found none"),
    "no header": (small_table()[1:], "row 1: expected the 63 columns"),
    "nothing": ([], "found 0: missing 'time', 'y', 'x1', 'x2', 'x3' and more"),
    "other order": (reordered(small_table()), WHOLE),
    "dates as text": (iso(small_table()), WHOLE),
    "empty row at the end": ([*small_table(), [""] * 63], WHOLE),
}

CASES = {
    "idx: whole": (*one_idx(PACKED), WHOLE),
    "idx: empty": (*one_idx(b""), "found a file that begins with b''"),
    "idx: a web page": (*one_idx(WEB_PAGE), "a web page"),
    "idx: cut": (*one_idx(PACKED[:-10]), "no whole gzip file"),
    "idx: cut in its sum": (*one_idx(PACKED[:-5]), "no whole gzip file"),
    "idx: a bit flipped in the data": (*one_idx(flipped(PACKED, 14)), "images.gz"),
    "idx: a bit flipped in the sum": (*one_idx(flipped(PACKED, -6 % len(PACKED))), "no whole gzip file"),
    "idx: not compressed": (*one_idx(IDX), WHOLE),
    "idx: not compressed, cut": (*one_idx(IDX[:-1]), "promises 12 bytes of shape (3, 4), found 11"),
    "idx: nothing compressed": (*one_idx(gzip.compress(b"", mtime=0)), "begins with b''"),
    "idx: wrong magic": (*one_idx(gzip.compress(b"\0\0\x0d\2" + IDX[4:])), "expected an idx file of unsigned bytes"),
    "idx: ends in its header": (*one_idx(gzip.compress(IDX[:7])), "ends within its header"),
    "idx: a byte short": (*one_idx(gzip.compress(IDX[:-1])), "promises 12 bytes of shape (3, 4), found 11"),
    "idx: a byte too many": (*one_idx(gzip.compress(IDX + b"\0")), "promises 12 bytes of shape (3, 4), found more"),
    "idx: promises too much": (*one_idx(gzip.compress(b"\0\0\x08\2" + b"\xff" * 8)), "its header promises shape"),
    "images: whole": (*four_idx(), WHOLE),
    "images: a label short": (*four_idx(y_train=small_images().y_train[:-1]), "training part: 8 images, but 7 labels"),
    "images: an image short": (*four_idx(x_test=small_images().x_test[:-1]), "test part: 3 images, but 4 labels"),
    "images: exchanged": (
        *four_idx(x_train=small_images().y_train),
        "expected images (n, 28, 28) of uint8, found (8,)",
    ),
    "images: label 10": (*four_idx(y_test=np.array([0, 1, 2, 10], np.uint8)), "labels (n,) of uint8 from 0 to 9"),
    "npz: whole": (*one_npz(), WHOLE),
    "npz: empty": (*one_npz(b""), "so it is empty"),
    "npz: a web page": (*one_npz(WEB_PAGE), "a web page"),
    "npz: cut": (*one_npz(NPZ[:-30]), "no .npz file of plain arrays"),
    "npz: cut in half": (*one_npz(NPZ[: len(NPZ) // 2]), "no .npz file of plain arrays"),
    "npz: a bit flipped": (*one_npz(flipped(NPZ, 300)), "mnist.npz"),
    "npz: a single array": (*one_npz(single_array()), "no .npz file of plain arrays"),
    "npz: an array missing": (*one_npz(y_test=MISSING), "y_test"),
    "npz: pickles": (*one_npz(x_test=np.array([{}], dtype=object)), "no .npz file of plain arrays"),
    "npz: other pixels": (*one_npz(x_test=np.zeros((4, 27, 28), np.uint8)), "found (4, 27, 28) of uint8"),
    "npz: floats": (*one_npz(x_test=np.zeros((4, 28, 28))), "found (4, 28, 28) of float64"),
    **{
        f"{kind}: {name}": (*table(rows, kind), due) for kind in ("csv", "xlsx") for name, (rows, due) in TABLES.items()
    },
    "csv: semicolons and decimal commas": (*table(small_table(), "csv", delimiter=";", comma=True), WHOLE),
    "csv: semicolons": (*table(small_table(), "csv", delimiter=";"), WHOLE),
    "csv: commas for both": (
        *bytes_of_table(as_text(small_table()).replace(".", ","), "csv"),
        "row 2: expected 63 cells as in the header, found",
    ),
    "csv: a point among commas": (
        *bytes_of_table(as_text(small_table(), ";", comma=True).replace("0,125", "0.125", 1), "csv"),
        "with a decimal comma",
    ),
    "csv: lines are counted": (
        *bytes_of_table(as_text(small_table()).replace("\r\n5/1/99 0:04", "\r\n\r\n5/x/99 0:04"), "csv"),
        "row 5, column time",
    ),
    "csv: cut": (*bytes_of_table(as_text(small_table())[:-8] + "\r\n", "csv"), "row 5"),
    "csv: a web page": (*bytes_of_table(WEB_PAGE, "csv"), "found 1: missing 'time'"),
    "csv: UTF-16, cut": (*bytes_of_table(as_text(small_table()).encode("utf-16")[:-1], "csv"), "as a table in UTF-8"),
    "csv: a spreadsheet": (*bytes_of_table(b"PK\x03\x04\xff\xfe\x00\x80", "csv"), "cannot be read as a table in UTF-8"),
    "csv: binary zeros": (*bytes_of_table(b"time,y\0\n1,2\n", "csv"), "table.csv"),
    "xlsx: another sheet": (*table(small_table(), "xlsx", sheet="Tabelle1"), WHOLE),
    "xlsx: a text file": (*bytes_of_table(as_text(small_table()), "xlsx"), "cannot be read as .xlsx"),
    "xlsx: empty": (*bytes_of_table(b"", "xlsx"), "cannot be read as .xlsx"),
    "xlsx: a web page": (*bytes_of_table(WEB_PAGE, "xlsx"), "cannot be read as .xlsx"),
    "xlsx: cut": (*damaged_xlsx(lambda whole: whole[: len(whole) // 2]), "cannot be read as .xlsx"),
    "xlsx: overwritten": (
        *damaged_xlsx(lambda whole: whole[: len(whole) // 2] + bytes(99) + whole[len(whole) // 2 + 99 :]),
        "table.xlsx",
    ),
    "xlsx: another zip": (*bytes_of_table(zipped("letter.txt", "Dear"), "xlsx"), "cannot be read as .xlsx"),
    "xlsx: broken XML": (*bytes_of_table(zipped("[Content_Types].xml", "<broken"), "xlsx"), "cannot be read as .xlsx"),
    "xlsx: a number for a date": (*table(changed(3, "time", 36281.001), "xlsx"), "formatted as a date"),
    "xlsx: a truth value for a label": (*table(changed(3, "y", True), "xlsx"), "row 3, column y: found True"),
    "xlsx: a date for a number": (*table(changed(3, "x3", datetime(1999, 5, 1)), "xlsx"), "row 3, column x3: found"),
    "xlsx: a truth value for a number": (*table(changed(3, "x3", True), "xlsx"), "row 3, column x3: found True"),
    "xlsx: a failed formula": (*table(changed(3, "x3", "#DIV/0!"), "xlsx"), "row 3, column x3: found '#DIV/0!'"),
}


@pytest.mark.parametrize(("read", "build", "due"), CASES.values(), ids=CASES)
def test_it_is_read_right_or_named(tmp_path, read, build, due):
    files = build(tmp_path)
    if due is WHOLE:
        assert_right(read(files))
        return
    with pytest.raises(DataError) as error:
        read(files)
    assert due in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def assert_right(found):
    if isinstance(found, image_files.Images):
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found, small_images(), strict=True))
    elif isinstance(found, processminer.Table):
        rows = small_table()[1:]
        assert found.time.tolist() == [row[0] for row in rows]
        assert found.y.tolist() == [row[1] for row in rows]
        assert found.x.tolist() == [row[2:] for row in rows]
    else:
        assert np.array_equal(found, np.zeros((3, 4), np.uint8))
