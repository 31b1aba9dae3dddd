"""Which detectors are run: groups, names, those of PyOD, and those that suit the samples only."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from common.comparison.published import read_published
from common.detectors import announced, pyod
from common.detectors.classical import CLASSICAL
from common.detectors.detector import Detector, Training
from common.detectors.registry import DETECTORS, can_score, detect, detector_named, names_of
from common.errors import ConfigError, DataError
from common.experiment import Splits, load_experiment
from common.files import ROOT
from common.training.keras import seeded
from experiments import EXPERIMENTS
from tests.helpers.optional import package


def test_groups_and_names_are_listed_once():
    assert set(names_of(["classical"])) == set(CLASSICAL)
    assert names_of(["vae", "knn", "vae"]) == ("vae", "knn")
    assert set(names_of(["announced", "classical"])) == set(DETECTORS)
    with pytest.raises(ConfigError, match="no detector 'nope'"):
        names_of(["nope"])


def test_a_cvae_needs_curves():
    on = {name for name in EXPERIMENTS if can_score("cvae", load_experiment(EXPERIMENTS[name]))}
    assert on == {"curves_dense_ae"}
    assert all(can_score("vae", load_experiment(module)) for module in EXPERIMENTS.values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_a_source_announces_is_run(name):
    titles = {detector.title for detector in DETECTORS.values()}
    assert set(read_published(name).announced) <= titles


def test_a_method_is_added_by_one_entry(monkeypatch):
    class Farthest:
        def fit(self, x):
            self.centre = x.mean(axis=0)
            return self

        def score_samples(self, x):
            return -np.abs(x - self.centre).max(axis=1)

    monkeypatch.setitem(DETECTORS, "farthest", Detector("largest deviation", lambda training, seed: Farthest()))
    x = np.random.default_rng(0).normal(size=(20, 3))
    splits = Splits(x_train=x, x_test=np.vstack([x, 9 + x]), y_test=np.repeat([0, 1], 20), code_size=1)
    detection = detect("farthest", splits, 0)
    assert detection.scores[:20].max() < detection.scores[20:].min()
    assert detection.arrays == {}


def test_scores_of_another_shape_are_refused_as_such(monkeypatch):
    def column(estimator, x):
        return np.zeros((len(x), 1))

    monkeypatch.setitem(DETECTORS, "column", replace(DETECTORS["knn"], score=column))
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(DataError, match=r"column gives scores of shape \(20, 1\) to 20 test samples"):
        detect("column", Splits(x_train=x, x_test=x, y_test=np.repeat([0, 1], 10), code_size=1), 0)


def test_a_network_need_not_draw_or_reconstruct(monkeypatch):
    class Mean:
        def fit(self, x):
            self.mean = x.mean(axis=0)
            return self

        def score_samples(self, x):
            return -np.square(x - self.mean).sum(axis=1)

        def reconstruct(self, x):
            return np.tile(self.mean, (len(x), 1))

    monkeypatch.setitem(DETECTORS, "mean", Detector("mean", lambda training, seed: Mean(), trained=True))
    x = np.random.default_rng(0).normal(size=(20, 3))
    arrays = detect("mean", Splits(x_train=x, x_test=x, y_test=np.repeat([0, 1], 10), code_size=1), 0).arrays
    assert set(arrays) == {"reconstructed", "reconstructed_samples"} and arrays["reconstructed"].shape == (8, 3)


def test_the_network_of_the_readme_can_be_added_as_it_stands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ANNOUNCED[" in block]
    there = {**vars(announced), "ANNOUNCED": {}}
    exec(code, there)
    detector = there["ANNOUNCED"]["small_ae"]
    x = np.random.default_rng(0).normal(size=(40, 3))
    with seeded(0):
        estimator = detector.build(Training(x, 2), 0).fit(x)
    scores = detector.score(estimator, np.vstack([x, 9 + x]))
    assert scores[:40].max() < scores[40:].min()
    assert estimator.reconstruct(x).shape == x.shape


def test_detectors_of_pyod_score_as_pyod_does():
    package("pyod")
    from pyod.models.ecod import ECOD
    from pyod.models.knn import KNN

    x = np.random.default_rng(0).normal(size=(100, 4))
    splits = Splits(x_train=x, x_test=x[:10] + 3, y_test=np.arange(10) % 2, code_size=1)
    # ECOD ranks all samples that are scored together, so each is scored alone.
    expected = [ECOD().fit(x).decision_function(sample[None])[0] for sample in x[:10] + 3]
    found = detect("pyod:ECOD", splits, 0)
    np.testing.assert_array_equal(found.scores, expected)
    assert found.metrics == {"scored_alone": 1, "fitted_on": 100}
    together = detect("pyod:KNN", splits, 0)
    np.testing.assert_array_equal(together.scores, KNN().fit(x).decision_function(x[:10] + 3))
    assert together.metrics == {}
    assert detector_named("pyod:ECOD").random is False
    assert detector_named("pyod:IForest").random is True


@pytest.mark.parametrize("name", ["pyod:ECOD", "pyod:COPOD", "pyod:HBOS"])
def test_a_scored_sample_changes_no_score_of_another(name):
    package("pyod")
    x = np.random.default_rng(0).normal(size=(100, 4))
    x[:, 0] = -1  # a constant feature, as the border of images is
    splits = Splits(x_train=x, x_test=x[:10] + 3, y_test=np.arange(10) % 2, code_size=1)
    others = replace(splits, x_test=np.vstack([splits.x_test[:5], 100 + x[:5]]))
    np.testing.assert_array_equal(detect(name, splits, 0).scores[:5], detect(name, others, 0).scores[:5])


@pytest.mark.parametrize("name", ["pyod:IForest", "pyod:LODA"])
def test_detectors_of_pyod_derive_from_the_seed_alone(name):
    """LODA draws from NumPy's global generator, which is left as it was."""
    package("pyod")
    x = np.random.default_rng(0).normal(size=(100, 4))
    splits = Splits(x_train=x, x_test=x[:10] + 3, y_test=np.arange(10) % 2, code_size=1)
    first = detect(name, splits, 0).scores
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(detect(name, splits, 0).scores, first)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert not np.array_equal(detect(name, splits, 1).scores, first)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pyod:Nope", "no detector 'Nope'"),
        ("pyod:ecod", "did you mean ECOD"),
        ("pyod:LSCP", "needs settings of its own"),
        ("pyod:TSOD", "no detector 'TSOD'"),
        ("pyod:", "no detector ''"),
    ],
)
def test_other_names_of_pyod_are_refused(name, message):
    package("pyod")
    with pytest.raises(ConfigError, match=message):
        detector_named(name)


def test_without_pyod_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyod", None)
    pyod.detector.cache_clear()
    with pytest.raises(ConfigError, match="pip install pyod"):
        detector_named("pyod:ECOD")
