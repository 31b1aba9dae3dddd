import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.shown import (
    MOST_SHOWN,
    MOST_WRONG,
    SHOWN_FEATURES,
    as_bytes,
    choose_shown,
    shown_arrays,
    shown_features,
)


@given(st.integers(1, 600), st.integers(0, 5), st.one_of(st.none(), st.floats(0, 1)))
def test_wrong_decisions_come_first_and_the_rest_is_spread_from_the_lowest_to_the_highest_score(n, seed, threshold):
    generator = np.random.default_rng(seed)
    labels, scores = generator.integers(0, 2, n), generator.random(n)
    chosen = choose_shown(labels, scores, threshold)
    wrong = np.zeros(n, bool) if threshold is None else (scores > threshold) != (labels == 1)
    right = n - wrong.sum()
    assert len(chosen) == min(MOST_SHOWN, right + min(wrong.sum(), MOST_WRONG)) and (np.diff(chosen) > 0).all()
    assert wrong[chosen].sum() == min(wrong.sum(), MOST_WRONG)
    if not wrong.any():
        assert {scores.argmin(), scores.argmax()} <= set(chosen.tolist())


def test_a_normal_sample_is_shown_among_many_missed_anomalies():
    # Nine anomalies to one normal sample, as in a sweep, and a threshold that misses most of them.
    labels = np.tile([0, 1, 1, 1, 1, 1, 1, 1, 1, 1], 200)
    scores = np.random.default_rng(0).random(2000)
    shown = choose_shown(labels, scores, 0.95)
    assert (labels[shown] == 0).any() and (scores[shown] > 0.95).any()


def test_inputs_and_reconstructions_come_back_to_within_half_a_level():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(20, 7)).astype(np.float32)
    arrays = shown_arrays(generator.integers(0, 2, 20), generator.random(20), None, inputs, lambda x: x / 2)
    low, high = arrays["page_range"]
    step = (high - low) / 255
    for name, expected in (("page_inputs", inputs), ("page_reconstructions", inputs / 2)):
        assert arrays[name].dtype == np.uint8
        np.testing.assert_allclose(low + step * arrays[name], expected[arrays["page_samples"]], atol=0.51 * step)


def test_the_features_with_the_largest_errors_of_each_sample_are_shown_largest_first():
    generator = np.random.default_rng(0)
    x, reconstructions = generator.normal(size=(2, 30, 25))
    names = np.arange(100, 125)
    shown = shown_features(generator.integers(0, 2, 30), generator.random(30), 0.5, x, reconstructions, names)
    assert shown["page_features"].shape == (30, SHOWN_FEATURES)
    for row, sample in enumerate(shown["page_samples"]):
        by_error = sorted(range(25), key=lambda feature: -((x[sample] - reconstructions[sample])[feature] ** 2))
        assert shown["page_features"][row].tolist() == names[by_error[:SHOWN_FEATURES]].tolist()
        np.testing.assert_allclose(shown["page_inputs"][row], x[sample, by_error[:SHOWN_FEATURES]], rtol=1e-6)
        expected = reconstructions[sample, by_error[:SHOWN_FEATURES]]
        np.testing.assert_allclose(shown["page_reconstructions"][row], expected, rtol=1e-6)


def test_constant_numbers_are_stored_too():
    (stored,), limits = as_bytes([np.full((2, 3), 0.5)])
    assert stored.tolist() == [[0, 0, 0], [0, 0, 0]] and limits.tolist() == [0.5, 0.5]
