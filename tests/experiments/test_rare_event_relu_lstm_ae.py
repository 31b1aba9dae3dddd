"""The LSTM autoencoder with ReLU on the paper machine: its counts, its layers, and a tiny run."""

import numpy as np
import pytest

from common import figures
from common.comparison.published import read_published
from common.comparison.verdicts import judge_group
from common.data import datasets
from common.data.datasets import Source
from common.errors import SuiteError
from common.runs.records import flatten
from common.training.fit import layer_arrays
from common.training.keras import seeded
from experiments import rare_event_lstm_ae as other
from experiments import rare_event_relu_lstm_ae as relu
from tests.helpers.small_data import rising_table

FULL = relu.Config()
TINY = relu.Config(units=(8, 4), epochs=3, batch_size=32, learning_rate=0.02)


@pytest.fixture(scope="module")
def splits():
    return relu.split(rising_table(), TINY, "published", seed=0)


@pytest.fixture(scope="module")
def result(splits):
    with seeded(0):
        return relu.run(relu.build_autoencoder(TINY, splits.x_train.shape[1:]), splits, TINY, 0)


def test_the_windows_are_those_of_the_other_source_with_other_labels(splits):
    theirs = other.split(rising_table(), other.Config(split_seed=123), "published", seed=5)
    breaks = set(np.flatnonzero(rising_table()["y"]))
    for name in ("validation", "test"):
        assert np.array_equal(splits.parts[name].rows, theirs.parts[name].rows)
    for _, y, rows in splits.parts.values():
        assert y.tolist() == [int(row + 1 in breaks or row + 2 in breaks) for row in rows[:, -1]]


def test_the_real_table_gives_every_exact_number():
    try:
        data = datasets.load("processminer", Source(mode="real"))
    except SuiteError as error:
        pytest.skip(f"the paper machine's table is not here: {error}")
    metrics, _ = flatten(relu.split(data, FULL, "published", seed=0).metrics)
    groups = [group for group in read_published("rare_event_relu_lstm_ae").groups if group.obtained == "exact"]
    assert [judge_group(group, {0: metrics}).verdict for group in groups] == ["exact"] * 4


def test_the_model_has_every_published_setting():
    settings, model = read_published("rare_event_relu_lstm_ae").settings, relu.build_autoencoder(FULL, (5, 59))
    assert model.count_params() == settings["model.parameters"]
    for name, values in layer_arrays(model).items():
        assert values.tolist() == settings[f"model.{name}"]


def test_the_gates_are_those_of_keras_2():
    x = np.array([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0])
    np.testing.assert_allclose(relu.hard_sigmoid(x), [0, 0, 0.3, 0.5, 0.7, 1, 1], rtol=1e-6)
    assert relu.lstm(3, FULL, return_sequences=True).recurrent_activation is relu.hard_sigmoid


def test_golden_run(result):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    metrics, _ = flatten(result.metrics)
    losses = [metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2, 3)]
    assert losses == pytest.approx([1.11105, 1.05943, 1.01891], rel=1e-3)
    assert metrics["autoencoder.auroc"] == pytest.approx(0.9672, abs=0.02)


def test_every_published_metric_is_produced(result):
    late = {f"{name}loss.epoch_{epoch:03d}" for name in ("", "validation_") for epoch in (10, 50, 100, 150, 199)}
    assert read_published("rare_event_relu_lstm_ae").metrics() <= {*result.metrics, *late}


def test_every_figure_of_the_source_is_drawn_from_small_saved_arrays(result, tmp_path):
    file = tmp_path / "arrays.npz"
    np.savez_compressed(file, allow_pickle=False, **result.arrays)
    with np.load(file, allow_pickle=False) as arrays, figures.style():
        drawn = [draw(arrays) for draw in relu.EXPERIMENT.figures]
    assert len({figure.name for figure in drawn}) == 6
    assert max(len(figures.png(figure)) for figure in drawn) < 100_000
