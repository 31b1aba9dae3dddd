import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.shown import MOST_SHOWN, as_bytes, choose_shown, shown_arrays


@given(st.integers(1, 600), st.integers(0, 5), st.one_of(st.none(), st.floats(0, 1)))
def test_wrong_decisions_come_first_and_the_rest_is_spread_from_the_lowest_to_the_highest_score(n, seed, threshold):
    generator = np.random.default_rng(seed)
    labels, scores = generator.integers(0, 2, n), generator.random(n)
    chosen = choose_shown(labels, scores, threshold)
    assert len(chosen) == min(n, MOST_SHOWN) and (np.diff(chosen) > 0).all()
    wrong = np.zeros(n, bool) if threshold is None else (scores > threshold) != (labels == 1)
    assert np.isin(np.flatnonzero(wrong), chosen).all() or wrong[chosen].all()
    if not wrong.any():
        assert {scores.argmin(), scores.argmax()} <= set(chosen.tolist())


def test_inputs_and_reconstructions_come_back_to_within_half_a_level():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(20, 7)).astype(np.float32)
    arrays = shown_arrays(generator.integers(0, 2, 20), generator.random(20), None, inputs, lambda x: x / 2)
    low, high = arrays["page_range"]
    step = (high - low) / 255
    for name, expected in (("page_inputs", inputs), ("page_reconstructions", inputs / 2)):
        assert arrays[name].dtype == np.uint8
        np.testing.assert_allclose(low + step * arrays[name], expected[arrays["page_samples"]], atol=0.51 * step)


def test_constant_numbers_are_stored_too():
    (stored,), limits = as_bytes([np.full((2, 3), 0.5)])
    assert stored.tolist() == [[0, 0, 0], [0, 0, 0]] and limits.tolist() == [0.5, 0.5]
