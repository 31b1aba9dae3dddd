"""What moves the error of normal samples, on made-up parts of a time series."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import figures
from common.metrics import drift
from common.metrics.scores import Undefined, ranking_metrics

SENSORS = np.array([2, 3, 7, 19])
START = np.datetime64("1999-05-01T00:00")


def parts(seed=0, samples=30, moved=((), ())):
    """Noise in four sensors; `moved` names those whose error is a hundred times as large in validation and in test."""
    generator = np.random.default_rng(seed)
    made = {}
    for number, name in enumerate(drift.PARTS):
        errors = np.square(generator.normal(size=(samples, 4)))
        for sensor in moved[number - 1] if number else ():
            errors[:, sensor == SENSORS] *= 100
        labels = np.zeros(samples, int) if name == "train" else np.arange(samples) % 5 // 4
        times = START + np.timedelta64(2, "m") * np.arange(number * samples, (number + 1) * samples)
        made[name] = drift.Part(times, labels, generator.normal(size=(samples, 4)), errors)
    return made


def test_the_sensor_with_the_largest_share_of_the_normal_error_is_named():
    made = parts(moved=([3], [19]))
    metrics = drift.drift_metrics(made, SENSORS)
    assert (metrics["drift.validation_sensor"], metrics["drift.test_sensor"]) == (3, 19)
    normal = made["test"].errors[made["test"].labels == 0]
    assert metrics["drift.test_share"] == pytest.approx(normal[:, 3].sum() / normal.sum())
    assert drift.drifting_sensors(made, SENSORS).tolist() == [3, 19]
    assert drift.drifting_sensors(parts(moved=([7], [7])), SENSORS).tolist() == [7]


def test_anomalies_do_not_decide_which_sensor_drifts():
    made = parts(moved=([3], [3]))
    test = made["test"]
    test.errors[test.labels == 1, 0] = 1e9
    assert drift.drift_metrics(made, SENSORS)["drift.test_sensor"] == 3


@given(st.integers(0, 50))
def test_scores_without_a_sensor_are_those_of_the_others(seed):
    made = parts(seed, moved=([3], [19]))
    metrics = drift.drift_metrics(made, SENSORS)
    kept = {name: part.errors[:, [0, 2]].mean(axis=1) for name, part in made.items()}
    normal = kept["validation"][made["validation"].labels == 0]
    assert metrics["without_sensors.validation_normal_median"] == pytest.approx(np.median(normal))
    expected = ranking_metrics("m", made["test"].labels, kept["test"])["m.auroc"]
    assert metrics["without_sensors.auroc"] == pytest.approx(expected)
    thirds = [metrics[f"test_third_{third}.auroc"] for third in (1, 2, 3)]
    whole = made["test"].errors.mean(axis=1)
    expected = ranking_metrics("m", made["test"].labels[:10], whole[:10])["m.auroc"]
    assert thirds[0] == pytest.approx(expected)


def test_a_perfect_reconstruction_has_no_sensor_to_blame():
    made = {name: part._replace(errors=np.zeros((30, 4))) for name, part in parts().items()}
    metrics = drift.drift_metrics(made, SENSORS)
    assert isinstance(metrics["drift.test_sensor"], Undefined) and isinstance(metrics["drift.test_share"], Undefined)


@pytest.mark.parametrize("moved", [([3], [19]), ([7], [7])])
def test_the_figures_are_drawn_from_the_arrays_alone(moved):
    made = parts(moved=moved)
    arrays = drift.drift_arrays(made, SENSORS)
    column = list(SENSORS).index(moved[1][0])
    assert arrays["test_sensors"][:, -1] == pytest.approx(made["test"].values[:, column])
    arrays |= {
        "scores": made["test"].errors.mean(axis=1),
        "validation_scores": made["validation"].errors.mean(axis=1),
        "labels": made["test"].labels,
        "threshold": np.array(1.0),
        "break_times": arrays["test_times"][[3, 7]],
    }
    with figures.style():
        errors, sensors = figures.errors_by_time(arrays), figures.sensors_by_time(arrays)
        assert all(len(figures.png(figure)) < 100_000 for figure in (errors, sensors))
    assert all(f"x{number}" in sensors.caption for number in {moved[0][0], moved[1][0]})
    assert len(sensors.figure.axes) == len({moved[0][0], moved[1][0]})
