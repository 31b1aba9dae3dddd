import numpy as np
import pytest

from common.training import fit as fitting
from common.training import torch_defaults
from common.training.fit import fit, layer_arrays, log_to, reconstruct, report_epoch, report_epochs_to
from common.training.keras import seeded, start_keras

keras = start_keras()


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def model():
    layer_inputs = keras.Input((6,))
    network = keras.Model(layer_inputs, keras.layers.Dense(6)(keras.layers.Dense(3)(layer_inputs)))
    network.compile(optimizer="sgd", loss="mse")
    return network


def trained(inputs, seed, **changes):
    with seeded(seed):
        network = model()
        history = fit(network, inputs, **{"epochs": 4, "batch_size": 16, "seed": seed} | changes)
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
    fit(network, inputs, epochs=2, batch_size=16, seed=0)
    # One sample is evaluated before the training, to create what the loss needs.
    assert [len(batch) for batch in seen] == [1, *[16, 16, 16, 2] * 2]
    del seen[0]
    epochs = [np.concatenate(seen[:4]), np.concatenate(seen[4:])]
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        assert np.array_equal(np.sort(epoch, axis=0), np.sort(inputs, axis=0))


def test_progress_and_the_callback_come_once_an_epoch(inputs):
    told, called = [], []
    with report_epochs_to(lambda *progress: told.append(progress)):
        _, history = trained(inputs, 0, on_epoch_end=lambda: called.append(1))
    assert [(epoch, epochs) for epoch, epochs, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [loss for _, _, loss in told] == pytest.approx(history["loss"])
    assert len(called) == 4
    report_epoch(1, 1, 0.0)
    assert len(told) == 4


@pytest.mark.parametrize("ema", [False, True])
def test_weights_and_history_are_those_of_keras_own_fit_in_the_same_order(inputs, ema):
    """Bit for bit: with penalties, a metric, validation data and a partial last batch, and Adam's state as well."""
    decay = keras.regularizers.L2(0.01)

    def network():
        layer_inputs = keras.Input((6,))
        hidden = keras.layers.Dense(5, activation="relu", kernel_regularizer=decay)(layer_inputs)
        built = keras.Model(layer_inputs, keras.layers.Dense(6, bias_regularizer=decay)(hidden))
        built.compile(
            optimizer=keras.optimizers.Adam(0.01, use_ema=ema), loss="mse", metrics=[torch_defaults.mean_of_batch_means]
        )
        return built

    with seeded(5):
        ours = network()
        history = fit(ours, inputs, epochs=3, batch_size=16, seed=7, validation=inputs[:39])
    with seeded(5):
        plain = network()
        expected = keras_fit(plain, inputs, epochs=3, batch_size=16, seed=7, validation=inputs[:39])
    assert history == expected
    assert set(history) == {"loss", "mean_of_batch_means", "val_loss", "val_mean_of_batch_means"}
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(ours.optimizer.variables, plain.optimizer.variables, strict=True):
        assert np.array_equal(a, b)


def test_xla_trains_the_same_weights_up_to_rounding_and_the_same_twice(inputs, monkeypatch):
    """Whole batches and the partial one, metrics and validation; a merged multiplication and addition rounds once."""
    monkeypatch.setattr(fitting, "WORTH_XLA", 0)

    def network(jit_compile):
        layer_inputs = keras.Input((6,))
        built = keras.Model(layer_inputs, keras.layers.Dense(6)(keras.layers.Dense(5, "tanh")(layer_inputs)))
        built.compile(optimizer="adam", loss="mse", metrics=["mae"], jit_compile=jit_compile)
        return built

    trainings = []
    for jit_compile in (True, True, False):
        with seeded(5):
            ours = network(jit_compile)
            history = fit(ours, inputs, epochs=3, batch_size=16, seed=7, validation=inputs[:39])
            trainings.append((ours.get_weights(), history))
    (weights, history), (weights_again, again), (expected_weights, expected) = trainings
    assert history == again
    assert all(np.array_equal(a, b) for a, b in zip(weights, weights_again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, expected_weights, strict=True)), "XLA took no part"
    assert history.keys() == expected.keys()
    for name in history:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-5)
    for a, b in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def keras_fit(network, inputs, *, epochs, batch_size, seed, validation):
    """Keras' own `fit`, fed by a shuffle buffer."""
    import tensorflow as tf

    samples = tf.data.Dataset.from_tensor_slices((inputs, inputs))
    shuffled = samples.shuffle(len(inputs), seed=seed, reshuffle_each_iteration=True).batch(batch_size).repeat()
    single = tf.data.Dataset.from_tensors((validation, validation))
    steps = -(-len(inputs) // batch_size)
    options = {"epochs": epochs, "steps_per_epoch": steps, "validation_data": single}
    return network.fit(shuffled, shuffle=False, verbose=0, **options).history


@pytest.mark.parametrize("parts", [2, 4])
def test_batches_in_parts_train_the_same_weights_up_to_rounding(inputs, parts):
    whole, expected = trained(inputs, 0)
    cut, history = trained(inputs, 0, parts=parts)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    for ours, theirs in zip(cut.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    again, _ = trained(inputs, 0, parts=parts)
    assert all(np.array_equal(a, b) for a, b in zip(cut.get_weights(), again.get_weights(), strict=True))


def test_a_batch_that_has_no_such_equal_parts_stays_whole(inputs):
    (whole, _), (same, _) = trained(inputs, 0), trained(inputs, 0, parts=3)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), same.get_weights(), strict=True))


def test_training_goes_on_where_it_was_left(inputs):
    """Another call of `fit` is more epochs, not a new start: the optimizer keeps its state."""
    with seeded(5):
        network = model()
        first = fit(network, inputs, epochs=2, batch_size=16, seed=0)
        second = fit(network, inputs, epochs=2, batch_size=16, seed=1)
    assert second["loss"][0] < first["loss"][-1]
    assert int(network.optimizer.iterations) == 16


def test_reconstruct_is_predict(inputs):
    network, _ = trained(inputs, 0)
    np.testing.assert_allclose(reconstruct(network, inputs), network.predict(inputs, verbose=0), rtol=1e-5)


# Validation and early stopping.


def test_the_validation_loss_is_that_of_evaluate(inputs):
    # Validation data are one batch; `evaluate` takes several, and a partial one.
    for batch_size in (16, 50):
        network, history = trained(inputs, 0, batch_size=batch_size, validation=inputs[:39])
        assert len(history["val_loss"]) == 4
        fresh = model()
        fresh.set_weights(network.get_weights())
        expected = fresh.evaluate(inputs[:39], inputs[:39], batch_size=16, verbose=0)
        assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)


def test_validation_in_batches_is_that_of_evaluate_where_a_loss_is_no_mean_over_samples(inputs):
    def summed():
        keras = start_keras()

        class Summed(keras.layers.Layer):
            def call(self, x):
                self.add_loss(0.01 * keras.ops.sum(keras.ops.abs(x)))
                return x

        network = keras.Sequential([keras.Input(inputs.shape[1:]), Summed(), keras.layers.Dense(inputs.shape[1])])
        network.compile(optimizer="adam", loss="mse", jit_compile=True)
        return network

    with seeded(0):
        network = summed()
        options = {"epochs": 1, "batch_size": 16, "seed": 7, "validation": inputs[:39]}
        by_batch = fit(network, inputs, validation_batch_size=16, **options)["val_loss"][-1]
    assert by_batch == pytest.approx(network.evaluate(inputs[:39], inputs[:39], batch_size=16, verbose=0), rel=1e-5)
    assert by_batch < 0.7 * network.evaluate(inputs[:39], inputs[:39], batch_size=39, verbose=0)


def test_watching_the_validation_loss_changes_no_weight(inputs):
    watched, history = trained(inputs, 0, validation=inputs[:39], patience=4)
    plain, without = trained(inputs, 0)
    assert history["loss"] == without["loss"]
    for a, b in zip(watched.get_weights(), plain.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_early_stopping_stops_where_keras_own_fit_stops_with_the_last_weights(inputs):
    """With a single batch its order does not matter, so Keras' own fit on arrays must stop in the same epoch."""
    random = np.random.default_rng(1)
    validation = random.normal(size=(30, 6)).astype(np.float32)

    def network():
        layer_inputs = keras.Input((6,))
        built = keras.Model(
            layer_inputs, keras.layers.Dense(6)(keras.layers.Dense(50, activation="relu")(layer_inputs))
        )
        built.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse")
        return built

    with seeded(5):
        ours = network()
        options = {"epochs": 300, "batch_size": 12, "seed": 5, "patience": 3}
        history = fit(ours, inputs[:12], validation=validation, **options)
    with seeded(5):
        plain = network()
        stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)
        x = inputs[:12]
        options = {"epochs": 300, "batch_size": 12, "callbacks": [stopping], "verbose": 0}
        expected = plain.fit(x, x, validation_data=(validation, validation), **options).history
    assert 3 < len(history["loss"]) < 300
    assert history["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)
    assert min(history["val_loss"]) == history["val_loss"][-4]
    for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)


def test_stopping_early_needs_validation_data(inputs):
    with pytest.raises(ValueError, match="patience=3"):
        fit(model(), inputs, epochs=1, batch_size=8, seed=0, patience=3)


def test_a_loss_that_turns_nan_ends_the_training(inputs):
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) after epoch"):
        trained(inputs * 1e20, 0, epochs=50)


def test_further_callbacks_are_called_and_may_write_into_the_history(inputs):
    class Callback(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["left"] = self.params["epochs"] - epoch

    _, history = trained(inputs, 0, callbacks=[Callback()])
    assert history["left"] == [4, 3, 2, 1]


# The TensorBoard log.


def logged_scalars(folder):
    """Tag -> values by step, of all event files below a folder; read by TensorFlow alone."""
    import tensorflow as tf

    found = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    name = f"{path.parent.name}/{value.tag}"
                    found.setdefault(name, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_the_log_holds_the_losses_of_every_epoch_and_changes_nothing(inputs, tmp_path):
    with log_to(tmp_path / "log"):
        logged, history = trained(inputs, 0, validation=inputs[:39])
    plain, without = trained(inputs, 0, validation=inputs[:39])
    assert history == without
    for a, b in zip(logged.get_weights(), plain.get_weights(), strict=True):
        assert np.array_equal(a, b)
    scalars = logged_scalars(tmp_path / "log")
    assert list(scalars["train/epoch_loss"].values()) == pytest.approx(history["loss"])
    assert list(scalars["validation/epoch_loss"].values()) == pytest.approx(history["val_loss"])


def test_layers_as_arrays():
    arrays = layer_arrays(model())
    assert arrays["layer_names"].tolist() == ["InputLayer", "Dense", "Dense"]
    assert arrays["layer_shapes"].tolist() == ["6", "3", "6"]
    assert arrays["layer_parameters"].tolist() == [0, 21, 24]
