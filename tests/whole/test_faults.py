"""Real faults: processes that are killed or interrupted, disks that are full, records that are damaged."""

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from common import files
from common.errors import RecordError
from common.files import ROOT
from common.page import write
from common.report.collect import collect
from common.runs import interruption, records, runner, worker
from common.runs.records import Record
from common.runs.selection import find_records
from common.runs.tasks import Task
from experiments import curves_dense_ae
from experiments.__main__ import main
from tests.helpers import killed
from tests.helpers.tiny import CURVES, TINY, TINY_OPTIONS, Silent

PROGRAM = [sys.executable, "-X", "faulthandler", "-m", "experiments"]


def command(*arguments, out):
    return [*PROGRAM, "run", "curves_dense_ae", *TINY_OPTIONS, *arguments, "--out", str(out)]


def started(*arguments, out):
    """A command. Its `communicate` ends when nobody holds its output any more: when it has left no process behind."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    return subprocess.Popen(command(*arguments, out=out), **options)


def wait_for(process, text):
    """Read what a process prints until a line holds some text."""
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was never printed; {process.stderr.read()}")


def interrupted(process, number):
    """Send a signal, once, and wait for the end; whatever happens, no process is left behind."""
    try:
        process.send_signal(number)
        return process.communicate(timeout=60)
    finally:
        process.kill()


def assert_same_runs(out, expected_out, seeds):
    """Metrics and arrays of these seeds are those of an undisturbed run, byte for byte, and nothing else lies about."""
    expected = {found.record.seed: found for found in find_records(expected_out, "curves_dense_ae")}
    found = {found.record.seed: found for found in find_records(out, "curves_dense_ae")}
    assert set(found) == set(seeds)
    for seed in seeds:
        assert found[seed].record.metrics == expected[seed].record.metrics
        arrays = [(one.folder / records.ARRAYS).read_bytes() for one in (found[seed], expected[seed])]
        assert arrays[0] == arrays[1]
        assert {path.name for path in found[seed].folder.iterdir()} == {records.ARRAYS, records.RECORD}


# Killed, interrupted, terminated.


@pytest.fixture(scope="module")
def ended_early(tmp_path_factory):
    """For each fault point the folder that a process killed there has left."""
    folder = tmp_path_factory.mktemp("killed")
    arguments = [sys.executable, "tests/helpers/killed.py", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    assert json.loads(result.stdout) == dict.fromkeys(killed.POINTS, int(signal.SIGKILL))
    return {point: folder / str(number) for number, point in enumerate(killed.POINTS)}


@pytest.mark.parametrize("point", killed.POINTS)
def test_a_process_killed_at_any_moment_leaves_only_whole_records(ended_early, point, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "seeded", worker.seeded)  # put back what `execute` exchanges
    out = ended_early[point]
    finished = [record for _, record, _ in find_records(out, "killed")]
    assert None not in finished
    written = killed.POINTS.index(point) + 1 - killed.POINTS.index("seed-0000/record.json: after")
    assert len(finished) == (0 if written < 1 else 1 if point != killed.POINTS[-1] else 2)

    told = Silent()
    outcomes = killed.execute(out, told)
    assert [event for event in told.told if event[0] == "skipped"] == [
        ("skipped", seed) for seed in range(len(finished))
    ]
    undisturbed = killed.execute(tmp_path, Silent())
    assert [record.metrics for record in outcomes] == [record.metrics for record in undisturbed]
    for ours, theirs in zip(killed.tasks(out), killed.tasks(tmp_path), strict=True):
        for one, other in ((ours, theirs), (ours.shared, theirs.shared)):
            ours_there, theirs_there = one.folder, other.folder
            assert (ours_there / records.ARRAYS).read_bytes() == (theirs_there / records.ARRAYS).read_bytes()
            assert {path.name for path in ours_there.iterdir()} == {records.ARRAYS, records.RECORD}


def test_a_real_run_that_is_killed_is_taken_up_where_it_was(tmp_path, tiny_out):
    process = started("--seeds", "0", "1", "--jobs", "1", "--verbose", out=tmp_path)
    wait_for(process, "seed 1: epoch 2/3")
    process.kill()
    process.communicate(timeout=60)
    assert [record.seed for _, record, _ in find_records(tmp_path, "curves_dense_ae")] == [0]
    result = subprocess.run(
        command("--seeds", "0", "1", "--jobs", "1", out=tmp_path), capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert result.stdout.count("skipped") == 1
    assert_same_runs(tmp_path, tiny_out, range(2))


@pytest.fixture
def in_the_foreground():
    """Whoever runs the tests in the background of a shell has SIGINT ignored, here and in all children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_foreground")
@pytest.mark.parametrize(("number", "status", "jobs"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_an_interruption_says_what_is_done_and_records_what_was_not(tmp_path, number, status, jobs):
    arguments = ["--epochs", "100000", "--seeds", "0-2", "--jobs", str(jobs), "--verbose"]
    process = started(*arguments, out=tmp_path)
    wait_for(process, "seed 0: epoch 2/")
    printed, complaints = interrupted(process, number)
    assert complaints == "interrupted; finished runs are kept, the same command goes on from there\n"
    assert process.returncode == status
    assert "state of the runs" in printed
    cells = next(line for line in printed.splitlines() if line.count("curves_dense_ae") and "│" in line).split("│")
    done, failed, broken_off, not_begun = (int(cell) for cell in cells[2:6])
    assert (done, failed) == (0, 0)
    assert 1 <= broken_off <= jobs
    assert broken_off + not_begun == 3
    found = [record for _, record, _ in find_records(tmp_path, "curves_dense_ae")]
    assert [record.status for record in found] == ["interrupted"] * broken_off


class Deaf:
    """What is raised within its destructor goes nowhere, which is how Python loses an interruption."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


NUMBERS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, interruption.Terminated)]


@pytest.mark.usefixtures("in_the_foreground")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "raised"), NUMBERS)
def test_a_lost_interruption_ends_the_training_with_the_next_epoch(number, raised, tmp_path):
    class Listener(Silent):
        def epoch(self, task, epoch, epochs, loss):
            super().epoch(task, epoch, epochs, loss)
            if epoch == 2:
                Deaf(number)

    listener = Listener()
    tasks = [Task(curves_dense_ae.EXPERIMENT, replace(TINY, epochs=5), "published", seed, tmp_path) for seed in (0, 1)]
    with interruption.raised(), pytest.raises(KeyboardInterrupt) as ended:
        runner.execute(tasks, listener)
    assert ended.type is raised
    assert listener.told == [("started", 0), ("epoch", 0, 1, 5), ("epoch", 0, 2, 5)]
    assert [found.record.status for found in find_records(tmp_path, "curves_dense_ae")] == ["interrupted"]


@pytest.mark.usefixtures("in_the_foreground")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_is_forgotten_with_its_command():
    with interruption.raised():
        Deaf(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    interruption.check()


@pytest.mark.usefixtures("in_the_foreground")
@pytest.mark.parametrize(("number", "raised"), NUMBERS)
def test_a_deferred_interruption_is_raised_by_the_next_check_or_at_the_end(number, raised):
    reached = []
    for checked in (True, False):
        with interruption.raised(), pytest.raises(KeyboardInterrupt) as ended, interruption.deferred():
            signal.raise_signal(number)
            reached.append(checked)
            if checked:
                interruption.check()
                pytest.fail("the interruption was not raised")
        assert ended.type is raised
    assert reached == [True, False]
    with interruption.raised(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
        pytest.fail("signals are still deferred")


@pytest.mark.usefixtures("in_the_foreground")
def test_an_error_within_a_deferred_context_is_not_replaced_by_an_interruption():
    with interruption.raised(), pytest.raises(OSError, match="full"), interruption.deferred():
        signal.raise_signal(signal.SIGINT)
        raise OSError("full")


def test_a_signal_that_is_ignored_stays_ignored():
    """As in a process that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption.raised():
            signal.raise_signal(signal.SIGINT)
            interruption.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# Disks.


SMALL_DISK = """
import resource, signal, sys
from common.runs import records
from experiments import curves_dense_ae
from experiments.__main__ import main

# No file may grow further than this from the second run on, which is what a full disk looks like.
write, written = records.write_run, []
def limited(*arguments, **options):
    if written:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    written.append(arguments)
    return write(*arguments, **options)
records.write_run = limited
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_ends_the_command_and_keeps_what_is_done(tmp_path, tiny_out):
    arguments = command("--seeds", "0", "1", "--jobs", "1", out=tmp_path)[len(PROGRAM) :]
    result = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: {tmp_path}")
    assert "arrays.npz: File too large" in result.stderr
    assert "state of the runs" in result.stdout
    assert_same_runs(tmp_path, tiny_out, [0])


def unwritable(folder):
    """Folders that nobody can write into, and what the system says of each."""
    (folder / "file").write_text("in the way")
    yield folder / "file" / "out", "Not a directory"
    yield ROOT.__class__("/proc/out"), ""
    closed = folder / "closed"
    closed.mkdir(mode=0o500)
    if not os.access(closed, os.W_OK):
        yield closed / "out", "Permission denied"


@pytest.mark.parametrize("arguments", [["run", "curves_dense_ae", *TINY_OPTIONS], ["report", "--no-run"]])
def test_a_folder_that_cannot_be_written_is_found_out_before_anything_runs(tmp_path, capsys, arguments):
    for out, reason in unwritable(tmp_path):
        assert main([*arguments, "--out", str(out)]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"error: cannot write to {out}")
        assert reason in printed.err
        assert printed.err.count("\n") == 1


def test_a_write_that_fails_leaves_the_old_file_and_says_which(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        with pytest.raises(OSError, match="File too large") as error:
            files.write_atomically(path, b"new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert error.value.filename == str(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("record.json", "old")]


# Two at once.


def test_two_commands_on_one_folder_both_end_well(tmp_path, tiny_out):
    processes = [started("--seeds", "0", "1", "--jobs", "1", out=tmp_path) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0]
    assert_same_runs(tmp_path, tiny_out, range(2))


def record_of(folder, **changes):
    """A record that belongs into a folder `<experiment>/<protocol>/<digest>/seed-0000`."""
    experiment, protocol, digest = folder.parts[-4:-1]
    fields = {"experiment": experiment, "protocol": protocol, "digest": digest, "seed": 0, "status": "ok"}
    return Record(**{**fields, "config": {}, "revision": 1, "durations": {"total": 1.0}, **changes})


def test_two_reports_into_one_folder_wait_for_each_other(tmp_path, tiny_out, monkeypatch):
    """Both end with all their figures, and what a killed one has left there is gone."""
    out, folder = tmp_path / "out", tmp_path / "report"
    shutil.copytree(tiny_out, out)
    (folder / f"{files.TEMPORARY}drawing" / "figures").mkdir(parents=True)
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    results = [collect([tiny], out, tmp_path / "none", ("published",)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: write.write(each, folder, page=False), results))
    written = json.loads((folder / "results.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"README.md", "figures", "results.json"}
    shown = [figure["file"] for figure in written["experiments"]["curves_dense_ae"]["figures"]]
    assert len(shown) > 3
    assert all((folder / file).is_file() for file in shown)


def test_records_that_are_written_at_once_are_not_torn(tmp_path):
    folder = records.seed_folder(records.digest_folder(tmp_path, "e", "published", "0" * 12), 0)

    def write(number):
        record = record_of(folder, metrics={"m": number})
        records.write_run(folder, record, {"a": np.full(1000, number)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    record = records.read_record(folder)
    assert records.read_arrays(folder, record)["a"][0] == record.metrics["m"]
    assert len(list(folder.iterdir())) == 2


# Damaged records.


def rewritten(**changes):
    """An edit that also mends the checksum, as somebody would who knows how."""

    def edit(folder):
        content = json.loads((folder / records.RECORD).read_text()) | changes
        del content["checksum"]
        text = json.dumps({**content, "checksum": files.digest_of(content)})
        (folder / records.RECORD).write_text(text)

    return edit


def replaced(old, new):
    def edit(folder):
        path = folder / records.RECORD
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


def with_arrays(content):
    """Other arrays under a record that vouches for them."""

    def edit(folder):
        (folder / records.ARRAYS).write_bytes(content)
        rewritten(arrays_sha256=records.hashlib.sha256(content).hexdigest())(folder)

    return edit


def pickles(folder):
    path = folder / records.ARRAYS
    np.savez(path, scores=np.array([{"a": 1}], dtype=object))
    with_arrays(path.read_bytes())(folder)


DAMAGES = {
    "empty": (lambda folder: (folder / records.RECORD).write_text(""), "is no record"),
    "cut": (
        lambda folder: (folder / records.RECORD).write_text((folder / records.RECORD).read_text()[:300]),
        "is no record",
    ),
    "no JSON": (lambda folder: (folder / records.RECORD).write_bytes(b"\x00\xff"), "is no record"),
    "a list": (lambda folder: (folder / records.RECORD).write_text("[]"), "is no record"),
    "nested too deep": (lambda folder: (folder / records.RECORD).write_text("[" * 100_000), "is no record"),
    "an edited number": (replaced('"status": "ok"', '"status": "failed"'), "not as it was written"),
    "no checksum": (replaced('"checksum"', '"check"'), "is no record: 'checksum'"),
    "another schema": (rewritten(schema=1), "has schema version 1, this suite reads version 2"),
    "no schema": (replaced('"schema"', '"scheme"'), "is no record: 'schema'"),
    "another seed": (rewritten(seed=7), "is the record of seed 7, and lies elsewhere"),
    "another experiment": (rewritten(experiment="../../etc"), "belongs to ../../etc/published/"),
    "a field too many": (rewritten(extra=1), "unknown fields extra"),
    "text for a metric": (rewritten(metrics={"m": "<script>"}), "got `str` - at `$.metrics[...]`"),
    "infinity for a metric": (rewritten(metrics={"m": float("inf")}), "m is inf"),
    "no durations": (rewritten(durations={}), "how long it took is missing"),
    "a list for a mapping": (rewritten(environment=[]), "got `array` - at `$.environment`"),
    "an unexplained null": (rewritten(metrics={"m": None}), "do not go together"),
    "no arrays": (lambda folder: (folder / records.ARRAYS).unlink(), "cannot be read: No such file"),
    "empty arrays": (lambda folder: (folder / records.ARRAYS).write_bytes(b""), "is not the file"),
    "cut arrays": (
        lambda folder: (folder / records.ARRAYS).write_bytes((folder / records.ARRAYS).read_bytes()[:-9]),
        "is not the file",
    ),
    "other arrays": (lambda folder: np.savez(folder / records.ARRAYS, scores=np.zeros(3)), "is not the file"),
}


@pytest.fixture
def copied(tmp_path, tiny_out):
    """A copy of the tiny runs, and the folder of seed 1."""
    shutil.copytree(tiny_out, tmp_path / "out")
    (folder,) = (tmp_path / "out").glob("runs/*/*/*/seed-0001")
    return tmp_path / "out", folder


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_named_and_counts_for_nothing(copied, damage, said):
    out, folder = copied
    damage(folder)
    with pytest.raises(RecordError) as error:
        records.read_record(folder)
    assert said in str(error.value)
    assert str(folder) in str(error.value)
    found = {one.folder.name: one for one in find_records(out, "curves_dense_ae")}
    assert found["seed-0001"].record is None
    assert said in found["seed-0001"].problem


@pytest.mark.parametrize("damage", [DAMAGES["cut"][0], DAMAGES["cut arrays"][0], DAMAGES["an edited number"][0]])
def test_a_damaged_run_is_set_aside_and_comes_again(copied, tiny_out, capsys, damage):
    out, folder = copied
    damage(folder)
    assert main(command("--seeds", "0-2", "--jobs", "1", out=out)[len(PROGRAM) :]) == 0
    printed = capsys.readouterr().out
    assert printed.count("damaged, set aside, run again: ") == 1
    assert printed.count("skipped") == 2
    for path in folder.glob("*.damaged"):
        path.unlink()
    assert_same_runs(out, tiny_out, range(3))


@pytest.mark.parametrize("damage", [pickles, with_arrays(b"no zip"), with_arrays(b"")])
def test_arrays_that_a_record_vouches_for_are_still_not_trusted(copied, damage):
    _, folder = copied
    damage(folder)
    record = records.read_record(folder)
    with pytest.raises(RecordError, match="holds no plain arrays"):
        records.read_arrays(folder, record)


def test_the_report_never_shows_what_is_damaged(tmp_path, tiny_both):
    """Neither a record nor arrays that belong to nothing, however well they are vouched for."""
    shutil.copytree(tiny_both, tmp_path / "out")
    out = tmp_path / "out"
    (run,) = out.glob("runs/*/held_out/*/seed-0001")
    (detector,) = out.glob("runs/*/held_out/*/detectors/knn/seed-0000")
    (cut,) = out.glob("runs/*/published/*/seed-0000")
    other = io.BytesIO()
    np.savez(other, labels=np.array(["<script>"] * 3), scores=np.zeros((2, 2)))
    with_arrays(other.getvalue())(run)
    with_arrays(other.getvalue())(detector)
    DAMAGES["cut arrays"][0](cut)
    for path in out.glob("runs/*/*/*/standings.json"):
        path.unlink()
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    collected = collect([tiny], out, tmp_path / "nowhere")
    page = write.write(collected, tmp_path / "latest").read_text()
    entry = collected.results.experiments["curves_dense_ae"]
    assert list(entry.seeds) == [1]
    assert entry.damaged[0].endswith("run the seed again with --fresh")
    assert entry.standings["held_out"].rows == ()
    assert len(entry.standings["held_out"].missing) == 2
    assert "Damaged, left out: " in page
    assert "<script>" not in page


def test_a_run_whose_loss_turns_nan_fails_alone(tmp_path, capsys):
    arguments = command("--learning-rate", "1e30", "--jobs", "1", out=tmp_path)[len(PROGRAM) :]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert printed.count("FloatingPointError: loss is nan after epoch") == 1
    (found,) = find_records(tmp_path, "curves_dense_ae")
    assert found.record.status == "failed"
    assert "a lower learning rate may help" in found.record.error


def test_debug_says_where_an_error_comes_from(tmp_path, capsys):
    arguments = ["compare", "--against", str(tmp_path / "nowhere")]
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert main([*arguments, "--debug"]) == 2
    debugged = capsys.readouterr().err
    assert debugged.startswith("Traceback") and debugged.endswith(line)


def test_a_record_that_is_read_while_it_is_written_is_not_set_aside(copied):
    """Between new arrays and their record a folder looks damaged to whoever does not wait."""
    _, folder = copied
    record = records.read_record(folder)
    aside = []
    rename = records.Path.replace

    def slow(path, target):
        rename(path, target)
        if target.name == records.ARRAYS:
            future = pool.submit(records.set_aside, folder)
            with contextlib.suppress(TimeoutError):
                future.result(0.05)
            aside.append(future)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records.Path, "replace", slow)
        records.write_run(folder, replace(record, arrays_sha256=None), {"a": np.zeros(3)})
        assert [future.result() for future in aside] == [None]
    assert records.read_arrays(folder, records.read_record(folder))["a"].tolist() == [0, 0, 0]


def test_a_run_that_another_command_has_finished_meanwhile_is_not_overwritten(copied):
    _, folder = copied
    there = records.read_record(folder)
    kept = records.write_run(folder, replace(there, status="interrupted", arrays_sha256=None), unless_finished=True)
    assert kept == records.read_record(folder) == there


def test_a_record_that_cannot_be_read_just_now_is_not_damaged(copied):
    """Too many open files, for one."""
    _, folder = copied
    before = sorted(folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open(folder, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 1, hard))
        with pytest.raises(OSError, match="Too many open files"):
            records.read_record(folder)
        with pytest.raises(OSError, match="Too many open files"):
            records.set_aside(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(used[0])
    assert sorted(folder.iterdir()) == before


def test_a_full_disk_under_fresh_leaves_the_finished_run(copied, monkeypatch):
    _, folder = copied
    there, arrays = records.read_record(folder), (folder / records.ARRAYS).read_bytes()
    make = files.tempfile.mkstemp

    def full(dir, prefix):
        if list(dir.glob(f"{prefix}*")):  # the arrays still fitted
            raise OSError(28, "No space left on device")
        return make(dir=dir, prefix=prefix)

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    with pytest.raises(OSError, match="No space left on device"):
        records.write_run(folder, replace(there, arrays_sha256=None), {"other": np.zeros(3)})
    assert records.read_record(folder) == there
    assert (folder / records.ARRAYS).read_bytes() == arrays
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"schema": 1}', '{"schema": 1, "experiments": {"e": {}}}', "[" * 100_000]
)
def test_a_damaged_reference_is_one_line(tmp_path, capsys, content):
    (tmp_path / "results.json").write_text(content)
    assert main(["compare", "--against", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {tmp_path / 'results.json'} holds no results of a report: ")
    assert printed.count("\n") == 1


def test_output_that_nobody_reads_stops_no_run(tmp_path, tiny_out):
    shell = f"{' '.join(command('--seeds', '0', '1', '--jobs', '1', out=tmp_path))} | head -n 1"
    words = ["bash", "-o", "pipefail", "-c", shell]
    result = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""
    assert_same_runs(tmp_path, tiny_out, range(2))


def test_a_worker_that_finds_a_disk_full_ends_the_command(tmp_path, listener, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(records, "write_run", full)
    monkeypatch.setattr(worker, "seeded", worker.seeded)
    with pytest.raises(OSError, match="No space left"):
        killed.execute(tmp_path, listener)
    assert list(find_records(tmp_path, "killed")) == []
    assert runner.execute([], listener) == []
