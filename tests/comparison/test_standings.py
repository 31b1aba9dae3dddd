import json
import shutil

import numpy as np
import pytest

from common.comparison.standings import scores_of, standings
from common.detectors.classical import CLASSICAL
from common.detectors.registry import DETECTORS
from common.errors import RecordError
from common.metrics.scores import ranking_metrics
from common.runs import records, runner
from common.runs.selection import Selection, find_records, select
from common.runs.tasks import Task, detector_tasks
from tests.helpers.tiny import CURVES, TINY


@pytest.fixture(scope="module")
def held_out(tiny_both):
    return select(find_records(tiny_both, "curves_dense_ae"), "held_out", TINY.to_dict(), CURVES.revision)


@pytest.fixture(scope="module")
def table(tiny_both, held_out):
    return standings(CURVES, "held_out", held_out)


def test_every_method_and_every_detector_is_ranked_on_the_same_samples(table):
    methods = {row.method for row in table.rows}
    assert methods == {*CURVES.methods, *(detector.title for detector in CLASSICAL.values())}
    assert [row.auroc for row in table.rows] == sorted((row.auroc for row in table.rows), reverse=True)
    assert {row.method for row in table.rows if row.ours} == set(CURVES.methods)
    assert (table.samples, table.prevalence, table.missing) == (40, 0.5, {})


def test_a_row_is_the_mean_over_the_records_of_all_seeds(tiny_both, held_out, table):
    by_method = {row.method: row for row in table.rows}
    runs = [records.read_arrays(folder, record) for folder, record in held_out.runs.values()]
    for method, array in CURVES.methods.items():
        aurocs = [ranking_metrics("m", run["labels"], run[array])["m.auroc"] for run in runs]
        assert by_method[method].auroc == pytest.approx(np.mean(aurocs))
    recorded = [record.metrics["autoencoder.auroc"] for _, record in held_out.runs.values()]
    assert by_method["dense autoencoder"].auroc == pytest.approx(np.mean(recorded))
    knn = [
        records.read_record(records.seed_folder(records.detector_folder(folder.parent, "knn"), seed))
        for seed, (folder, _) in held_out.runs.items()
    ]
    expected = np.mean([record.metrics["auroc"] for record in knn])
    assert by_method[DETECTORS["knn"].title].auroc == pytest.approx(expected)
    assert by_method[DETECTORS["knn"].title].fit_seconds >= 0


def test_samples_of_different_seeds_are_different_where_every_seed_draws_its_own(tiny_both, held_out):
    groups = [scores_of(CURVES, "held_out", run).groups for run in held_out.runs.values()]
    assert not set(groups[0]) & set(groups[1])


def test_a_detector_that_needs_no_seed_is_run_once_where_the_split_is_the_same(tiny_both):
    tasks = [Task(CURVES, TINY, protocol, seed, tiny_both) for protocol in ("published", "held_out")
             for seed in (0, 1)]  # fmt: skip
    seeds = {}
    for task in detector_tasks(tasks):
        seeds.setdefault((task.protocol, task.detector), []).append(task.seed)
    assert seeds["published", "knn"] == [0]
    assert seeds["published", "isolation_forest"] == [0, 1]
    assert seeds["held_out", "knn"] == [0, 1]


def test_the_ranking_is_kept_and_made_anew_when_a_record_changes(tiny_both, held_out, table, tmp_path, monkeypatch):
    path = next(iter(held_out.runs.values()))[0].parent / "standings.json"
    kept = json.loads(path.read_text())
    monkeypatch.setattr("common.comparison.standings.leaderboard", lambda *_: pytest.fail("computed again"))
    assert standings(CURVES, "held_out", held_out) == table
    monkeypatch.undo()
    path.write_text(path.read_text().replace(kept["key"], "another"))
    assert standings(CURVES, "held_out", held_out) == table
    path.write_text("{")
    assert standings(CURVES, "held_out", held_out) == table
    assert json.loads(path.read_text())["key"] == kept["key"]


def test_scores_of_other_samples_are_refused(tiny_both, held_out, monkeypatch):
    read = records.read_arrays

    def other_labels(folder, record):
        arrays = read(folder, record)
        return arrays | {"labels": 1 - arrays["labels"]} if "detectors" in folder.parts else arrays

    monkeypatch.setattr(records, "read_arrays", other_labels)
    with pytest.raises(RecordError, match="other samples than the run of seed 0; run both with --fresh"):
        scores_of(CURVES, "held_out", held_out.runs[0])


def copied(tiny_both, tmp_path):
    """The held-out records, where a test may damage them."""
    shutil.copytree(
        tiny_both / "runs" / "curves_dense_ae" / "held_out", tmp_path / "runs" / "curves_dense_ae" / "held_out"
    )
    return select(find_records(tmp_path, "curves_dense_ae"), "held_out", TINY.to_dict(), CURVES.revision)


def test_without_detectors_nothing_is_ranked(tiny_both, tmp_path):
    assert standings(CURVES, "held_out", Selection()) is None
    selection = copied(tiny_both, tmp_path)
    shutil.rmtree(selection.runs[0][0].parent / "detectors")
    assert standings(CURVES, "held_out", selection) is None


def test_a_seed_that_lacks_a_detector_which_others_have_is_left_out_with_its_reason(tiny_both, tmp_path):
    selection = copied(tiny_both, tmp_path)
    shutil.rmtree(selection.runs[0][0].parent / "detectors" / "knn" / "seed-0001")
    found = standings(CURVES, "held_out", selection)
    assert found.missing == {"k-nearest-neighbour distance: not run": (1,)}
    assert found.seeds == (0,) and {row.seeds for row in found.rows} == {1}


def test_a_detector_that_was_not_chosen_is_not_missing(tiny_both, tmp_path):
    selection = copied(tiny_both, tmp_path)
    shutil.rmtree(selection.runs[0][0].parent / "detectors" / "knn")
    found = standings(CURVES, "held_out", selection)
    assert not found.missing and "k-nearest-neighbour distance" not in {row.method for row in found.rows}


def test_a_damaged_run_is_missing_until_it_is_whole_again(tiny_both, tmp_path, table):
    selection = copied(tiny_both, tmp_path)
    (selection.runs[1][0].parent / "standings.json").unlink(missing_ok=True)
    file = selection.runs[1][0] / "arrays.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    for _ in range(2):
        found = standings(CURVES, "held_out", selection)
        assert found.seeds == (0,)
        assert [seeds for text, seeds in found.missing.items() if "is not the file" in text] == [(1,)]
    file.write_bytes(whole)
    assert standings(CURVES, "held_out", selection) == table


def test_a_detector_that_fails_is_recorded_and_the_others_go_on(tmp_path, listener, monkeypatch):
    def fail(inputs, seed):
        raise ValueError("no such luck")

    from dataclasses import replace

    monkeypatch.setitem(DETECTORS, "knn", replace(DETECTORS["knn"], build=fail))
    runs = [Task(CURVES, TINY, "published", 0, tmp_path)]
    tasks = [task for task in detector_tasks(runs) if task.detector in ("mean_distance", "knn", "pca")]
    outcomes = {record.status for record in runner.execute(tasks, listener)}
    assert outcomes == {"ok", "failed"}
    failed = next(task for task in tasks if task.detector == "knn")
    assert failed.finished() is None
    assert "no such luck" in records.read_record(failed.folder).error
