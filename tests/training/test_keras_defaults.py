"""What is written out of Keras' defaults are its defaults, and unrolled layers learn the same."""

import numpy as np
import pytest

from common.training import keras_defaults
from common.training.keras import seeded, start_keras


def different(ours, plain):
    ours, plain = ours.get_config(), plain.get_config()
    return {name for name, value in plain.items() if ours[name] != value}


def test_every_default_that_is_written_out_is_one():
    keras = start_keras()
    assert different(keras_defaults.dense(3), keras.layers.Dense(3)) <= {"name"}
    assert different(keras_defaults.lstm(3, return_sequences=False), keras.layers.LSTM(3)) <= {"name", "unroll"}
    assert different(keras_defaults.adam(1e-3), keras.optimizers.Adam(1e-3)) <= {"name"}
    plain = keras.layers.Conv2D(3, 2)
    assert different(keras.layers.Conv2D(3, 2, **keras_defaults.INITIALIZERS), plain) <= {"name"}


@pytest.mark.parametrize("sequences", [True, False])
def test_unrolled_layers_learn_the_same(sequences):
    keras, x = start_keras(), np.random.default_rng(0).normal(size=(32, 5, 4)).astype(np.float32)

    def losses(unroll):
        with seeded(0):
            settings = keras_defaults.lstm(3, return_sequences=sequences).get_config() | {"unroll": unroll}
            model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM.from_config(settings)])
            model.compile(optimizer=keras_defaults.adam(0.01), loss="mse", run_eagerly=True)
            target = x[..., :3] if sequences else x[:, -1, :3]
            return model.fit(x, target, epochs=3, batch_size=32, shuffle=False, verbose=0).history["loss"]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)
