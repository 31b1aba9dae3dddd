"""The Keras models of the trained detectors. Importing this module starts Keras, so it is done when one is built."""

from typing import Any

import numpy as np

from common.detectors.announced import SCALE_FLOOR, UNITS
from common.training.keras import start_keras

keras = start_keras()


class Vae(keras.Model):  # type: ignore[misc,name-defined]
    """A variational autoencoder; a conditional one if `conditional`.

    The condition is the position of a sample's largest value, 0 for the first and 1 for the last feature. Encoder
    and decoder get it as one more input.
    """

    def __init__(self, features: int, code_size: int, bernoulli: bool, conditional: bool, scale: float) -> None:
        super().__init__(name="vae")
        self.encoder = _dense(features + conditional, UNITS, 2 * code_size, _relu)
        self.decoder = _dense(code_size + conditional, UNITS[::-1], features, _relu)
        self.conditional, self.bernoulli, self.draws = conditional, bernoulli, keras.random.SeedGenerator()
        start = keras.initializers.Constant(np.log(scale))
        self.log_scale = self.add_weight(name="log_scale", initializer=start, trainable=not bernoulli)

    def condition(self, x: Any) -> Any:
        """Give the condition, shape `(samples, 1)`, or nothing, shape `(samples, 0)`."""
        if not self.conditional:
            return x[:, :0]
        places = keras.ops.argmax(x, axis=1, keepdims=True) / max(x.shape[1] - 1, 1)
        return keras.ops.cast(places, x.dtype)

    def call(self, x: Any, training: bool = False) -> Any:
        """Give mean and log variance of the code, and the outputs for a code drawn from them, or for its mean."""
        condition = self.condition(x)
        mean, log_variance = keras.ops.split(self.encoder(keras.ops.concatenate([x, condition], axis=1)), 2, axis=1)
        code = mean
        if training:
            code = mean + keras.ops.exp(log_variance / 2) * normal(keras.ops.shape(mean), self.draws)
        return mean, log_variance, self.decoder(keras.ops.concatenate([code, condition], axis=1))

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> Any:
        """Compute the negative evidence lower bound, a mean over the samples."""
        mean, log_variance, outputs = y_pred
        if self.bernoulli:
            improbable = keras.ops.softplus(outputs) - x * outputs
        else:
            scale = keras.ops.maximum(keras.ops.exp(self.log_scale), SCALE_FLOOR)
            improbable = keras.ops.square((x - outputs) / scale) / 2 + keras.ops.log(scale * np.sqrt(2 * np.pi))
        divergence = (keras.ops.exp(log_variance) + keras.ops.square(mean) - 1 - log_variance) / 2
        return keras.ops.mean(keras.ops.sum(improbable, axis=1) + keras.ops.sum(divergence, axis=1))


class BiGan(keras.Model):  # type: ignore[misc,name-defined]
    """A bidirectional GAN: the discriminator tells pairs of sample and code, of the encoder from the generator."""

    def __init__(self, features: int, code_size: int) -> None:
        super().__init__(name="bigan")
        self.encoder = _dense(features, UNITS, code_size, _leaky_relu)
        self.generator = _dense(code_size, UNITS[::-1], features, _leaky_relu, "tanh")
        self.hidden = _dense(features + code_size, UNITS[:-1], UNITS[-1], _leaky_relu, _leaky_relu())
        self.judge = _dense(UNITS[-1], (), 1, _leaky_relu)
        self.code_size, self.draws = code_size, keras.random.SeedGenerator()

    def call(self, x: Any, training: bool = False) -> Any:
        """Give the discriminator's logits of each sample with its code, and of a generated one with its code."""
        code = keras.ops.zeros((keras.ops.shape(x)[0], self.code_size))
        if training:
            code = normal(keras.ops.shape(code), self.draws)
        pairs = [(x, self.encoder(x)), (self.generator(code), code)]
        return [self.judge(self.hidden(keras.ops.concatenate(pair, axis=1))) for pair in pairs]

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> Any:
        """Compute the cross-entropy of the discriminator, a mean over the samples."""
        given, generated = y_pred
        return keras.ops.mean(keras.ops.softplus(-given) + keras.ops.softplus(generated))

    def train_step(self, data: Any) -> Any:
        """Update the discriminator to tell the pairs apart, and encoder and generator to mislead it."""
        import tensorflow as tf

        x, _ = data
        with tf.GradientTape(persistent=True) as tape:
            given, generated = self(x, training=True)
            loss = self.compute_loss(x, x, (given, generated))
            misled = self.compute_loss(x, x, (generated, given))
        telling = [*self.hidden.trainable_variables, *self.judge.trainable_variables]
        misleading = [*self.encoder.trainable_variables, *self.generator.trainable_variables]
        gradients = [*tape.gradient(loss, telling), *tape.gradient(misled, misleading)]
        self.optimizer.apply(gradients, [*telling, *misleading])
        (tracker,) = (metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=keras.ops.shape(x)[0])
        return self.get_metrics_result()


def normal(shape: Any, draws: Any) -> Any:
    """Draw from a normal distribution; where XLA compiles it, the default algorithm is many times slower."""
    import tensorflow as tf

    return tf.random.stateless_normal(shape, keras.ops.cast(draws.next(), "int32"), alg="philox")


def _dense(inputs: int, units: tuple[int, ...], outputs: int, activation: Any, last: Any = None) -> Any:
    """Build dense layers: hidden ones of these units with an activation, and one of the outputs."""
    hidden = [keras.layers.Dense(width, activation=activation()) for width in units]
    return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(outputs, activation=last)])


def _relu() -> Any:
    return keras.layers.ReLU()


def _leaky_relu() -> Any:
    return keras.layers.LeakyReLU(negative_slope=0.2)
