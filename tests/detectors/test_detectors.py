import re
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score

from common.detectors.classical import CLASSICAL
from common.detectors.detector import Detector, Training
from common.detectors.registry import DETECTORS, detect, fitted_rows
from common.errors import ConfigError, DataError
from common.experiment import Splits

ALL = list(CLASSICAL)
REAL = [name for name in ALL if name != "random_score"]
DETERMINISTIC = [name for name in ALL if not DETECTORS[name].random]


def blob(features=4, train=150, test=60, seed=0, dtype=np.float64):
    """Normal samples around a point that is not the origin, and every second test sample far from them."""
    generator = np.random.default_rng(seed)
    x_train, x_test = (generator.normal(3, 1, (samples, features)).astype(dtype) for samples in (train, test))
    y_test = np.arange(test) % 2
    # Far off in every direction, and in the last feature more than along any principal axis of the normal ones.
    x_test[y_test == 1] += 20 * generator.choice([-1, 1], (test // 2, features)).astype(dtype)
    return Splits(x_train=x_train, x_test=x_test, y_test=y_test, code_size=2)


def training_of(inputs):
    return Training(inputs.x_train, inputs.code_size)


def scores_of(name, inputs, seed=0):
    return detect(name, inputs, seed).scores


def distances(a, b):
    return np.sqrt(np.square(a[:, None] - b[None]).sum(axis=2))


# What the scores say.


@pytest.mark.parametrize("features", [4, 80])
@pytest.mark.parametrize("name", REAL)
def test_far_anomalies_score_higher(name, features):
    inputs = blob(features)
    if name == "one_class_svm":
        # Its kernel is zero far off, so that all far samples tie; all of them above the normal ones.
        inputs = replace(inputs, x_test=3 + (inputs.x_test - 3) / np.where(inputs.y_test == 1, 4, 1)[:, None])
    assert roc_auc_score(inputs.y_test, scores_of(name, inputs)) > 0.99


def test_random_scores_are_chance_and_change_with_the_seed():
    inputs = blob(test=2000)
    scores = scores_of("random_score", inputs)
    assert roc_auc_score(inputs.y_test, scores) == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(scores, scores_of("random_score", inputs, seed=1))


def test_distance_to_the_mean():
    inputs = blob()
    expected = np.linalg.norm(inputs.x_test - inputs.x_train.mean(axis=0), axis=1)
    np.testing.assert_allclose(scores_of("mean_distance", inputs), expected)


def test_neighbour_distance_is_that_of_the_fifth():
    inputs = blob(features=20)
    expected = np.sort(distances(inputs.x_test, inputs.x_train), axis=1)[:, 4]
    np.testing.assert_allclose(scores_of("knn", inputs), expected)


@pytest.mark.parametrize("code_size", [1, 3])
def test_pca_leaves_what_as_many_components_as_the_code_do_not_hold(code_size):
    inputs = replace(blob(), code_size=code_size)
    centre = inputs.x_train.mean(axis=0)
    directions = np.linalg.svd(inputs.x_train - centre)[2][:code_size]
    centred = inputs.x_test - centre
    expected = np.square(centred - centred @ directions.T @ directions).mean(axis=1)
    np.testing.assert_allclose(scores_of("pca", inputs), expected)


def test_kmeans_distance_is_that_to_the_nearest_centre():
    inputs = blob()
    kmeans = DETECTORS["kmeans"].build(training_of(inputs), 0).fit(inputs.x_train)
    assert len(kmeans.cluster_centers_) == 8
    expected = distances(inputs.x_test, kmeans.cluster_centers_).min(axis=1)
    np.testing.assert_allclose(scores_of("kmeans", inputs), expected)


@pytest.mark.parametrize("train", [100, 1000])
def test_kernel_density_is_exact_far_off_too(train):
    inputs = blob(features=10, train=train)
    terms = -np.square(distances(inputs.x_test, inputs.x_train)) / 2
    expected = np.log(train) + 5 * np.log(2 * np.pi) - logsumexp(terms, axis=1)
    np.testing.assert_allclose(scores_of("kernel_density", inputs), expected)


def test_of_one_cluster_the_gaussian_mixture_is_one_gaussian():
    inputs = blob()
    centred = inputs.x_test - inputs.x_train.mean(axis=0)
    covariance = np.cov(inputs.x_train, rowvar=False, bias=True) + 1e-6 * np.eye(4)
    mahalanobis = (centred @ np.linalg.inv(covariance) * centred).sum(axis=1)
    expected = (mahalanobis + np.linalg.slogdet(covariance)[1] + 4 * np.log(2 * np.pi)) / 2
    np.testing.assert_allclose(scores_of("gaussian_mixture", inputs), expected)


def two_clusters(samples=400):
    generator = np.random.default_rng(0)
    centres = np.where(np.arange(samples) % 2, -6.0, 6.0)[:, None]
    return generator.normal(centres, 1, (samples, 3))


def test_the_mixture_has_the_components_of_the_lowest_bayesian_information_criterion():
    from sklearn.mixture import GaussianMixture

    x = two_clusters()
    fitted = DETECTORS["gaussian_mixture"].build(Training(x, 2), 0).fit(x)
    criteria = [GaussianMixture(n, random_state=0).fit(x).bic(x) for n in range(1, 11)]
    assert fitted.mixture.n_components == 2 == 1 + int(np.argmin(criteria))
    between, within = scores_of(
        "gaussian_mixture", replace(blob(3), x_train=x, x_test=np.array([[0.0] * 3, [6.0] * 3]))
    )
    assert between > within


def test_mixtures_that_do_not_converge_are_skipped_and_without_any_other_the_detector_fails(monkeypatch):
    from sklearn.mixture import GaussianMixture

    x, real = two_clusters(), GaussianMixture.fit

    def fit(mixture, samples):
        if mixture.n_components in refused:
            warnings.warn("did not converge", ConvergenceWarning, stacklevel=2)
        return real(mixture, samples)

    monkeypatch.setattr(GaussianMixture, "fit", fit)
    refused = {2}
    assert DETECTORS["gaussian_mixture"].build(Training(x, 2), 0).fit(x).mixture.n_components == 3
    refused = set(range(1, 11))
    with pytest.raises(DataError, match="no mixture of 1 to 10 components can be fitted: did not converge"):
        detect("gaussian_mixture", replace(blob(3), x_train=x), 0)


def test_the_univariate_gaussian_adds_up_the_features_and_survives_a_constant_one():
    from scipy.stats import norm

    inputs = blob()
    x_train = np.column_stack([inputs.x_train, np.full(len(inputs.x_train), 5.0)])
    x_test = np.column_stack([inputs.x_test, np.full(len(inputs.x_test), 5.0)])
    deviations = np.sqrt(x_train.var(axis=0) + 1e-9 * x_train.var(axis=0).max())
    expected = -norm.logpdf(x_test, x_train.mean(axis=0), deviations).sum(axis=1)
    found = scores_of("univariate_gaussian", replace(inputs, x_train=x_train, x_test=x_test))
    np.testing.assert_allclose(found, expected)


# What the scores depend on.


@pytest.mark.parametrize("name", [name for name in ALL if DETECTORS[name].random])
def test_the_same_seed_gives_the_same_scores(name):
    np.testing.assert_array_equal(scores_of(name, blob(40), 3), scores_of(name, blob(40), 3))


@pytest.mark.parametrize("features", [4, 80])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_without_randomness_every_seed_gives_the_same_scores(name, features):
    inputs = blob(features)
    np.testing.assert_array_equal(scores_of(name, inputs, 0), scores_of(name, inputs, 1))


@pytest.mark.parametrize("name", [name for name in ALL if DETECTORS[name].random])
def test_with_randomness_seeds_differ(name):
    generator = np.random.default_rng(0)
    x_train = generator.uniform(0, 6, (150, 4))
    if name == "gaussian_mixture":
        # A ring, which a mixture covers by several components that may begin anywhere.
        angles = np.linspace(0, 2 * np.pi, 400)[:, None]
        x_train = 5 * np.hstack([np.cos(angles), np.sin(angles)] * 2) + generator.normal(3, 0.3, (400, 4))
    inputs = replace(blob(), x_train=x_train)
    assert not np.array_equal(scores_of(name, inputs, 0), scores_of(name, inputs, 1))


@pytest.mark.parametrize("name", ALL)
def test_labels_and_groups_of_test_samples_change_nothing(name):
    inputs = blob()
    changed = replace(inputs, y_test=1 - inputs.y_test, groups=np.zeros_like(inputs.y_test))
    np.testing.assert_array_equal(scores_of(name, inputs), scores_of(name, changed))


@pytest.mark.parametrize("name", REAL)
def test_a_score_does_not_depend_on_the_other_test_samples(name):
    inputs = blob(40, test=12)
    scores = scores_of(name, inputs)
    backwards = scores_of(name, replace(inputs, x_test=inputs.x_test[::-1]))[::-1]
    np.testing.assert_allclose(backwards, scores, rtol=1e-9)
    beside_others = np.concatenate([inputs.x_test, 1 + 5 * inputs.x_test])
    doubled = replace(inputs, x_test=beside_others, y_test=np.tile(inputs.y_test, 2))
    np.testing.assert_allclose(scores_of(name, doubled)[: len(scores)], scores, rtol=1e-9)
    detector = DETECTORS[name]
    estimator = detector.build(training_of(inputs), 0)
    estimator.fit(inputs.x_train)
    one_by_one = np.concatenate([detector.score(estimator, sample[None]) for sample in inputs.x_test])
    np.testing.assert_allclose(one_by_one, scores, rtol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_single_precision_is_computed_in_double(name):
    inputs = blob(dtype=np.float32)
    double = replace(inputs, x_train=inputs.x_train.astype(float), x_test=inputs.x_test.astype(float))
    detection = detect(name, inputs, 0)
    assert detection.scores.dtype == np.float64
    assert detection.scores.shape == inputs.y_test.shape
    assert detection.fit_seconds >= 0 and detection.score_seconds >= 0
    np.testing.assert_array_equal(detection.scores, scores_of(name, double))


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_left_as_they_are(name):
    inputs, untouched = blob(40), blob(40)
    detect(name, inputs, 0)
    np.testing.assert_array_equal(inputs.x_train, untouched.x_train)
    np.testing.assert_array_equal(inputs.x_test, untouched.x_test)


# Sub-samples, and PCA for wide inputs.


class Remembering:
    """An estimator that keeps what it was fitted on."""

    def fit(self, x):
        self.x = x

    def score_samples(self, x):
        return np.zeros(len(x))


def remembering(monkeypatch, **settings):
    estimator = Remembering()
    monkeypatch.setitem(
        DETECTORS, "remembering", Detector("", lambda inputs, seed: estimator, random=False, **settings)
    )
    return estimator


def test_a_slow_detector_sees_some_training_samples_the_same_for_every_seed(monkeypatch):
    estimator = remembering(monkeypatch, fit_limit=20)
    inputs, seen = blob(), []
    for seed in (0, 1):
        assert detect("remembering", inputs, seed).fitted_on == 20
        seen.append({tuple(row) for row in estimator.x})
    assert len(seen[0]) == 20
    assert seen[0] == seen[1] <= {tuple(row) for row in inputs.x_train}


def test_without_a_limit_a_detector_sees_all_training_samples(monkeypatch):
    estimator = remembering(monkeypatch)
    assert detect("remembering", blob(), 0).fitted_on == 150
    np.testing.assert_array_equal(estimator.x, blob().x_train)


@pytest.mark.parametrize(("samples", "limit", "rows"), [(5, None, 5), (5, 5, 5), (5, 9, 5), (9, 5, 5)])
def test_fitted_rows_are_distinct_and_in_order(samples, limit, rows):
    found = fitted_rows(samples, limit)
    assert len(found) == rows
    assert (np.diff(found) > 0).all() and found.min() >= 0 and found.max() < samples


@pytest.mark.parametrize("name", ["kernel_density", "elliptic_envelope"])
def test_wide_inputs_pass_through_pca(name):
    narrow, wide = (DETECTORS[name].build(training_of(blob(features)), 0) for features in (30, 31))
    assert not hasattr(narrow, "named_steps")
    assert next(iter(wide.named_steps)) == "pca"


@pytest.mark.parametrize(("rank", "components"), [(3, 3), (60, 30)])
def test_pca_keeps_what_varies_but_not_more_than_thirty_components(rank, components):
    generator = np.random.default_rng(0)
    x_train = np.linalg.qr(generator.normal(size=(200, rank)))[0] @ np.linalg.qr(generator.normal(size=(90, rank)))[0].T
    inputs = replace(blob(90), x_train=x_train)
    mixture = DETECTORS["gaussian_mixture"].build(training_of(inputs), 0).fit(x_train).mixture
    assert mixture.means_.shape[1] == components


# What cannot be done is said.


def test_an_unknown_detector_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no detector 'median'.*random_score, mean_distance"):
        detect("median", blob(), 0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("part", ["x_train", "x_test"])
def test_missing_numbers_are_refused_by_every_detector(name, part):
    inputs = blob()
    getattr(inputs, part)[7, 2] = np.nan
    words = {"x_train": "1 of 150 training", "x_test": "1 of 60 test"}[part]
    with pytest.raises(DataError, match=f"{name} needs finite numbers. {words} samples"):
        detect(name, inputs, 0)


@pytest.mark.parametrize("part", ["x_train", "x_test"])
def test_no_samples_are_refused(part):
    with pytest.raises(DataError, match=r"mean_distance has no (training|test) samples"):
        detect("mean_distance", replace(blob(), **{part: np.empty((0, 4))}), 0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(150, 4\) and test samples \(60, 3\) must agree"):
        detect("knn", replace(blob(), x_test=blob(3).x_test), 0)


def test_samples_of_several_axes_are_flattened():
    flat = blob()
    square = replace(flat, x_train=flat.x_train.reshape(150, 2, 2), x_test=flat.x_test.reshape(60, 2, 2))
    assert np.array_equal(scores_of("knn", square), scores_of("knn", flat))


FEW = {
    "one training sample": blob(train=1),
    "one wide training sample": blob(40, train=1),
    "three training samples": blob(train=3),
    "constant training samples": replace(blob(), x_train=np.ones((150, 4))),
    "constant wide training samples": replace(blob(40), x_train=np.ones((150, 40))),
}


@pytest.mark.parametrize("inputs", FEW.values(), ids=FEW)
@pytest.mark.parametrize("name", ALL)
def test_too_little_to_fit_on_gives_finite_scores_or_a_named_error(name, inputs):
    message = rf"{name} fails on {len(inputs.x_train)} training and 60 test samples of \d+ features: \w"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert np.isfinite(scores_of(name, inputs)).all()
        except DataError as error:
            assert re.search(message, str(error))


def test_neighbours_that_are_not_there_are_a_named_error():
    with pytest.raises(DataError, match="knn fails on 3 training and 60 test samples of 4 features: Expected n_neigh"):
        detect("knn", FEW["three training samples"], 0)


def test_pca_keeps_fewer_components_than_features():
    fewest, kept = (
        detect("pca", replace(blob(), code_size=size), 0).scores for size in (blob().x_train.shape[1] - 1, 9)
    )
    np.testing.assert_array_equal(kept, fewest)
    assert np.median(kept) > 1e-6


class Remarking(Remembering):
    def __init__(self, category):
        self.category = category

    def fit(self, x):
        warnings.warn("did not converge", self.category, stacklevel=1)


@pytest.mark.parametrize("category", [ConvergenceWarning, UserWarning, RuntimeWarning])
def test_scores_of_what_did_not_converge_are_not_handed_out(category, monkeypatch):
    monkeypatch.setitem(DETECTORS, "x", Detector("", lambda inputs, seed: Remarking(category), random=False))
    with pytest.raises(DataError, match=r"detector x fails .*did not converge"):
        detect("x", blob(), 0)


def test_other_warnings_stay_warnings(monkeypatch):
    monkeypatch.setitem(DETECTORS, "x", Detector("", lambda inputs, seed: Remarking(FutureWarning), random=False))
    with pytest.warns(FutureWarning, match="did not converge"):
        assert np.isfinite(scores_of("x", blob())).all()


@pytest.mark.parametrize("scores", [np.full(60, np.nan), np.full(60, np.inf), np.zeros(59), np.zeros((60, 1))])
def test_scores_must_be_a_finite_number_for_every_test_sample(scores, monkeypatch):
    remembering(monkeypatch, score=lambda estimator, x: scores)
    with pytest.raises(DataError, match=r"remembering gives (no finite score|scores of shape)"):
        detect("remembering", blob(), 0)


# The lists.


def test_titles_are_distinct():
    assert len({detector.title for detector in DETECTORS.values()}) == len(DETECTORS)


def test_the_lists_are_there_without_heavy_libraries():
    heavy = ["sklearn", "tensorflow", "keras", "pandas", "matplotlib", "scipy.stats"]
    code = f"import sys, common.detectors.registry; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
