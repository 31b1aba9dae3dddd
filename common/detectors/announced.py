"""Methods that are trained, which the authors of the sources announced as their next steps: VAE, CVAE and GAN.

All are the same dense network on flattened samples, trained for a fixed number of steps; the weights of the last one
are kept. The settings were fixed before the runs of the reference, but not in ignorance: planning tried such networks
once, with one seed, and saw their AUROCs on the test samples of all experiments. To add a method, add an entry to
`ANNOUNCED` with a model that `common.training.fit` can train.

Sources:
    - VAE: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014. Its score: An and Cho, Variational
      autoencoder based anomaly detection using reconstruction probability, 2015.
    - CVAE: Sohn, Lee and Yan, Learning structured output representation using deep conditional generative models, 2015.
    - BiGAN: Donahue, Kraehenbuehl and Darrell, Adversarial feature learning, ICLR 2017. Its score: Zenati et al.,
      Efficient GAN-based anomaly detection, 2018.

Deviations:
    1. Dense networks for all data; the papers on GANs use convolutions on images.
    2. Grey values, scaled to [0, 1], are treated as probabilities of white pixels, so the Bernoulli likelihood of the
       VAE is no likelihood in the strict sense.
    3. Both parts of the BiGAN are updated at once, from the same batch, with one Adam optimizer over all weights.
"""

import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from common.detectors.detector import ANNOUNCED_GROUP, Detector, Scores, Training
from common.metrics.scores import Metrics, Undefined
from common.training.fit import fit
from common.training.keras import start_keras
from common.training.reuse import LastModel

UNITS = (256, 128)
BATCH_SIZE = 128
VAE_STEPS, BIGAN_STEPS = 6000, 4000
# Smallest standard deviation of the Gaussian likelihood, in the units of the samples.
SCALE_FLOOR = 1e-3
# Draws of the code that a score of the VAE is averaged over.
DRAWS = 20
# A GAN has collapsed if what it generates varies less than this part of the spread of the training samples.
COLLAPSED, GENERATED = 0.1, 1000
# Part of the reconstruction in the score of the BiGAN; the rest is that of the discriminator.
RECONSTRUCTION = 0.9
# Inputs of the networks are clipped here, so that single precision does not overflow; what is scored is not clipped.
LARGEST_INPUT = 1e6
# So is the log variance of a code when samples are scored; training samples never come near.
LARGEST_LOG_VARIANCE = 80.0

_last = LastModel()


def _compiled(model: Any, features: int, **adam: float) -> Any:
    model.compile(optimizer=start_keras().optimizers.Adam(**adam), jit_compile=True)
    model(np.zeros((1, features), np.float32))  # builds the weights
    return model


def _trained(key: tuple[Any, ...], build: Callable[[], Any], x: NDArray[np.floating], steps: int, seed: int) -> Any:
    """Build a model, or give the last one of this key the state of a new one; then train it for about these steps."""
    model = _last.get((*key, x.shape[1]), build)
    epochs = -(-steps // -(-len(x) // BATCH_SIZE))  # whole epochs
    fit(model, _inputs(x), epochs=epochs, batch_size=BATCH_SIZE, seed=seed)
    return model


def _inputs(x: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(np.clip(x, -LARGEST_INPUT, LARGEST_INPUT), np.float32)


def compiled_vae(
    features: int, code_size: int, bernoulli: bool = True, conditional: bool = False, scale: float = 1.0
) -> Any:
    """Build and compile a VAE.

    Args:
        features: number of features of a sample.
        code_size: number of values in its code.
        bernoulli: true for the likelihood of pixels from 0 to 1, false for a Gaussian one. Default: true.
        conditional: true for a CVAE. Default: false.
        scale: standard deviation of the Gaussian likelihood before training. Default: 1.
    """
    from common.detectors.networks import Vae

    return _compiled(Vae(features, code_size, bernoulli, conditional, scale), features, learning_rate=1e-3)


def _compiled_bigan(features: int, code_size: int) -> Any:
    from common.detectors.networks import BiGan

    return _compiled(BiGan(features, code_size), features, learning_rate=2e-4, beta_1=0.5)


# The estimators.


class VariationalAutoencoder:
    """Estimator whose score is the mean log-likelihood of a sample over draws of its code.

    The likelihood is Bernoulli's where the samples have a range of values, as pixels do, and otherwise Gaussian with
    one standard deviation for all features, which is learned.

    Args:
        training: the training samples, and what is known of them.
        seed: seed of the run, from which the draws of the score derive as well.
        conditional: true for a conditional one, see `Vae`. Default: false.
    """

    def __init__(self, training: Training, seed: int, conditional: bool = False) -> None:
        self._range, self._seed, self._conditional = training.value_range, seed, conditional
        self._code_size = max(2, training.code_size)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Train on samples of shape `(samples, features)`."""
        x, bernoulli = self._scaled(x), self._range is not None
        # Adam would take thousands of steps to bring a scale of 1 to that of small numbers.
        spread = max(float(np.std(x)), SCALE_FLOOR)
        settings = x.shape[1], self._code_size, bernoulli, self._conditional
        key = ("vae", *settings)
        build = functools.partial(compiled_vae, *settings, spread)
        self._model = _trained(key, build, x, VAE_STEPS, self._seed)
        self._conditions = np.asarray(self._model.condition(_inputs(x)))
        return self

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        """Compute the mean log-likelihood, shape `(samples,)`."""
        x = self._scaled(x)
        mean, log_variance, _ = map(np.asarray, self._model(_inputs(x)))
        condition = np.asarray(self._model.condition(_inputs(x)))
        deviation = np.exp(np.clip(log_variance, -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE) / 2)
        draws, total = np.random.default_rng(self._seed), np.zeros(len(x))
        for _ in range(DRAWS):
            code = mean + deviation * draws.standard_normal(mean.shape, np.float32)
            total += self.log_likelihood(x, self._outputs(code, condition))
        return total / DRAWS

    def log_likelihood(self, x: NDArray[np.float64], outputs: NDArray[np.float64]) -> Scores:
        """Compute the log-likelihood of scaled samples for the decoder's outputs: logits, or means."""
        if self._range is not None:
            return np.asarray(np.sum(x * outputs - np.logaddexp(0, outputs), axis=1))
        scale = max(float(np.exp(self._model.log_scale)), SCALE_FLOOR)
        return np.asarray(-np.sum(np.square((x - outputs) / scale) / 2 + np.log(scale * np.sqrt(2 * np.pi)), axis=1))

    def reconstruct(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reconstruct samples from the mean of their code."""
        *_, outputs = self._model(_inputs(self._scaled(x)))
        return self._unscaled(np.asarray(outputs, float))

    def draw(self, count: int) -> NDArray[np.float64]:
        """Draw new samples, for codes from a normal distribution and conditions from the training samples."""
        draws = np.random.default_rng([self._seed, 1])
        condition = draws.choice(self._conditions, count)
        code = draws.standard_normal((count, self._code_size), np.float32)
        return self._unscaled(self._outputs(code, condition))

    def _outputs(self, code: NDArray[np.float32], condition: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self._model.decoder(np.concatenate([code, condition], axis=1))).astype(float)

    def _scaled(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._range is None:
            return x
        low, high = self._range
        return (x - low) / (high - low)

    def _unscaled(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._range is None:
            return outputs
        low, high = self._range
        return np.asarray(low + (high - low) * np.exp(-np.logaddexp(0, -outputs)))


class BidirectionalGan:
    """Estimator whose score is EfficientGAN's: the distance of a sample from its reconstruction.

    Samples are scaled to [-1, 1], the range of the generator: by the range of their format where there is one, as for
    pixels, and otherwise each feature by its smallest and largest training value.

    Args:
        training: the training samples, and what is known of them.
        seed: seed of the run.
    """

    def __init__(self, training: Training, seed: int) -> None:
        self._range, self._seed, self._code_size = training.value_range, seed, max(16, training.code_size)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Train on samples of shape `(samples, features)`."""
        from sklearn.preprocessing import MinMaxScaler

        limits = x if self._range is None else np.repeat([self._range], x.shape[1], axis=0).T
        self._scaler = MinMaxScaler((-1, 1)).fit(limits)
        x = self._scaler.transform(x)
        build = functools.partial(_compiled_bigan, x.shape[1], self._code_size)
        self._model = _trained(("bigan", self._code_size), build, x, BIGAN_STEPS, self._seed)
        self._spread = _spread(x)
        return self

    @property
    def metrics(self) -> Metrics:
        """The spread of generated samples, as a part of that of the training samples, and if this is a collapse."""
        if self._spread == 0:
            undefined = Undefined("all training samples are the same")
            return {"generated.spread": undefined, "collapsed": undefined}
        part = _spread(self._generate(GENERATED)) / self._spread
        return {"generated.spread": part, "collapsed": int(part < COLLAPSED)}

    def score_samples(self, x: NDArray[np.float64]) -> Scores:
        """Compute the negated score, shape `(samples,)`."""
        x = self._scaler.transform(x)
        model, code = self._model, self._model.encoder(_inputs(x))
        outputs = np.asarray(model.generator(code))
        hidden = [np.asarray(model.hidden(np.concatenate([one, code], axis=1))) for one in (_inputs(x), outputs)]
        by_sample, by_hidden = (np.abs(a - b).sum(axis=1, dtype=float) for a, b in ((x, outputs), hidden))
        return np.asarray(-(RECONSTRUCTION * by_sample + (1 - RECONSTRUCTION) * by_hidden))

    def reconstruct(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reconstruct samples by encoder and generator."""
        outputs = self._model.generator(self._model.encoder(_inputs(self._scaler.transform(x))))
        return np.asarray(self._scaler.inverse_transform(np.asarray(outputs)))

    def draw(self, count: int) -> NDArray[np.float64]:
        """Draw new samples, for codes from a normal distribution."""
        return np.asarray(self._scaler.inverse_transform(self._generate(count)))

    def _generate(self, count: int) -> NDArray[np.float32]:
        code = np.random.default_rng([self._seed, 1]).standard_normal((count, self._code_size), np.float32)
        return np.asarray(self._model.generator(code))


def _spread(x: NDArray[np.floating]) -> float:
    """Compute the root of the mean variance of the features."""
    return float(np.sqrt(np.var(x, axis=0, dtype=float).mean()))


_NETWORK = f"dense layers of {' and '.join(map(str, UNITS))} and mirrored; batches of {BATCH_SIZE}, last weights"
_VAE = (
    f"ReLU, code of at least 2 numbers; Adam 0.001, {VAE_STEPS} steps in whole epochs; mean log-likelihood over "
    f"{DRAWS} draws of the code"
)

ANNOUNCED: dict[str, Detector] = {
    "vae": Detector(
        "VAE",
        VariationalAutoencoder,
        group=ANNOUNCED_GROUP,
        random=True,
        trained=True,
        note=f"variational autoencoder; {_NETWORK}; {_VAE}: Bernoulli's for pixels, otherwise Gaussian with a learned "
        f"standard deviation of at least {SCALE_FLOOR}",
    ),
    "cvae": Detector(
        "CVAE",
        functools.partial(VariationalAutoencoder, conditional=True),
        group=ANNOUNCED_GROUP,
        random=True,
        trained=True,
        curves_only=True,
        note="the VAE, with the position of a curve's maximum as a condition; only on curves",
    ),
    "bigan": Detector(
        "BiGAN",
        BidirectionalGan,
        group=ANNOUNCED_GROUP,
        random=True,
        trained=True,
        note=f"bidirectional GAN, scored as EfficientGAN; {_NETWORK}; LeakyReLU 0.2, code of at least 16 numbers; Adam "
        f"0.0002 with beta_1 0.5, {BIGAN_STEPS} steps in whole epochs; {RECONSTRUCTION} times the L1 distance of a "
        f"sample from its reconstruction and {1 - RECONSTRUCTION:.1f} times that of the discriminator's last hidden "
        "layer for both",
    ),
}
