"""Errors of the data in runs: said once, with status 2 and no record; the other experiments are finished first."""

from dataclasses import replace

import pytest

from common.data import datasets
from common.errors import DataError
from common.experiment import Result
from common.runs import executors, runner
from common.runs.selection import find_records
from common.runs.tasks import Task
from experiments import curves_dense_ae, rare_event_lstm_ae
from experiments.__main__ import main
from tests.helpers import dying
from tests.helpers.small_data import as_text, npz_file, put, small_images, small_table
from tests.helpers.tiny import CURVES, TINY

TABLE = "processminer-rare-event-mts.csv"


def text(rows):
    return as_text(rows).encode()


def longer(changes):
    """A table of 120 rows, with other values by row in the file and column."""
    rows = small_table(120)
    for (row, column), value in changes.items():
        rows[row - 1][rows[0].index(column)] = value
    return text(rows)


def with_breaks(*rows):
    return longer({(row, "y"): int(row in rows) for row in range(2, 122)})


# name: experiment, files, and what is said
ERRORS = {
    "few rows": ("rare_event_lstm_ae", {TABLE: text(small_table(99))}, "expected 100 rows or more, found 99"),
    "no break": ("rare_event_lstm_ae", {TABLE: with_breaks()}, "found none in 120 rows"),
    "a cell": ("rare_event_lstm_ae", {TABLE: longer({(50, "x7"): "?"})}, "row 50, column x7: found '?'"),
    "a time": ("rare_event_lstm_ae", {TABLE: longer({(50, "time"): "5/1/99 0:00"})}, "row 50, column time"),
    "no columns": ("rare_event_lstm_ae", {TABLE: b"error\n1\n"}, "row 1: expected the 63 columns"),
    "no workbook": ("rare_event_lstm_ae", {"processminer.xlsx": b"<html>"}, "cannot be read as .xlsx"),
    "an archive": ("mnist_dense_ae", {"mnist.npz": b"PK\x03\x04"}, "mnist.npz is no .npz file of plain arrays"),
    "other pixels": ("mnist_dense_ae", npz_file(small_images(5)), "mnist.npz does not hold the published images"),
}


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("options", [["--seeds", "0-3", "--jobs", "2"], ["--protocol", "both", "--detectors"]])
@pytest.mark.parametrize(("name", "files", "said"), ERRORS.values(), ids=ERRORS)
def test_an_error_of_the_data_is_said_once_with_status_2(tmp_path, capsys, name, files, said, options):
    put(tmp_path / "data", files)
    out = tmp_path / "out"
    assert main(["run", name, *options, "--data-dir", str(tmp_path / "data"), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert printed.err.count(said) == 1
    assert list(out.rglob("record.json")) == []


def test_the_other_experiments_of_a_report_are_finished_first(isolated, capsys, monkeypatch):
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    monkeypatch.setattr(curves_dense_ae, "EXPERIMENT", tiny)
    put(isolated / "data", {TABLE: text(small_table(99))})
    names = ["--experiments", "rare_event_lstm_ae", "curves_dense_ae", "--protocol", "published", "--jobs", "1"]
    places = ["--data", "real", "--data-dir", str(isolated / "data"), "--out", str(isolated / "out")]
    assert main(["report", *names, *places, "--seeds", "0", "--detectors=classical"]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and str(isolated / "data" / TABLE) in printed.err
    assert [found.record.status for found in find_records(isolated / "out", "curves_dense_ae")] == ["ok"]
    assert list(find_records(isolated / "out", "rare_event_lstm_ae")) == []
    assert "report: " in printed.out
    assert (isolated / "out" / "latest" / "index.html").exists()


def test_two_data_sets_in_trouble_are_both_named(isolated, listener):
    put(isolated / "data", {TABLE: text(small_table(99)), "mnist.npz": b""})
    source = datasets.Source("real", isolated / "data")
    run = lambda *arguments: Result({"m": 1.0}, {})  # noqa: E731
    tasks = [
        Task(replace(dying.EXPERIMENT, dataset=name, run=run), dying.Config(), "published", seed, isolated, source)
        for name in ("mnist", "processminer", None)
        for seed in (0, 2)
    ]
    with pytest.raises(DataError, match=r"mnist\.npz is neither.*; .*found 99$"):
        runner.execute(tasks, listener)
    assert listener.told == [("started", 0), ("ok", 0), ("started", 2), ("ok", 2)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_data_that_change_after_they_were_checked_fail_no_run(isolated, listener, monkeypatch, jobs):
    put(isolated / "data", {TABLE: text(small_table(99))})
    monkeypatch.setattr(datasets, "check", lambda name, source: None)
    source, config = datasets.Source("real", isolated / "data"), rare_event_lstm_ae.Config(epochs=1)
    tasks = [Task(rare_event_lstm_ae.EXPERIMENT, config, "published", n, isolated / "out", source) for n in range(2)]
    with pytest.raises(DataError, match="found 99"):
        runner.execute(tasks, listener, executors.Execution(jobs=jobs))
    assert not list((isolated / "out").rglob("record.json"))


def test_what_a_split_finds_in_good_data_fails_the_run(isolated, capfd, caplog):
    put(isolated / "data", {TABLE: with_breaks(5)})
    options = ["--seeds", "0-1", "--protocol", "held_out", "--data-dir", str(isolated / "data")]
    assert main(["run", "rare_event_lstm_ae", "--jobs", "2", *options, "--out", str(isolated / "out")]) == 1
    printed = capfd.readouterr()
    assert printed.out.count("needs events behind each cut") == 2
    assert [found.record.status for found in find_records(isolated / "out", "rare_event_lstm_ae")] == ["failed"] * 2
    # The command warns of the data, and its workers do not repeat it.
    assert caplog.text.count("unknown digest") == 1
    assert printed.err == ""
