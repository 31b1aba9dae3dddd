"""Runs in processes of their own: the same results, and a process that dies takes nothing with it but its own task."""

import contextlib
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import resource_tracker, spawn

import pytest

from common.data import datasets
from common.data.datasets import Source
from common.detectors.classical import CLASSICAL
from common.errors import ConfigError
from common.files import ROOT
from common.runs import executors, records, runner, tasks
from common.runs.tasks import Task, detector_tasks
from common.runs.worker import Memory, compute_far_away
from experiments import curves_dense_ae, mnist_dense_ae
from tests.helpers import dying, noise, optional
from tests.helpers.tiny import TINY


def tasks_of_the_dying(out, seeds, detector="mean_distance", **config):
    return [Task(dying.EXPERIMENT, dying.Config(**config), "published", seed, out, detector=detector) for seed in seeds]


def test_a_task_travels_to_another_process_and_is_the_same_there(tmp_path):
    task = Task(curves_dense_ae.EXPERIMENT, TINY, "held_out", 3, tmp_path, detector="knn")
    assert pickle.loads(pickle.dumps(task)) == task


def test_a_stand_in_is_decided_on_once(tmp_path, monkeypatch):
    task = Task(mnist_dense_ae.EXPERIMENT, mnist_dense_ae.Config(), "published", 0, tmp_path)
    monkeypatch.setattr(tasks, "_identify", lambda names, source: {"mnist": "0" * 64})
    assert pickle.loads(pickle.dumps(task)).source == Source()
    monkeypatch.setattr(tasks, "_identify", lambda names, source: {"mnist": "stand-in: digits"})
    assert pickle.loads(pickle.dumps(task)).source == Source("stand-in")


def test_results_do_not_depend_on_how_many_processes_there_are(tiny_both, tmp_path, listener):
    runs = [Task(curves_dense_ae.EXPERIMENT, TINY, "published", seed, tmp_path) for seed in (0, 1)]
    tasks = runs + [task for task in detector_tasks(runs) if task.detector in ("knn", "isolation_forest")]
    outcomes = runner.execute(tasks, listener, executors.Execution(jobs=2))
    assert [record.error for record in outcomes] == [None] * 5
    for task, record in zip(tasks, outcomes, strict=True):
        alone = Task(task.experiment, TINY, task.protocol, task.seed, tiny_both, detector=task.detector)
        expected = records.read_record(alone.folder)
        assert record.metrics == expected.metrics
        assert record.arrays_sha256 == expected.arrays_sha256
    told = [event for event in listener.told if event[0] == "epoch"]
    assert sorted(told) == [("epoch", seed, epoch, 3) for seed in (0, 1) for epoch in (1, 2, 3)]
    assert not multiprocessing.active_children()


def next_of(waiting, last=None, others=(), **seconds):
    """The first task of the group that comes next, of tasks by name with expected seconds by name."""
    groups = executors._groups(waiting.values())
    known = {waiting[name]: value for name, value in seconds.items()}
    key = executors._next_group(groups, known, last, others)
    return next(name for name, task in waiting.items() if task in groups[key])


def test_a_worker_stays_with_its_group_and_otherwise_takes_the_longest_that_nobody_computes(tmp_path):
    def task(seed, protocol="published", **changes):
        return Task(curves_dense_ae.EXPERIMENT, replace(TINY, **changes), protocol, seed, tmp_path)

    waiting = {"published": task(1), "held_out": task(0, "held_out"), "longer": task(0, epochs=4)}
    assert next_of(waiting) == "published"
    assert next_of(waiting, held_out=2.0, longer=3.0) == "longer"
    # The worker has a compiled model of this group, but not of one with another config or protocol.
    assert next_of(waiting, task(0), held_out=2.0, longer=3.0) == "published"
    assert next_of(waiting, task(9, epochs=5), held_out=2.0, longer=3.0) == "longer"
    # Another worker computes the longest group; only when no other group is left do two share one.
    assert next_of(waiting, None, [task(1, epochs=4)], held_out=2.0, longer=3.0) == "held_out"
    only = {"longer": waiting["longer"]}
    assert next_of(only, None, [task(1, epochs=4)]) == "longer"


def test_runs_and_detectors_are_groups_of_their_own(tmp_path):
    run = Task(curves_dense_ae.EXPERIMENT, TINY, "published", 0, tmp_path)
    assert len(executors._groups([run, replace(run, detector="knn"), replace(run, detector="pca")])) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_function_is_applied_in_processes_in_the_order_of_the_items(jobs):
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        assert executors.in_processes(math.sqrt, [4.0, 9.0, 16.0], jobs) == [2.0, 3.0, 4.0]
        with pytest.raises(ValueError, match="math domain error"):
            executors.in_processes(math.sqrt, [4.0, -1.0], jobs)
        # A process that the caller had started goes on.
        assert multiprocessing.active_children() == [other]
    finally:
        other.kill()
        other.join()


def test_a_process_that_dies_fails_its_task_and_no_other(tmp_path, listener):
    outcomes = runner.execute(tasks_of_the_dying(tmp_path, range(5)), listener, executors.Execution(jobs=2))
    assert [record.status for record in outcomes] == ["ok", "failed", "ok", "ok", "ok"]
    assert outcomes[1].error == "its process died: it was killed, or ran out of memory"
    assert ("failed", 1) in listener.told
    assert sorted(event for event in listener.told if event[0] == "started") == [("started", seed) for seed in range(5)]
    # The next command finishes the rest, and what is done is not done again.
    listener.told.clear()
    runner.execute(tasks_of_the_dying(tmp_path, range(5), kill=True)[2:], listener, executors.Execution(jobs=2))
    runner.execute(tasks_of_the_dying(tmp_path, [0]), listener)
    assert sorted(event for event in listener.told if event[0] == "skipped") == [
        ("skipped", seed) for seed in (0, 2, 3, 4)
    ]


def test_a_process_that_cannot_start_is_not_said_to_be_killed(tmp_path, listener):
    resource_tracker.ensure_running()  # a process too, which would not start either
    before = spawn.get_executable()
    spawn.set_executable("/bin/false")
    try:
        outcomes = runner.execute(tasks_of_the_dying(tmp_path, (0, 2)), listener, executors.Execution(jobs=2))
    finally:
        spawn.set_executable(before)
    assert [record.error for record in outcomes] == [executors.DIED_BEFORE] * 2


def test_a_task_that_fails_in_a_worker_brings_its_reason_home(tmp_path, listener):
    outcomes = runner.execute(tasks_of_the_dying(tmp_path, range(3), kill=False), listener, executors.Execution(jobs=2))
    assert [record.error for record in outcomes] == [None, "ValueError: seed 1 is out of luck", None]


def test_whoever_listens_and_fails_leaves_no_process_behind(tmp_path, listener):
    def fail(task, record, details):
        raise RuntimeError("the terminal is gone")

    listener.finished = fail
    with pytest.raises(RuntimeError, match="the terminal is gone"):
        runner.execute(tasks_of_the_dying(tmp_path, (0, 2, 3)), listener, executors.Execution(jobs=2))
    assert not multiprocessing.active_children()


def test_a_worker_far_away_with_other_data_or_code_computes_nothing(tmp_path):
    (task,) = tasks_of_the_dying(tmp_path, [0])
    assert compute_far_away(task, task.digest).status == "ok"
    outcome = compute_far_away(task, "0" * 12)
    assert outcome.status == "failed" and "other data, or another version" in outcome.error


def test_data_from_another_source_are_other_data(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(datasets, "load", lambda name, source: loaded.append((name, source.mode)))
    memory = Memory()
    reading = replace(dying.EXPERIMENT, dataset="mnist")
    for mode in ("stand-in", "real", "real"):
        memory.split(Task(reading, dying.Config(), "published", 0, tmp_path, Source(mode)), 0)
    assert loaded == [("mnist", "stand-in"), ("mnist", "real")]


PARENT = """
import sys, threading
from multiprocessing import get_context
from common.runs import worker

def live(events):
    worker.start(events)
    print("alive", flush=True)
    threading.Event().wait(300)

if __name__ == "__main__":
    context = get_context("spawn")
    events = context.SimpleQueue()
    child = context.Process(target=live, args=(events,))
    child.start()
    child.join()
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout.readline() == "alive\n"
    parent.kill()
    parent.wait()
    # The worker holds the other end of the pipe: it is at its end when the worker is.
    assert parent.stdout.read() == ""
    parent.stdout.close()


# On a Dask cluster.


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two workers, whose processes draw from their global generators and seed them all the while."""
    distributed = optional.package("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(noise.begin)
        yield cluster.scheduler_address


def compared(tasks_below, out, listener, address):
    """Compute tasks here and on a cluster, compare metrics and arrays, and return the records."""
    tasks = {place: tasks_below(out / place) for place in ("here", "there")}
    here = runner.execute(tasks["here"], listener)
    there = runner.execute(tasks["there"], listener, executors.Execution(dask=address))
    for one, other, *pair in zip(*tasks.values(), here, there, strict=True):
        assert pair[0].metrics == pair[1].metrics
        if pair[1].status == "ok":
            arrays = [(task.folder / records.ARRAYS).read_bytes() for task in (one, other)]
            assert arrays[0] == arrays[1]
    return there


@pytest.mark.slow
def test_trainings_on_a_cluster_give_the_same_bytes_as_here(tmp_path, listener, cluster):
    def tasks_below(out):
        runs = [Task(curves_dense_ae.EXPERIMENT, TINY, "held_out", seed, out) for seed in (0, 1)]
        return [*runs, *detector_tasks(runs[:1])]

    there = compared(tasks_below, tmp_path, listener, cluster)
    assert [record.error for record in there] == [None] * (2 + len(CLASSICAL))


@pytest.mark.slow
def test_a_task_that_fails_on_a_cluster_fails_alone(tmp_path, listener, cluster):
    def tasks_below(out):
        return tasks_of_the_dying(out, range(3), "kmeans", kill=False)

    there = compared(tasks_below, tmp_path, listener, cluster)
    assert [record.error for record in there] == [None, "ValueError: seed 1 is out of luck", None]


# A process in which the suite cannot be imported.
STRANGER = """
import asyncio, sys
from distributed import Scheduler, Worker

sys.modules["common"] = None

async def live(role, *addresses):
    async with role(*addresses, host="127.0.0.1", dashboard_address=":0") as server:
        print(server.address, flush=True)
        await server.finished()

asyncio.run(live({"scheduler": Scheduler, "worker": Worker}[sys.argv[1]], *sys.argv[2:]))
"""


@contextlib.contextmanager
def stranger(*arguments):
    """Start a scheduler or a worker without the suite, and give its address."""
    process = subprocess.Popen([sys.executable, "-c", STRANGER, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_nothing_is_submitted_to_a_scheduler_without_the_suite(tmp_path, listener):
    optional.package("distributed")
    task = Task(curves_dense_ae.EXPERIMENT, TINY, "published", 0, tmp_path)
    with (
        stranger("scheduler") as address,
        pytest.raises(ConfigError, match=r"scheduler cannot import.*common"),
    ):
        runner.execute([task], listener, executors.Execution(dask=address))
    assert listener.told == []
    assert not task.folder.exists()


@pytest.mark.slow
def test_nothing_is_submitted_to_a_worker_without_the_suite(tmp_path, listener, cluster):
    task = Task(curves_dense_ae.EXPERIMENT, TINY, "published", 0, tmp_path)
    with stranger("worker", cluster), pytest.raises(ConfigError, match=r"workers cannot import.*common"):
        runner.execute([task], listener, executors.Execution(dask=cluster))
    assert listener.told == []
