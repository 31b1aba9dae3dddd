import math
from dataclasses import replace

import numpy as np
import pytest

from common.errors import RecordError
from common.metrics.scores import Undefined
from common.runs import records
from common.runs.records import Record
from common.runs.selection import find_records, select

RECORD = Record(
    "e",
    "published",
    "0123456789ab",
    3,
    "ok",
    {"epochs": 2},
    1,
    metrics={"a": 0.1, "b": None},
    undefined={"b": "nothing was flagged"},
    durations={"total": 1.5},
)
ARRAYS = {"scores": np.linspace(0, 1, 5), "labels": np.array([0, 1, 0, 1, 1])}


def folder_of(out, record=RECORD):
    return records.seed_folder(
        records.digest_folder(out, record.experiment, record.protocol, record.digest), record.seed
    )


def test_a_record_comes_back_as_it_was_written(tmp_path):
    folder = folder_of(tmp_path)
    assert folder == tmp_path / "runs" / "e" / "published" / "0123456789ab" / "seed-0003"
    written = records.write_run(folder, RECORD, ARRAYS)
    assert records.read_record(folder) == written
    arrays = records.read_arrays(folder, written)
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "record.json"]


def test_the_same_run_leaves_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        records.write_run(tmp_path / name, RECORD, ARRAYS)
    for file in ("record.json", "arrays.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


class Power(BaseException):
    """Fails."""


@pytest.mark.parametrize("file", ["arrays.npz", "record.json"])
def test_a_run_killed_before_a_rename_does_not_count(tmp_path, monkeypatch, file):
    folder = folder_of(tmp_path)
    rename = records.Path.replace

    def fail(path, target):
        if target.name == file:
            raise Power
        return rename(path, target)

    monkeypatch.setattr(records.Path, "replace", fail)
    with pytest.raises(Power):
        records.write_run(folder, RECORD, ARRAYS)
    assert not (folder / "record.json").exists()
    assert not list(folder.glob(".*"))
    assert list(find_records(tmp_path, "e")) == []


def test_undefined_metrics_are_null_with_a_reason_and_nan_is_refused():
    values, undefined = records.flatten({"a": 1, "b": Undefined("nothing was flagged"), "c": 0.5})
    assert values == {"a": 1, "b": None, "c": 0.5}
    assert undefined == {"b": "nothing was flagged"}
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="Metric d is"):
            records.flatten({"d": bad})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"experiment": "e"}', '{"strange": 1}', "\x00"])
def test_a_damaged_record_is_named_and_found_as_such(tmp_path, content):
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(content)
    with pytest.raises(RecordError, match=r"record\.json is no record"):
        records.read_record(folder)
    (found,) = find_records(tmp_path, "e")
    assert found.record is None
    assert "record.json" in found.problem


def test_another_schema_version_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    records.write_run(folder, replace(RECORD, schema=99))
    with pytest.raises(RecordError, match="schema version 99"):
        records.read_record(folder)


def test_arrays_of_another_run_are_refused(tmp_path):
    folder = folder_of(tmp_path)
    written = records.write_run(folder, RECORD, ARRAYS)
    np.savez(folder / "arrays.npz", scores=np.zeros(3))
    with pytest.raises(RecordError, match="not the file"):
        records.read_arrays(folder, written)
    (folder / "arrays.npz").unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        records.read_arrays(folder, written)


def test_object_arrays_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        records.write_run(tmp_path / "x", RECORD, {"bad": np.array([{}], dtype=object)})
    assert not (tmp_path / "x" / "record.json").exists()


def test_only_the_very_config_and_revision_are_selected(tmp_path):
    for record in (
        RECORD,
        replace(RECORD, seed=4, status="failed", error="ValueError: no"),
        replace(RECORD, digest="other0config", config={"epochs": 9}),
        replace(RECORD, digest="older00code0", revision=0),
        replace(RECORD, protocol="held_out"),
    ):
        records.write_run(folder_of(tmp_path, record), record)
    damaged = folder_of(tmp_path, replace(RECORD, seed=5))
    damaged.mkdir()
    (damaged / "record.json").write_text("{")
    selection = select(find_records(tmp_path, "e"), "published", {"epochs": 2}, 1)
    assert list(selection.metrics()) == [3]
    assert selection.failed == {4: "ValueError: no"}
    assert selection.others == {"other0config": 1, "older00code0": 1}
    assert len(selection.damaged) == 1


def test_real_data_are_preferred_and_never_mixed_with_stand_ins(tmp_path):
    def write(seed, digest, data):
        record = replace(RECORD, seed=seed, digest=digest, data=data)
        records.write_run(folder_of(tmp_path, record), record)

    def chosen():
        return select(find_records(tmp_path, "e"), "published", {"epochs": 2}, 1)

    for seed in range(3):
        write(seed, "0stand0in000", {"mnist": "stand-in: scikit-learn's digits"})
    assert (list(chosen().runs), chosen().stand_in) == ([0, 1, 2], "stand-in: scikit-learn's digits")
    write(7, "00the00csv00", {"mnist": "abc"})
    assert (list(chosen().runs), chosen().stand_in) == ([7], None)
    for seed in (8, 9):
        write(seed, "00the0xlsx00", {"mnist": "def"})
    selection = chosen()
    assert list(selection.runs) == [8, 9]
    assert selection.others == {"00the00csv00": 1, "0stand0in000": 3}
