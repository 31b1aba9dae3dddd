import gzip
import io
import json
import logging
import math
import shutil
import subprocess
import sys
import time
import zipfile
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec import structs

from common import files as file_cache
from common.data import datasets, download, stand_ins
from common.data import images as image_files
from common.data import paper_machine as processminer
from common.data.datasets import Source
from common.data.stand_ins import STAND_IN
from common.errors import ConfigError, DataError
from common.files import ROOT
from experiments.__main__ import main
from tests.helpers.small_data import (
    assert_same,
    idx_bytes,
    put,
    sha256,
    small_images,
    small_table,
    write_csv,
    write_xlsx,
)

REAL = Source("real")


# Where files are looked for.


def test_the_first_place_counts(isolated, small, monkeypatch):
    monkeypatch.setenv("ANOMALY_DATA", str(isolated / "variable"))
    given_folder, variable = isolated / "given", isolated / "variable"
    given_folder.mkdir()
    variable.mkdir()
    source = Source("real", given_folder)
    for place in (isolated / "keras" / "datasets", isolated / "shared", isolated / "raw", variable, given_folder):
        put(place / "mnist", small["mnist"][0])
        assert datasets.find("mnist", source)[0].parent == place / "mnist"
        assert_same(datasets.load("mnist", source), small_images(0))


@pytest.mark.parametrize("direct", [False, True])
def test_files_may_lie_in_the_directory_itself(isolated, small, direct):
    put(isolated / "raw" / ("" if direct else "fashion-mnist"), small["fashion_mnist"][0])
    assert_same(datasets.load("fashion_mnist", REAL), small_images(1))
    # MNIST's files have the same names, and must not be mistaken for them.
    assert datasets.find("mnist", REAL) == []


def test_idx_files_and_npz_are_the_same_data_set(isolated, small):
    put(isolated / "raw" / "mnist", small["mnist"][0])
    digest = datasets.identify("mnist", REAL)
    shutil.rmtree(isolated / "raw")
    put(isolated / "keras" / "datasets", small["mnist"][1])
    assert datasets.identify("mnist", REAL) == digest
    shutil.rmtree(isolated / "cache")
    assert_same(datasets.load("mnist", REAL), small_images(0))


def test_a_directory_that_is_not_there_is_an_error(isolated, monkeypatch):
    with pytest.raises(
        ConfigError, match=r"no readable data directory .*nowhere; correct --data-dir or \$ANOMALY_DATA"
    ):
        datasets.load("mnist", Source(data_dir=isolated / "nowhere"))
    monkeypatch.setenv("ANOMALY_DATA", str(isolated / "nowhere"))
    with pytest.raises(ConfigError, match="no readable data directory"):
        datasets.identify("processminer")


def test_a_part_of_the_files_is_pointed_out_and_not_taken(isolated, small, caplog):
    files = dict(list(small["mnist"][0].items())[:3])
    put(isolated / "raw" / "mnist", files)
    assert datasets.find("mnist", REAL) == []
    assert "missing: t10k-labels-idx1-ubyte.gz" in caplog.text


@pytest.mark.parametrize("mode", ["auto", "real"])
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>Sign in</title>", None])
def test_a_file_that_differs_is_refused(isolated, small, mode, content):
    files = small["mnist"][0]
    name = "t10k-images-idx3-ubyte.gz"
    damaged = files[name][:-9] if content is None else content
    put(isolated / "raw" / "mnist", {**files, name: damaged})
    with pytest.raises(DataError) as error:
        datasets.load("mnist", Source(mode))
    for part in (name, "Delete it, then: python -m experiments fetch mnist"):
        assert part in str(error.value)


def test_what_decodes_to_other_pixels_is_refused(isolated, small, monkeypatch):
    other = structs.replace(datasets.DATASETS["mnist"], content=sha256(b"something else"))
    monkeypatch.setitem(datasets.DATASETS, "mnist", other)
    put(isolated / "raw" / "mnist", small["mnist"][1])
    with pytest.raises(DataError, match="expected pixels and labels of sha256"):
        datasets.load("mnist", REAL)


def test_unknown_names_and_modes():
    with pytest.raises(DataError, match="no data set 'cifar'; known are: mnist, fashion_mnist, processminer"):
        datasets.identify("cifar")
    with pytest.raises(DataError, match="Received: 'fake'"):
        Source("fake")


def test_a_file_that_cannot_be_read(isolated):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        file_cache.sha256_of(isolated / "nowhere")


# The cache.


def test_a_second_load_reads_neither_sums_nor_files(isolated, small, monkeypatch):
    put(isolated / "raw" / "mnist", small["mnist"][0])
    first = datasets.load("mnist", REAL)
    monkeypatch.setattr(image_files, "read_images", pytest.fail)
    monkeypatch.setattr(file_cache.hashlib, "file_digest", pytest.fail)
    assert_same(datasets.load("mnist", REAL), first)


def test_a_file_that_has_changed_is_verified_again(isolated, small):
    put(isolated / "raw" / "mnist", small["mnist"][0])
    datasets.load("mnist", REAL)
    path = isolated / "raw" / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz.* Delete it"):
        datasets.load("mnist", REAL)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 damaged", b"[1, 2]"])
def test_a_damaged_cache_is_made_again(isolated, small, damage):
    put(isolated / "raw" / "mnist", small["mnist"][0])
    datasets.load("mnist", REAL)
    for path in (isolated / "cache").rglob("*.*"):
        path.write_bytes(damage)
    assert_same(datasets.load("mnist", REAL), small_images(0))
    assert all(json.loads(path.read_text()) for path in (isolated / "cache" / "digests").iterdir())


def test_a_cache_that_cannot_be_written_is_done_without(isolated, small, monkeypatch):
    (isolated / "file").write_text("in the way")
    monkeypatch.setattr(file_cache, "CACHE", isolated / "file" / "cache")
    put(isolated / "raw" / "mnist", small["mnist"][0])
    assert_same(datasets.load("mnist", REAL), small_images(0))


# The idx and npz readers.


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=5, min_side=0)))
def test_an_idx_file_comes_back_as_it_was_written(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "array.gz"
    path.write_bytes(gzip.compress(idx_bytes(array), 1, mtime=0))
    read = image_files.read_idx(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)
    assert read.shape == array.shape


@given(st.binary(max_size=60), st.booleans())
def test_any_other_bytes_are_an_error_of_our_own(tmp_path_factory, content, compress):
    path = tmp_path_factory.getbasetemp() / "bytes.gz"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if compress else content)
    with pytest.raises(DataError, match=r"bytes\.gz"):
        image_files.read_idx(path)


def test_no_more_is_unpacked_than_the_header_promises(tmp_path, monkeypatch):
    unpacked = []

    class Counting(gzip.GzipFile):
        def read(self, size=-1):
            unpacked.append(super().read(size))
            return unpacked[-1]

    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((3, 4), np.uint8)) + bytes(10_000_000), 1, mtime=0))
    monkeypatch.setattr(image_files.gzip, "open", Counting)
    with pytest.raises(DataError, match="found more"):
        image_files.read_idx(path)
    assert len(b"".join(unpacked)) == 12 + 12 + 1


# Downloads.


class Server:
    """Answers addresses from a mapping: bytes, an error, a kind of response, or a list of one answer for each call."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def __call__(self, address):
        self.asked.append(address)
        answer = self.answers.get(address, HTTPError(address, 404, "Not Found", {}, None))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer() if isinstance(answer, type) else io.BytesIO(answer)


class Dying(io.BytesIO):
    """A connection that is lost on the way."""

    def read(self, size=-1):
        raise TimeoutError("timed out")


def serve(monkeypatch, answers):
    server = Server(answers)
    monkeypatch.setattr(download, "open_address", server)
    return server


CONTENT = b"the published file" * 5000


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"https://a/f": CONTENT}, ["a"]),
        ({"https://b/f": CONTENT}, ["a", "b"]),
        ({"https://a/f": [Dying, CONTENT]}, ["a", "a"]),
        ({"https://a/f": [CONTENT[:-1], CONTENT + b"!", CONTENT]}, ["a", "a", "a"]),
        ({"https://a/f": b"x" * len(CONTENT), "https://b/f": CONTENT}, ["a", "a", "a", "b"]),
        ({"https://a/f": HTTPError("", 503, "", {}, None), "https://b/f": CONTENT}, ["a", "a", "a", "b"]),
        ({"https://a/f": URLError("refused"), "https://b/f": CONTENT}, ["a", "b"]),
    ],
)
def test_a_download_tries_again_and_elsewhere(tmp_path, monkeypatch, answers, asked):
    server = serve(monkeypatch, answers)
    target = tmp_path / "new" / "f"
    download.download(["https://a/f", "https://b/f"], target, len(CONTENT), sha256(CONTENT))
    assert target.read_bytes() == CONTENT
    assert [address[8] for address in server.asked] == asked
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (HTTPError("", 404, "", {}, None), "HTTP status 404"),
        (URLError("no route"), r"no connection \(no route\)"),
        (Dying, "timed out"),
        (b"<html>", "expected 90000 bytes, found 6"),
        (CONTENT + b"!", "more came"),
        (b"x" * len(CONTENT), "expected sha256"),
    ],
)
def test_a_failed_download_leaves_nothing_and_says_why(tmp_path, monkeypatch, answer, message):
    serve(monkeypatch, {"https://a/f": answer})
    with pytest.raises(DataError, match=message):
        download.download(["https://a/f"], tmp_path / "f", len(CONTENT), sha256(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    class Interrupted(io.BytesIO):
        def read(self, size=-1):
            raise KeyboardInterrupt

    serve(monkeypatch, {"https://a/f": Interrupted})
    with pytest.raises(KeyboardInterrupt):
        download.download(["https://a/f"], tmp_path / "f", 1, "")
    assert list(tmp_path.iterdir()) == []


def test_only_https_is_spoken():
    with pytest.raises(URLError, match="only https"):
        download.open_address("http://example.org/")
    with pytest.raises(URLError, match="only https"):
        download._HttpsRedirects().redirect_request(None, None, 302, "", {}, "http://example.org/")
    for dataset in datasets.DATASETS.values():
        for form in dataset.forms:
            assert all(address.startswith("https://") and address.endswith("/") for address in form.addresses)


def test_absent_images_are_downloaded(isolated, small, monkeypatch):
    server = serve(monkeypatch, {f"https://a/{name}": content for name, content in small["mnist"][0].items()})
    assert_same(datasets.load("mnist"), small_images(0))
    assert len(server.asked) == 4
    assert sorted(path.name for path in (isolated / "raw" / "mnist").iterdir()) == sorted(small["mnist"][0])
    # What is there and right is not fetched again, what is not is.
    (isolated / "raw" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    datasets.fetch("mnist", isolated / "raw")
    assert len(server.asked) == 5


def test_keras_own_file_is_the_second_choice(isolated, small, monkeypatch):
    serve(monkeypatch, {"https://c/mnist.npz": small["mnist"][1]["mnist.npz"]})
    assert_same(datasets.load("mnist"), small_images(0))


def test_without_a_network_auto_goes_on_with_a_stand_in_and_asks_once(isolated, monkeypatch, caplog):
    server = serve(monkeypatch, dict.fromkeys([], b""))
    monkeypatch.setattr(stand_ins, "draw_fashion", small_images)
    for _ in range(2):
        assert datasets.identify("fashion_mnist").startswith(STAND_IN)
        assert_same(datasets.load("fashion_mnist"), small_images())
    assert len(server.asked) == 2
    assert caplog.text.count("Going on with a stand-in: drawn sandals") == 1


def test_without_a_network_real_is_an_error(isolated):
    for name in ("mnist", "fashion_mnist"):
        with pytest.raises(DataError, match=r"cannot be downloaded: https://storage.*no connection.*looked in"):
            datasets.identify(name, REAL)
    with pytest.raises(DataError) as error:
        datasets.load("processminer", REAL)
    for part in ("ProcessMiner", "arXiv:1809.10717", "processminer-rare-event-mts.xlsx", str(isolated / "raw")):
        assert part in str(error.value)


# The table of the paper machine.


def test_a_spreadsheet_may_state_a_wrong_size_of_itself(tmp_path):
    path = write_xlsx(tmp_path / "table.xlsx", small_table())
    other = tmp_path / "other.xlsx"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(other, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name).replace(b'ref="A1:BK5"', b'ref="A1"'))
    assert np.array_equal(processminer.read_table(other).x, processminer.read_table(path).x)


def test_a_table_of_a_few_rows_is_refused(isolated):
    (isolated / "raw").mkdir()
    path = write_csv(isolated / "raw" / "processminer.csv", small_table(99))
    with pytest.raises(DataError) as error:
        datasets.load("processminer", REAL)
    assert str(error.value) == f"{path}: expected 100 rows or more, found 99"


def test_a_table_of_unknown_digest_is_taken_with_a_warning(isolated, caplog):
    caplog.set_level(logging.WARNING)
    (isolated / "raw").mkdir()
    path = write_csv(isolated / "raw" / "processminer-rare-event-mts - data.csv", small_table(100))
    for _ in range(2):
        frame = datasets.load("processminer", REAL)
        assert list(frame) == list(processminer.COLUMNS)
        assert frame["x61"].tolist()[:4] == [7.5, 8.5, 9.5, 10.5]
        assert frame["time"].dtype.kind == "M"
        assert frame["y"].dtype == np.int64
    assert datasets.identify("processminer") == sha256(path.read_bytes())
    assert caplog.text.count("unknown digest") == 1


# Stand-ins.


@pytest.fixture(scope="module")
def drawn():
    """The stand-ins for both sets of images."""
    return {name: datasets.load(name, Source("stand-in")) for name in ("mnist", "fashion_mnist")}


@pytest.mark.parametrize(("name", "classes"), [("mnist", range(10)), ("fashion_mnist", (5, 7))])
def test_stand_in_images_look_like_the_real_ones(drawn, name, classes):
    images = drawn[name]
    assert images.x_train.shape == (6000 * len(classes), 28, 28)
    assert images.x_test.shape == (1000 * len(classes), 28, 28)
    assert {array.dtype for array in images} == {np.dtype(np.uint8)}
    assert images.x_train.max() == 255
    for labels, count in ((images.y_train, 6000), (images.y_test, 1000)):
        assert dict(zip(*np.unique(labels, return_counts=True), strict=True)) == dict.fromkeys(classes, count)
    assert_same(datasets.load(name, Source("stand-in")), images)


def test_the_stand_in_digits_of_both_parts_are_different_ones(drawn):
    train, test = ({image.tobytes() for image in x} for x in (drawn["mnist"].x_train, drawn["mnist"].x_test))
    assert not train & test


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_simple_detector_finds_something_in_a_stand_in(drawn, name):
    from sklearn.metrics import roc_auc_score

    x_train, y_train, x_test, y_test = drawn[name]
    mean = x_train[y_train == 7].mean(axis=0)
    test = np.isin(y_test, (7, 5))
    scores = np.abs(x_test[test] - mean).mean(axis=(1, 2))
    assert 0.55 < roc_auc_score(y_test[test] == 5, scores) < 1


def test_the_stand_in_paper_machine_has_drift_gaps_and_breaks(isolated):
    frame = datasets.load("processminer", Source("stand-in"))
    assert frame.shape == (18398, 63)
    assert list(frame) == list(processminer.COLUMNS)
    assert frame["y"].sum() == 124
    minutes = np.diff(frame["time"].to_numpy()).astype("timedelta64[m]").astype(int)
    assert minutes.min() == 2
    assert minutes.max() > 30
    assert np.median(minutes) == 2
    assert np.isfinite(frame.drop(columns="time").to_numpy()).all()
    sensors = frame[list(processminer.SENSORS)].drop(columns=["x28", "x61"])
    assert sensors.apply(lambda column: column.autocorr()).median() > 0.9
    assert set(frame["x61"]) == {0, 1}
    assert datasets.load("processminer", Source("stand-in")).equals(frame)


def test_stand_ins_are_told_apart(isolated):
    digests = {name: datasets.identify(name, Source("stand-in")) for name in datasets.DATASETS}
    assert len(set(digests.values())) == 3
    assert all(digest.startswith(STAND_IN) for digest in digests.values())


# The command.


def test_fetch_fetches_what_is_missing_and_says_where_it_is(isolated, small, monkeypatch, capsys):
    answers = {f"https://a/{name}": content for name, content in small["mnist"][0].items()}
    server = serve(monkeypatch, answers)
    assert main(["fetch", "mnist"]) == 0
    assert main(["fetch", "mnist"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"mnist: complete and verified in {isolated / 'raw' / 'mnist'}"] * 2
    assert len(server.asked) == 4
    assert main(["fetch", "mnist", "--data-dir", str(isolated / "elsewhere")]) == 0
    assert len(server.asked) == 8
    assert (isolated / "elsewhere" / "mnist" / "train-images-idx3-ubyte.gz").exists()


def test_fetch_without_names_only_points_out_what_must_be_asked_for(isolated, small, capsys):
    put(isolated / "raw", small["mnist"][1])
    put(isolated / "raw" / "fashion-mnist", small["fashion_mnist"][0])
    assert main(["fetch"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("complete and verified") == 2
    assert "error: processminer cannot be downloaded: its owner, ProcessMiner" in printed.err
    assert main(["fetch", "processminer"]) == 2


@pytest.mark.parametrize(
    ("name", "message"), [("fashion_mnist", "no connection"), ("cifar", "no data set 'cifar'; known are: mnist")]
)
def test_a_failed_fetch_is_one_line_and_status_2(isolated, capsys, name, message):
    assert main(["fetch", name]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_importing_the_module_loads_no_heavy_library():
    heavy = ("tensorflow", "keras", "sklearn", "pandas", "openpyxl", "scipy")
    code = f"import sys, common.data.datasets; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


# The real data, where they are.


def real(name):
    """The data set's files, or a skipped test."""
    files = datasets.find(name)
    if not files:
        pytest.skip(f"{name} is not on this machine: python -m experiments fetch {name}")
    return files


def seconds_of_second_load(load):
    load()
    started = time.process_time()
    load()
    return time.process_time() - started


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist", {7: 6265, 1: 6742}, {7: 1028, 5: 892, 1: 1135, 9: 1009}),
        ("fashion_mnist", dict.fromkeys(range(10), 6000), dict.fromkeys(range(10), 1000)),
    ],
)
def test_real_images(name, train, test):
    real(name)
    images = datasets.load(name, REAL)
    assert images.x_train.shape == (60000, 28, 28)
    assert images.x_test.shape == (10000, 28, 28)
    for labels, counts in ((images.y_train, train), (images.y_test, test)):
        found = np.bincount(labels, minlength=10)
        assert {label: found[label] for label in counts} == counts
    assert datasets.identify(name, REAL) == datasets.DATASETS[name].content
    assert seconds_of_second_load(lambda: datasets.load(name, REAL)) < 0.5


def test_the_real_paper_machine():
    real("processminer")
    frame = datasets.load("processminer", REAL)
    assert frame.shape == (18398, 63)
    assert frame["y"].value_counts().to_dict() == {0: 18274, 1: 124}
    assert math.isclose(frame["x1"].iloc[0], 0.37666549)
    assert str(frame["time"].iloc[1]) == "1999-05-01 00:02:00"
    assert seconds_of_second_load(lambda: datasets.load("processminer", REAL)) < 0.5


def test_the_real_csv_and_xlsx_are_the_same_table(tmp_path):
    """Each file in a directory of its own: the first loads parse them, later ones come from the cache."""
    folder = real("processminer")[0].parent
    frames = {}
    for suffix in (".csv", ".xlsx"):
        paths = list(folder.glob(f"processminer*{suffix}"))
        if not paths:
            pytest.skip(f"there is no {suffix} of the paper machine on this machine")
        (tmp_path / suffix).mkdir()
        link = tmp_path / suffix / paths[0].name
        link.symlink_to(paths[0])
        source = Source("real", tmp_path / suffix)
        frames[suffix] = datasets.load("processminer", source)
        assert datasets.identify("processminer", source) == file_cache.sha256_of(paths[0])
    assert frames[".csv"].equals(frames[".xlsx"])
