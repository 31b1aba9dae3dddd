import numpy as np

from common.training.fit import fit, reconstruct
from common.training.keras import seeded, start_keras
from common.training.watch import Watch

INPUTS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = np.arange(40) % 2


def trained(epochs, watched):
    keras = start_keras()
    with seeded(0):
        layer_inputs = keras.Input((6,))
        model = keras.Model(layer_inputs, keras.layers.Dense(6)(keras.layers.Dense(3)(layer_inputs)))
        model.compile(optimizer="adam", loss="mse")
        watch = Watch(INPUTS, LABELS, lambda samples: reconstruct(model, samples))
        history = fit(model, INPUTS, epochs=epochs, batch_size=8, seed=0, on_epoch_end=watch if watched else None)
    return model, watch, history


def test_reconstructions_are_kept_after_some_epochs_of_the_first_samples_of_each_class():
    model, watch, _ = trained(20, watched=True)
    arrays = watch.arrays()
    assert arrays["watched_epochs"].tolist() == [1, 2, 5, 10, 20]
    assert LABELS[arrays["watched_samples"]].tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(arrays["watched_inputs"], INPUTS[arrays["watched_samples"]].astype(np.float16))
    assert arrays["watched_reconstructions"].shape == (5, 8, 6)
    last = reconstruct(model, INPUTS[arrays["watched_samples"]]).astype(np.float16)
    np.testing.assert_array_equal(arrays["watched_reconstructions"][-1], last)
    assert not np.array_equal(arrays["watched_reconstructions"][0], arrays["watched_reconstructions"][1])


def test_watching_changes_no_byte_of_the_training():
    (watched, _, history), (alone, _, other) = trained(3, watched=True), trained(3, watched=False)
    assert history == other
    for ours, theirs in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
