import numpy as np
import pytest

from common import training

keras = training.start_keras()


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def model():
    layer_inputs = keras.Input((6,))
    network = keras.Model(layer_inputs, keras.layers.Dense(6)(keras.layers.Dense(3)(layer_inputs)))
    network.compile(optimizer="sgd", loss="mse")
    return network


def trained(inputs, seed, **changes):
    with training.seeded(seed):
        network = model()
        history = training.fit(network, inputs, **{"epochs": 4, "batch_size": 16, "seed": seed} | changes)
    return network, history


def test_the_same_seed_gives_the_same_weights_whatever_ran_before(inputs):
    first, history = trained(inputs, 1)
    trained(inputs, 2)
    second, again = trained(inputs, 1)
    other, _ = trained(inputs, 3)
    assert history == again
    for a, b, c in zip(first.get_weights(), second.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)


def test_an_epoch_is_one_pass_with_a_partial_last_batch(inputs):
    seen = []

    class Recorder(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            tf.py_function(lambda batch: seen.append(batch.numpy()), [x], [])
            return x

    layer_inputs = keras.Input((6,))
    network = keras.Model(layer_inputs, keras.layers.Dense(6)(Recorder()(layer_inputs)))
    network.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    seen.clear()
    training.fit(network, inputs, epochs=2, batch_size=16, seed=0)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
    epochs = [np.concatenate(seen[:4]), np.concatenate(seen[4:])]
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        assert np.array_equal(np.sort(epoch, axis=0), np.sort(inputs, axis=0))


def test_progress_and_the_callback_come_once_an_epoch(inputs):
    told, called = [], []
    with training.report_epochs_to(lambda *progress: told.append(progress)):
        _, history = trained(inputs, 0, on_epoch_end=lambda: called.append(1))
    assert [(epoch, epochs) for epoch, epochs, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [loss for _, _, loss in told] == pytest.approx(history["loss"])
    assert len(called) == 4
    training.report_epoch(1, 1, 0.0)
    assert len(told) == 4


def test_fit_is_plain_keras_when_there_is_one_batch(inputs):
    """With a single batch its order does not matter, so Keras' own fit on arrays must give the same weights."""
    ours, _ = trained(inputs, 5, batch_size=50)
    with training.seeded(5):
        plain = model()
        plain.fit(inputs, inputs, epochs=4, batch_size=50, verbose=0)
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_reconstruct_is_predict(inputs):
    network, _ = trained(inputs, 0)
    np.testing.assert_allclose(training.reconstruct(network, inputs), network.predict(inputs, verbose=0), rtol=1e-5)
