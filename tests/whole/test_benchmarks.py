import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import measure, notebooks, ours, table
from benchmarks.growth import GROWTHS
from benchmarks.measure import Cost, Measurement, Ratio
from benchmarks.problems import Problem
from benchmarks.rows import MEASURED_EPOCHS, NOTEBOOK, OURS, PUBLISHED_EPOCHS, PYTORCH, ROWS
from common.data.windows import curve_shift, windows
from common.experiment import load_experiment
from common.files import ROOT
from experiments import EXPERIMENTS, curves_dense_ae, mnist_dense_ae, rare_event_lstm_ae

CURVES = next(row for row in ROWS if row.name == "curves_dense_ae")


# The harness.


def test_ways_take_turns():
    assert list(measure.interleave(["a", "b", "c"], 3)) == list("abcabcabc")


def test_a_way_for_the_first_round_only():
    assert list(measure.interleave(["a", "b", "c"], 3, once=["b"])) == list("abcacac")


def test_measurements_keep_the_order_of_the_rounds():
    numbers = iter(range(10))
    measured = measure.measure_row(["a", "b"], 2, lambda way: Measurement(Cost(next(numbers), 0)))
    assert [value.cost.seconds for value in measured["a"]] == [0, 2]
    assert [value.cost.seconds for value in measured["b"]] == [1, 3]


def test_ratios_are_taken_round_by_round():
    # The load doubles from round to round and hits both: the ratios do not see it.
    assert measure.paired_ratios([2.0, 4.0, 8.0], [1.0, 2.0, 4.0]) == Ratio(2.0, 2.0, 2.0)
    assert measure.paired_ratios([6.0, 2.0, 4.0], [2.0, 2.0, 2.0]) == Ratio(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("other", "own"), [([], []), ([1.0, 2.0], [1.0])])
def test_ratios_need_both_ways_in_every_round(other, own):
    with pytest.raises(ValueError, match=f"Received: {len(other)} and {len(own)}"):
        measure.paired_ratios(other, own)


def test_the_clock_counts_epochs_and_the_rest():
    # Read at the start, after each of three epochs, and at the end.
    clock, processor = iter([10.0, 15.0, 16.0, 18.0, 18.5]), iter([0.0, 8.0, 9.0, 10.0, 11.0])

    def work(mark):
        for _ in range(3):
            mark("curves_dense_ae")

    measured = measure.time_work(work, lambda: next(clock), lambda: next(processor))
    assert measured.cost == Cost(8.5, 11.0)
    assert measured.epochs == {"curves_dense_ae": [Cost(5.0, 8.0), Cost(1.0, 1.0), Cost(2.0, 1.0)]}
    assert 0 < measured.before <= measured.peak
    # 97 epochs are missing, at 1.5 seconds and 1 of processor time.
    assert measured.published() == Cost(8.5 + 97 * 1.5, 11.0 + 97 * 1.0)


def test_what_ran_in_full_is_not_extrapolated():
    costs = [Cost(1.0, 1.0)] * PUBLISHED_EPOCHS["mnist_conv_ae"]
    assert Measurement(Cost(12.0, 13.0), epochs={"mnist_conv_ae": costs}).published() == Cost(12.0, 13.0)


def test_a_measurement_survives_the_way_from_the_child():
    measured = measure.time_work(lambda mark: mark("mnist_conv_ae"))
    assert measure.parse(json.loads(json.dumps(asdict(measured)))) == measured


def test_every_experiment_has_a_row_and_epochs_to_leave_out():
    assert {row.name for row in ROWS if row.targets.get(PYTORCH)} == set(EXPERIMENTS)
    assert all(2 < MEASURED_EPOCHS[name] <= PUBLISHED_EPOCHS[name] for name in EXPERIMENTS)


# The tables.


def curves_measured(ours_seconds=1.0, pytorch=True):
    def measured(seconds):
        epochs = [Cost(seconds, seconds)] * PUBLISHED_EPOCHS["curves_dense_ae"]
        return Measurement(Cost(seconds * 100, seconds * 100), 700.0, 600.0, {"curves_dense_ae": epochs})

    other = {PYTORCH: [measured(1.0)] * 2} if pytorch else {}
    return {NOTEBOOK: [measured(8.0), measured(10.0)], OURS: [measured(ours_seconds)] * 2, **other}


def test_the_table_tells_ratios_their_range_and_targets():
    line = table.ratio_table([(CURVES, curves_measured())]).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:3] == ["curves_dense_ae, training", "**9.0** (8.0 to 10.0)", "4, reached"]
    assert cells[3:5] == ["**1.0** (1.0 to 1.0)", "2, missed"]


def test_without_pytorch_its_columns_stay_empty():
    line = table.ratio_table([(CURVES, curves_measured(pytorch=False))]).splitlines()[-1]
    assert [cell.strip() for cell in line.strip("|").split("|")][3:5] == ["", ""]


def test_all_tables_render_and_replace_what_was_there():
    growth = (GROWTHS[0], Measurement(Cost(1.0, 1.0), 600.0), Measurement(Cost(99.0, 101.0), 900.0))
    generated = table.render({"machine": "a machine"}, [(CURVES, curves_measured())], [growth])
    text = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    replaced = table.insert(text, generated)
    assert "old" not in replaced and replaced.startswith("before") and replaced.endswith("after\n")
    assert "a machine" in replaced and "101 x" in replaced
    assert table.insert(replaced, generated) == replaced


def test_a_text_without_markers_is_refused():
    with pytest.raises(ValueError, match="measured: begin"):
        table.insert("nothing", "table")


def test_the_readme_has_its_markers():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert table.insert(text, "table\n") != text


# Both ways compute the same.


def paper_machine(rows=60):
    import pandas

    generator = np.random.default_rng(0)
    table = pandas.DataFrame(generator.normal(3, 2, (rows, 61)), columns=[f"x{number}" for number in range(1, 62)])
    table.insert(0, "y", np.isin(np.arange(rows), [12, 13, 30, 50]).astype(int))
    table.insert(0, "time", pandas.date_range("1999-05-01", periods=rows, freq="2min"))
    return table


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_windows_and_the_same_scaling(seed):
    sheet, config = paper_machine(), rare_event_lstm_ae.Config()
    made, _ = rare_event_lstm_ae.split_at_random(rare_event_lstm_ae.features_of(sheet), config, seed)
    expected = rare_event_lstm_ae.split(sheet, config, "published", seed)
    x, y = notebooks.make_windows(*notebooks.shift_labels(sheet))
    np.testing.assert_array_equal(x, made.x)
    np.testing.assert_array_equal(y, made.y)
    *parts, normal_validation = notebooks.split_and_scale(x, y, seed)
    wanted = (expected.x_train, expected.x_validation, expected.y_validation, expected.x_test, expected.y_test)
    for found, part in zip(parts, wanted, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-12)
    np.testing.assert_allclose(normal_validation, expected.x_validation[expected.y_validation == 0], rtol=1e-12)


def test_the_same_windows_from_any_length():
    rows, labels = np.arange(24.0).reshape(12, 2), np.arange(12) == 8
    x, _ = notebooks.make_windows(rows, labels)
    np.testing.assert_array_equal(x, windows(rows, 5, first=2))
    assert len(curve_shift(labels, 5).rows) == 11


def test_the_same_curves():
    config = curves_dense_ae.Config(normal_curves=20, anomalous_curves=10, validation_curves=5)
    expected, generator = curves_dense_ae.draw_curves(config, config.data_seed), np.random.RandomState(config.data_seed)
    found = [notebooks.draw_curves(generator, 20), notebooks.draw_curves(generator, 10, second_peak=True)]
    np.testing.assert_allclose(np.concatenate(found), expected.x, atol=1e-12)


def test_the_same_pixels():
    images = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    np.testing.assert_array_equal(notebooks.scale_to_tanh(images), mnist_dense_ae.flatten(images))


# Of one training sample.
SHAPES = {
    "mnist_conv_ae": (28, 28, 1),
    "fashion_latent_ocsvm": (784,),
    "rare_event_lstm_ae": (5, 59),
    "curves_dense_ae": (256,),
    "mnist_dense_ae": (784,),
}


def tiny_problem(name):
    x = np.random.default_rng(0).random((40, *SHAPES[name]), dtype=np.float32)
    experiment = load_experiment(EXPERIMENTS[name])
    return Problem(experiment, experiment.config(batch_size=16), x, x[:8] if "lstm" in name else None)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_same_model(name):
    problem = tiny_problem(name)
    plain, own = notebooks.build(name, notebooks.start_keras()), problem.build()
    assert sorted(tuple(w.shape) for w in plain.weights) == sorted(tuple(w.shape) for w in own.weights)
    assert plain.optimizer.learning_rate == own.optimizer.learning_rate


def test_the_same_steps_and_epochs():
    problem, marks = tiny_problem("mnist_dense_ae"), []
    plain = notebooks.train("mnist_dense_ae", problem, 2, lambda: marks.append("notebook"))
    own = ours.train(problem, 2, lambda: marks.append("ours"))
    assert marks == ["notebook"] * 2 + ["ours"] * 2
    assert int(plain.optimizer.iterations) == int(own.optimizer.iterations) == 2 * 3  # 16 + 16 + 8 images an epoch


def test_the_same_scores():
    images = tiny_problem("mnist_conv_ae").inputs[:3]
    model = notebooks.conv_autoencoder(notebooks.start_keras())[1]
    np.testing.assert_allclose(notebooks.score(model, images), ours.score(model, images), rtol=1e-5)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_pytorch_trains_the_same_model(name):
    torch = pytest.importorskip("torch")
    from benchmarks import pytorch

    problem, marks = tiny_problem(name), []
    model = pytorch.train(name, problem, 2, lambda: marks.append(name))
    assert len(marks) == 2
    inputs = pytorch._tensor(problem.inputs)
    assert model(inputs).shape == inputs.shape
    # PyTorch's LSTM has two biases where Keras' has one.
    extra = sum(p.numel() for key, p in model.named_parameters() if "bias_hh" in key)
    assert sum(p.numel() for p in model.parameters()) - extra == problem.build().count_params()
    assert isinstance(model, torch.nn.Module)
