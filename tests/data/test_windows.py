import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.windows import curve_shift, windows

labels_and_rows = st.tuples(st.lists(st.integers(0, 1), max_size=60), st.integers(1, 8))


def slow_curve_shift(labels, rows_before):
    """Row by row, as one would say it; kept rows with their labels."""
    kept = []
    for row, label in enumerate(labels):
        if label == 1:
            continue
        ahead = labels[row + 1 : row + 1 + rows_before]
        kept.append((row, int(any(ahead))))
    return kept


def shift_and_add(labels, rows_before):
    """The source's rule: labels moved up by one row, filled with zeros, and added, again and again."""
    import pandas as pd

    vector = pd.Series(labels, dtype=float)
    for _ in range(rows_before):
        vector = vector + vector.shift(-1).fillna(0)
    return [(row, int(vector[row] > 0)) for row, label in enumerate(labels) if label == 0]


@given(labels_and_rows)
def test_curve_shift_is_its_definition_and_the_rule_of_the_source(case):
    labels, rows_before = case
    shifted = curve_shift(np.array(labels, dtype=int), rows_before)
    ours = list(zip(shifted.rows.tolist(), shifted.labels.tolist(), strict=True))
    assert ours == slow_curve_shift(labels, rows_before) == shift_and_add(labels, rows_before)


@given(labels_and_rows)
def test_no_row_of_an_event_survives_and_the_rows_before_each_are_positive(case):
    labels, rows_before = case
    shifted = curve_shift(np.array(labels, dtype=int), rows_before)
    assert not np.any(np.array(labels, dtype=int)[shifted.rows])
    assert len(shifted.rows) == labels.count(0)
    events = np.flatnonzero(labels)
    before = {row for event in events for row in range(max(0, event - rows_before), event)} - set(events)
    assert set(shifted.rows[shifted.labels == 1]) == before


def test_events_close_together_and_at_the_start():
    shifted = curve_shift(np.array([0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0]), 3)
    assert shifted.rows.tolist() == [0, 2, 3, 4, 5, 8, 10]
    assert shifted.labels.tolist() == [1, 0, 1, 1, 1, 1, 0]
    assert curve_shift(np.array([1, 0, 0]), 5).labels.tolist() == [0, 0]
    assert curve_shift(np.array([0, 0, 1]), 5).labels.tolist() == [1, 1]


@given(st.integers(0, 30), st.integers(0, 4), st.integers(1, 6), st.integers(0, 4))
def test_every_window_is_consecutive_rows(count, features, steps, first):
    rows = np.arange(count * features, dtype=float).reshape(count, features)
    if count < first + steps:
        with pytest.raises(ValueError, match="one of them must fit"):
            windows(rows, steps, first)
        return
    expected = [rows[begin : begin + steps] for begin in range(first, count - steps + 1)]
    np.testing.assert_array_equal(windows(rows, steps, first), np.array(expected))


@given(st.integers(7, 40), st.integers(1, 5))
def test_windows_from_the_third_row_are_those_of_the_sources_loop(count, steps):
    rows, labels = np.random.default_rng(count).normal(size=(count, 3)), np.arange(count)
    source, source_labels = [], []
    for i in range(count - steps - 1):
        source.append([rows[i + j + 1] for j in range(1, steps + 1)])
        source_labels.append(labels[i + steps + 1])
    np.testing.assert_array_equal(windows(rows, steps, first=2), np.array(source))
    assert labels[2 + steps - 1 :].tolist() == source_labels


def test_windows_cannot_be_written_to_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        windows(np.zeros((5, 2)), 2)[0, 0, 0] = 1.0


@pytest.mark.parametrize("rows_before", [0, -5])
def test_a_shift_by_nothing_is_refused(rows_before):
    with pytest.raises(ValueError, match=f"rows_before={rows_before}"):
        curve_shift(np.array([0, 1]), rows_before)


@pytest.mark.parametrize(("steps", "first"), [(0, 0), (2, -1), (6, 0), (3, 3)])
def test_windows_that_do_not_fit_are_refused(steps, first):
    with pytest.raises(ValueError, match=f"5 rows, steps={steps}, first={first}"):
        windows(np.zeros((5, 2)), steps, first)
