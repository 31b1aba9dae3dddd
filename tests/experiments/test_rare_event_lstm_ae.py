from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from common import figures
from common.comparison.published import read_published
from common.comparison.verdicts import judge_group
from common.data import datasets, windows
from common.data.datasets import Source
from common.errors import SuiteError
from common.metrics.scores import Undefined
from common.metrics.thresholds import Threshold, break_even
from common.runs.records import flatten
from common.training.fit import layer_arrays, reconstruct
from common.training.keras import seeded
from experiments import rare_event_lstm_ae as rare
from tests.helpers.small_data import rising_table

FULL = rare.Config()
TINY = rare.Config(units=(8, 4), epochs=3, batch_size=32, learning_rate=0.02)


@pytest.fixture(scope="module")
def data():
    return rising_table()


@pytest.fixture(scope="module")
def splits(data):
    return rare.split(data, TINY, "published", seed=0)


@pytest.fixture(scope="module")
def result(splits):
    return run(splits, TINY)


def run(splits, config):
    with seeded(0):
        return rare.run(rare.build_autoencoder(config, splits.x_train.shape[1:]), splits, config, 0)


# The data.


def test_windows_and_labels_are_those_of_a_slow_loop(data):
    splits = rare.split(data, TINY, "published", seed=0)
    breaks = set(np.flatnonzero(data["y"]))
    rows = [row for row in range(len(data)) if row not in breaks]
    features = [f"x{number}" for number in range(1, 62) if number not in (28, 61)]
    values = data[features].to_numpy()
    expected = {}
    for start in range(2, len(rows) - 4):
        of_window = rows[start : start + 5]
        expected[of_window[-1]] = of_window, any(of_window[-1] + ahead in breaks for ahead in range(1, 6))
    found = {}
    for part in ("train", "validation", "test"):
        x, y, window_rows = splits.parts[part]
        unscaled = splits.scaler.inverse_transform(x.reshape(-1, 59)).reshape(x.shape)
        np.testing.assert_allclose(unscaled, values[window_rows], atol=1e-9)
        found |= {row[-1]: (row.tolist(), bool(label)) for row, label in zip(window_rows, y, strict=True)}
    normal_of_training = {row for row, (_, positive) in expected.items() if not positive}
    assert all(expected[row] == window for row, window in found.items())
    assert normal_of_training <= set(found)


def test_the_seed_varies_the_split_and_nothing_else_does(data, splits):
    again, other = (rare.split(data, TINY, "published", seed) for seed in (0, 1))
    for part in ("train", "validation", "test"):
        for ours, theirs in zip(splits.parts[part], again.parts[part], strict=True):
            assert np.array_equal(ours, theirs)
    assert not np.array_equal(splits.x_test, other.x_test)


def test_every_window_is_scaled_once_by_the_normal_training_windows(data, splits):
    from sklearn.model_selection import train_test_split

    table = rare.features_of(data)
    shifted = windows.curve_shift(table.breaks, 5)
    made = windows.windows(table.features[shifted.rows], 5, first=2)
    parts = train_test_split(made, shifted.labels[6:], test_size=0.2, random_state=0)
    x_train, x_validation, y_train, _ = train_test_split(parts[0], parts[2], test_size=0.2, random_state=0)
    last = x_train[y_train == 0][:, 4]
    mean, deviation = last.mean(axis=0), last.std(axis=0)
    np.testing.assert_allclose(splits.x_train, (x_train[y_train == 0] - mean) / deviation, atol=1e-9)
    np.testing.assert_allclose(splits.parts["validation"].x, (x_validation - mean) / deviation, atol=1e-9)
    np.testing.assert_allclose(splits.x_test, (parts[1] - mean) / deviation, atol=1e-9)


def test_the_real_table_gives_every_exact_number():
    try:
        data = datasets.load("processminer", Source(mode="real"))
    except SuiteError as error:
        pytest.skip(f"the paper machine's table is not here: {error}")
    splits = rare.split(data, FULL, "published", seed=0)
    metrics, _ = flatten(splits.metrics | rare.read_head(splits, FULL).metrics)
    shifted = windows.curve_shift(splits.table.breaks, FULL.rows_before_break)
    assert shifted.labels[6:].sum() == 601
    groups = [group for group in read_published("rare_event_lstm_ae").groups if group.obtained == "exact"]
    assert [judge_group(group, {0: metrics}).verdict for group in groups] == ["exact"] * 4


def test_the_head_of_the_table_leaves_out_breaks_and_has_the_new_labels(data):
    data = data.assign(y=0)
    data.loc[[1, 6], "y"] = 1
    head = rare.read_head(rare.split(data, FULL, "published", seed=0), FULL).metrics
    kept = [0, 2, 3, 4, 5]
    assert [head[f"head.row_{row}.y"] for row in range(5)] == [1, 1, 1, 1, 1]
    assert [head[f"head.row_{row}.x61"] for row in range(5)] == data["x61"].iloc[kept].tolist()
    minutes = [head[f"head.row_{row}.minutes"] for row in range(5)]
    assert np.diff(minutes).tolist() == [4, 2, 2, 2]
    assert len(head) == 5 * 20
    assert rare.read_head(rare.split(rising_table(), FULL, "held_out", seed=0), FULL).metrics == {}


# The model.


def test_the_model_has_every_published_setting():
    settings = read_published("rare_event_lstm_ae").settings
    model = rare.build_autoencoder(FULL, (5, 59))
    assert model.count_params() == settings["model.parameters"]
    for name, values in layer_arrays(model).items():
        assert values.tolist() == settings[f"model.{name}"]
    assert float(model.optimizer.learning_rate) == pytest.approx(settings["learning_rate"])
    layers = [layer for layer in model.layers if type(layer).__name__ == "LSTM"]
    assert {layer.activation.__name__ for layer in layers} == {settings["model.activation"]}


# The threshold.


def test_a_break_even_point_where_both_are_zero_is_recorded_as_such():
    point = break_even(np.array([1, 0, 0, 0]), np.array([1.0, 2.0, 3.0, 4.0]), "validation")
    metrics = rare.break_even_metrics(point, np.array([0, 1, 0]), np.array([2.0, 2.5, 1.0]))
    assert metrics["break_even.degenerate"] == 1
    assert metrics["break_even.precision"] == metrics["break_even.recall"] == 0.0
    # Flagged is strictly above: the score that equals the threshold is not.
    assert [metrics[f"break_even.test.{name}"] for name in ("tn", "fp", "fn", "tp")] == [2, 0, 0, 1]


def test_without_any_break_even_point_its_metrics_are_undefined_with_a_reason():
    labels, scores = np.array([0, 1, 0]), np.array([1.0, 1.0, 1.0])
    missing = rare.break_even_metrics(None, labels, scores)
    point = Threshold(0.5, "break-even", "validation", 3, precision=0.5, recall=0.5)
    defined = rare.break_even_metrics(point, labels, scores)
    assert set(missing) == set(defined)
    assert set(missing.values()) == {Undefined("no threshold makes precision equal to recall")}


# A whole run, on tiny data.


def test_golden_run(result):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    metrics, undefined = flatten(result.metrics)
    losses = [metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2, 3)]
    assert losses == pytest.approx([1.24241, 1.18178, 1.15894], rel=1e-3)
    assert metrics["validation_loss.last"] == pytest.approx(1.15662, rel=1e-3)
    assert metrics["break_even.threshold"] == pytest.approx(1.3821, rel=1e-2)
    assert metrics["autoencoder.auroc"] == pytest.approx(0.7117, abs=0.02)
    assert metrics["training.epochs"] == 3
    assert not undefined


def test_every_published_metric_is_produced(result, splits):
    produced = result.metrics | rare.read_head(splits, TINY).metrics
    assert read_published("rare_event_lstm_ae").metrics() <= set(produced)


def test_counts_add_up(result):
    metrics, _ = flatten(result.metrics)
    assert sum(metrics[f"break_even.test.{name}"] for name in ("tn", "fp", "fn", "tp")) == metrics["data.test_windows"]
    positives = metrics["break_even.test.fn"] + metrics["break_even.test.tp"]
    assert positives / metrics["data.test_windows"] == metrics["data.test_positive_rate"]
    assert metrics["data.normal_rows"] + metrics["data.break_rows"] == metrics["data.rows"]


def test_the_score_is_the_error_of_the_last_row_alone(splits):
    with seeded(0):
        model = rare.build_autoencoder(TINY, (5, 59))
    outputs = model.predict(splits.x_test.astype(np.float32), verbose=0)
    expected = [np.mean((x[4] - output[4]) ** 2) for x, output in zip(splits.x_test, outputs, strict=True)]
    np.testing.assert_allclose(
        rare.last_row_errors(partial(reconstruct, model), splits.x_test).mean(axis=1), expected, rtol=1e-5
    )


def test_training_stops_early_and_keeps_the_last_weights(splits):
    config = replace(TINY, units=(4,), epochs=30, learning_rate=0.3, patience=2)
    metrics, _ = flatten(run(splits, config).metrics)
    epochs = metrics["training.epochs"]
    losses = [metrics[f"validation_loss.epoch_{epoch:03d}"] for epoch in range(1, epochs + 1)]
    assert epochs < 30
    assert int(np.argmin(losses)) == epochs - 1 - 2
    assert metrics["validation_loss.last"] == losses[-1]
    assert f"loss.epoch_{epochs + 1:03d}" not in metrics


def test_every_figure_of_the_source_is_drawn_from_small_saved_arrays(result, tmp_path):
    file = tmp_path / "arrays.npz"
    np.savez_compressed(file, allow_pickle=False, **result.arrays)
    assert file.stat().st_size < 1_000_000
    with np.load(file, allow_pickle=False) as arrays, figures.style():
        drawn = [draw(arrays) for draw in rare.EXPERIMENT.figures]
    sizes = [len(figures.png(figure)) for figure in drawn]
    names = ["model", "loss", "precision_and_recall", "test_errors", "confusion_matrix", "roc"]
    assert [figure.name for figure in drawn] == names
    assert all(figure.caption.endswith(".") for figure in drawn)
    assert max(sizes) < 100_000


def test_the_model_graph_has_a_box_for_every_layer(result):
    figure = figures.layers(result.arrays)
    words = [text.get_text() for text in figure.figure.axes[0].texts]
    assert [text.split()[0] for text in words] == result.arrays["layer_names"].tolist()
    assert "output 4" in words[2] and "208 parameters" in words[2]


def test_a_run_without_a_break_even_point_still_draws(result):
    arrays = {**result.arrays, "threshold": np.array(np.nan)}
    assert len([draw(arrays) for draw in rare.EXPERIMENT.figures]) == 6
