from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from common import figures
from common.comparison.published import read_published
from common.training.fit import fit
from common.training.keras import seeded
from experiments import mnist_dense_ae as dense

FULL = dense.Config()
TINY = dense.Config(units=(64, 32, 8), epochs=3, learning_rate=5e-3)


class FakeImages(NamedTuple):
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def strokes(generator, digits):
    """An upright bar for a one, with a ring-like cap for a nine, at a random place."""
    images = np.zeros((len(digits), 28, 28), np.uint8)
    for image, digit, column in zip(images, digits, generator.integers(8, 18, len(digits)), strict=True):
        image[5:23, column : column + 3] = 220
        if digit == 9:
            image[5:12, column - 5 : column] = 180
    return images


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    y_train, y_test = generator.choice([1, 9], 400), generator.choice([1, 4, 9], 120)
    return FakeImages(strokes(generator, y_train), y_train, strokes(generator, y_test), y_test)


@pytest.fixture(scope="module")
def splits(data):
    return dense.split(data, TINY, "published", seed=0)


def run(splits, seed=0, config=TINY):
    with seeded(seed):
        return dense.run(dense.build_autoencoder(config, (784,)), splits, config, seed)


@pytest.fixture(scope="module")
def result(splits):
    return run(splits)


# The data.


def test_images_keep_their_order_and_are_scaled_from_minus_one_to_one(data, splits):
    expected = data.x_test[data.y_test == 9].reshape(-1, 784)
    np.testing.assert_allclose((splits.x_test[splits.y_test == 1] + 1) * 127.5, expected, atol=1e-4)
    assert len(splits.x_train) == (data.y_train == 1).sum()
    assert (splits.y_test == 0).sum() == (data.y_test == 1).sum()
    assert splits.x_train.dtype == np.float32
    assert (splits.x_train.min(), splits.x_train[0].max()) == (-1.0, pytest.approx(220 / 127.5 - 1))


# The model.


def dense_layers(model):
    return [layer for layer in model.layers if type(layer).__name__ == "Dense"]


def test_the_model_has_every_published_setting():
    settings = read_published("mnist_dense_ae").settings
    model = dense.build_autoencoder(FULL, (784,))
    layers = dense_layers(model)
    assert [layer.units for layer in layers] == settings["model.layer_units"]
    assert [layer.activation.__name__ for layer in layers] == settings["model.activations"]
    assert model.count_params() == sum(a * b + b for a, b in [(784, 256), (256, 128), (128, 64)]) + sum(
        a * b + b for a, b in [(64, 128), (128, 256), (256, 784)]
    )
    assert float(model.optimizer.learning_rate) == pytest.approx(settings["learning_rate"])
    assert model.optimizer.weight_decay is None
    for name in ("beta_1", "beta_2", "epsilon"):
        assert getattr(model.optimizer, name) == settings[f"optimizer.{name}"]


def test_weights_and_biases_begin_as_in_pytorch():
    with seeded(0):
        layers = dense_layers(dense.build_autoencoder(FULL, (784,)))
    for layer in layers:
        limit = 1 / np.sqrt(layer.kernel.shape[0])
        kernel, bias = (weights.numpy() for weights in layer.weights)
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert 0.8 * limit < np.abs(bias).max() <= limit


def test_the_losses_are_those_of_the_last_partial_batch_before_its_step_and_of_all_batches(splits):
    """The trained weights are kept before every step, so that the printed losses can be had a second time, by NumPy."""
    import tensorflow as tf

    inputs = splits.x_train[:70]
    config = dense.Config(units=(8, 4), epochs=2)
    with seeded(0):
        model = dense.build_autoencoder(config, (784,))
        history = fit(model, inputs, epochs=2, batch_size=16, seed=0)
    with seeded(0):
        again = dense.build_autoencoder(config, (784,))
        again.run_eagerly = True
        batches = tf.data.Dataset.from_tensor_slices(inputs).shuffle(70, seed=0, reshuffle_each_iteration=True)
        means, lasts = [], []
        for _ in range(2):
            losses = []
            for batch in batches.batch(16):
                before = np.asarray(again(batch))
                losses.append(float(np.square(batch.numpy() - before).mean()))
                again.train_on_batch(batch, batch)
            assert len(batch) == 6
            means.append(np.mean(losses))
            lasts.append(losses[-1])
    assert history["last_batch_loss"] == pytest.approx(lasts, rel=1e-4)
    assert history["mean_of_batch_means"] == pytest.approx(means, rel=1e-4)


# The scores.


def test_the_score_sums_absolute_differences_of_pixels_between_0_and_1():
    generator = np.random.default_rng(0)
    images, reconstructions = generator.uniform(-1, 1, (2, 3, 784))
    slow = [
        sum(abs((a / 2 + 0.5) - (b / 2 + 0.5)) for a, b in zip(image, other, strict=True))
        for image, other in zip(images, reconstructions, strict=True)
    ]
    np.testing.assert_allclose(dense.anomaly_scores(images, reconstructions), slow)
    np.testing.assert_allclose(dense.anomaly_scores(-np.ones((1, 784)), np.ones((1, 784))), [784])


def test_of_other_data_the_first_images_of_each_class_are_shown_and_no_printed_score_is_compared(splits, result):
    assert splits.shown == {}
    assert result.arrays["labels"][result.arrays["shown"]].tolist() == [0] * 3 + [1] * 3
    assert not [metric for metric in result.metrics if metric.startswith("scores_2020")]


def test_the_printed_scores_are_those_of_the_images_shown():
    printed = {group.name: list(group.numbers) for group in read_published("mnist_dense_ae").groups}
    for figure, images in dense.SHOWN.items():
        assert printed[figure] == [f"{figure}.image_{image}" for image in images]


# A whole run, on tiny data.


def test_golden_run(result):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    losses = [result.metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2, 3)]
    assert losses == pytest.approx([0.445884, 0.172644, 0.154762], rel=1e-3)
    assert result.metrics["last_batch_loss.epoch_003"] == pytest.approx(0.159440, rel=1e-2)
    assert result.metrics["score.normal_median"] == pytest.approx(69.6229, rel=1e-2)
    assert result.metrics["autoencoder.auroc"] == pytest.approx(1.0, abs=0.02)


def test_the_same_seed_gives_the_same_run(splits, result):
    again = run(splits)
    assert again.metrics == result.metrics
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_every_published_metric_is_produced(result):
    long_enough = {f"{kind}.epoch_{epoch:03d}" for kind in ("loss", "last_batch_loss") for epoch in range(1, 11)}
    of_mnist = {f"{figure}.image_{image}" for figure, images in dense.SHOWN.items() for image in images}
    assert read_published("mnist_dense_ae").metrics() <= set(result.metrics) | long_enough | of_mnist


def test_every_figure_of_the_source_is_drawn_from_saved_arrays(result, tmp_path):
    assert sum(array.nbytes for array in result.arrays.values()) < 2_000_000
    with figures.style():
        drawn = [draw(result.arrays) for draw in dense.EXPERIMENT.figures]
        sizes = [len(figures.png(figure)) for figure in drawn]
    assert [figure.name for figure in drawn] == ["loss", "differences", "roc", "scores"]
    assert all(figure.caption.endswith(".") for figure in drawn)
    assert max(sizes) < 100_000


# On the real files.


@pytest.fixture(scope="module")
def mnist():
    from common.data import datasets
    from common.data.datasets import Source
    from common.errors import SuiteError

    try:
        return datasets.load("mnist", Source(mode="real"))
    except (SuiteError, OSError) as error:
        pytest.skip(f"needs the real MNIST files: {error}")


def test_the_counts_of_the_source_come_out_and_six_images_are_left_for_the_last_batch(mnist):
    splits = dense.split(mnist, FULL, "published", 0)
    (group,) = [group for group in read_published("mnist_dense_ae").groups if group.obtained == "derived"]
    counts = [len(splits.x_train), *np.bincount(splits.y_test)]
    assert [str(count) for count in counts] == list(group.numbers.values())
    assert len(splits.x_train) % FULL.batch_size == 6


def test_the_twelve_images_of_the_source_are_found_and_scored(mnist):
    splits = dense.split(mnist, FULL, "published", 0)
    images = [image for figure in dense.SHOWN.values() for image in figure]
    assert [int(metric.rpartition("_")[2]) for metric in splits.shown] == images
    for image, index in zip(images, splits.shown.values(), strict=True):
        np.testing.assert_array_equal(splits.x_test[index], dense.flatten(mnist.x_test[[image]])[0])
    few = replace(splits, x_train=splits.x_train[:40])
    scored = run(few, config=dense.Config(units=(8, 2), epochs=1))
    for name, index in splits.shown.items():
        assert scored.metrics[name] == scored.arrays["scores"][index]
    with figures.style():
        assert len(figures.png(dense.draw_differences(scored.arrays))) < 100_000


def test_other_digits_have_no_images_of_the_source(mnist):
    assert dense.split(mnist, dense.Config(anomaly=7), "published", 0).shown == {}
