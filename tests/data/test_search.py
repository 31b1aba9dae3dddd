"""Files as they lie on people's disks: found under any name by their content, or named with the reason."""

import gzip
import io
import os

import numpy as np
import pytest
from msgspec import structs

from common.data import datasets
from common.data.datasets import Source
from common.data.paper_machine import COLUMNS
from common.errors import DataError
from tests.helpers.small_data import (
    as_text,
    assert_same,
    idx_bytes,
    npz_file,
    put,
    sha256,
    small_images,
    small_table,
    write_csv,
    write_xlsx,
)

REAL = Source("real")

# Images.

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def four(form, pack=bytes, seed=0):
    """The four arrays under names made from a form."""
    return {form.format(name): pack(idx_bytes(array)) for name, array in zip(NAMES, small_images(seed), strict=True)}


def archive(name, kind, seed=0):
    content = io.BytesIO()
    np.savez(content, **{part: array.astype(kind) for part, array in small_images(seed)._asdict().items()})
    return {name: content.getvalue()}


LAYOUTS = {
    "not compressed": four("{}"),
    "in capitals": {name.upper(): content for name, content in four("{}.GZ", gzip.compress).items()},
    "with a dot": {name.replace("-idx", ".idx"): content for name, content in four("{}").items()},
    "torchvision": four("MNIST/raw/{}") | four("MNIST/raw/{}.gz", gzip.compress),
    "each in a folder of its own": four("archive/{0}/{0}"),
    "the folders of a repository": four("mnist-master/data/digits/{}.gz", gzip.compress),
    "compressed again": four("mnist/{}.gz", lambda content: gzip.compress(content, 1)),
    "one file not compressed": four("{}.gz", gzip.compress, 0) | {f"{NAMES[0]}.gz": idx_bytes(small_images().x_train)},
    "other names": dict(zip("abcd", four("{}").values(), strict=True)),
    "beside a copy that is damaged": four("mnist/{}") | {f"{NAMES[0]}.gz": b"<html>"},
    "an archive": {"mnist/mnist.npz": npz_file(small_images())["mnist.npz"]},
    "an archive of another name": {"downloads/digits.npz": npz_file(small_images())["mnist.npz"]},
    "an archive of whole numbers": archive("mnist.npz", np.int64),
    "between other files": four("{}") | {"notes.txt": b"", "other.npz": b"PK\x03\x04", "._x.gz": b"\x1f\x8b"},
    "both data sets": four("MNIST/raw/{}") | four("FashionMNIST/raw/{}", seed=1),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_images_are_found_by_their_content(isolated, layout):
    put(isolated / "raw", layout)
    assert_same(datasets.load("mnist", REAL), small_images(0))
    assert datasets.identify("mnist", REAL) == datasets.DATASETS["mnist"].content
    if any("Fashion" in name for name in layout):
        assert_same(datasets.load("fashion_mnist", REAL), small_images(1))
    else:
        assert datasets.find("fashion_mnist", REAL) == []


# name: the files, and what is said of them where nothing else is found
UNUSABLE = {
    "a pickle": ({"mnist.pkl.gz": gzip.compress(b"\x80")}, "mnist.pkl.gz: expected an idx file of unsigned bytes"),
    "tables": ({"mnist_train.csv": b"label", "mnist_test.csv": b"label"}, "mnist_train.csv is neither an idx nor an"),
    "tensors": ({"MNIST/processed/training.pt": b"PK\x03\x04"}, "training.pt is no .npz file of plain arrays"),
    "many files": ({f"mnist/{n}.png": b"PNG" for n in range(9)}, "and 6 more"),
    "a part": (dict([*four("{}").items()][:3]), "missing: t10k-labels-idx1-ubyte.gz"),
    "a part, and a damaged one": (dict([*four("{}").items()][:2]) | {f"{NAMES[2]}": b"x"}, f"{NAMES[2]} is neither"),
    "other arrays": ({"x/train-images.gz": gzip.compress(IDX := idx_bytes(np.zeros(3, np.uint8)))}, "sha256 of its"),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("files", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_files_that_cannot_be_used_are_named(isolated, caplog, monkeypatch, files, said):
    put(isolated / "data", files)
    with pytest.raises(DataError) as error:
        datasets.load("mnist", Source("real", isolated / "data"))
    assert said in str(error.value) and str(isolated / "data") in str(error.value)
    assert datasets.identify("mnist", Source(data_dir=isolated / "data")).startswith("stand-in")
    assert caplog.text.count(said) == 1
    # They are named as well if the data are found elsewhere.
    put(isolated / "raw", four("{}"))
    caplog.clear()
    assert_same(datasets.load("mnist", Source("real", isolated / "data")), small_images())
    assert caplog.text.count(said) == 1


# All of a data set, and one of its files is damaged: nothing else is used instead.
DAMAGED = {
    "cut": four("mnist/{}.gz", gzip.compress) | {f"mnist/{NAMES[2]}.gz": gzip.compress(IDX)[:-9]},
    "not compressed, and cut": four("MNIST/raw/{}") | {f"MNIST/raw/{NAMES[2]}": IDX[:-1]},
    "of another data set of the same names": four("{}", seed=5),
    "an empty archive": {"mnist.npz": b""},
    "an archive of something else": archive("mnist/mnist.npz", np.uint8, seed=5),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("files", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_among_all_is_refused(isolated, files):
    put(isolated / "raw", four("mnist/{}"))
    put(isolated / "data", files)
    with pytest.raises(DataError, match=r"Delete it, then: python -m experiments fetch mnist"):
        datasets.load("mnist", Source("auto", isolated / "data"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("folder", ["KMNIST/raw", "EMNIST", "other"])
def test_another_data_set_in_files_of_the_same_names_is_in_nobodys_way(isolated, caplog, folder):
    put(isolated / "data", four(f"{folder}/{{}}", seed=5))
    put(isolated / "raw", four("{}"))
    assert_same(datasets.load("mnist", Source("real", isolated / "data")), small_images())
    assert ("is used" in caplog.text) is False


@pytest.mark.usefixtures("small")
def test_links(isolated):
    put(isolated / "elsewhere", four("{}"))
    (isolated / "raw").mkdir()
    (isolated / "raw" / "mnist").symlink_to(isolated / "elsewhere")
    (isolated / "elsewhere" / "round").symlink_to(isolated / "raw")
    assert_same(datasets.load("mnist", REAL), small_images())
    (isolated / "data").mkdir()
    (isolated / "data" / "mnist.npz").symlink_to(isolated / "nowhere")
    with pytest.raises(DataError, match=r"mnist\.npz cannot be read: No such file"):
        datasets.load("mnist", Source(data_dir=isolated / "data"))


# The table of the paper machine.

GENUINE, DERIVED, OTHER = (as_text(small_table(rows)).encode() for rows in (100, 101, 102))
NO_TABLE = b"row,error\r\n1,0.5\r\n"
STEM = "processminer-rare-event-mts"


@pytest.fixture
def known(isolated, monkeypatch):
    """The paper machine's entry, as if its published file were GENUINE."""
    file = datasets.File(f"{STEM}.csv", len(GENUINE), sha256(GENUINE))
    entry = structs.replace(datasets.DATASETS["processminer"], forms=(datasets.Form((file,)),))
    monkeypatch.setitem(datasets.DATASETS, "processminer", entry)
    return isolated / "data"


# The files of a folder; the first one is to be found.
TABLES = {
    "beside a derived one": {f"{STEM}.csv": GENUINE, "processminer-errors.csv": DERIVED},
    "beside a copy that was changed": {f"{STEM}.csv": GENUINE, f"{STEM} (1).csv": DERIVED},
    "the copy is the genuine one": {f"{STEM} (1).csv": GENUINE, f"{STEM}.csv": DERIVED},
    "renamed": {"paper/machine.csv": GENUINE, "processminer.csv": DERIVED},
    "in capitals": {"ProcessMiner-Rare-Event-MTS.CSV": DERIVED},
    "with other signs": {"Process Miner_rare event.csv": DERIVED},
    "with its own name, if none is known": {f"{STEM}.csv": DERIVED, "processminer-a.csv": OTHER},
    "with its own columns, if none is known": {"processminer-z.csv": DERIVED, "processminer-errors.csv": NO_TABLE},
    "with its own columns, under another name": {"processminer.csv": DERIVED, f"{STEM}.csv": NO_TABLE},
    "beside files that no program reads": {f"{STEM}.csv": DERIVED, f"{STEM}.xls": b"", f"~${STEM}.xlsx": b""},
    "a text of tabs": {"processminer.txt": as_text(small_table(100), "\t").encode("utf-16")},
}


@pytest.mark.parametrize("files", TABLES.values(), ids=TABLES)
def test_the_genuine_table_is_found(known, caplog, files):
    put(known, files)
    first, *others = files
    source = Source("real", known)
    assert datasets.find("processminer", source) == [known / first]
    assert list(datasets.load("processminer", source)) == list(COLUMNS)
    genuine = files[first] == GENUINE
    assert ("unknown digest" in caplog.text) is not genuine
    for name in others:
        # What was not used is named, unless there is no doubt.
        assert (f"{known / name} is not used" in caplog.text) is (not genuine and name.endswith(".csv"))


@pytest.mark.parametrize("name", [".xls", ".csv.gz", ".XLSB", ".ods", ".zip", " (1).csv.crdownload", ""])
def test_a_table_that_is_not_read_is_named(known, caplog, name):
    path = known / f"ProcessMiner-rare-event-mts{name}"
    put(known, {path.name: b"\xd0\xcf\x11\xe0", f"._{STEM}.csv": b"", f".{STEM}.csv": b""})
    with pytest.raises(DataError) as error:
        datasets.load("processminer", Source("real", known))
    said = f"{path} is not read; save it as .csv or .xlsx"
    assert said in str(error.value)
    assert datasets.identify("processminer", Source(data_dir=known)).startswith("stand-in")
    assert caplog.text.count(said) == 1 and "Going on with a stand-in" in caplog.text


def test_a_table_behind_a_broken_link_is_named(known):
    known.mkdir()
    (known / f"{STEM}.csv").symlink_to(known / "nowhere")
    with pytest.raises(DataError, match=rf"{STEM}\.csv cannot be read: No such file"):
        datasets.identify("processminer", Source(data_dir=known))


def test_a_table_without_its_columns_is_no_stand_in(known):
    put(known, {"processminer.csv": NO_TABLE})
    with pytest.raises(DataError, match=r"processminer\.csv, row 1: expected the 63 columns"):
        datasets.load("processminer", Source(data_dir=known))


def test_dates_in_doubt_are_pointed_out_every_time(known, caplog):
    """By each process, whether the table is parsed or comes from the cache."""
    known.mkdir()
    write_csv(known / "processminer.csv", small_table(100))
    for _ in range(2):
        datasets._warned.clear()
        caplog.clear()
        datasets.check("processminer", Source("real", known))
        assert "month/day/year or day/month/year" in caplog.text and "the first as 1999-05-01T00:00:00" in caplog.text


def test_a_workbook_is_found_by_its_columns(known):
    known.mkdir()
    path = write_xlsx(known / "processminer b.xlsx", small_table(100), sheet="DATA")
    write_xlsx(known / "processminer a.xlsx", [["error"], [0.5]])
    assert datasets.find("processminer", Source("real", known)) == [path]


def test_a_folder_that_cannot_be_listed_is_skipped(known, monkeypatch):
    put(known, {"locked/x.csv": b"", f"{STEM}.csv": GENUINE})
    scan = os.scandir

    def refuse(folder):
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert datasets.find("processminer", Source("real", known)) == [known / f"{STEM}.csv"]
