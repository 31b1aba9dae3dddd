"""A user's data are known by their content: the same files give the same digest, and a change is noticed."""

import logging
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import ConfigError, DataError
from common.own import contents, data, images, tables
from common.own.data import KINDS, Reading, find


def tree(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


@pytest.fixture
def parts(save, tmp_path):
    for name in ("good/0.png", "good/1.png", "good/2.png", "bad/0.png", "bad/1.png"):
        save(tmp_path / "parts" / name)
    return tmp_path / "parts"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_text("t,a,event\n0,1.5,0\n10,2,1\n20,,0\n40,3,0\n")
    return path


TIMED = Reading(time="t", label="event", fill="previous")


def everything(parts, table):
    np.savez(table.parent / "parts.npz", **dict.fromkeys(("x_train", "x_test"), np.zeros((3, 28, 28), np.uint8)))
    return [
        (parts, "images", Reading()),
        (table.parent / "parts.npz", "images", Reading()),
        (table, "table", TIMED),
        (table, "rows", Reading(fill="previous")),
    ]


def equal(a, b):
    return type(a) is type(b) and all(np.array_equal(one, two) for one, two in zip(a, b, strict=True))


def test_data_load_as_their_reader_reads_them_and_again_from_the_cache(parts, table, monkeypatch):
    cases = everything(parts, table)
    before = tree(parts.parent)
    assert {kind for _, kind, _ in cases} == set(KINDS)
    for path, kind, reading in cases:
        found = find(path, kind, reading)
        assert (found.path, found.kind, found.reading) == (path, kind, reading) and len(found.digest) == 64
        due = (
            images.read_images(path)
            if kind == "images"
            else (tables.read_table if kind == "table" else tables.read_rows)(path, reading)
        )
        with monkeypatch.context() as patched:
            patched.setattr(data, "_read", lambda *args: pytest.fail("parsed again"))
            again = pickle.loads(pickle.dumps(found)).load()
        assert equal(again, due)
        assert [getattr(part, "dtype", None) for part in again] == [getattr(part, "dtype", None) for part in due]
        assert find(path, kind, reading) == found
    assert tree(parts.parent) == before


def test_data_load_without_a_cache(parts, own_cache):
    found = find(parts, "images")
    due = found.load()
    for path in own_cache.rglob("*.npz"):
        path.unlink()
    assert equal(found.load(), due)
    for path in own_cache.rglob("*.npz"):
        path.write_bytes(b"damaged")
    assert equal(found.load(), due)


def test_the_name_is_the_last_part_of_the_path(parts, table, monkeypatch):
    assert find(parts, "images").name == "parts"
    assert find(table, "table", TIMED).name == "sensors.csv"
    monkeypatch.chdir(parts)
    here = find(data.Path("."), "images")
    assert here.name == "parts" and here.digest == find(parts, "images").digest
    (parts.parent / "link").symlink_to(parts)
    assert find(parts.parent / "link", "images").name == "link"


def test_the_digest_depends_on_names_contents_and_options_alone(parts, table, tmp_path):
    digest = find(parts, "images").digest
    (parts / "notes.txt").write_text("ignored")
    (parts / "good" / ".hidden.png").write_bytes(b"ignored")
    os.utime(parts / "good" / "0.png", (0, 0))
    assert find(parts, "images").digest == digest
    assert find(parts.rename(tmp_path / "moved"), "images").digest == digest
    digests = {digest}
    (tmp_path / "moved" / "bad" / "0.png").rename(tmp_path / "moved" / "good" / "x.png")
    digests.add(find(tmp_path / "moved", "images").digest)
    readings = [
        TIMED,
        replace(TIMED, label=None),
        replace(TIMED, fill="drop"),
        Reading("t", drop=("event",), fill="drop"),
    ]
    digests |= {find(table, "table", reading).digest for reading in readings}
    digests.add(find(table, "rows", Reading(fill="drop")).digest)
    assert len(digests) == 7


def new_folder_beside(path):
    folder = path.parent / "elsewhere"
    folder.mkdir()
    return folder


def swap_two(parts, table):
    a, b = (parts / "good" / f"{name}.png" for name in "01")
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)


CHANGES = {
    "another file": lambda parts, table: (parts / "bad" / "9.png").write_bytes((parts / "bad" / "0.png").read_bytes()),
    "one file less": lambda parts, table: (parts / "good" / "0.png").unlink(),
    "another class": lambda parts, table: (parts / "bad").rename(parts / "worse"),
    "two files exchanged": swap_two,
    "another cell": lambda parts, table: table.write_text(table.read_text().replace("1.5", "1.6")),
    "another line": lambda parts, table: table.write_text(table.read_text() + "50,1,0\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("cached", [True, False])
def test_a_change_is_noticed(parts, table, own_cache, change, cached):
    found = [find(parts, "images"), find(table, "table", TIMED)]
    change(parts, table)
    if not cached:
        for path in own_cache.rglob("*.npz"):
            path.unlink()
    problems = []
    for one in found:
        try:
            one.load()
        except DataError as error:
            problems.append(str(error))
            assert str(error) == f"{one.path} has changed since it was first read; start again"
    assert len(problems) == 1


def test_a_change_between_hashing_and_parsing_is_noticed(parts, table, monkeypatch):
    """Another program writes the file in the moment after its digest was computed."""
    digest = data._digest

    def compute(path, *args):
        found = digest(path, *args)
        if path == table:
            table.write_text(table.read_text().replace("1.5", "1.7"))
        else:
            swap_two(parts, table)
        return found

    monkeypatch.setattr(data, "_digest", compute)
    for path, kind, reading in ((table, "table", TIMED), (parts, "images", Reading())):
        with pytest.raises(DataError, match="has changed since it was first read; start again"):
            find(path, kind, reading)


def test_data_that_are_gone(parts, table):
    found = find(table, "table", TIMED)
    table.unlink()
    with pytest.raises(DataError, match=r"there is no file or folder .*sensors\.csv"):
        found.load()


def test_warnings_are_given_by_find_also_from_the_cache_but_not_by_load(table, caplog):
    found = find(table, "table", TIMED)
    gap = f"{table}: there is 1 gap in the times: row 5 comes 20 s after the row before, where the step is 10 s"
    assert caplog.messages == [gap] and caplog.records[0].levelno == logging.WARNING
    find(table, "table", TIMED)
    found.load()
    assert caplog.messages == [gap]
    contents._warn_once.cache_clear()
    found.load()
    assert caplog.messages == [gap]
    find(table, "table", TIMED)
    assert caplog.messages == [gap, gap]
    # The same content elsewhere has the same parsed copy, and is named by its own path.
    moved = table.rename(new_folder_beside(table) / table.name)
    assert find(moved, "table", TIMED).digest == found.digest
    assert caplog.messages[2:] == [gap.replace(str(table), str(moved))]


OPTIONS = {
    "images with a time": ("images", Reading(time="t"), "are for tables"),
    "images with a fill": ("images", Reading(fill="drop"), "are for tables"),
    "rows with a time": ("rows", Reading(time="t"), "--time is for sensor tables"),
    "a table without a time": ("table", Reading(), "needs --time"),
    "an unknown kind": ("sound", Reading(), "one of images, table, rows. Received: 'sound'"),
    "an unknown column": ("table", Reading(time="T"), "did you mean 't'"),
}


@pytest.mark.parametrize(("kind", "reading", "problem"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_do_not_fit(table, kind, reading, problem):
    with pytest.raises(ConfigError) as caught:
        find(table, kind, reading)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


def test_bad_data_are_refused_and_nothing_is_written(parts, table, own_cache, tmp_path):
    (parts / "good" / "0.png").write_bytes(b"no image")
    table.write_text("t,a\n0,x\n1,2\n")
    (tmp_path / "a.npz").write_bytes(b"")
    before = tree(tmp_path)
    cases = {
        (tmp_path / "none", "images"): "there is no file",
        (tmp_path / "none.csv", "table"): "there is no file",
        (parts, "table"): "is a folder; expected a table",
        (parts, "images"): "0.png is no PNG",
        (table, "images"): "no data set of images; expected a folder",
        (table, "table"): "holds text ('x' in row 2)",
        (tmp_path / "a.npz", "images"): "it is empty",
        (tmp_path / "a.npz", "table"): "is no table",
    }
    for (path, kind), problem in cases.items():
        with pytest.raises(DataError) as caught:
            find(path, kind, Reading(time="t") if kind == "table" else Reading())
        assert problem in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert tree(tmp_path) == before and not list(own_cache.rglob("*"))


def test_nothing_heavy_is_imported_before_it_is_needed():
    import subprocess
    import sys

    code = "import sys, common.own.data; print([m for m in ('pandas', 'PIL', 'openpyxl', 'keras') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_image_can_be_replaced_by_one_of_the_same_pixels_and_is_another_file(parts):
    found = find(parts, "images")
    path = parts / "good" / "0.png"
    pixels = found.load().x_train
    Image.open(path).copy().save(path, compress_level=0)
    assert find(parts, "images").digest != found.digest
    assert np.array_equal(find(parts, "images").load().x_train, pixels)
