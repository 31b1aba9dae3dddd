"""The dense autoencoder on the paper machine: its counts, its penalty, its weights, and a tiny run."""

from dataclasses import replace

import numpy as np
import pytest

from common import figures
from common.comparison.prediction import prefix_of
from common.comparison.published import read_published
from common.comparison.verdicts import judge_group
from common.data import datasets
from common.data.datasets import Source
from common.errors import ConfigError, SuiteError
from common.runs.records import flatten
from common.training.fit import layer_arrays
from common.training.keras import seeded
from experiments import rare_event_dense_ae as dense
from tests.helpers.small_data import rising_table

FULL = dense.Config()
TINY = dense.Config(units=(8, 4, 4, 8), epochs=4, batch_size=32, learning_rate=0.01)
ARTICLE = dense.Config(**dense.EXPERIMENT.ablations["the network of the article"])


@pytest.fixture(scope="module")
def splits():
    return dense.split(rising_table(), TINY, "published", seed=0)


@pytest.fixture(scope="module")
def result(splits):
    return run(splits, TINY)


def run(splits, config):
    with seeded(0):
        return dense.run(dense.build_autoencoder(config, splits.x_train.shape[1:]), splits, config, 0)


# The data.


def test_rows_and_labels_are_those_of_a_slow_loop(splits):
    data = rising_table()
    breaks = set(np.flatnonzero(data["y"]))
    seen = []
    for x, y, rows in splits.parts.values():
        assert x.shape == (len(y), 59) and rows.shape == (len(y), 1)
        seen += rows.ravel().tolist()
        assert y.tolist() == [int(row + 1 in breaks or row + 2 in breaks) for row in rows.ravel()]
    assert len(seen) == len(set(seen)) and not set(seen) & breaks


def test_the_split_is_the_same_for_every_seed_and_scores_the_validation_rows(splits):
    other = dense.split(rising_table(), TINY, "published", seed=1)
    assert all(np.array_equal(splits.parts[name].rows, other.parts[name].rows) for name in splits.parts)
    assert splits.x_test is splits.parts["validation"].x
    held_out = dense.split(rising_table(), TINY, "held_out", seed=0)
    assert held_out.x_test is held_out.parts["test"].x


def test_the_real_table_gives_every_exact_and_derived_number():
    try:
        data = datasets.load("processminer", Source(mode="real"))
    except SuiteError as error:
        pytest.skip(f"the paper machine's table is not here: {error}")
    metrics, _ = flatten(dense.split(data, FULL, "published", seed=0).metrics)
    groups = [group for group in read_published("rare_event_dense_ae").groups if group.obtained in ("exact", "derived")]
    assert [judge_group(group, {0: metrics}).verdict for group in groups] == ["exact"] * 3 + ["agrees"]


# The model.


def test_the_model_has_every_published_setting():
    settings, model = read_published("rare_event_dense_ae").settings, dense.build_autoencoder(FULL, (59,))
    assert model.count_params() == settings["model.parameters"]
    for name, values in layer_arrays(model).items():
        assert values.tolist() == settings[f"model.{name}"]
    article = dense.build_autoencoder(ARTICLE, (59,))
    assert [layer.activation.__name__ for layer in article.layers[1:]] == ["tanh", "relu", "tanh", "relu"]
    assert [layer.units for layer in article.layers[1:]] == [32, 16, 16, 59]


@pytest.mark.parametrize(("over", "factor"), [("batch", 20), ("row", 1)])
def test_the_penalty_is_summed_over_a_batch_as_in_keras_2(over, factor):
    config = replace(FULL, penalty_over=over, penalty=0.01)
    with seeded(0):
        model = dense.build_autoencoder(config, (6,))
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    hidden = np.maximum(x @ model.layers[1].get_weights()[0], 0)
    expected = np.mean((model(x) - x) ** 2) + factor * 0.01 * np.abs(hidden).sum() / len(x)
    assert model.evaluate(x, x, batch_size=20, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_layer_needs_an_activation():
    with pytest.raises(ConfigError, match=r"one more than units\. Received: 5 and 2"):
        dense.Config(units=(4, 2))


# A whole run, on tiny data.


def test_golden_run(result):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    metrics, undefined = flatten(result.metrics)
    losses = [metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2, 3, 4)]
    assert losses == pytest.approx([1.09941, 1.01575, 0.94724, 0.92161], rel=1e-3)
    assert metrics["validation_loss.lowest"] == min(metrics[f"validation_loss.epoch_{n:03d}"] for n in (1, 2, 3, 4))
    assert metrics["autoencoder.auroc"] == pytest.approx(0.5322, abs=0.02)
    assert not set(undefined) - {"fixed.test.anomaly.precision", "fixed.test.normal.precision"}


def test_every_published_metric_is_produced(result):
    produced = {*result.metrics, *(prefix_of("the network of the article") + name for name in result.metrics)}
    late = {f"{name}loss.epoch_0{epoch}" for name in ("", "validation_") for epoch in (10, 20)}
    assert read_published("rare_event_dense_ae").metrics() <= produced | late


def test_the_weights_of_the_lowest_validation_loss_are_kept(splits):
    """With a learning rate that makes the loss jump, the last weights are not the best."""
    config = replace(TINY, epochs=12, learning_rate=0.5)
    validation = splits.parts["validation"]
    normal = validation.x[validation.y == 0].astype(np.float32)

    def loss_afterwards(weights):
        changed = replace(config, weights=weights)
        with seeded(0):
            model = dense.build_autoencoder(changed, (59,))
            metrics = dense.run(model, splits, changed, 0).metrics
        return model.evaluate(normal, normal, batch_size=32, verbose=0, return_dict=True)["loss"], metrics

    best, metrics = loss_afterwards("best")
    last, _ = loss_afterwards("last")
    assert metrics["training.best_epoch"] < 12
    assert best == pytest.approx(metrics["validation_loss.lowest"], rel=1e-4)
    assert last == pytest.approx(metrics["validation_loss.last"], rel=1e-4)
    assert best < last


def test_every_figure_of_the_source_is_drawn_from_small_saved_arrays(result, tmp_path):
    file = tmp_path / "arrays.npz"
    np.savez_compressed(file, allow_pickle=False, **result.arrays)
    with np.load(file, allow_pickle=False) as arrays, figures.style():
        drawn = [draw(arrays) for draw in dense.EXPERIMENT.figures]
    names = ["model", "loss", "precision_and_recall", "test_errors", "confusion_matrix", "roc"]
    assert [figure.name for figure in drawn] == names
    assert max(len(figures.png(figure)) for figure in drawn) < 100_000
