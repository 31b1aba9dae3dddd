from dataclasses import replace

import numpy as np
import pytest

from common import figures
from common.comparison.published import read_published
from common.comparison.verdicts import judge_group
from common.metrics.scores import report_metrics
from common.runs import records
from common.training.fit import reconstruct
from common.training.keras import seeded
from experiments import curves_dense_ae as curves
from tests.helpers import optional

FULL = curves.Config()


@pytest.fixture(scope="module")
def data():
    return curves.draw_curves(FULL, FULL.data_seed)


@pytest.fixture(scope="module")
def splits():
    return curves.split(None, FULL, "published", seed=0)


def run(splits, config, seed=0):
    """Run the experiment with small forests; return the autoencoder too."""
    config = replace(config, baselines=False, trees=1, histogram_trees=1)
    with seeded(seed):
        autoencoder = curves.build_autoencoder(config, splits.x_train.shape[1:])
        return autoencoder, curves.run(autoencoder, splits, config, seed)


# The data.


def slow_bell(mu, sigma, height, points):
    values = [np.exp(-((i / (points - 1) - mu) ** 2) / (2 * sigma**2)) for i in range(points)]
    return np.array(values) * height / max(values)


def test_the_curves_are_drawn_one_random_state_in_the_order_of_the_source(data):
    state = np.random.RandomState(42)

    def normal(count):
        parameters = state.uniform(0.1, 0.9, count), state.uniform(0.05, 0.5, count)
        return [slow_bell(mu, sigma, 1.0, 256) for mu, sigma in zip(*parameters, strict=True)]

    def anomalous(count):
        first = normal(count)
        parameters = state.uniform(0.1, 0.9, count), state.uniform(0.01, 0.05, count)
        return [a + slow_bell(mu, sigma, 0.12, 256) for a, mu, sigma in zip(first, *parameters, strict=True)]

    expected = normal(2000) + anomalous(200)
    x, y, x_validation, y_validation = data
    np.testing.assert_allclose(x, expected, atol=1e-12)
    np.testing.assert_allclose(x_validation, anomalous(100) + normal(100), atol=1e-12)
    assert y.tolist() == [0] * 2000 + [1] * 200
    assert y_validation.tolist() == [1] * 100 + [0] * 100


def test_the_examples_are_the_curves_that_the_source_shows(data, splits):
    x, *_ = data
    np.testing.assert_allclose(splits.examples, [slow_bell(0.3, 0.05, 1.0, 256), x[42], x[2000 + 42]], atol=1e-12)


def test_normal_curves_have_one_peak_and_anomalies_are_higher_somewhere(data):
    x, *_ = data
    assert x[:2000].max(axis=1) == pytest.approx(1.0)
    assert x[2000:].max() > 1.0
    assert (np.diff(np.sign(np.diff(x[:2000], axis=1)), axis=1) < 0).sum(axis=1).max() <= 1


def test_the_split_is_that_of_the_source_for_every_seed(splits):
    other = curves.split(None, FULL, "published", seed=7)
    assert all(np.array_equal(part, getattr(other, name)) for name, part in vars(splits).items())
    assert (len(splits.x_labelled), len(splits.x_source_test), len(splits.x_test)) == (1760, 440, 200)
    assert len(splits.x_train) == (splits.y_labelled == 0).sum() == 1600


def test_no_scored_curve_is_trained_on(splits):
    known = {row.tobytes() for row in np.concatenate([splits.x_labelled, splits.x_source_test])}
    assert not known & {row.tobytes() for row in splits.x_test}


def test_the_one_class_svm_gives_the_printed_numbers_to_the_last_digit(splits):
    from sklearn.svm import OneClassSVM

    flagged = OneClassSVM(nu=200 / 2200).fit(splits.x_labelled).predict(splits.x_test) == -1
    metrics = report_metrics("ocsvm", splits.y_test, flagged.astype(int))
    (group,) = [group for group in read_published("curves_dense_ae").groups if group.name == "ocsvm"]
    result = judge_group(group, {0: metrics})
    assert [member.verdict for member in result.members] == ["exact"] * len(group.numbers)


# The model.


def test_the_model_has_every_published_setting():
    settings = read_published("curves_dense_ae").settings
    model = curves.build_autoencoder(FULL, (FULL.points,))
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    activations = [layer for layer in model.layers if type(layer).__name__ == "LeakyReLU"]
    assert [layer.units for layer in dense] == settings["model.layer_units"]
    assert len(activations) == len(dense) * settings["model.activations_per_dense_layer"]
    assert {layer.negative_slope for layer in activations} == {settings["negative_slope"]}
    assert type(model.layers[-1]).__name__ == "LeakyReLU"
    for layer in dense:
        assert layer.activation.__name__ == "linear"
    assert model.optimizer.epsilon == settings["optimizer.epsilon"]
    assert float(model.optimizer.learning_rate) == pytest.approx(settings["learning_rate"])
    assert model.optimizer.weight_decay is None


def test_weights_and_biases_begin_as_in_pytorch():
    with seeded(0):
        model = curves.build_autoencoder(FULL, (FULL.points,))
    for layer in model.layers:
        for weights, fan_in in [(w.numpy(), layer.kernel.shape[0]) for w in layer.weights]:
            limit = 1 / np.sqrt(fan_in)
            assert np.abs(weights).max() <= limit
            if weights.size > 1000:
                assert np.abs(weights).max() > 0.99 * limit
                assert weights.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_the_printed_loss_sums_batch_means():
    import tensorflow as tf

    # At a learning rate of 0 nothing is learned, so the batch means can be had afterwards, in the pipeline's order.
    config = curves.Config(
        normal_curves=40,
        anomalous_curves=10,
        points=16,
        max_features=4,
        units=(4,),
        batch_size=12,
        epochs=1,
        learning_rate=0.0,
    )
    splits = curves.split(None, config, "published", 0)
    normal = splits.x_train.astype(np.float32)
    autoencoder, result = run(splits, config)
    with seeded(0):
        batches = list(tf.data.Dataset.from_tensor_slices(normal).shuffle(len(normal), seed=0).batch(12))
    assert len(batches[-1]) < 12, "the last batch must be a partial one, or the test proves nothing"
    means = [float(np.square(batch - reconstruct(autoencoder, batch.numpy())).mean()) for batch in batches]
    printed = result.metrics["loss.epoch_001"]
    assert printed == pytest.approx(sum(means), rel=1e-5)
    by_curve = np.square(normal - reconstruct(autoencoder, normal)).mean()
    assert printed != pytest.approx(by_curve * len(batches), rel=1e-4)


def test_the_first_epoch_tells_pytorchs_initialisation_from_glorot(splits):
    def first_loss(initializer):
        return run(splits, curves.Config(epochs=1, initializer=initializer))[1].metrics["loss.epoch_001"]

    assert 8.0 < first_loss("pytorch") < 9.9
    assert 5.8 < first_loss("keras") < 7.0


# A whole run, on tiny data.


def test_golden_run(tiny_selection):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    _, record = tiny_selection.runs[0]
    metrics = record.metrics
    losses = [metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2, 3)]
    assert losses == pytest.approx([2.116747, 1.867691, 1.935649], rel=1e-3)
    assert metrics["autoencoder.auroc"] == pytest.approx(0.4275, abs=0.02)
    assert metrics["ocsvm.anomaly.recall"] == 0.55


def test_every_published_metric_is_produced(tiny_selection):
    produced = set(tiny_selection.metrics()[0])
    long_enough = {f"loss.epoch_{epoch:03d}" for epoch in range(1, FULL.epochs + 1)}
    assert read_published("curves_dense_ae").metrics() <= produced | long_enough


def test_seeds_change_the_training_but_not_the_one_class_svm(tiny_selection):
    metrics = tiny_selection.metrics()
    assert len({values["loss.epoch_001"] for values in metrics.values()}) == 3
    assert len({values["ocsvm.accuracy"] for values in metrics.values()}) == 1


def test_higher_scores_are_more_anomalous(tiny_selection):
    folder, record = tiny_selection.runs[0]
    arrays = records.read_arrays(folder, record)
    error = np.square(arrays["curves"] - arrays["reconstructions"]).mean(axis=1)
    np.testing.assert_allclose(arrays["scores"], error, rtol=1e-4)


def test_histograms_count_residuals_and_drop_those_beyond_the_limit():
    residuals = np.array([[-0.3, -0.29, 0.0, 0.3, 0.31], [5.0, 5.0, 5.0, 5.0, 0.01]])
    histograms = curves.residual_histograms(residuals, FULL)
    assert histograms.tolist() == [[2, 0, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]]


def test_every_figure_of_the_source_is_drawn_from_saved_arrays(tiny_selection, tmp_path):
    folder, record = tiny_selection.runs[0]
    with figures.style():
        arrays = records.read_arrays(folder, record)
        drawn = [draw(arrays) for draw in curves.EXPERIMENT.figures]
        sizes = [len(figures.png(figure)) for figure in drawn]
    assert [figure.name for figure in drawn] == [
        "curves",
        "test_errors",
        "reconstruction",
        "missed_anomaly",
        "residuals",
        "histograms",
    ]
    assert all(figure.caption.endswith(".") for figure in drawn)
    assert max(sizes) < 100_000


def test_a_run_without_a_missed_anomaly_still_draws(tiny_selection):
    folder, record = tiny_selection.runs[0]
    arrays = records.read_arrays(folder, record)
    arrays["forest_residual_flagged"] = arrays["labels"]
    assert curves.draw_missed(arrays).caption == "In this run no anomaly was missed."


def test_the_baselines_can_be_left_out(splits):
    config = curves.Config(epochs=1, baselines=False, trees=2)
    with seeded(0):
        metrics = curves.run(curves.build_autoencoder(config, (FULL.points,)), splits, config, 0).metrics
    assert "forest_residual.accuracy" in metrics
    assert not [name for name in metrics if name.startswith(("ocsvm", "isolation_forest", "random_forest"))]


def test_pytorch_trains_the_same_model(splits):
    optional.package("torch")
    config = curves.Config(epochs=1, framework="pytorch")
    _, result = run(splits, config)
    assert 7.5 < result.metrics["loss.epoch_001"] < 10.5
    assert result.arrays["test_errors_by_epoch"].shape == (1, 440)
