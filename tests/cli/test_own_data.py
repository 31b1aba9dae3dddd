"""A user's own data on the command line: runs, saved models, scores, and the report."""

import csv
import json
import shutil

import numpy as np
import pandas
import pytest
from PIL import Image

from common.experiment import LABELS, load_experiment
from common.files import digest_of
from common.runs import records
from common.runs.selection import find_records, select
from experiments import EXPERIMENTS
from experiments.__main__ import main

IMAGES = ("mnist_conv_ae", "fashion_latent_ocsvm", "mnist_dense_ae")
TABLES = ("rare_event_lstm_ae", "rare_event_dense_ae", "rare_event_relu_lstm_ae")
WORDS = ("zero", "one", "two")
STEP = "10s"
# The array with the scores that a saved model gives: of the first method that learns without labels.
FIRST = {
    name: next(array for method, array in load_experiment(path).methods.items() if not method.endswith(LABELS))
    for name, path in EXPERIMENTS.items()
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with scikit-learn's digits as images, wine as rows, and the digits as sensors of a plant."""
    from sklearn.datasets import load_digits, load_wine

    folder = tmp_path_factory.mktemp("own")
    pixels, digits = load_digits(n_class=3, return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * 15).astype(np.uint8)
    order = sorted(range(len(images)), key=lambda one: (WORDS[digits[one]], one))
    parts = {"train": [], "test": []}
    for one in order:
        part = "test" if one % 4 == 0 else "train"
        place = folder / "digits" / part / WORDS[digits[one]] / f"{one:04d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[one]).save(place)
        parts[part].append(one)
    arrays = {f"x_{part}": images[chosen] for part, chosen in parts.items()}
    arrays |= {f"y_{part}": np.array(WORDS)[digits[chosen]] for part, chosen in parts.items()}
    np.savez(folder / "digits.npz", **arrays)
    shutil.copytree(folder / "digits" / "train" / "one", folder / "unlabelled")

    wine = load_wine(as_frame=True).frame
    repeated = pandas.concat([wine] * 3, ignore_index=True)
    repeated.assign(strange=(repeated.pop("target") == 2).astype(int)).to_csv(folder / "wine.csv", index=False)

    (folder / "few.csv").write_text("a,b,bad\n" + "1,2,0\n3,4,0\n" * 90 + "5,6,1\n" * 3, encoding="utf-8")
    (folder / "short.csv").write_text("a,b\n" + "1,2\n3,4\n" * 65, encoding="utf-8")

    rows = 900
    events = np.arange(30, rows, 30)
    values = pixels[digits == 1][np.arange(rows) % np.sum(digits == 1)][:, [2, 10, 18, 26, 34]]
    values[np.concatenate([events - 1, events - 2])] = pixels[digits == 0][0][[2, 10, 18, 26, 34]]
    table = pandas.DataFrame(values, columns=["pump", "valve A", "valve a", "Füllstand", "rpm"])
    table["trip"] = np.isin(np.arange(rows), events).astype(int)
    table["when"] = pandas.date_range("2026-01-01", periods=rows, freq=STEP).strftime("%Y-%m-%d %H:%M:%S")
    table.to_csv(folder / "plant.csv", index=False)
    table.drop(columns="trip").to_csv(folder / "plant_unlabelled.csv", index=False)
    return folder


def data_of(name, own):
    """The options for the labelled data that an experiment takes."""
    if name in IMAGES:
        return ["--data", str(own / "digits"), "--normal", "one"]
    if name in TABLES:
        return ["--data", str(own / "plant.csv"), "--time", "when", "--label", "trip"]
    return ["--data", str(own / "wine.csv"), "--label", "strange"]


def run(name, out, *options):
    return main(["run", name, "--epochs", "1", "--quiet", "--jobs", "1", "--out", str(out), *options])


def the_record(name, out):
    (found,) = (one for one in find_records(out, name) if one.record is not None)
    return found.folder, found.record


def read_scores(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Runs and scores.


@pytest.fixture(scope="module")
def saved(own, tmp_path_factory):
    """A run of each experiment on labelled data, with its model: output folders by experiment."""
    outs = {}
    for name in EXPERIMENTS:
        outs[name] = tmp_path_factory.mktemp(name)
        assert run(name, outs[name], "--save-model", *data_of(name, own)) == 0
    return outs


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_is_held_out_and_its_model_scores_its_test_samples_as_it_did(name, own, saved, tmp_path):
    folder, record = the_record(name, saved[name])
    assert record.protocol == "held_out" and record.status == "ok"
    assert all(digest.startswith("own: ") for digest in record.data.values())
    arrays = records.read_arrays(folder, record)
    recorded = arrays["all_scores"]
    file = {**dict.fromkeys(IMAGES, "digits/test"), **dict.fromkeys(TABLES, "plant.csv")}.get(name, "wine.csv")
    assert main(["score", str(folder), str(own / file), "--out", str(tmp_path / "scores.csv")]) == 0
    rows = read_scores(tmp_path / "scores.csv")
    if name in TABLES:
        seconds = {pandas.Timestamp(row["sample"]).value // 10**9: float(row["score"]) for row in rows}
        assert [seconds[time] for time in arrays["test_times"]] == pytest.approx(recorded, rel=1e-4)
    elif name in IMAGES:
        assert sorted(float(row["score"]) for row in rows) == pytest.approx(sorted(recorded), rel=1e-4)
    else:
        scored = np.array([float(row["score"]) for row in rows])
        assert all(np.isclose(scored, one, rtol=1e-4).any() for one in recorded)
    (flagged,) = (one for one in record.decisions if one.rule.endswith("percentile") and one.scores == FIRST[name])
    assert sum(row["flagged"] == "1" for row in rows) == sum(float(row["score"]) > flagged.threshold for row in rows)
    assert all("%" in row["largest_errors"] for row in rows)


def test_a_folder_and_an_archive_of_the_same_images_give_the_same_numbers(own, saved, tmp_path):
    assert run("mnist_dense_ae", tmp_path, "--data", str(own / "digits.npz"), "--normal", "one") == 0
    _, of_folder = the_record("mnist_dense_ae", saved["mnist_dense_ae"])
    _, of_archive = the_record("mnist_dense_ae", tmp_path)
    assert of_folder.metrics == of_archive.metrics and of_folder.digest != of_archive.digest
    assert {name for name in of_folder.metrics if ".against_" in name} >= {"scores.against_two.auroc"}


def test_a_saved_model_is_the_trained_one_for_other_programs_too(saved, own):
    import keras

    folder, record = the_record("mnist_dense_ae", saved["mnist_dense_ae"])
    weights = [array for name, array in records.read_model(folder, record).items() if name.startswith("weight.")]
    loaded = keras.saving.load_model(folder / records.KERAS, compile=False).get_weights()
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(weights, loaded, strict=True))


def test_a_finished_run_without_a_model_is_repeated_to_save_one(own, tmp_path):
    options = data_of("curves_dense_ae", own)
    assert run("curves_dense_ae", tmp_path, *options) == 0
    _, before = the_record("curves_dense_ae", tmp_path)
    assert before.model_sha256 is None
    assert run("curves_dense_ae", tmp_path, *options, "--save-model") == 0
    folder, after = the_record("curves_dense_ae", tmp_path)
    assert after.metrics == before.metrics and (folder / records.MODEL).exists()


# Without labels.


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *((name, ["unlabelled"]) for name in IMAGES),
        *((name, ["plant_unlabelled.csv", "--time", "when"]) for name in TABLES),
        ("curves_dense_ae", ["wine.csv", "--drop", "strange"]),
    ],
)
def test_without_labels_metrics_that_need_them_have_no_value(name, data, own, tmp_path):
    file, *options = data
    assert run(name, tmp_path, "--data", str(own / file), *options, "--save-model") == 0
    _, record = the_record(name, tmp_path)
    of_labels = {metric for metric in record.metrics if metric.endswith((".auroc", ".tp", ".fp", "_rate", ".recall"))}
    assert of_labels - {f"{rule}.intended_rate" for rule in ("percentile", "ocsvm_latent.percentile")} <= {
        *record.undefined,
        *(metric for metric in of_labels if metric.endswith("intended_rate") or metric.startswith("data.")),
    }
    assert any("no labels" in reason for reason in record.undefined.values())
    assert any(metric.endswith("percentile.test.flagged") for metric in record.metrics)
    assert all(not decision.counts for decision in record.decisions)


def test_methods_that_learn_from_labels_are_named_where_there_are_none(own, tmp_path, capsys):
    options = ["--data", str(own / "wine.csv"), "--drop", "strange", "--epochs", "1", "--out", str(tmp_path)]
    assert main(["run", "curves_dense_ae", *options]) == 0
    assert "left out, since they learn from labels: forest on histograms (labels), " in capsys.readouterr().out


def test_windows_of_different_parts_share_no_row_without_events_either(own):
    from common.own.data import Reading, find
    from common.runs.tasks import Task
    from experiments import rare_event_lstm_ae

    source = find(own / "plant_unlabelled.csv", "table", Reading(time="when"))
    config = rare_event_lstm_ae.Config()
    data = Task(rare_event_lstm_ae.EXPERIMENT, config, "held_out", 0, own, source).load()
    parts = rare_event_lstm_ae.split(data, config, "held_out", 0).parts
    rows = [set(part.rows.ravel()) for part in parts.values()]
    assert all(rows) and not (rows[0] & rows[1] | rows[1] & rows[2])


def test_too_few_anomalies_are_not_ranked(own, tmp_path, capsys):
    table = pandas.read_csv(own / "plant.csv")
    table["trip"] *= table.index.isin([570, 600, 750, 780, 870])
    table.to_csv(tmp_path / "few.csv", index=False)
    data = ["--data", str(tmp_path / "few.csv"), "--time", "when", "--label", "trip", "--out", str(tmp_path)]
    assert main(["run", "rare_event_dense_ae", "--epochs", "1", "--detectors=knn", "--jobs", "1", *data]) == 0
    assert "events among the test samples, 10 are needed to rank methods" in capsys.readouterr().out


def test_a_table_of_one_sensor_runs(own, tmp_path):
    data = ["--data", str(own / "plant.csv"), "--time", "when", "--label", "trip"]
    assert run("rare_event_dense_ae", tmp_path, *data, "--drop", "valve A", "valve a", "Füllstand", "rpm") == 0
    _, record = the_record("rare_event_dense_ae", tmp_path)
    assert record.undefined["without_sensors.auroc"] == "no other sensor is left"


# Records of a user's own data and others.


def test_runs_on_own_data_are_in_no_other_selection(saved):
    name = "curves_dense_ae"
    _, record = the_record(name, saved[name])
    found = [*find_records(saved[name], name)]
    assert not select(found, "held_out", record.config, record.revision).runs
    assert select(found, "held_out", record.config, record.revision, record.data).runs


# Scores of foreign or damaged records.


def damaged(folder, record, name, change):
    """Change a file of a copied record, and its checksums with it, as a malicious author could."""
    content = json.loads((folder / records.RECORD).read_text(encoding="utf-8"))
    content.pop("checksum")
    change(content)
    text = json.dumps({**content, "checksum": digest_of(content)})
    (folder / records.RECORD).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "has schema version 99, this suite reads version"),
        ({"revision": 99}, "was made by revision 99 of mnist_dense_ae, and this suite has revision"),
        ({"model_sha256": "0" * 64}, "is not the file that its record was written with"),
        ({"model_sha256": None}, "holds no model; run it again with --save-model"),
        ({"later": 1}, "unknown fields later"),
    ],
)
def test_a_record_that_does_not_fit_is_told_in_one_line(change, message, own, saved, tmp_path, capsys):
    folder, record = the_record("mnist_dense_ae", saved["mnist_dense_ae"])
    copy = tmp_path.joinpath(*folder.parts[-5:])
    shutil.copytree(folder, copy)
    damaged(copy, record, records.RECORD, lambda content: content.update(change))
    assert main(["score", str(copy), str(own / "digits" / "test"), "--out", str(tmp_path / "scores.csv")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "scores.csv").exists()


def test_weights_of_another_model_are_refused(own, tmp_path, capsys):
    options = data_of("mnist_dense_ae", own)
    for units in ("8", "9"):
        assert run("mnist_dense_ae", tmp_path / units, *options, "--units", units, "--save-model") == 0
    (folder, _), (other, record) = (the_record("mnist_dense_ae", tmp_path / units) for units in ("8", "9"))
    shutil.copy(other / records.MODEL, folder / records.MODEL)
    damaged(folder, record, records.RECORD, lambda content: content.update(model_sha256=record.model_sha256))
    assert main(["score", str(folder), str(own / "digits" / "test"), "--out", str(tmp_path / "s.csv")]) == 2
    assert "the saved weights are not those of mnist_dense_ae" in capsys.readouterr().err


def test_scores_are_never_written_over_a_file(own, saved, tmp_path, capsys):
    (tmp_path / "scores.csv").write_text("precious", encoding="utf-8")
    folder, _ = the_record("mnist_dense_ae", saved["mnist_dense_ae"])
    assert main(["score", str(folder), str(own / "digits" / "test"), "--out", str(tmp_path / "scores.csv")]) == 2
    assert "choose another file" in capsys.readouterr().err
    assert (tmp_path / "scores.csv").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("rare_event_dense_ae", "wine.csv", "has not the columns of the run: --time: there is no column 'when'"),
        ("curves_dense_ae", "plant.csv", "missing 'alcohol'"),
        ("mnist_dense_ae", "wine.csv", "is no PNG, JPEG or BMP image"),
    ],
)
def test_samples_of_another_kind_are_refused(name, file, message, own, saved, tmp_path, capsys):
    folder, _ = the_record(name, saved[name])
    assert main(["score", str(folder), str(own / file), "--out", str(tmp_path / "scores.csv")]) == 2
    assert message in capsys.readouterr().err


def test_rows_with_another_step_are_refused(own, saved, tmp_path, capsys):
    table = pandas.read_csv(own / "plant.csv")
    table["when"] = pandas.date_range("2026-01-01", periods=len(table), freq="20s")
    table.to_csv(tmp_path / "slow.csv", index=False)
    folder, _ = the_record("rare_event_dense_ae", saved["rare_event_dense_ae"])
    assert main(["score", str(folder), str(tmp_path / "slow.csv"), "--out", str(tmp_path / "scores.csv")]) == 2
    assert "the rows are 20 s apart, but those of training 10 s" in capsys.readouterr().err


# Options.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "mnist_conv_ae", "--time", "when"], "--time is for your own data; it needs --data PATH"),
        (["run", "mnist_conv_ae", "--data", "digits", "--label", "x"], "are for tables; images need none of them"),
        (["run", "mnist_conv_ae", "--data", "digits"], "choose the normal class with --normal: one, two, zero"),
        (["run", "mnist_conv_ae", "--data", "digits", "--normal", "ten"], "no training images of class ten"),
        (
            ["run", "mnist_conv_ae", "--data", "digits", "--normal", "one", "--anomaly", "ten"],
            "no test images of class",
        ),
        (["run", "mnist_conv_ae", "--data", "digits", "--normal", "one", "--ablate"], "which your own data have not"),
        (["run", "mnist_conv_ae", "--data", "digits", "--data-dir", "."], "leave --data-dir out"),
        (["run", "mnist_conv_ae", "--data", "nowhere"], "nowhere"),
        (["run", "mnist_conv_ae", "--normal", "one", "--data", "stand-in"], "normal must be a class from 0 to 9"),
        (["run", "rare_event_dense_ae", "--data", "plant.csv"], "a sensor table needs --time"),
        (["run", "curves_dense_ae", "--data", "wine.csv", "--points", "9"], "--points is for generated curves"),
        (["run", "curves_dense_ae", "--framework", "pytorch", "--save-model"], "saves models of Keras only"),
        (["run", "curves_dense_ae", "--data", "few.csv", "--label", "bad"], "10 or more normal rows and as many"),
        (["run", "curves_dense_ae", "--data", "short.csv"], "17 normal samples are left for the threshold, beside"),
        (["report", "--normal", "1", "--experiments", "mnist_conv_ae"], "they need --data PATH"),
        (["sweep", "mnist_conv_ae", "--data", "digits"], "invalid choice: 'digits'"),
        (["report", "--data", "wine.csv"], "names the experiments, with --experiments"),
        (["report", "--data", "wine.csv", "--experiments", "curves_dense_ae", "--protocol", "both"], "is held out"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(arguments, message, own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(own)
    assert main([*arguments, *(["--out", str(tmp_path)] if arguments[0] != "sweep" else [])]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not [*tmp_path.rglob("*.json")]


# The report.


@pytest.fixture(scope="module")
def reported(own, tmp_path_factory):
    out = tmp_path_factory.mktemp("reported")
    data = ["--data", str(own / "wine.csv"), "--label", "strange", "--experiments", "curves_dense_ae"]
    options = ["--seeds", "0-2", "--detectors=knn", "--jobs", "1", "--quiet", "--out", str(out)]
    assert main(["report", *data, *options]) == 0
    (folder,) = (out / "own").iterdir()
    return folder


def test_the_report_on_own_data_ranks_the_methods_and_compares_nothing(reported):
    text = (reported / "README.md").read_text(encoding="utf-8")
    assert "# Report on your own data" in text and "k-nearest-neighbour distance" in text
    assert "meant to flag 5% of normal samples" in text and "figures/curves_dense_ae/held_out/extremes.png" in text
    assert "Published against ours" not in text and "Verdicts" not in text
    page = (reported / "index.html").read_text(encoding="utf-8")
    assert "Report on your own data" in page and "All verdicts" not in page and "Nothing is compared" in page
    with (reported / "results.csv").open(encoding="utf-8", newline="") as file:
        assert {row["data"] for row in csv.DictReader(file)} == {"own data: wine.csv"}


def test_the_figures_of_own_data_are_small(reported):
    figures = [*reported.rglob("*.png")]
    assert {one.stem for one in figures} == {"extremes", "scores", "roc_of_the_best"}
    assert max(one.stat().st_size for one in figures) < 100_000
