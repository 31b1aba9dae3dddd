import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.cli.commands import COMMANDS
from common.cli.options import parse
from common.comparison.published import read_published
from common.detectors.detector import Detector
from common.detectors.registry import DETECTORS, names_in
from common.files import ROOT
from common.report.results import ExperimentResults, Results, as_json
from common.runs import records, tasks
from common.runs.selection import find_records
from common.runs.tasks import Task, detector_tasks
from experiments import EXPERIMENTS, curves_dense_ae
from experiments.__main__ import main
from tests.helpers.made_up import made_up
from tests.helpers.tiny import TINY, TINY_OPTIONS

HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "seaborn", "scipy", "torch", "PIL", "rich.progress")


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=options.pop("cwd", ROOT), **options
    )


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "curve_dense"], "there is no experiment 'curve_dense'; did you mean curves_dense_ae?"),
        (
            ["sweep", "curves_dense_ae"],
            "no classes to sweep; these have: mnist_conv_ae, fashion_latent",
        ),
        (["sweep", "fashion_latent_ocsvm", "--data", "stand-in"], "no training and test images of class 0, 1, 2, 3, 4"),
        (["sweep", "--seeds", "0", "mnist_dens_ae"], "did you mean mnist_dense_ae?"),
        (["sweep", "mnist_dense_ae", "--protocol", "published"], "unrecognized arguments: --protocol"),
        (["run", "zzz"], "there is no experiment 'zzz'; known are: "),
        (["run", "--out", "mnist_dense_ae"], "required: experiment, one of mnist_conv_ae"),
        (["run", "--epochs", "3"], "required: experiment"),
        (["run", "--framework", "pytorch"], "required: experiment"),
        (["run", "--seeds", "0", "1", "curve_dense"], "did you mean curves_dense_ae?"),
        (["run", "--dry-run", "curve_dense"], "did you mean curves_dense_ae?"),
        (["run", "mnist_dense_ae", "curves_dense_ae"], "unrecognized arguments: curves_dense_ae"),
        (["run", "--epochs", "curves_dense_ae"], "argument --epochs: expected one argument"),
        (["run", "curves_dense_ae", "--seeds", "-1"], "whole numbers from 0 to 999999999, or ranges of at most 10000"),
        (
            ["run", "curves_dense_ae", "--seeds", "1000000000"],
            "from 0 to 999999999, or ranges of at most 10000 as 0-19",
        ),
        (["run", "curves_dense_ae", "--seeds", "0-10000"], "Received: '0-10000'"),
        (["run", "curves_dense_ae", "--jobs", "10000"], "jobs are a whole number from 1 to 9999. Received: '10000'"),
        (["run", "curves_dense_ae", "--data-seed", "4294967296"], "data_seed must be at most 4294967295"),
        (["run", "curves_dense_ae", "--data-dir", ""], "--data-dir: the name of a folder must not be empty"),
        (["run", "curves_dense_ae", "--data-dir=~no-such-user/x"], "no home folder for the ~ in ~no-such-user/x"),
        (["run", "curves_dense_ae", "--dask", ""], "--dask: the address must not be empty"),
        (["compare", "--against="], "--against: the name of a folder must not be empty"),
        (["run", "curves_dense_ae", "--seeds", "1.5"], "Received: '1.5'"),
        (["run", "curves_dense_ae", "--seeds", "5-2"], "Received: '5-2'"),
        (["run", "curves_dense_ae", "--seeds"], "expected at least one argument"),
        (["run", "curves_dense_ae", "--epochs", "0"], "epochs must be at least 1. Received: epochs=0"),
        (["run", "curves_dense_ae", "--protocol", "honest"], "invalid choice: 'honest'"),
        (["run", "curves_dense_ae", "--jobs", "0"], "jobs are a whole number from 1 to 9999. Received: '0'"),
        (["report", "--experiments", "curves"], "invalid choice: 'curves'"),
        (["report", "--reference", "--protocol", "published"], "the reference is of both protocols"),
        (["run", "curves_dense_ae", "--epochs", "many"], "invalid int value: 'many'"),
        (["run", "curves_dense_ae", "--learning-rate", "nan"], "learning_rate must be finite"),
        (["run", "curves_dense_ae", "--framework", "jax"], "invalid choice: 'jax'"),
        (["run", "curves_dense_ae", "--points", "64"], "max_features must be at most points. Received: 100 of 64"),
        (["run", "mnist_conv_ae", "--filters", "8"], "filters needs two values. Received: 1"),
        (["run", "mnist_dense_ae", "--normal", "9"], "normal and anomaly must differ"),
        (["run", "fashion_latent_ocsvm", "--nu", "2"], "nu must be at most 1.0"),
        (["run", "curves_dense_ae", "--ablate", "--epochs", "5"], "--ablate runs the published settings and its own"),
        (["report", "--reference", "--no-run", "--fresh"], "the reference stays as it is: "),
        (["run", "curves_dense_ae", "--epoch", "5"], "unrecognized arguments: --epoch 5"),
        (["run"], "required: experiment"),
        (["run", "--epochs", "3", "curve_dense_ae"], "there is no experiment"),
        (["compare", "curves"], "there is no experiment 'curves'"),
        (["compare", "--against", "nowhere"], "holds no results of a report"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "required: COMMAND"),
    ],
)
def test_bad_input_gets_one_line_and_status_2_and_nothing_is_written(tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    options = ["--out", str(out)] if arguments[:1] in (["run"], ["compare"], ["report"]) else []
    assert main([*arguments[:1], *options, *arguments[1:]] if arguments[1:2] == [] else [*arguments, *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert message in printed.err
    assert not out.exists()


def test_an_out_that_cannot_be_written_is_found_out_before_training(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main(["run", "curves_dense_ae", "--out", str(file / "below")]) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert main(["report", "--out", str(file)]) == 2
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("command", ["run curves_dense_ae", "report", "compare"])
def test_an_out_without_a_name_is_refused(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in ("--out=", "--out= "):
        assert main([*command.split(), out]) == 2
        assert "--out: the name of a folder must not be empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "planned"),
    [
        (["--out", "mnist_dense_ae", "curves_dense_ae"], ("curves_dense_ae", [0])),
        (["--out=mnist_dense_ae", "curves_dense_ae"], ("curves_dense_ae", [0])),
        (["curves_dense_ae", "--out", "mnist_dense_ae"], ("curves_dense_ae", [0])),
        (["--seeds", "0", "1", "curves_dense_ae"], ("curves_dense_ae", [0, 1])),
        (["--units", "8", "4", "curves_dense_ae", "--seeds", "3"], ("curves_dense_ae", [3])),
        (["--quiet", "curves_dense_ae"], ("curves_dense_ae", [0])),
        (
            ["--seeds", "2", "--epochs", "5", "curves_dense_ae", "--seeds", "0", "2-4"],
            ("curves_dense_ae", [2, 0, 3, 4]),
        ),
        (["--dask", "curves_dense_ae", "mnist_dense_ae", "--data", "stand-in"], ("mnist_dense_ae", [0])),
    ],
)
def test_options_may_stand_before_the_experiment_and_lists_add_up(arguments, planned, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments, "--dry-run"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if ": would run" in line]
    assert {line[0] for line in lines} == {planned[0]}
    assert [int(line[-3].rstrip(":")) for line in lines] == planned[1]


def test_a_home_folder_is_meant_by_its_short_name(tmp_path, tiny_out, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_out.parent))
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "curves_dense_ae", *TINY_OPTIONS, "--dry-run", f"--out=~/{tiny_out.name}"]
    assert main(arguments) == 0
    assert "1 cached" in capsys.readouterr().out
    monkeypatch.setenv("ANOMALY_DATA", "~/nowhere")
    tasks._identify.cache_clear()  # A process looks for its data once.
    assert main(["run", "mnist_dense_ae", "--dry-run", "--out=~/x"]) == 2
    assert f"no readable data directory {tiny_out.parent / 'nowhere'}" in capsys.readouterr().err


def test_experiments_of_a_report_add_up(tmp_path, capsys):
    arguments = ["report", "--no-run", "--quiet", "--jobs", "1", "--out", str(tmp_path)]
    assert main([*arguments, "--experiments", "curves_dense_ae", "--experiments", "mnist_dense_ae"]) == 0
    text = (tmp_path / "latest" / "results.json").read_text()
    assert list(json.loads(text)["experiments"]) == ["curves_dense_ae", "mnist_dense_ae"]


def test_help_is_the_same_without_docstrings():
    for words in ([], ["run"], ["run", "curves_dense_ae"], ["report"], ["compare"], ["fetch"]):
        plain, optimised = (command(*flags, "-m", "experiments", *words, "--help").stdout for flags in ([], ["-OO"]))
        assert plain == optimised != ""


# What is imported when.


def heavy_imports_of(*arguments):
    """Which of the heavy libraries one command imports, in a process of its own, and what it prints."""
    code = (
        "import sys\nfrom experiments.__main__ import main\n"
        f"try:\n    main({list(arguments)})\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', *[name for name in {HEAVY} if name in sys.modules])"
    )
    finished = command("-c", code)
    assert finished.stderr == ""
    *printed, last = finished.stdout.splitlines()
    assert last.startswith("HEAVY")
    return last.split()[1:], "\n".join(printed)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "curves_dense_ae", "--help"]])
def test_quick_commands_import_nothing_heavy(arguments):
    assert heavy_imports_of(*arguments)[0] == []


def test_a_comparison_imports_nothing_heavy_but_special_functions(default_out):
    groups = read_published("curves_dense_ae").groups
    printed = {metric: float(text) for group in groups for metric, text in group.numbers.items()}
    # Seeds that vary and lie beside what is printed, so that there are intervals and p-values to compute.
    out = default_out({seed: {m: value * (0.9 + seed / 300) for m, value in printed.items()} for seed in range(20)})
    heavy, text = heavy_imports_of("compare", "--out", str(out))
    assert heavy == ["scipy"] and "differs (lower)" in text


def test_help_shows_every_hyperparameter_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "curves_dense_ae", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--learning-rate" in text and "(default: 0.001)" in text
    assert "--units" in text and "128 64 16 4" in text


# Runs, in processes of their own.


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A seed run by the script in a fresh process, from another folder, and where its records are."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    arguments = ["--seeds", "0", *TINY_OPTIONS, "--out", str(elsewhere / "out")]
    return command(str(ROOT / "experiments" / "curves_dense_ae.py"), *arguments, cwd=elsewhere), elsewhere / "out"


def test_the_same_seed_gives_the_same_bytes_by_the_script_in_another_process(script, tiny_out):
    finished, out = script
    assert finished.returncode == 0, finished.stderr
    (found,) = find_records(out, "curves_dense_ae")
    ours = Task(curves_dense_ae.EXPERIMENT, TINY, "published", 0, tiny_out)
    assert found.folder.parent.name == ours.digest
    assert (found.folder / "arrays.npz").read_bytes() == (ours.folder / "arrays.npz").read_bytes()
    assert found.record.metrics == records.read_record(ours.folder).metrics


def test_the_module_finds_what_the_script_has_run(script):
    _, out = script
    arguments = ["-m", "experiments.curves_dense_ae", "--seeds", "0", *TINY_OPTIONS, "--out", str(out), "--dry-run"]
    finished = command(*arguments, cwd=out.parent)
    assert finished.returncode == 0, finished.stderr
    assert "0 to run, 1 cached" in finished.stdout


def test_a_run_without_a_terminal_prints_one_line_a_run_and_no_noise(script):
    finished, out = script
    assert finished.stderr == ""
    lines = finished.stdout.splitlines()
    assert "seed 0: ok in" in lines[0]
    assert sum("seed 0: " in line for line in lines) == 1
    assert str(out) in lines[-1]


def test_a_terminal_gets_a_bar(tmp_path):
    """A pseudo-terminal stands in for the real one; what it shows is read back."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "run", "curves_dense_ae", *TINY_OPTIONS, "--out", str(tmp_path)],
        stdout=child,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(child)
    shown = b""
    try:
        while chunk := os.read(parent, 4096):
            shown += chunk
    except OSError:
        pass  # the way a pseudo-terminal says that the other side has closed
    finally:
        os.close(parent)
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0, errors
    assert errors == b""
    text = shown.decode()
    assert "curves_dense_ae seed 0" in text and "epoch" in text and "loss" in text and "━" in text


# Runs, in this process.


def test_finished_runs_are_skipped_and_it_says_so(tiny_out, capsys):
    arguments = ["run", "curves_dense_ae", "--seeds", "0-2", *TINY_OPTIONS, "--out", str(tiny_out)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("finished before") == 3
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_dry_run_lists_and_estimates_and_runs_nothing(tiny_out, tmp_path, capsys):
    arguments = ["run", "curves_dense_ae", "--seeds", "1", "7", *TINY_OPTIONS, "--dry-run"]
    assert main([*arguments, "--out", str(tiny_out)]) == 0
    text = capsys.readouterr().out
    assert "seed 1: cached" in text and "seed 7: would run" in text
    assert "1 to run, 1 cached; about" in text
    assert main([*arguments, "--out", str(tmp_path / "empty")]) == 0
    assert "no earlier run to estimate from" in capsys.readouterr().out
    assert not (tmp_path / "empty").exists()


def test_both_protocols_and_the_detectors_beside_them(tiny_both, capsys):
    arguments = ["run", "curves_dense_ae", "--protocol", "both", "--detectors", "--seeds", "0", "1", *TINY_OPTIONS]
    assert main([*arguments, "--out", str(tiny_both)]) == 0
    text = capsys.readouterr().out
    assert text.count("finished before") == 4
    for protocol in ("published", "held_out"):
        assert f"curves_dense_ae, {protocol} protocol" in text
        assert f"records: {tiny_both / 'runs' / 'curves_dense_ae' / protocol}" in text
    assert "percentile.false_positive_rate" in text
    assert "k-nearest-neighbour distance" in text and "reference" in text
    assert main([*arguments, "--dry-run", "--out", str(tiny_both)]) == 0
    runs = [Task(curves_dense_ae.EXPERIMENT, TINY, protocol, seed, tiny_both)
            for protocol in ("published", "held_out") for seed in (0, 1)]  # fmt: skip
    assert f"0 to run, {len(runs) + len(detector_tasks(runs))} cached" in capsys.readouterr().out


def test_a_chosen_detector_that_failed_is_named_below_the_ranking(tiny_both, tmp_path, capsys, monkeypatch):
    def fail(training, seed):
        raise ValueError("it has no such setting")

    monkeypatch.setitem(DETECTORS, "broken", Detector("broken detector", fail))
    shutil.copytree(tiny_both, tmp_path / "out")
    arguments = ["run", "curves_dense_ae", "--protocol", "held_out", "--seeds", "0-1", "--jobs", "1", *TINY_OPTIONS]
    arguments += ["--out", str(tmp_path / "out")]
    assert main([*arguments, "--detectors=knn,broken"]) == 1
    text = capsys.readouterr().out
    left_out = [line for line in text.splitlines() if line.startswith("left out: ")]
    assert [re.search(r"broken detector: .*it has no such setting \(seeds (\d)\)$", one)[1] for one in left_out] == [
        "0",
        "1",
    ]
    assert main([*arguments, "--detectors=broken"]) == 1
    assert "left out: broken detector" in capsys.readouterr().out


def test_a_failed_run_gives_status_1_and_says_why(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise ValueError("the loss turned NaN")

    monkeypatch.setattr(curves_dense_ae, "EXPERIMENT", replace(curves_dense_ae.EXPERIMENT, run=fail))
    assert main(["run", "curves_dense_ae", *TINY_OPTIONS, "--out", str(tmp_path), "--quiet"]) == 1
    assert "seed 0: failed after" in (text := capsys.readouterr().out) and "the loss turned NaN" in text
    assert main(["run", "curves_dense_ae", *TINY_OPTIONS, "--out", str(tmp_path), "--verbose"]) == 1
    assert "Traceback" in capsys.readouterr().out


def test_an_interruption_gives_status_130(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(curves_dense_ae, "EXPERIMENT", replace(curves_dense_ae.EXPERIMENT, run=interrupt))
    assert main(["run", "curves_dense_ae", *TINY_OPTIONS, "--out", str(tmp_path)]) == 130
    assert "interrupted; finished runs are kept" in capsys.readouterr().err


# Comparisons.


@pytest.fixture
def default_out(tmp_path):
    """Records that look like runs of the published settings, as fake as the metrics that they are filled with."""

    def write(metrics_by_seed):
        for seed, metrics in metrics_by_seed.items():
            task = Task(curves_dense_ae.EXPERIMENT, curves_dense_ae.Config(), "published", seed, tmp_path)
            record = records.Record(
                task.name, "published", task.digest, seed, "ok", task.config.to_dict(), task.revision, metrics=metrics,
                durations={"total": 1.0},
            )  # fmt: skip
            records.write_run(task.folder, record, {})
        return tmp_path

    return write


RIGHT = {
    "ocsvm.normal.precision": 0.5670731707317073,
    "ocsvm.normal.recall": 0.93,
    "ocsvm.normal.f1": 0.7045454545454546,
    "ocsvm.anomaly.precision": 0.8055555555555556,
    "ocsvm.anomaly.recall": 0.29,
    "ocsvm.anomaly.f1": 0.4264705882352941,
    "ocsvm.accuracy": 0.61,
}
# Every exact number of the source, those of the report above with more digits than it prints.
EXACT = {
    metric: float(text)
    for group in read_published("curves_dense_ae").groups
    for metric, text in group.numbers.items()
    if group.obtained == "exact"
} | RIGHT


def test_compare_ends_with_1_when_an_exact_number_differs_else_0(default_out, capsys):
    out = default_out({0: EXACT})
    assert main(["compare", "--out", str(out)]) == 0
    assert "3 of 3 exact rows are exact" in capsys.readouterr().out
    default_out({1: EXACT | {"ocsvm.accuracy": 0.63}})
    assert main(["compare", "--out", str(out)]) == 1
    assert "2 of 3 exact rows are exact" in capsys.readouterr().out


def test_compare_speaks_json_to_machines(default_out, capsys):
    assert main(["compare", "--json", "--out", str(default_out({0: EXACT}))]) == 0
    groups = json.loads(capsys.readouterr().out)["curves_dense_ae"]["groups"]
    assert {group["name"]: group["verdict"] for group in groups}["ocsvm"] == "exact"


def test_compare_leaves_other_settings_out_and_says_so(tiny_out, capsys):
    assert main(["compare", "--out", str(tiny_out)]) == 0
    text = capsys.readouterr().out
    assert "left out: 3 runs with other settings" in text
    assert "no finished runs of curves_dense_ae yet" in text


def test_compare_against_a_reference(default_out, tmp_path, capsys):
    reference = tmp_path / "reference"
    reference.mkdir()
    entry = made_up(
        ExperimentResults,
        seeds=dict.fromkeys(range(3), RIGHT),
        revision=curves_dense_ae.EXPERIMENT.revision,
        config=curves_dense_ae.Config().to_dict(),
        source=read_published("curves_dense_ae").source,
    )

    def write(entry):
        results = made_up(Results, experiments={"curves_dense_ae": entry})
        (reference / "results.json").write_bytes(as_json(results))

    write(entry)
    out = default_out(dict.fromkeys(range(3), RIGHT))
    assert main(["compare", "curves_dense_ae", "--against", str(reference), "--out", str(out)]) == 0
    assert "7 identical" in capsys.readouterr().out
    default_out(dict.fromkeys(range(3), RIGHT | {"ocsvm.accuracy": 0.7}))
    assert main(["compare", "curves_dense_ae", "--against", str(reference), "--json", "--out", str(out)]) == 1
    (answer,) = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in answer["metrics"] if row["verdict"] == "differs"} == {"ocsvm.accuracy"}
    for changes in ({"revision": 0}, {"config": {}}, {"data": {"mnist": "stand-in: digits"}}):
        write(replace(entry, **changes))
        assert main(["compare", "curves_dense_ae", "--against", str(reference), "--out", str(out)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_list_names_every_experiment(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in EXPERIMENTS)


def test_the_script_of_every_experiment_is_there():
    for name in EXPERIMENTS:
        assert Path(ROOT / "experiments" / f"{name}.py").exists()


def test_a_tensorboard_log_lies_beside_the_record_and_changes_no_number(tmp_path, tiny_selection, capsys):
    options = ["--quiet", "--tensorboard", "--out", str(tmp_path), *TINY_OPTIONS]
    assert main(["run", "curves_dense_ae", *options]) == 0
    (found,) = find_records(tmp_path, "curves_dense_ae")
    assert list((found.folder / "tensorboard" / "train").glob("events.out.tfevents.*"))
    assert found.record.metrics == tiny_selection.metrics()[0]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--detectors", "curves_dense_ae"], names_in("classical")),
        (["run", "curves_dense_ae", "--detectors"], names_in("classical")),
        (["run", "curves_dense_ae", "--detectors=vae,knn"], ("vae", "knn")),
        (["run", "curves_dense_ae", "--detectors=announced"], names_in("announced")),
        (["run", "curves_dense_ae"], ()),
        (["report"], (*names_in("classical"), *names_in("announced"))),
        (["report", "--detectors"], names_in("classical")),
    ],
)
def test_detectors_are_chosen_behind_an_equals_sign(arguments, expected):
    assert parse(arguments, COMMANDS, EXPERIMENTS).detectors == expected


def test_an_unknown_detector_is_named_with_those_there_are(capsys):
    assert main(["run", "curves_dense_ae", "--detectors=nope"]) == 2
    assert "There is no detector 'nope'. There are: random_score, " in capsys.readouterr().err
