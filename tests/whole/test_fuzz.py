"""Whatever a file holds, a reader gives what is right or an error of the suite's own; nothing else comes out of it.

A few hundred mutations of every kind of file here, a few ten thousand with `make fuzz`.
"""

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.comparison.published import PUBLISHED, read_published
from common.data import images as image_files
from common.data import paper_machine as processminer
from common.data import times
from common.errors import ConfigError, DataError, PublishedError, RecordError
from common.files import digest_of
from common.own import images as own_images
from common.own import tables as own_tables
from common.own.reading import Reading
from common.runs import records
from common.runs.records import Record
from tests.helpers.small_data import as_text, idx_bytes, npz_file, small_images, small_table, write_xlsx

several_hundred = settings(max_examples=max(300, settings.default.max_examples))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def mutations(content):
    """Some bytes exchanged, inserted, removed or repeated, or the end cut off."""
    place = st.integers(0, len(content))
    change = st.tuples(place, st.integers(0, 8), st.binary(max_size=8))

    def mutate(changes):
        mutated = content
        for start, removed, inserted in changes:
            mutated = mutated[:start] + inserted + mutated[start + removed :]
        return mutated

    edits = st.lists(change, min_size=1, max_size=4).map(mutate)
    cuts = place.map(lambda end: content[:end])
    repeats = st.tuples(place, place).map(lambda ends: content + content[min(ends) : max(ends)])
    return edits | cuts | repeats


IMAGE = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))


@several_hundred
@given(
    mutations(IMAGE)
    | mutations(IMAGE).map(lambda content: gzip.compress(content, 1))
    | mutations(gzip.compress(IMAGE, 1))
)
def test_idx(folder, content):
    path = folder / "images.gz"
    path.write_bytes(content)
    try:
        assert image_files.read_idx(path).dtype == np.uint8
    except DataError as error:
        assert str(path) in str(error)


@several_hundred
@given(mutations(npz_file(small_images())["mnist.npz"]))
def test_npz(folder, content):
    path = folder / "mnist.npz"
    path.write_bytes(content)
    try:
        assert len(image_files.read_images([path])) == 4
    except DataError as error:
        assert str(path) in str(error)


TABLES = (
    as_text(small_table()).encode(),
    as_text(small_table(), ";", comma=True).replace("0,125", "1.234,5").encode("utf-16"),
)


@several_hundred
@given(st.one_of(map(mutations, TABLES)))
@example(b"time,y\r1,2")
def test_csv(folder, content):
    path = folder / "table.csv"
    path.write_bytes(content)
    try:
        table = processminer.read_table(path)
        assert np.isfinite(table.x).all() and set(table.y) == {0, 1}
    except DataError as error:
        assert str(path) in str(error)


OWN_TABLES = (
    b"t,a,b,l\n2024-03-01 00:00,1,2.5,0\n2024-03-01 00:10,,3e1,1\n2024-03-01 00:20,7,8,0\n",
    "t;a;b;l\n0;1,5;2,5;0\n1;2,5;-3;true\n2;7;n/a;false\n".encode("utf-16"),
)


@several_hundred
@given(st.one_of(map(mutations, OWN_TABLES)), st.sampled_from([None, "previous", "drop"]))
def test_own_table(folder, content, fill):
    path = folder / "own.csv"
    path.write_bytes(content)
    try:
        table = own_tables.read_table(path, Reading("t", "l", fill=fill))
        assert np.isfinite(table.features).all() and set(table.labels) <= {0, 1} and table.step > 0
        assert (np.diff(table.times) % table.step == 0).all() and (np.diff(table.times) > 0).all()
    except (DataError, ConfigError) as error:
        assert len(str(error).splitlines()) == 1 and (isinstance(error, ConfigError) or str(path) in str(error))


def own_image(form):
    content = io.BytesIO()
    Image.fromarray(np.arange(900, dtype=np.uint32).reshape(30, 30).astype(np.uint8)).save(content, form)
    return content.getvalue()


@several_hundred
@given(st.one_of([mutations(own_image(form)) for form in ("PNG", "JPEG", "BMP")]))
def test_own_image(folder, content):
    path = folder / "own.png"
    path.write_bytes(content)
    try:
        assert own_images.read_unlabelled(path)[1].shape == (1, 28, 28)
    except DataError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) == 1


@several_hundred
@given(mutations(npz_file(small_images())["mnist.npz"]))
def test_own_npz(folder, content):
    path = folder / "own.npz"
    path.write_bytes(content)
    try:
        assert own_images.read_images(path).x_train.dtype == np.uint8
    except DataError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) == 1


CELLS = st.text("0123456789/-.,: TZ+APMay\u202f", max_size=24) | st.none() | st.floats() | st.datetimes()


@several_hundred
@given(st.lists(CELLS | st.sampled_from(["5/1/99 0:00", "1999-05-01T00:02:00Z", "13.5.1999 0:04"]), max_size=4))
def test_times(cells):
    found = times.read_times(cells)
    assert found.values.shape == (len(cells),) and found.values.dtype == "datetime64[s]"


@pytest.fixture(scope="module")
def sheet(folder):
    return write_xlsx(folder / "whole.xlsx", small_table()).read_bytes()


@several_hundred
@given(st.data())
def test_xlsx(folder, sheet, data):
    path = folder / "table.xlsx"
    path.write_bytes(data.draw(mutations(sheet)))
    try:
        assert np.isfinite(processminer.read_table(path).x).all()
    except DataError as error:
        assert str(path) in str(error)


@pytest.fixture(scope="module")
def written(folder):
    """A run folder, and the bytes of its record."""
    place = records.seed_folder(records.digest_folder(folder, "e", "published", "0" * 12), 0)
    fields = {"metrics": {"a": 0.5, "b": None}, "undefined": {"b": "no"}, "durations": {"total": 1.0}}
    record = Record("e", "published", "0" * 12, 0, "ok", {"epochs": 2}, 1, **fields)
    records.write_run(place, record, {"scores": np.arange(5)})
    return place, (place / records.RECORD).read_bytes(), (place / records.ARRAYS).read_bytes()


@several_hundred
@given(st.data())
def test_record(written, data):
    place, record, _ = written
    (place / records.RECORD).write_bytes(data.draw(mutations(record)))
    assert_readable(place)


# What JSON can hold, anywhere in a record, under a checksum that is right.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def vouching(record, key, value):
    """The text of a record with one entry changed, and a checksum that is right; `key` picks among the entries."""
    content = json.loads(record)
    del content["checksum"]
    content[key(sorted(content))] = value
    return json.dumps({**content, "checksum": digest_of(content)})


@several_hundred
@given(st.data())
def test_record_that_vouches_for_itself(written, data):
    place, record, _ = written
    text = vouching(record, lambda keys: data.draw(st.sampled_from(keys)), data.draw(JSON))
    (place / records.RECORD).write_text(text)
    assert_readable(place)


@several_hundred
@given(st.data())
def test_arrays_that_a_record_vouches_for(written, data):
    place, record, arrays = written
    mutated = data.draw(mutations(arrays))
    (place / records.ARRAYS).write_bytes(mutated)
    text = vouching(record, lambda keys: "arrays_sha256", records.hashlib.sha256(mutated).hexdigest())
    (place / records.RECORD).write_text(text)
    assert_readable(place)
    (place / records.ARRAYS).write_bytes(arrays)


def assert_readable(place):
    try:
        record = records.read_record(place)
        assert (record.experiment, record.seed) == ("e", 0)
        assert all(value is None or np.isfinite(value) for value in record.metrics.values())
        if record.arrays_sha256 is not None:
            assert all(array.dtype != object for array in records.read_arrays(place, record).values())
    except RecordError as error:
        assert str(place) in str(error)


@several_hundred
@given(st.data())
def test_published(folder, data):
    name = data.draw(st.sampled_from(sorted(path.stem for path in PUBLISHED.glob("*.toml"))))
    content = data.draw(mutations((PUBLISHED / f"{name}.toml").read_bytes()))
    (folder / f"{name}.toml").write_bytes(content)
    try:
        published = read_published(name, folder)
        assert all(np.isfinite(float(text)) for group in published.groups for text in group.numbers.values())
    except PublishedError as error:
        assert f"{name}.toml" in str(error)
