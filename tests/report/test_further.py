"""The section on announced methods: run by the command line on tiny curves, ranked, drawn and told."""

import shutil
from dataclasses import replace

import pytest

from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, WORSE
from common.comparison.published import read_published
from common.comparison.standings import standings
from common.detectors import announced
from common.detectors.detector import ANNOUNCED_GROUP, Detector
from common.detectors.registry import DETECTORS, names_of
from common.errors import SuiteError
from common.files import from_plain, to_plain
from common.page import plots
from common.page.render import FURTHER as HEADING
from common.report import further, markdown
from common.report.collect import collect
from common.report.results import FURTHER, MAIN, SWEEP, FurtherResults, require_complete
from common.runs import records, runner
from common.runs.selection import find_records, select
from common.runs.tasks import Task, detector_tasks
from tests.helpers.optional import package
from tests.helpers.tiny import CURVES, TINY, Silent


@pytest.fixture(scope="module")
def made(tiny_both, tmp_path_factory):
    """A report of tiny runs with all methods beyond the classical detectors."""
    package("pyod")
    folder = tmp_path_factory.mktemp("further")
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    tasks = [Task(CURVES, TINY, "held_out", seed, tiny_both) for seed in (0, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(announced, "VAE_STEPS", 20)
        patch.setattr(announced, "BIGAN_STEPS", 20)
        found = runner.execute(detector_tasks(tasks, further.names()), Silent())
    assert {record.error for record in found} == {None}
    return tiny, collect([tiny], tiny_both, folder / "nowhere"), tiny_both


def entry_of(made):
    return made[1].results.experiments["curves_dense_ae"]


def test_methods_are_ranked_beside_the_method_without_labels(made):
    board = entry_of(made).further.boards["held_out"]
    titles = {"VAE", "CVAE", "BiGAN", "ECOD (PyOD)", "COPOD (PyOD)"}
    assert {row.method for row in board.rows} == {"dense autoencoder", *titles}
    assert board.reference == "dense autoencoder" and board.seeds == (0, 1) and not board.missing
    assert {row.group for row in board.rows} == {"", "announced", "pyod"}
    assert {row.method for row in board.rows if row.collapsed is not None} == {"BiGAN"}
    # The ranking of the classical detectors is what it was without them.
    assert titles.isdisjoint(row.method for row in entry_of(made).standings["held_out"].rows)


def test_any_choice_is_ranked_in_one_table(made):
    _, _, out = made
    found = select(find_records(out, "curves_dense_ae"), "held_out", TINY.to_dict(), CURVES.revision)
    board = standings(CURVES, "held_out", found, names_of(["vae", "classical"]))
    assert board.reference == "forest on histograms (labels)"
    assert {"VAE", "k-nearest-neighbour distance"} <= {row.method for row in board.rows}


def test_any_detector_of_pyod_that_was_run_is_shown(made, tmp_path):
    tiny, _, out = made
    assert entry_of(made).further.made_from
    tasks = [Task(CURVES, TINY, "held_out", seed, out) for seed in (0, 1)]
    folder = detector_tasks(tasks, ["pyod:HBOS"])[0].folder.parent
    runner.execute(detector_tasks(tasks, ["pyod:HBOS"]), Silent())
    try:
        found = collect([tiny], out, tmp_path).results.experiments["curves_dense_ae"].further
    finally:
        shutil.rmtree(folder)
    assert {"HBOS (PyOD)", "ECOD (PyOD)"} <= {row.method for row in found.boards["held_out"].rows}
    # The reference has those of its list only, so this part is not the same as that of a reference.
    assert not found.made_from


def test_a_method_that_failed_in_every_seed_is_named_where_nothing_can_be_ranked(tiny_both, tmp_path, monkeypatch):
    def fail(training, seed):
        raise RuntimeError("it has no weights")

    monkeypatch.setitem(DETECTORS, "broken", Detector("broken AE", fail, group=ANNOUNCED_GROUP))
    out = tmp_path / "out"
    shutil.copytree(tiny_both, out, ignore=shutil.ignore_patterns("vae", "cvae", "bigan", "pyod-*"))
    tasks = [Task(CURVES, TINY, "held_out", seed, out) for seed in (0, 1)]
    runner.execute(detector_tasks(tasks, ["broken"]), Silent())
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    entry = collect([tiny], out, tmp_path).results.experiments["curves_dense_ae"]
    assert "- Left out, held out: broken AE: RuntimeError: it has no weights (seeds 0-1)." in further.section(entry)
    assert further.sentences(entry) == [] and not entry.further.figures


def test_seeds_beyond_those_of_a_report_need_no_training(made, tmp_path, monkeypatch):
    tiny, _, out = made
    place = records.detector_folder(out / "runs" / "curves_dense_ae" / "held_out" / digest_of_runs(out), "vae")
    moved = tmp_path / "seed-0001"
    shutil.move(place / "seed-0001", moved)
    try:
        for seeds, lacking in ((1, {}), (2, {"VAE: not run": (1,)})):
            monkeypatch.setattr(further, "SEEDS", {"published": 1, "held_out": seeds})
            board = collect([tiny], out, tmp_path).results.experiments["curves_dense_ae"].further.boards["held_out"]
            assert board.seeds == (0,) and board.missing == lacking
    finally:
        shutil.move(moved, place / "seed-0001")


def digest_of_runs(out):
    found = select(find_records(out, "curves_dense_ae"), "held_out", TINY.to_dict(), CURVES.revision)
    return found.runs[0][0].parent.name


def test_every_training_keeps_its_record_and_its_pictures(made):
    _, report, _ = made
    pictures = [figure.file for figure in entry_of(made).further.figures]
    assert pictures == [
        "figures/curves_dense_ae/drawn_by_announced.png",
        "figures/curves_dense_ae/anomalies_by_announced.png",
    ]
    assert all(report.figures[file].startswith(b"\x89PNG") and len(report.figures[file]) < 100_000 for file in pictures)


def test_the_section_says_what_the_author_announced(made):
    entry = entry_of(made)
    assert entry.announced == read_published("curves_dense_ae").announced
    text = markdown.experiment("curves_dense_ae", entry, {})
    assert f"### {HEADING}" in text
    assert "The author of the source names VAE as a next step: " in text
    assert "The author of the source names GANs (here BiGAN) as a next step: " in text
    assert "**From the collection PyOD, held out**, over seeds 0-1." in text
    rows = plots.further_rows(entry)
    assert [row.label for row in rows] == [row.method for row in entry.further.boards["held_out"].rows]


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (BETTER, "it would have helped. Its AUROC of"),
        (WORSE, "it would not have helped. Its AUROC of"),
        (NOT_TOLD_APART, "it is not shown that it would have helped. Its AUROC of"),
    ],
)
def test_the_answer_follows_from_the_standing(made, standing, told):
    entry = entry_of(made)
    board = entry.further.boards["held_out"]
    rows = tuple(replace(row, standing=standing, collapsed=1) if row.group else row for row in board.rows)
    changed = replace(entry, further=replace(entry.further, boards={"held_out": replace(board, rows=rows)}))
    sentences = further.sentences(changed)
    assert len(sentences) == 3 and all(told in sentence for sentence in sentences)
    assert all(sentence.endswith("It collapsed in 1 of 2 seeds.") for sentence in sentences)
    others = further.sentences(replace(changed, announced={}))
    assert all("which the source does not name, is " in sentence for sentence in others)
    assert further.sentences(replace(entry, further=None)) == [] and further.section(replace(entry, further=None)) == ""


def test_the_results_are_read_as_written(made):
    found = entry_of(made).further
    assert from_plain(to_plain(found), FurtherResults) == found


def test_a_reference_wants_every_seed_in_both_protocols(made):
    tiny, report, _ = made
    parts = {MAIN: [], SWEEP: [], FURTHER: [tiny]}
    require_complete(report.results, parts, [], [], {"held_out": 2})
    for seeds, problem in (
        ({"held_out": 3}, r"held_out\) is not complete \(seeds 2 missing"),
        ({"published": 1}, "seeds 0 missing"),
    ):
        with pytest.raises(SuiteError, match=problem):
            require_complete(report.results, parts, [], [], seeds)
