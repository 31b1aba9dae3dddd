import contextlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from common.config import BaseConfig, option
from common.experiment import REST, Experiment, Result, Splits
from common.metrics.scores import Undefined
from common.runs import executors, records, runner
from common.runs.selection import find_records
from common.runs.tasks import Task
from common.training import fit as training
from common.training import surroundings
from common.training.fit import report_epoch


@dataclass(frozen=True)
class Config(BaseConfig):
    epochs: int = option(2, "passes", minimum=1)


@dataclass(frozen=True)
class TwoClasses(Config):
    normal: int = option(7, "normal class")
    anomaly: int | str = option(5, "anomalous class", word=REST)


def split(data, config, protocol, seed):
    return Splits(x_train=np.zeros((2, 1)), x_test=np.zeros((2, 1)), y_test=np.array([0, 1]), code_size=1)


def compute(models, splits, config, seed):
    for epoch in range(1, config.epochs + 1):
        report_epoch(epoch, config.epochs, 1 / epoch)
    return Result({"m": float(10 + seed), "draw": float(np.random.rand())}, {"a": np.arange(seed + 1)})


def fake(run=compute, **parts):
    """An experiment without a network."""
    given = {
        "module": "experiments.fake",
        "config": Config,
        "split": split,
        "build": lambda config, shape: None,
        "run": run,
        "methods": {},
        "figures": (),
    }
    return Experiment(**given | parts)


def tasks_of(experiment, out, seeds=(0, 1, 2), config=None):
    return [Task(experiment, config or Config(), "published", seed, out) for seed in seeds]


def test_runs_leave_records_and_are_told_of(tmp_path, listener):
    experiment = fake()
    outcomes = runner.execute(tasks_of(experiment, tmp_path), listener)
    assert [record.metrics["m"] for record in outcomes] == [10, 11, 12]
    assert listener.told[:4] == [("started", 0), ("epoch", 0, 1, 2), ("epoch", 0, 2, 2), ("ok", 0)]
    record = outcomes[0]
    assert record.environment["kernel_threads"] == surroundings.THREADS
    assert record.environment["threads"] >= 1
    assert record.environment["versions"]["keras"]
    assert record.environment["onednn"] is True
    assert record.durations["total"] >= 0
    assert record.config == {"epochs": 2}
    for task in tasks_of(experiment, tmp_path):
        assert task.folder == tmp_path / "runs/fake/published" / task.digest / f"seed-{task.seed:04d}"
        assert records.read_record(task.folder).status == "ok"


def test_finished_runs_are_skipped_unless_fresh(tmp_path, listener):
    tasks = tasks_of(fake(), tmp_path)
    first = runner.execute(tasks[:2], listener)
    listener.told.clear()
    assert runner.execute(tasks, listener)[:2] == first
    assert [event[0] for event in listener.told] == ["skipped", "skipped", "started", "epoch", "epoch", "ok"]
    listener.told.clear()
    runner.execute(tasks[:1], listener, executors.Execution(fresh=True))
    assert ("started", 0) in listener.told


def test_other_settings_data_or_code_are_other_runs(tmp_path):
    (task,) = tasks_of(fake(), tmp_path, [0])
    (longer,) = tasks_of(fake(), tmp_path, [0], Config(epochs=3))
    (newer,) = tasks_of(fake(revision=2), tmp_path, [0])
    assert len({task.digest, longer.digest, newer.digest}) == 3


def test_a_run_does_not_depend_on_the_runs_before_it(tmp_path, listener):
    alone = runner.execute(tasks_of(fake(), tmp_path / "alone", [2]), listener)
    after = runner.execute(tasks_of(fake(), tmp_path / "after", [0, 1, 2]), listener)
    assert alone[0].metrics == after[2].metrics
    assert after[0].metrics["draw"] != after[1].metrics["draw"]


def test_a_failed_run_is_recorded_and_the_others_go_on(tmp_path, listener):
    def run(models, splits, config, seed):
        if seed == 1:
            raise ValueError("the loss turned NaN")
        return Result({"m": 1.0}, {})

    outcomes = runner.execute(tasks_of(fake(run), tmp_path), listener)
    assert [record.status for record in outcomes] == ["ok", "failed", "ok"]
    assert outcomes[1].error == "ValueError: the loss turned NaN"
    assert ("failed", 1) in listener.told
    # A failed run is not done: the next command tries it again.
    assert runner.execute(tasks_of(fake(), tmp_path), listener)[1].status == "ok"


def test_a_metric_that_is_nan_fails_its_run(tmp_path, listener):
    bad = fake(lambda models, splits, config, seed: Result({"m": float("nan")}, {}))
    (record,) = runner.execute(tasks_of(bad, tmp_path, [0]), listener)
    assert (record.status, record.error) == (
        "failed",
        "ValueError: Metric m is nan; an undefined metric must be Undefined with a reason",
    )


def test_an_interrupted_run_is_recorded_as_such_and_finished_ones_stay(tmp_path, listener):
    def run(models, splits, config, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return Result({"m": 1.0}, {})

    tasks = tasks_of(fake(run), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.execute(tasks, listener)
    assert [records.read_record(task.folder).status for task in tasks[:2]] == ["ok", "interrupted"]
    assert tasks[1].finished() is None
    assert not tasks[2].folder.exists()


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError])
def test_a_fresh_run_that_does_not_finish_leaves_the_finished_one_alone(tmp_path, listener, trouble):
    (task,) = tasks_of(fake(), tmp_path, [0])
    (done,) = runner.execute([task], listener)

    def run(models, splits, config, seed):
        raise trouble

    with contextlib.suppress(KeyboardInterrupt):
        (record,) = runner.execute(tasks_of(fake(run), tmp_path, [0]), listener, executors.Execution(fresh=True))
        assert record.status == "failed"
    assert task.finished() == done
    assert records.read_arrays(task.folder, done)


def test_a_damaged_record_is_run_again(tmp_path, listener):
    (task,) = tasks_of(fake(), tmp_path, [0])
    runner.execute([task], listener)
    (task.folder / "record.json").write_text("{")
    assert runner.execute([task], listener)[0].status == "ok"
    assert ("skipped", 0) not in listener.told


def test_the_estimate_is_the_median_of_earlier_runs_with_the_same_settings(tmp_path, listener):
    tasks = tasks_of(fake(), tmp_path)
    assert runner.expected_seconds(tasks) is None
    outcomes = runner.execute(tasks, listener)
    expected = sorted(record.durations["total"] for record in outcomes)[1]
    assert runner.expected_seconds(tasks) == pytest.approx(3 * expected)
    assert runner.expected_seconds(tasks_of(fake(), tmp_path, config=Config(epochs=5))) is None
    assert runner.expected_seconds([]) is None


def test_without_runs_of_the_same_classes_those_of_others_are_the_estimate(tmp_path, listener):
    def runs(**classes):
        experiment = replace(fake(), config=TwoClasses)
        return tasks_of(experiment, tmp_path, config=TwoClasses(**classes))

    known = [record.durations["total"] for record in runner.execute(runs(normal=1), listener)]
    assert runner.expected_seconds(runs(normal=2, anomaly="rest")) == pytest.approx(3 * sorted(known)[1])
    assert runner.expected_seconds(runs(normal=2, epochs=3)) is None


# What does not depend on the seed.


def shared(**parts):
    """An experiment with a part that does not depend on the seed, and a list of the configs it was computed for."""
    computed = []

    def once(splits, config):
        computed.append(config.epochs)
        metrics = {"once": float(np.random.rand()), "undefined": Undefined("nothing was flagged")}
        return Result(metrics, {"b": np.arange(3)})

    return fake(**{"once": once} | parts), computed


def test_what_the_seeds_share_is_computed_once_for_every_config(tmp_path, listener):
    experiment, computed = shared()
    outcomes = runner.execute(tasks_of(experiment, tmp_path), listener)
    assert computed == [2]
    assert len({record.metrics["once"] for record in outcomes}) == 1
    assert [record.undefined for record in outcomes] == [{"undefined": "nothing was flagged"}] * 3
    for task, record in zip(tasks_of(experiment, tmp_path), outcomes, strict=True):
        assert set(record.metrics) == {"m", "draw", "once", "undefined"}
        assert set(records.read_arrays(task.folder, record)) == {"a", "b"}
    assert task.shared.folder == tmp_path / "runs/fake/published" / task.digest / "once"
    assert task.shared.finished().metrics["once"] == record.metrics["once"]

    later = runner.execute(tasks_of(experiment, tmp_path, seeds=[3]), listener)
    assert computed == [2]
    assert (later[0].metrics["once"], later[0].undefined) == (record.metrics["once"], record.undefined)
    runner.execute(tasks_of(experiment, tmp_path, config=Config(epochs=3)), listener)
    assert computed == [2, 3]
    runner.execute(tasks_of(experiment, tmp_path), listener, executors.Execution(fresh=True))
    assert computed == [2, 3, 2]


def test_what_the_seeds_share_does_not_change_their_own_draws(tmp_path, listener):
    alone = runner.execute(tasks_of(fake(), tmp_path / "alone"), listener)
    beside = runner.execute(tasks_of(shared()[0], tmp_path / "beside"), listener)
    assert [record.metrics["draw"] for record in alone] == [record.metrics["draw"] for record in beside]
    other = runner.execute(tasks_of(shared()[0], tmp_path / "other", seeds=[2]), listener)
    assert other[0].metrics == beside[2].metrics


@pytest.mark.parametrize("file", ["record.json", "arrays.npz"])
def test_a_damaged_record_of_what_is_shared_is_computed_again(tmp_path, listener, file):
    experiment, computed = shared()
    (task,) = tasks_of(experiment, tmp_path, [0])
    runner.execute([task], listener)
    (task.shared.folder / file).write_text("{")
    runner.execute(tasks_of(experiment, tmp_path, [1]), listener)
    assert computed == [2, 2]


def test_the_shared_record_is_no_run(tmp_path, listener):
    tasks = tasks_of(shared()[0], tmp_path)
    runner.execute(tasks, listener)
    assert len(list(find_records(tmp_path, "fake"))) == 3


def test_a_failure_in_what_is_shared_fails_the_run(tmp_path, listener):
    def fail(splits, config):
        raise ValueError("no")

    (task,) = tasks_of(shared(once=fail)[0], tmp_path, [0])
    (record,) = runner.execute([task], listener)
    assert (record.status, record.error) == ("failed", "ValueError: no")
    assert task.shared.finished() is None
    assert records.read_record(task.shared.folder).error == "ValueError: no"


def test_a_name_in_both_parts_of_a_result_is_refused(tmp_path, listener):
    experiment, _ = shared(once=lambda splits, config: Result({"m": 1.0}, {"a": np.zeros(1)}))
    (record,) = runner.execute(tasks_of(experiment, tmp_path, [0]), listener)
    assert record.error == "ValueError: run and once both return a, m"


def test_a_log_is_asked_for_by_a_folder_beside_the_record_and_makes_no_other_run(tmp_path, listener):
    seen = []

    def run(models, splits, config, seed):
        seen.append(training._log_folder.get())
        return Result({"m": 1.0}, {})

    (task,) = tasks_of(fake(run), tmp_path, [0])
    plain = runner.execute([task], listener)
    stale = task.folder / "tensorboard" / "train" / "events"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier attempt")
    logged = runner.execute([task], listener, executors.Execution(fresh=True, tensorboard=True))
    assert seen == [None, task.folder / "tensorboard"]
    assert not stale.exists()
    assert logged[0].digest == plain[0].digest
    assert training._log_folder.get() is None
