import random
from typing import NamedTuple

import numpy as np
import pytest

from common import figures
from common.comparison.published import read_published
from common.metrics.scores import reconstruction_error
from common.training.fit import fit
from common.training.keras import seeded
from experiments import mnist_conv_ae as conv

FULL = conv.Config()
TINY = conv.Config(epochs=2, scored_images=20, scattered_normal=80, scattered_anomalies=10)
SHAPE = (28, 28, 1)


class FakeImages(NamedTuple):
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def blobs(generator, digits):
    """A bright spot whose place depends on the digit, give or take two pixels."""
    rows, columns = np.mgrid[:28, :28]
    centres = np.stack([8 + 1.5 * digits, 20 - 1.5 * digits]) + generator.normal(0, 1, (2, len(digits)))
    distance = (rows - centres[0, :, None, None]) ** 2 + (columns - centres[1, :, None, None]) ** 2
    return (255 * np.exp(-distance / 20)).astype(np.uint8)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    y_train, y_test = generator.choice([5, 7], 300), generator.choice([3, 5, 7], 150)
    return FakeImages(blobs(generator, y_train), y_train, blobs(generator, y_test), y_test)


@pytest.fixture(scope="module")
def splits(data):
    return conv.split(data, TINY, "published", seed=0)


def run(splits, seed=0, config=TINY):
    with seeded(seed):
        return conv.run(conv.build_autoencoder(config, SHAPE), splits, config, seed)


def images_of(splits, label):
    return splits.x_test_all[splits.y_test_all == label]


@pytest.fixture(scope="module")
def result(splits):
    return run(splits)


# The data.


def test_images_keep_their_order_and_are_scaled_to_one(data, splits):
    expected = [image for image, digit in zip(data.x_test, data.y_test, strict=True) if digit == 5]
    assert images_of(splits, 1).shape == (len(expected), 28, 28, 1)
    np.testing.assert_allclose(images_of(splits, 1)[..., 0] * 255, expected, atol=1e-4)
    assert len(splits.x_train) == (data.y_train == 7).sum()
    assert len(images_of(splits, 0)) == (data.y_test == 7).sum()
    assert splits.x_train.dtype == np.float32 and splits.x_train.max() <= 1
    assert splits.y_test.tolist() == [0] * 20 + [1] * 20
    assert np.array_equal(splits.x_test[20:], images_of(splits, 1)[:20])


def test_the_samples_are_those_of_the_source_and_do_not_touch_the_global_generator(splits):
    random.seed(6)
    ten = random.sample(range(len(splits.x_train)), 10)
    random.seed(11)
    four = random.sample(range(len(images_of(splits, 1))), 4)
    state = random.getstate()
    images, labels = conv.draw_samples(splits.x_train, images_of(splits, 1))
    assert random.getstate() == state
    assert labels.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(images[:4], [splits.x_train[ten[i + 5]] for i in range(4)])
    np.testing.assert_array_equal(images[4:], images_of(splits, 1)[four])


def test_the_scatter_is_drawn_with_replacement_from_each_class(splits):
    config = conv.Config(scattered_normal=500, scattered_anomalies=90)
    images, labels = conv.draw_scattered(splits, config, seed=0)
    assert np.bincount(labels).tolist() == [500, 90]
    for drawn, known in [(images[:500], images_of(splits, 0)), (images[500:], images_of(splits, 1))]:
        names = {image.tobytes() for image in drawn}
        assert len(names) < len(drawn)
        assert names <= {image.tobytes() for image in known}
    assert not np.array_equal(images, conv.draw_scattered(splits, config, seed=1)[0])


# The model.


def test_the_model_has_every_published_setting():
    settings = read_published("mnist_conv_ae").settings
    encoder, decoder, autoencoder = conv.build_autoencoder(FULL, SHAPE)
    assert encoder.count_params() == settings["model.encoder_parameters"]
    assert decoder.count_params() == settings["model.decoder_parameters"]
    assert autoencoder.count_params() == encoder.count_params() + decoder.count_params()
    assert list(encoder.output_shape[1:]) == settings["model.code_shape"]
    assert autoencoder.output_shape == (None, 28, 28, 1)
    layers = [layer for part in (encoder, decoder) for layer in part.layers if layer.weights]
    assert [layer.activation.__name__ for layer in layers] == ["relu", "relu", "linear", "relu", "relu", "linear"]
    assert [layer.kernel_size[0] for layer in layers] == [3, 3, 7, 7, 3, 7]
    assert [layer.strides[0] for layer in layers] == [2, 2, 1, 1, 2, 2]
    assert {type(layer.kernel_initializer).__name__ for layer in layers} == {"GlorotUniform"}
    assert {type(layer.bias_initializer).__name__ for layer in layers} == {"Zeros"}
    assert float(autoencoder.optimizer.learning_rate) == pytest.approx(settings["learning_rate"])
    for name in ("beta_1", "beta_2", "epsilon"):
        assert getattr(autoencoder.optimizer, name) == settings[f"optimizer.{name}"]


def test_the_discriminant_is_that_of_scikit_learn_up_to_shift_and_scale():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 9])
    codes = generator.normal(size=(69, 2)) @ [[1, 2], [0, 1]] + labels[:, None] * [1, 0.5]
    expected = LinearDiscriminantAnalysis().fit(codes, labels).decision_function(codes)
    assert np.corrcoef(conv.fisher_discriminant(codes, labels), expected)[0, 1] == pytest.approx(1.0)


def test_a_dead_channel_of_the_code_leaves_the_other_one():
    codes = np.column_stack([np.arange(10.0), np.zeros(10)])
    across = conv.fisher_discriminant(codes, np.repeat([0, 1], 5))
    assert (np.diff(across) > 0).all()


# A whole run, on tiny data.


def test_golden_run(result):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    losses = [result.metrics[f"loss.epoch_{epoch:03d}"] for epoch in (1, 2)]
    assert losses == pytest.approx([0.0389571, 0.0347481], rel=1e-3)
    assert result.metrics["reconstruction_error.normal_median"] == pytest.approx(0.0296510, rel=1e-2)
    assert result.metrics["autoencoder_full.auroc"] == pytest.approx(0.9754, abs=0.02)


def test_the_same_seed_gives_the_same_run(splits, result):
    again = run(splits)
    assert again.metrics == result.metrics
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_the_first_images_of_each_class_are_scored_by_their_mean_squared_error(data):
    config = conv.Config(epochs=1, scored_images=7, threshold=0.02)
    splits = conv.split(data, config, "published", 0)
    result = run(splits, config=config)
    with seeded(0):
        autoencoder = conv.build_autoencoder(config, SHAPE).autoencoder
        fit(autoencoder, splits.x_train, epochs=1, batch_size=config.batch_size, seed=0)
    first = np.concatenate([images_of(splits, 0)[:7], images_of(splits, 1)[:7]])
    # One image after the other by Keras' own evaluate, as the source does it.
    slow = [autoencoder.evaluate(image[None], image[None], verbose=0) for image in first]
    np.testing.assert_allclose(result.arrays["errors"], slow, rtol=1e-4)
    assert result.arrays["labels"].tolist() == [0] * 7 + [1] * 7
    assert result.metrics["reconstruction_error.normal_first"] == pytest.approx(slow[0], rel=1e-4)
    assert result.metrics["reconstruction_error.anomaly_first"] == pytest.approx(slow[7], rel=1e-4)
    assert result.metrics["threshold_fixed.fp"] == sum(error > 0.02 for error in slow[:7])
    assert result.metrics["threshold_fixed.tp"] == sum(error > 0.02 for error in slow[7:])


def test_every_published_metric_is_produced(result):
    long_enough = {f"loss.epoch_{epoch:03d}" for epoch in range(1, FULL.epochs + 1)}
    assert read_published("mnist_conv_ae").metrics() <= set(result.metrics) | long_enough


def test_every_figure_of_the_source_is_drawn_from_saved_arrays(result, tmp_path):
    assert sum(array.nbytes for array in result.arrays.values()) < 2_000_000
    with figures.style():
        drawn = [draw(result.arrays) for draw in conv.EXPERIMENT.figures]
        sizes = [len(figures.png(figure)) for figure in drawn]
    assert [figure.name for figure in drawn] == ["samples", "models", "latent", "first_images", "errors"]
    assert all(figure.caption.endswith(".") for figure in drawn)
    assert max(sizes) < 100_000


# On the real files.


def test_the_counts_of_the_source_come_out():
    from common.data import datasets
    from common.data.datasets import Source
    from common.errors import SuiteError

    try:
        data = datasets.load("mnist", Source(mode="real"))
    except (SuiteError, OSError) as error:
        pytest.skip(f"needs the real MNIST files: {error}")
    splits = conv.split(data, FULL, "published", 0)
    (group,) = read_published("mnist_conv_ae").groups
    parts = (splits.x_train, images_of(splits, 0), images_of(splits, 1))
    assert [str(len(part)) for part in parts] == list(group.numbers.values())
    error = reconstruction_error(parts[1], np.zeros_like(parts[1]))
    assert 0.05 < error.mean() < 0.15, "a black image lies around the threshold, so it tells something"
