"""What a user's machine brings along: settings for other programs, odd streams, programs that call the suite."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.files import ROOT
from common.runs import records
from common.runs.selection import find_records
from tests.helpers.tiny import TINY_OPTIONS

KERAS = {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first", "backend": "torch"}
RUN = ["run", "curves_dense_ae", *TINY_OPTIONS]

# A report over the tiny runs, which here are those of the published settings: `-c REPORT OUT`.
REPORT = """
import sys
from dataclasses import replace
from experiments import curves_dense_ae
from tests.helpers.tiny import TINY

original = curves_dense_ae.EXPERIMENT
curves_dense_ae.EXPERIMENT = replace(original, config=lambda **changes: replace(TINY, **changes))
{before}
from experiments.__main__ import main
sys.exit(main(["report", "--no-run", "--experiments", "curves_dense_ae", "--jobs", "1", "--out", sys.argv[1]]))
"""


def python(*arguments, cwd=ROOT, remove=(), variables=None, **options):
    """A fresh process, with these variables and without those that are to be removed."""
    kept = {name: value for name, value in os.environ.items() if name not in remove}
    environment = {**kept, "PYTHONPATH": str(ROOT), **(variables or {})}
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, **{"capture_output": True, "text": True, "cwd": cwd, "env": environment, **options})


def assert_same(out, expected_out, seeds=(0,)):
    """The runs have the bytes of undisturbed ones, and their records say under which settings they were computed."""
    expected = {found.record.seed: found for found in find_records(expected_out, "curves_dense_ae")}
    found = {found.record.seed: found for found in find_records(out, "curves_dense_ae")}
    assert set(found) == set(seeds)
    for seed, (folder, record, _) in found.items():
        assert record.error is None
        assert record.metrics == expected[seed].record.metrics
        assert (folder / records.ARRAYS).read_bytes() == (expected[seed].folder / records.ARRAYS).read_bytes()
        same = {"commit": None, "threads": None}
        ours, theirs = ({**each.environment, **same} for each in (record, expected[seed].record))
        assert ours == theirs
        assert (ours["kernel_threads"], ours["device"], ours["float_type"]) == (1, "CPU", "float32")


# Settings that a user made for other programs.


def in_home(folder):
    """Keras' file in the home folder, Matplotlib's in the current one."""
    (folder / ".keras").mkdir()
    (folder / ".keras" / "keras.json").write_text(json.dumps(KERAS))
    (folder / "matplotlibrc").write_bytes(b"figure.dpi: \xff\n")
    return {"HOME": str(folder)}


def in_keras_home(folder):
    """Values that Keras itself cannot start with."""
    (folder / "keras.json").write_text(json.dumps({"floatx": "float8", "epsilon": 1}))
    return {"KERAS_HOME": str(folder), "MPLBACKEND": "module://no_such_backend", "PYTHONWARNINGS": "error"}


def in_variables(folder):
    return {
        "KERAS_BACKEND": "jax",
        "KERAS_NNX_ENABLED": "1",
        "KERAS_MAX_EPOCHS": "many",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
        "XLA_FLAGS": "--no_such_flag",
        "TF_USE_LEGACY_KERAS": "1",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "SKLEARN_WORKING_MEMORY": "1",
        "OMP_NUM_THREADS": "7",
    }


@pytest.mark.parametrize("settings", [in_home, in_keras_home, in_variables])
def test_settings_for_other_programs_change_no_number(settings, tmp_path, tiny_out):
    elsewhere = tmp_path / "settings"
    elsewhere.mkdir()
    variables = settings(elsewhere)
    done = python("-m", "experiments", *RUN, "--out", tmp_path / "out", cwd=elsewhere, variables=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(tmp_path / "out", tiny_out)


SET_UP = {
    "TensorFlow used": """
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(2)
tf.constant(0)
""",
    "Keras set to float64": """
import keras
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("mixed_float16")
""",
    "other libraries": """
numpy.seterr(all="raise")
sklearn.set_config(transform_output="pandas")
""",
}


@pytest.mark.parametrize("before", SET_UP.values(), ids=SET_UP)
def test_a_program_that_has_set_up_libraries_gets_the_same_numbers(before, tmp_path, tiny_out):
    code = f"import sys, numpy, sklearn\n{before}\nfrom experiments.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    done = python("-c", code, *RUN, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path, tiny_out)


def in_the_shell_of_jupyter(folder):
    return {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def in_matplotlibrc(folder):
    lines = ["figure.dpi: 300", "text.usetex: True", "lines.linewidth: 9", "axes.titley: 0.2", "backend: qtagg"]
    (folder / "matplotlibrc").write_text("\n".join(lines))
    return {"MATPLOTLIBRC": str(folder)}


def none(folder):
    return {}


IN_PROGRAM = """
import matplotlib, numpy
matplotlib.rcParams.update({"figure.dpi": 300, "lines.linewidth": 9, "text.usetex": True, "savefig.facecolor": "red"})
numpy.set_printoptions(legacy="1.13", precision=1)
"""


@pytest.fixture(scope="module")
def report(tiny_out, tmp_path_factory):
    """The files of a report that is made without any settings."""
    out = tmp_path_factory.mktemp("report")
    return report_of(out, tiny_out)


def report_of(out, runs, *flags, before="", **options):
    """Make a report of some runs in a process of its own, and read its files."""
    shutil.copytree(runs / "runs", out / "runs", ignore=shutil.ignore_patterns("figures"))
    done = python(*flags, "-c", REPORT.format(before=before), out, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name: path.read_bytes() for path in out.glob("latest/**/*") if path.suffix in (".png", ".md", ".html")}


@pytest.mark.parametrize(
    ("flags", "settings", "before"),
    [
        ((), in_the_shell_of_jupyter, ""),
        ((), in_matplotlibrc, ""),
        ((), none, IN_PROGRAM),
        (("-OO",), none, ""),
    ],
    ids=["MPLBACKEND", "matplotlibrc", "settings in a program", "-OO"],
)
def test_a_report_is_the_same_under_any_settings(flags, settings, before, tmp_path, tiny_out, report):
    elsewhere = tmp_path / "settings"
    elsewhere.mkdir()
    variables = settings(elsewhere)
    files = report_of(tmp_path / "out", tiny_out, *flags, before=before, variables=variables, cwd=elsewhere)
    assert len(files) > 6
    assert files == report


# Programs that call the suite.


def test_a_program_from_standard_input_may_have_several_jobs(tmp_path, tiny_out):
    words = [*RUN, "--seeds", "0", "1", "--jobs", "2", "--out", str(tmp_path)]
    done = python("-", input=f"from experiments.__main__ import main\nmain({words})")
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(tmp_path, tiny_out, (0, 1))


def test_a_script_without_a_guard_runs_once(tmp_path, tiny_out):
    script = tmp_path / "script.py"
    words = [*RUN, "--detectors", "--jobs", "2", "--out", str(tmp_path / "out")]
    script.write_text(f"print('begun')\nfrom experiments.__main__ import main\nmain({words})")
    done = python(script, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("begun") == 1
    assert_same(tmp_path / "out", tiny_out)


POOL = """
import multiprocessing, sys
from experiments.__main__ import main

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        sys.exit(pool.apply(main, (sys.argv[1:],)))
"""


def test_a_worker_of_a_pool_computes_all_by_itself(tmp_path, tiny_out):
    """Such a process may not start others."""
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    done = python(script, *RUN, "--seeds", "0", "1", "--jobs", "2", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(tmp_path / "out", tiny_out, (0, 1))


# Users and streams.


# Read by every Python process: a user id without an entry in the system's list of users.
NOBODY = """
import pwd

def missing(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = missing
"""


def test_a_user_without_home_runs(tmp_path, tiny_out):
    (tmp_path / "sitecustomize.py").write_text(NOBODY)
    options = {"remove": ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "KERAS_HOME")}
    options["variables"] = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = python("-m", "experiments", "run", "mnist_dense_ae", "--data", "real", "--dry-run", **options)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    done = python("-m", "experiments", *RUN, "--out", tmp_path / "out", **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(tmp_path / "out", tiny_out)
    done = python("-m", "experiments", "compare", "--out", "~/x", **options)
    assert done.returncode == 2 and "there is no home folder for the ~ in ~/x" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed, tmp_path):
    words = [sys.executable, "-m", "experiments", "run", "curves_dense_ae", "--dry-run", "--out", str(tmp_path)]
    listed = subprocess.run(["bash", "-c", f"{shlex.join(words)} {closed}"], capture_output=True, text=True, cwd=ROOT)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.count("would run") == (">&-" not in closed.replace("2>&-", ""))


def test_runs_in_workers_without_any_stream(tmp_path, tiny_out):
    words = [sys.executable, "-m", "experiments", *RUN, "--seeds", "0", "1", "--jobs", "2", "--out", str(tmp_path)]
    done = subprocess.run(["bash", "-c", f"{shlex.join(words)} <&- >&- 2>&-"], cwd=ROOT)
    assert done.returncode == 0
    assert_same(tmp_path, tiny_out, (0, 1))


@pytest.mark.parametrize("words", [["list"], ["compare", "--json"]])
def test_output_that_cannot_be_written_is_one_line_and_status_2(words):
    with Path("/dev/full").open("w") as full:
        done = python("-m", "experiments", *words, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


# The commit.


@pytest.fixture
def repository(tmp_path):
    """A repository of another project, with one commit, in which a copy of the suite lies."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    copy = tmp_path / "copy"
    for name in ("common", "pyproject.toml", "data/datasets.toml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    return tmp_path


COMMIT = "from common.runs import environment; print(environment.describe()['commit'])"


def test_the_commit_is_that_of_this_checkout_or_none(repository):
    """Hooks of git, for one, set these variables."""
    others = {"GIT_DIR": str(repository / ".git"), "GIT_WORK_TREE": str(repository), "GIT_INDEX_FILE": "index"}
    ours = python("-c", COMMIT).stdout
    assert python("-c", COMMIT, variables=others).stdout == ours != "None\n"
    copy = repository / "copy"
    assert python("-c", COMMIT, cwd=copy, variables={"PYTHONPATH": str(copy)}).stdout == "None\n"
