import os

import numpy as np
import pandas
import pytest
import sklearn

from common.runs import worker
from common.runs.tasks import Task
from common.training import surroundings
from common.training.keras import start_keras
from tests.helpers import dying

keras = start_keras()


def test_a_process_of_the_suite_has_the_settings_of_runs():
    assert surroundings.settings() == surroundings.SETTINGS
    assert surroundings.differences() == []


def changed_keras():
    keras.config.set_epsilon(1e-3)
    yield
    keras.config.set_epsilon(1e-7)


def changed_numpy():
    with np.errstate(invalid="raise"):
        yield


def changed_pandas():
    with pandas.option_context("mode.string_storage", "python", "display.precision", 3):
        yield


def changed_sklearn():
    with sklearn.config_context(transform_output="pandas"):
        yield


def changed_variable():
    os.environ["XLA_FLAGS"] = "--flag"
    yield
    os.environ.pop("XLA_FLAGS", None)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (changed_keras, "epsilon 0.001"),
        (changed_numpy, "invalid raise"),
        (changed_pandas, "pandas.mode.string_storage python"),
        (changed_sklearn, "transform_output pandas"),
        (changed_variable, "XLA_FLAGS --flag"),
    ],
)
def test_every_setting_that_differs_is_named_and_no_run_is_computed_under_it(change, name, tmp_path):
    changes = change()
    next(changes)
    try:
        assert surroundings.differences() == [name]
        task = Task(dying.EXPERIMENT, dying.Config(), "published", 0, tmp_path, detector="mean_distance")
        outcome = worker.compute(task, worker.Memory(), lambda *progress: None)
    finally:
        next(changes, None)
    assert outcome.status == "failed" and f"this process has others: {name}; " in outcome.error
    assert surroundings.differences() == []


def test_variables_are_hidden_while_libraries_are_imported_and_then_restored(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "/there")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    with surroundings.default_settings():
        assert os.environ["KERAS_HOME"] != "/there"
    assert os.environ["KERAS_HOME"] == "/there"
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"


@pytest.mark.parametrize("name", ["TF_VAR_region", "TF_CLI_CONFIG_FILE", "TF_LOG", "TF_CPP_MIN_LOG_LEVEL"])
def test_variables_that_decide_nothing_are_left_alone(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert surroundings.differences() == []
    surroundings.remove_deciding_variables()
    assert os.environ[name] == "1"
