"""No leaks: what the held-out protocol promises, proved where it can be proved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.datasets import Images
from common.data.windows import boundaries_after_events, curve_shift, episodes, event_within, stretches, windows_within
from common.errors import DataError
from common.experiment import HELD_BACK, HELD_OUT, PUBLISHED, hold_back, load_experiment, with_labels
from common.runs.records import flatten
from common.training.keras import seeded
from experiments import EXPERIMENTS
from experiments import rare_event_lstm_ae as rare
from tests.helpers.small_data import rising_table
from tests.helpers.tiny import SMALL

STEP = np.timedelta64(2, "m")
ALL = {name: load_experiment(module) for name, module in EXPERIMENTS.items()}
CONFIGS = {name: ALL[name].config(**changes) for name, changes in SMALL.items()}
OF_IMAGES = [name for name, experiment in ALL.items() if experiment.dataset in ("mnist", "fashion_mnist")]


def pictures():
    """Noise, brighter by its class."""
    generator = np.random.default_rng(0)

    def draw(count):
        labels = generator.permutation(np.repeat([1, 5, 7, 9], count)).astype(np.uint8)
        return (generator.integers(0, 120, (len(labels), 28, 28)) + 10 * labels[:, None, None]).astype(np.uint8), labels

    return Images(*draw(100), *draw(60))


def table_with_gaps():
    """The small table, with rows missing in three places."""
    return rising_table(rows=900).drop(index=[101, 102, 440, 813]).reset_index(drop=True)


@pytest.fixture(scope="module")
def data():
    """By the name of a data set."""
    return {"mnist": pictures(), "fashion_mnist": pictures(), "processminer": table_with_gaps(), None: None}


@pytest.fixture(scope="module")
def split(data):
    def split(name, protocol, seed=0):
        return ALL[name].split(data[ALL[name].dataset], CONFIGS[name], protocol, seed)

    return split


def test_samples_are_labelled_normal_before_anomalous():
    samples, labels = with_labels(np.array([[1], [2]]), np.array([[3]]))
    assert samples.tolist() == [[1], [2], [3]]
    assert labels.tolist() == [0, 0, 1]


# What is held back.


@given(st.integers(5, 300), st.integers(0, 5))
def test_what_is_held_back_and_what_is_kept_are_the_whole_and_apart(count, seed):
    kept, held_back = hold_back(np.arange(count), HELD_OUT, seed)
    assert sorted([*kept, *held_back]) == list(range(count))
    assert len(held_back) == round(HELD_BACK * count)
    assert list(kept) == sorted(kept)
    everything, nothing = hold_back(np.arange(count), PUBLISHED, seed)
    assert nothing is None and len(everything) == count


@pytest.mark.parametrize("name", OF_IMAGES)
def test_no_held_back_image_is_trained_on_and_none_of_them_is_scored(name, split):
    splits, published = split(name, HELD_OUT), split(name, PUBLISHED)

    def rows(images):
        return {row.tobytes() for row in np.asarray(images, np.float32).reshape(len(images), -1)}

    trained, held_back, scored = rows(splits.x_train), rows(splits.held_back), rows(splits.x_test)
    assert not trained & held_back
    assert not (trained | held_back) & scored
    assert trained | held_back == rows(published.x_train)
    assert rows(published.x_test) <= scored


def test_no_held_back_curve_is_trained_on_by_any_method(split):
    splits = split("curves_dense_ae", HELD_OUT, 3)
    used = {row.tobytes() for part in (splits.x_labelled, splits.x_source_test, splits.x_test) for row in part}
    assert len(splits.held_back) == round(HELD_BACK * (len(splits.x_train) + len(splits.held_back)))
    assert not used & {row.tobytes() for row in splits.held_back}


@pytest.mark.parametrize("protocol", [PUBLISHED, HELD_OUT])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_split_varies_with_the_seed_where_the_module_says_so_and_nowhere_else(name, protocol, split):
    first, second = (split(name, protocol, seed) for seed in (0, 1))
    same = all(np.array_equal(getattr(first, part), getattr(second, part)) for part in ("x_train", "x_test", "y_test"))
    assert same == (protocol not in ALL[name].split_by_seed)


# Nothing that is scored reaches a scaler, a model, a threshold, or the score of another sample.


def result_of(name, splits, **changes):
    """Choices, losses, and the scores of each method in the order of the samples."""
    experiment, config = ALL[name], replace(CONFIGS[name], **changes)
    with seeded(0):
        models = experiment.build(config, splits.x_train.shape[1:])
        result = experiment.run(models, splits, config, 0)
    metrics = flatten(result.metrics)[0]
    chosen = {name: metrics[name] for name in metrics if name.endswith((".threshold", ".fitted_on_n"))}
    losses = {name: metrics[name] for name in metrics if name.startswith(("loss.", "validation_loss.", "held_back."))}
    assert chosen and losses
    return chosen | losses, {method: result.arrays[array] for method, array in experiment.methods.items()}


def rescored(splits, x, y):
    """The same splits with other scored samples or labels."""
    # Held out, `x_test_all` and `x_test` hold the same images.
    both = {"x_test_all": x, "y_test_all": y} if hasattr(splits, "x_test_all") else {}
    return replace(splits, x_test=x, y_test=y, **both)


@pytest.fixture(scope="module", params=CONFIGS)
def undisturbed(request, split):
    splits = split(request.param, HELD_OUT)
    return request.param, splits, result_of(request.param, splits)


def test_other_test_labels_change_no_threshold_no_score_and_no_training(undisturbed):
    name, splits, (told, scores) = undisturbed
    flipped = np.random.default_rng(0).permutation(splits.y_test)
    assert (flipped != splits.y_test).any()
    told_then, scores_then = result_of(name, rescored(splits, splits.x_test, flipped))
    assert told_then == told
    for method, values in scores.items():
        # Up to rounding: images that change their class are scored in other batches.
        np.testing.assert_allclose(scores_then[method], values, rtol=1e-5, err_msg=method)


def test_other_samples_beside_it_change_no_score_no_threshold_and_no_training(undisturbed):
    name, splits, (told, scores) = undisturbed
    x = splits.x_test.copy()
    x[::2] = x.max() - x[::2]
    told_then, scores_then = result_of(name, rescored(splits, x, splits.y_test))
    assert told_then == told
    kept = np.arange(len(x)) % 2 == 1
    for method, values in scores.items():
        np.testing.assert_allclose(scores_then[method][kept], values[kept], rtol=1e-5, err_msg=method)
        assert not np.allclose(scores_then[method][~kept], values[~kept], rtol=1e-5)


# The paper machine: the past before the future.


@pytest.fixture(scope="module")
def forward(split):
    return split("rare_event_lstm_ae", HELD_OUT)


def test_no_row_of_a_test_window_occurs_in_training_or_validation_and_time_runs_forward(forward):
    train, validation, test = (forward.parts[name].rows for name in ("train", "validation", "test"))
    assert not set(test.ravel()) & (set(train.ravel()) | set(validation.ravel()))
    assert not set(validation.ravel()) & set(train.ravel())
    assert train.max() < validation.min() <= validation.max() < test.min()


def test_in_the_published_protocol_nearly_every_test_window_shares_rows_with_training(split):
    splits = split("rare_event_lstm_ae", PUBLISHED)
    trained = set(splits.parts["train"].rows.ravel())
    assert np.mean([bool(trained & set(window)) for window in splits.parts["test"].rows]) > 0.9


def test_no_window_spans_a_gap_or_a_break(forward):
    for part in forward.parts.values():
        rows = part.rows
        assert (np.diff(forward.table.times[rows], axis=1) == STEP).all()
        assert not forward.table.breaks[rows].any()


def test_no_run_up_to_a_break_is_cut_by_a_boundary(forward):
    breaks = np.flatnonzero(forward.table.breaks)
    for first in (forward.parts["validation"].rows.min(), forward.parts["test"].rows.min()):
        # A window begins no earlier than its part does, and every break's run-up lies on one side.
        assert not any(event - CONFIGS["rare_event_lstm_ae"].rows_before_break < first - 1 < event for event in breaks)


def test_the_scaler_knows_the_training_rows_alone(forward):
    rows = forward.parts["train"].rows[:, -1]
    np.testing.assert_allclose(forward.scaler.mean_, forward.table.features[rows].mean(axis=0))
    np.testing.assert_allclose(forward.scaler.scale_, forward.table.features[rows].std(axis=0))
    assert forward.scaler.n_samples_seen_ == len(rows)


def test_a_window_is_positive_when_a_break_follows_within_ten_minutes_by_the_clock(forward):
    table = forward.table
    of_breaks = table.times[table.breaks == 1]
    for name in ("validation", "test"):
        _, labels, rows = forward.parts[name]
        for row, label in zip(rows[:, -1], labels, strict=True):
            ahead = of_breaks - table.times[row]
            assert label == ((ahead > np.timedelta64(0)) & (ahead <= np.timedelta64(10, "m"))).any()


def test_the_windows_of_one_run_up_are_resampled_together(forward):
    groups = forward.groups
    breaks = np.flatnonzero(forward.table.breaks)
    for last, group in zip(forward.parts["test"].rows[:, -1], groups, strict=True):
        assert group == np.sum(breaks < last)


def test_a_table_without_breaks_in_every_part_is_refused(data):
    table = data["processminer"]
    few = table.assign(y=table["y"].where(table["y"].cumsum() <= 3, 0))
    with pytest.raises(DataError, match="needs events behind each cut"):
        rare.split(few, CONFIGS["rare_event_lstm_ae"], HELD_OUT, 0)


def test_drift_metrics_survive_a_test_period_without_a_break(forward):
    none = np.zeros_like(forward.y_test)
    parts = {**forward.parts, "test": forward.parts["test"]._replace(y=none)}
    quiet = replace(forward, y_test=none, parts=parts)
    config = replace(CONFIGS["rare_event_lstm_ae"], epochs=1)
    with seeded(0):
        models = rare.build_autoencoder(config, forward.x_train.shape[1:])
        metrics, undefined = flatten(rare.run(models, quiet, config, 0).metrics)
    assert metrics["score.test_anomaly_median"] is None
    assert "autoencoder.auroc" in undefined


# Rows and events in general.

tables = st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=60)


def slow_windows(events, gaps, steps):
    found = []
    for start in range(len(events) - steps + 1):
        rows = range(start, start + steps)
        if not any(events[row] for row in rows) and not any(gaps[row] for row in rows[1:]):
            found.append(list(rows))
    return found


@given(st.lists(st.integers(0, 1), max_size=60), st.integers(1, 8))
def test_by_the_clock_the_labels_are_those_of_the_curve_shift_where_no_row_is_missing(events, rows_before):
    times = np.datetime64("1999-05-01T00:00") + STEP * np.arange(len(events))
    shifted = curve_shift(np.array(events, dtype=int), rows_before)
    assert event_within(times, events, rows_before * STEP)[shifted.rows].tolist() == shifted.labels.tolist()


@given(tables, st.integers(1, 6))
def test_windows_within_stretches_are_those_of_a_slow_loop(rows, steps):
    events, gaps = (np.array(column) for column in zip(*rows, strict=True))
    times = np.datetime64("1999-05-01T00:00") + STEP * (np.arange(len(events)) + np.cumsum(gaps))
    found = windows_within(stretches(times, events, STEP), events, steps)
    assert found.tolist() == slow_windows(events, gaps, steps)


@given(st.lists(st.integers(0, 1), min_size=10, max_size=120), st.integers(1, 5))
def test_boundaries_follow_the_first_lonely_event(events, rows_before):
    try:
        cuts = boundaries_after_events(events, [0.5, 0.7], rows_before)
    except DataError:
        return
    for cut, fraction in zip(cuts, [0.5, 0.7], strict=True):
        assert cut >= fraction * len(events)
        assert events[cut - 1] == 1
        assert not any(events[cut : cut + rows_before])
    assert cuts[0] < cuts[1] < len(events)


def test_a_run_up_belongs_to_the_episode_of_its_event():
    assert episodes([0, 0, 1, 0, 1, 1, 0]).tolist() == [0, 0, 0, 1, 1, 2, 3]
