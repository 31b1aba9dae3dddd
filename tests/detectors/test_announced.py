"""The trained detectors: likelihoods against SciPy, the divergence against quadrature, and scores of known data."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import bernoulli, norm, spearmanr

from common.detectors import announced
from common.detectors.announced import BidirectionalGan, VariationalAutoencoder
from common.detectors.detector import Training
from common.detectors.registry import detect
from common.errors import DataError
from common.experiment import Splits
from common.metrics.scores import Undefined
from common.training.keras import seeded

NAMES = ["vae", "cvae", "bigan"]


@pytest.fixture
def few_steps(monkeypatch):
    """Train for a few steps only."""
    monkeypatch.setattr(announced, "VAE_STEPS", 20)
    monkeypatch.setattr(announced, "BIGAN_STEPS", 20)


def splits_of(x_train, x_test, value_range=None):
    labels = np.arange(len(x_test)) % 2
    return Splits(x_train=x_train, x_test=x_test, y_test=labels, code_size=2, value_range=value_range)


def blob(features=6, train=150, test=20, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(1, 2, (train, features)), generator.normal(1, 2, (test, features))


def detected(name, splits, seed=0):
    with seeded(seed):
        return detect(name, splits, seed)


def fitted(estimator, x, value_range=None, seed=0, **options):
    with seeded(seed):
        return estimator(Training(x, 2, value_range), seed, **options).fit(x)


# The score of the VAE.


@pytest.mark.usefixtures("few_steps")
def test_gaussian_likelihood_is_that_of_scipy():
    x, other = blob()
    vae = fitted(VariationalAutoencoder, x)
    vae._model.log_scale.assign(np.log(0.7))
    outputs = np.random.default_rng(1).normal(size=other.shape)
    expected = norm.logpdf(other, outputs, 0.7).sum(axis=1)
    np.testing.assert_allclose(vae.log_likelihood(other, outputs), expected, rtol=1e-6)


@pytest.mark.usefixtures("few_steps")
def test_the_scale_has_a_floor():
    vae = fitted(VariationalAutoencoder, blob()[0])
    vae._model.log_scale.assign(-50)
    at_floor = norm.logpdf(0, 0, announced.SCALE_FLOOR)
    assert vae.log_likelihood(np.zeros((1, 1)), np.zeros((1, 1))) == pytest.approx(at_floor)


@pytest.mark.usefixtures("few_steps")
def test_bernoulli_likelihood_is_that_of_scipy():
    pixels = (np.random.default_rng(0).random((150, 6)) > 0.5).astype(float)
    vae = fitted(VariationalAutoencoder, pixels, value_range=(0.0, 1.0))
    logits = np.random.default_rng(1).normal(0, 5, pixels.shape)
    expected = bernoulli.logpmf(pixels, 1 / (1 + np.exp(-logits))).sum(axis=1)
    np.testing.assert_allclose(vae.log_likelihood(pixels, logits), expected, rtol=1e-9)


@pytest.mark.usefixtures("few_steps")
def test_pixels_of_another_format_give_the_same_scores():
    pixels = np.random.default_rng(0).random((150, 6)).astype(np.float32)
    one = detected("vae", splits_of(pixels, pixels[:20], (0.0, 1.0))).scores
    other = detected("vae", splits_of(2 * pixels - 1, 2 * pixels[:20] - 1, (-1.0, 1.0))).scores
    np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.usefixtures("few_steps")
def test_the_loss_is_improbability_and_divergence():
    """The divergence from a standard normal distribution, by quadrature."""
    vae = fitted(VariationalAutoencoder, blob()[0])
    x, outputs = np.zeros((1, 6), np.float32), np.full((1, 6), 0.3, np.float32)
    mean, log_variance = np.array([[0.5, -1.0]], np.float32), np.array([[0.2, -0.7]], np.float32)

    def divergence(mu, sigma):
        def integrand(z):
            p = norm.pdf(z, mu, sigma)
            return p * (norm.logpdf(z, mu, sigma) - norm.logpdf(z))

        return quad(integrand, mu - 10 * sigma, mu + 10 * sigma)[0]

    expected = sum(divergence(mu, np.exp(log / 2)) for mu, log in zip(mean[0], log_variance[0], strict=True))
    expected -= vae.log_likelihood(x.astype(float), outputs.astype(float))[0]
    assert float(vae._model.compute_loss(x, x, (mean, log_variance, outputs))) == pytest.approx(expected, rel=1e-5)


def test_a_vae_ranks_by_a_known_density(monkeypatch):
    """Ten features, of which two directions hold most of the variance, as many as the code has numbers."""
    monkeypatch.setattr(announced, "VAE_STEPS", 990)
    generator, scales = np.random.default_rng(0), np.array([2.0, 1.0, *[0.3] * 8])
    rotation = np.linalg.qr(generator.normal(size=(10, 10)))[0]
    x_test = generator.normal(0, 1.5 * scales, (300, 10))
    splits = splits_of(generator.normal(0, scales, (2000, 10)) @ rotation, x_test @ rotation)
    improbable = -norm.logpdf(x_test, 0, scales).sum(axis=1)
    assert spearmanr(detected("vae", splits).scores, improbable)[0] > 0.85
    # The distance to the mean alone does not rank so.
    assert spearmanr(np.linalg.norm(x_test, axis=1), improbable)[0] < 0.6


@pytest.mark.usefixtures("few_steps")
def test_the_condition_is_the_position_of_the_maximum():
    curves = np.eye(5)[[0, 2, 4]]
    vae = fitted(VariationalAutoencoder, curves, conditional=True)
    np.testing.assert_allclose(vae._model.condition(curves)[:, 0], [0, 0.5, 1])
    plain = fitted(VariationalAutoencoder, curves)
    assert plain._model.condition(curves).shape == (3, 0)
    assert vae._model.encoder.input_shape[1] == plain._model.encoder.input_shape[1] + 1


# What a record needs.


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", NAMES)
def test_scores_derive_from_the_seed_alone(name):
    """Alone, again with what is compiled already, and after a training with another seed."""
    splits = splits_of(*blob())
    first = detected(name, splits).scores
    other = detected(name, splits, seed=1).scores
    np.testing.assert_array_equal(detected(name, splits).scores, first)
    assert not np.array_equal(first, other)
    announced._last.__init__()
    np.testing.assert_array_equal(detected(name, splits, seed=1).scores, other)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value_range", [None, (0.0, 1.0)])
def test_scores_are_finite_for_constant_tied_and_extreme_inputs(name, value_range):
    constant = np.full((30, 4), 0.5)
    tied = np.tile([[0.0, 1.0, 0.0, 1.0]], (30, 1))
    extreme = np.array([[0.0, 0.0, 0.0, 0.0], [1e15, -1e15, 0.5, 0.0], [-1e30, 1.0, 1.0, 1e30], [1e-300, 0, 0, 1]])
    if value_range is not None:
        extreme = np.clip(extreme, *value_range)
    for x_train in (constant, tied):
        scores = detected(name, splits_of(x_train, extreme, value_range)).scores
        assert np.isfinite(scores).all()
        assert value_range is not None or scores[2] > scores[0]


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", NAMES)
def test_few_samples_can_be_trained_on(name):
    assert len(detected(name, splits_of(*blob(train=1, test=2))).scores) == 2
    with pytest.raises(DataError, match="no training samples"):
        detected(name, splits_of(np.empty((0, 3)), np.zeros((2, 3))))


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_kept(name):
    splits = splits_of(*blob())
    arrays = detected(name, splits).arrays
    assert arrays["drawn"].shape == (12, 6)
    assert splits.y_test[arrays["reconstructed_samples"]].tolist() == [0] * 4 + [1] * 4
    assert arrays["reconstructed"].shape == (8, 6)
    assert all(np.isfinite(array).all() for array in arrays.values())


# The GAN.


@pytest.mark.usefixtures("few_steps")
def test_a_collapse_is_recorded():
    x, _ = blob()
    gan = fitted(BidirectionalGan, x)
    assert gan.metrics["collapsed"] == int(gan.metrics["generated.spread"] < announced.COLLAPSED)
    for weights in gan._model.generator.trainable_variables:
        weights.assign(np.zeros(weights.shape))
    assert gan.metrics == {"generated.spread": 0.0, "collapsed": 1}


@pytest.mark.usefixtures("few_steps")
def test_a_collapse_is_undefined_without_spread():
    assert isinstance(fitted(BidirectionalGan, np.ones((30, 4))).metrics["collapsed"], Undefined)


@pytest.mark.usefixtures("few_steps")
def test_the_score_of_the_gan_is_a_sum_of_two_distances():
    x, other = blob()
    gan = fitted(BidirectionalGan, x)
    scaled = 2 * (other - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0)) - 1
    code = gan._model.encoder(scaled.astype(np.float32))
    outputs = np.asarray(gan._model.generator(code))
    pairs = [np.concatenate([one, code], axis=1).astype(np.float32) for one in (scaled, outputs)]
    hidden = [np.asarray(gan._model.hidden(pair)) for pair in pairs]
    expected = 0.9 * np.abs(scaled - outputs).sum(axis=1) + 0.1 * np.abs(hidden[0] - hidden[1]).sum(axis=1)
    np.testing.assert_allclose(-gan.score_samples(other), expected, rtol=1e-4)


def test_a_gan_learns_the_spread_of_its_samples(monkeypatch):
    monkeypatch.setattr(announced, "BIGAN_STEPS", 300)
    x = np.random.default_rng(0).choice([-1.0, 1.0], (500, 2))
    assert 0.5 < fitted(BidirectionalGan, x).metrics["generated.spread"] < 1.5
