from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.config import option
from common.data import datasets
from common.data.images import Images
from common.detectors.registry import DETECTORS
from common.errors import SuiteError
from common.files import from_plain, to_plain
from common.report import figures, sweeps
from common.report.collect import collect
from common.report.markdown import report as as_markdown
from common.report.results import FURTHER, MAIN, SWEEP, Results, SweepResults, require_complete
from common.runs import records
from common.runs.selection import find_records
from experiments import mnist_dense_ae as dense
from experiments.__main__ import main

CLASSES = (1, 4, 9)


@dataclass(frozen=True)
class TinyConfig(dense.Config):
    """Settings for a second of training."""

    units: tuple[int, ...] = option((16, 4), "widths", minimum=1)
    epochs: int = option(1, "epochs", minimum=1)
    learning_rate: float = option(1e-2, "learning rate", minimum=0.0)


def strokes(count, seed):
    """Noisy images of three classes: a bar, and a bar with a dark hook or a dark cap."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.repeat(np.array(CLASSES, np.uint8), count))
    x = generator.integers(200, size=(len(y), 28, 28), dtype=np.uint8)
    x[:, 5:23, 14:17] = 220
    x[y == 4, 12:15, 6:14] //= 2
    x[y == 9, 5:12, 9:14] //= 2
    return x, y


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over three classes and two seeds with two detectors, by the command line."""
    out = tmp_path_factory.mktemp("swept")
    images = Images(*strokes(120, 0), *strokes(30, 1))
    experiment = replace(dense.EXPERIMENT, config=TinyConfig, sweep=CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "EXPERIMENT", experiment)
        patch.setattr(datasets, "load", lambda name, source: images)
        patch.setattr(datasets, "check", lambda name, source: None)
        patch.setattr(datasets, "identify", lambda name, source: "digest of the three strokes")
        for name in [*DETECTORS]:
            if name not in ("knn", "mean_distance"):
                patch.delitem(DETECTORS, name)
        arguments = ["sweep", "mnist_dense_ae", "--seeds", "0-1", "--detectors", "--jobs", "1", "--out", str(out)]
        arguments += ["--data-dir", str(out)]
        assert main(arguments) == 0
        yield experiment, out, arguments


@pytest.fixture(scope="module")
def found(swept):
    experiment, out, _ = swept
    return sweeps.collect_sweep(experiment, [*find_records(out, experiment.name)])


def arrays_of(folder):
    return records.read_arrays(folder, records.read_record(folder))


def test_every_pair_has_the_auroc_of_its_scores(swept, found):
    experiment, out, _ = swept
    images, runs = Images(*strokes(120, 0), *strokes(30, 1)), 0
    for folder, record, _ in find_records(out, experiment.name):
        normal = record.config["normal"]
        arrays = arrays_of(folder)
        order = np.concatenate([np.flatnonzero(images.y_test == normal), np.flatnonzero(images.y_test != normal)])
        classes = images.y_test[order]
        by_method = {
            "dense autoencoder": (record.seed, arrays["scores"]),
            DETECTORS["knn"].title: (0, arrays_of(folder.parent / "detectors" / "knn" / "seed-0000")["scores"]),
        }
        for method, (seed, scores) in by_method.items():
            row = found.sweep.aurocs[method][seed][CLASSES.index(normal)]
            for column, anomaly in enumerate(CLASSES):
                pair = np.isin(classes, [normal, anomaly])
                expected = None if anomaly == normal else roc_auc_score(classes[pair] == anomaly, scores[pair])
                assert row[column] == (expected if expected is None else pytest.approx(expected))
        runs += 1
    assert any(0.5 < value < 1 for row in found.sweep.aurocs["dense autoencoder"][0] for value in row if value)
    assert runs == 6 and found.sweep.seeds == (0, 1) and found.sweep.normals == CLASSES


def test_the_picture_of_a_class_is_an_image_of_it(found):
    images = Images(*strokes(120, 0), *strokes(30, 1))
    assert set(found.pictures) == set(CLASSES)
    for one, picture in found.pictures.items():
        distances = np.abs(images.x_test.astype(float) - picture.astype(float)).mean(axis=(1, 2))
        assert images.y_test[np.argmin(distances)] == one and distances.min() < 30 < np.median(distances)


def test_a_second_time_nothing_is_run_and_the_table_is_printed(swept, capsys):
    _, _, arguments = swept
    assert main(arguments) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("finished before") == 6 and "AUROC of the dense autoencoder, mean over 2 seeds" in text
    assert main([*arguments, "--dry-run"]) == 0
    assert "0 to run, 12 cached" in capsys.readouterr().out


def test_the_report_shows_the_sweep_that_was_run(swept, tmp_path):
    experiment, out, _ = swept
    made = collect([experiment], out, tmp_path / "no reference")
    text = as_markdown(made.results)
    assert "### Was the choice of classes typical?" in text and "**The source's pair**, 1 against 9, is " in text
    assert from_plain(to_plain(made.results), Results) == made.results
    pngs = {path: png for path, png in made.figures.items() if "sweep" in path}
    assert len(pngs) == 3 and all(png.startswith(b"\x89PNG") and len(png) < 100_000 for png in pngs.values())


def test_a_sweep_without_detectors_or_with_a_class_missing_is_shown_as_far_as_it_goes(swept):
    experiment, out, _ = swept
    some = [one for one in find_records(out, experiment.name) if one.record.config["normal"] != 4]
    part = sweeps.collect_sweep(experiment, some)
    assert part.sweep.normals == (1, 9) and part.sweep.classes == CLASSES
    alone = replace(part.sweep, aurocs=dict([*part.sweep.aurocs.items()][:1]), boards={})
    text = sweeps.section(SweepResults(**vars(alone)))
    assert "Only 2 of 3 classes were run." in text and "k-nearest" not in text
    assert [png.name for png in figures.heat_maps(alone, {}, out / "other")] == ["sweep_1"]
    assert sweeps.collect_sweep(experiment, []) is None and sweeps.section(None) == ""


def test_a_reference_wants_every_class_seed_and_detector(swept, tmp_path):
    experiment, out, _ = swept
    results = collect([experiment], out, tmp_path / "no reference").results
    made = {MAIN: [], SWEEP: [experiment], FURTHER: []}
    require_complete(results, made, [], [0, 1], {})
    for problem, seeds, classes in (("seeds 2 missing", [0, 1, 2], CLASSES), ("not all classes", [0], (*CLASSES, 7))):
        with pytest.raises(SuiteError, match=problem):
            require_complete(results, made | {SWEEP: [replace(experiment, sweep=classes)]}, [], seeds, {})
