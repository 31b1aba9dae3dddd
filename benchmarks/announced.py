"""The cost of a VAE's training beside that of a plain autoencoder of the same layers, in one process, taking turns."""

import statistics
import time
from typing import Any

import numpy as np

from common.detectors import announced
from common.training.fit import fit
from common.training.keras import seeded, start_keras

# Samples, features and code of `mnist_dense_ae`, and steps enough for XLA.
SAMPLES, FEATURES, CODE, STEPS = 5394, 784, 64, 2000
LARGEST_RATIO = 2.0


def ratios(rounds: int) -> list[float]:
    """Measure the training of a VAE, divided by that of a plain autoencoder, by round; both are compiled before.

    Args:
        rounds: number of rounds.
    """
    pixels = np.random.default_rng(0).random((SAMPLES, FEATURES)).astype(np.float32)
    found = []
    with seeded(0):
        models = _autoencoder(), announced.compiled_vae(FEATURES, CODE)
        for _ in range(rounds):
            seconds = []
            for model in models:
                # One compiled epoch is kept, so the first training of each turn compiles, and is not counted.
                train(model, pixels)
                started = time.perf_counter()
                train(model, pixels)
                seconds.append(time.perf_counter() - started)
            found.append(seconds[1] / seconds[0])
    return found


def train(model: Any, pixels: Any) -> None:
    """Train a model for about `STEPS` steps."""
    epochs = -(-STEPS // -(-SAMPLES // announced.BATCH_SIZE))
    fit(model, pixels, epochs=epochs, batch_size=announced.BATCH_SIZE, seed=0)


def _autoencoder() -> Any:
    keras = start_keras()
    units = [*announced.UNITS, CODE, *announced.UNITS[::-1]]
    layers = [keras.layers.Dense(width, activation="relu") for width in units]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(FEATURES, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", jit_compile=True)
    return model


def table(rounds: int) -> str:
    """Measure, and write the result as Markdown."""
    found = ratios(rounds)
    middle = statistics.median(found)
    return (
        f"A VAE's training of {STEPS} steps takes {middle:.2f} times ({min(found):.2f} to {max(found):.2f}, {rounds} "
        f"rounds) as long as that of a plain autoencoder of the same layers, batch and steps; at most "
        f"{LARGEST_RATIO:g} was asked for: {'met' if middle <= LARGEST_RATIO else 'missed'}."
    )
