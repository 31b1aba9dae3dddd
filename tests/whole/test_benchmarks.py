import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import limit, measure, notebooks, ours, problems, table
from benchmarks.__main__ import SECTIONS
from benchmarks.growth import GROWTHS
from benchmarks.limit import Limit, Product
from benchmarks.measure import Cost, Measurement, Ratio
from benchmarks.problems import Problem
from benchmarks.rows import (
    MEASURED_EPOCHS,
    NOTEBOOK,
    OURS,
    OURS_APART,
    OURS_ONE_THREAD,
    PUBLISHED_EPOCHS,
    PYTORCH,
    PYTORCH_ONE_THREAD,
    ROWS,
    SEEDS,
)
from common.data.windows import curve_shift, windows
from common.experiment import load_experiment
from common.files import ROOT
from common.training.keras import start_keras
from experiments import EXPERIMENTS, curves_dense_ae, mnist_dense_ae, rare_event_lstm_ae
from tests.helpers import optional

# The benchmarks start Keras with other settings, under which later tests in this process could not compute runs.
start_keras()

CURVES = next(row for row in ROWS if row.name == "curves_dense_ae")
TEN_CURVES = next(row for row in ROWS if row.name == "curves_dense_ae:0-9")


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
    one_thread = {OURS_ONE_THREAD: [measured(2 * ours_seconds)], PYTORCH_ONE_THREAD: [measured(3.0)]}
    return {NOTEBOOK: [measured(8.0), measured(10.0)], OURS: [measured(ours_seconds)] * 2, **other, **one_thread}


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
    generated = "\n\n".join(
        [
            table.circumstances({"machine": "a machine"}),
            table.speed([(CURVES, curves_measured())]),
            table.growth_table([growth]),
        ]
    )
    text = "before\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n"
    replaced = table.insert(text, "speed", generated)
    assert "old" not in replaced and replaced.startswith("before") and replaced.endswith("after\n")
    assert "a machine" in replaced and "101 x" in replaced
    assert table.insert(replaced, "speed", generated) == replaced


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def seeds_measured(first, epoch, only_first=False):
    """Ten trainings of 20 epochs, with a start in each of them, or only in the first one."""
    epochs = {}
    for seed in range(SEEDS):
        start = 0.0 if only_first and seed > 0 else first - epoch
        epochs[f"curves_dense_ae:{seed}"] = [Cost(epoch + start, 0.0), *[Cost(epoch, 0.0)] * 19]
    return Measurement(Cost(sum(cost.seconds for costs in epochs.values() for cost in costs), 0.0), epochs=epochs)


def ten_seeds(epoch, first, pytorch_epoch):
    return {
        OURS: [seeds_measured(first, epoch, only_first=True)],
        OURS_APART: [seeds_measured(first, epoch)],
        PYTORCH: [seeds_measured(pytorch_epoch, pytorch_epoch)],
        PYTORCH_ONE_THREAD: [seeds_measured(pytorch_epoch, pytorch_epoch)],
    }


def test_ten_seeds_that_start_once_gain_all_that_is_possible():
    # Published are 100 epochs of 0.01 s; the start takes 1 s. Apart 10 x 2 s, together 1 s + 10 x 1 s.
    cells = cells_of(table.seeds_table([(TEN_CURVES, ten_seeds(0.01, 1.01, 0.022))]).splitlines()[-1])
    assert cells[1:6] == ["**1.8**", "1.8", "**2.0**", "1, reached", "**2.0**"]
    assert cells[6:8] == ["11", "20"]


def test_a_process_for_each_seed_is_a_way_of_its_own(monkeypatch):
    asked = []

    def child(*arguments):
        asked.append(arguments[:2])
        return Measurement(Cost(2.0, 3.0), 500.0, 400.0, {arguments[0]: [Cost(1.0, 1.0)]})

    monkeypatch.setattr(measure, "_child", child)
    measured = measure.run_in_children(TEN_CURVES, OURS_APART, {})
    assert asked == [(f"curves_dense_ae:{seed}", OURS) for seed in range(SEEDS)]
    assert measured.cost == Cost(20.0, 30.0)
    assert len(measured.epochs) == SEEDS
    assert measure.run_in_children(TEN_CURVES, OURS, {}).cost == Cost(2.0, 3.0)
    assert asked[SEEDS:] == [("curves_dense_ae:0-9", OURS)]


def test_the_seeds_of_a_row():
    drawn = problems.load_problems("curves_dense_ae:3-4")
    assert [problem.seed for problem in drawn] == [3, 4]
    assert [problem.seed for problem in problems.load_problems("curves_dense_ae")] == [0]


# The limit of the machine.


def layer(name, *arguments, **options):
    return getattr(notebooks.start_keras().layers, name)(*arguments, **options)


@pytest.mark.parametrize("name", ["mnist_conv_ae", "curves_dense_ae", "mnist_dense_ae"])
def test_operations_are_those_that_tensorflow_counts(name):
    keras = notebooks.start_keras()
    import tensorflow as tf
    from tensorflow.compat.v1 import profiler

    model = tiny_problem(name).build()
    if "conv" in name:
        # Of transposed convolutions TensorFlow counts the output at the borders of which there is none.
        model = keras.Sequential(
            [
                layer("Input", (28, 28, 1)),
                layer("Conv2D", 3, 3, strides=2, padding="same"),
                layer("Conv2D", 2, (7, 5)),
            ]
        )
    graph = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((1, *SHAPES[name]))).graph
    options = profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    counted = profiler.profile(graph, cmd="op", options=options)
    expected = sum(child.float_ops for child in flattened(counted) if child.name in ("MatMul", "Conv2D"))
    assert sum(product.operations for product in limit.products(model)) == expected


def flattened(node):
    """The entries of a profile by operation, each of which is a child of the one before."""
    while node.children:
        (node,) = node.children
        yield node


@pytest.mark.parametrize(("size", "stride", "padding"), [(7, 1, "valid"), (3, 2, "same"), (7, 2, "same")])
def test_a_transposed_convolution_takes_as_many_operations_as_the_convolution_back(size, stride, padding):
    keras = notebooks.start_keras()
    there = keras.Sequential([layer("Input", (28, 28, 3)), layer("Conv2D", 2, size, strides=stride, padding=padding)])
    back = keras.Sequential(
        [
            layer("Input", there.output_shape[1:]),
            layer("Conv2DTranspose", 3, size, strides=stride, padding=padding),
        ]
    )
    assert back.output_shape == (None, 28, 28, 3)
    (one,), (other,) = limit.products(there), limit.products(back)
    assert one.operations == other.operations


def test_operations_of_an_lstm_counted_by_hand():
    model = tiny_problem("rare_event_lstm_ae").build()
    cells, steps, sensors = [(59, 32), (32, 16), (16, 16), (16, 32)], 5, 59
    expected = sum(2 * 4 * units * (inputs + units) * steps for inputs, units in cells) + 2 * 32 * sensors * steps
    assert sum(product.operations for product in limit.products(model)) == expected


def test_operations_of_a_training_counted_by_hand():
    layers = [Product("Dense", 1, 3, 2, 1), Product("Dense", 1, 2, 3, 1)]
    # Of 12 operations each: forward both, by the weights both, by the inputs the second; and 2 validated samples.
    assert limit.training_operations(layers, samples=10, validated=2) == 10 * 5 * 12 + 2 * 2 * 12


def test_multiplied_are_the_matrices_that_are_counted(monkeypatch):
    layers, multiplied = [Product("Dense", 2, 3, 5, 1), Product("LSTM", 1, 5, 4, 3)], []

    class Matrix(np.ndarray):
        def __matmul__(self, other):
            multiplied.append(2 * self.shape[0] * self.shape[1] * other.shape[1])

    matrices = limit._matrices
    monkeypatch.setattr(
        limit,
        "_matrices",
        lambda *arguments: [
            (times, *(array.view(Matrix) for array in arrays)) for times, *arrays in matrices(*arguments)
        ],
    )
    limit.multiply(layers, samples=7, batch_size=4, validated=3)
    assert sum(multiplied) == limit.training_operations(layers, samples=7, validated=3)


def test_a_limit_from_the_marks():
    costs = {
        limit.PEAK_ONE_THREAD: [Cost(0.5, 0.0), Cost(0.25, 0.0)],
        limit.PEAK_ALL_THREADS: [Cost(0.125, 0.0)],
        limit.PRODUCTS: [Cost(0.1, 0.0), Cost(0.3, 0.0), Cost(0.2, 0.0)],
        limit.DESCENT: [Cost(9.0, 0.0), Cost(0.4, 0.0), Cost(0.4, 0.0)],
    }
    found = limit.limit_of("curves_dense_ae", Measurement(Cost(1.0, 1.0), epochs=costs))
    assert found[:1] == ("Dense",) and found[2:] == (2 * limit.SIDE**3 * 4, 2 * limit.SIDE**3 * 8, 0.1, 0.4)
    # 1600 curves, 256-128-64-16-4 and back.
    forward = 2 * 2 * (256 * 128 + 128 * 64 + 64 * 16 + 16 * 4)
    assert found.operations == 1600 * (3 * forward - 2 * 256 * 128)


def test_on_one_thread_ours_is_compared_on_one_thread_too():
    cells = cells_of(table.one_thread_table([(CURVES, curves_measured())]).splitlines()[-1])
    assert cells[2] == "**1.5**"


def test_what_an_epoch_takes_its_time_for():
    # On one thread an epoch takes 1 s, of which products at the peak 0.01 s, of their sizes 0.1 s, with gradient
    # descent 0.5 s.
    found = Limit("Dense", 10**9, 1e11, 2e11, 0.1, 0.5)
    (cells,) = [cells_of(table.spent_table([(CURVES, curves_measured(0.5), found)]).splitlines()[-1])]
    assert cells[1:5] == ["1%", "9%", "50%", "40%"]
    assert cells[5].startswith("memory")
    cells = cells_of(table.peak_table([(CURVES, curves_measured(0.5), found)]).splitlines()[-1])
    assert cells[1:5] == ["1.0", "100", "200", "1%"]


def test_a_text_without_markers_is_refused():
    with pytest.raises(ValueError, match="speed: begin"):
        table.insert("nothing", "speed", "table")


def test_the_readme_has_its_markers():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for section in SECTIONS:
        assert table.insert(text, section, "table\n") != text


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
    expected = rare_event_lstm_ae.split(sheet, config, "published", seed)
    x, y = notebooks.make_windows(*notebooks.shift_labels(sheet))
    shifted = curve_shift(sheet["y"].to_numpy(), config.rows_before_break)
    np.testing.assert_array_equal(x, windows(expected.table.features[shifted.rows], 5, first=2))
    np.testing.assert_array_equal(y, shifted.labels[6:])
    *parts, normal_validation = notebooks.split_and_scale(x, y, seed)
    _, validation, test = expected.parts.values()
    wanted = (expected.x_train, validation.x, validation.y, test.x, test.y)
    for found, part in zip(parts, wanted, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-12)
    np.testing.assert_allclose(normal_validation, validation.x[validation.y == 0], rtol=1e-12)


def test_the_same_windows_from_any_length():
    rows, labels = np.arange(24.0).reshape(12, 2), np.arange(12) == 8
    x, _ = notebooks.make_windows(rows, labels)
    np.testing.assert_array_equal(x, windows(rows, 5, first=2))
    assert len(curve_shift(labels, 5).rows) == 11


def test_the_same_curves():
    config = curves_dense_ae.Config(normal_curves=20, anomalous_curves=10, validation_curves=5)
    expected, *_ = curves_dense_ae.draw_curves(config, config.data_seed)
    generator = np.random.RandomState(config.data_seed)
    found = [notebooks.draw_curves(generator, 20), notebooks.draw_curves(generator, 10, second_peak=True)]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-12)


def test_the_same_pixels():
    images = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    np.testing.assert_array_equal(notebooks.scale_to_tanh(images), mnist_dense_ae.flatten(images))


# Of one training sample.
SHAPES = {
    "mnist_conv_ae": (28, 28, 1),
    "fashion_latent_ocsvm": (784,),
    "rare_event_lstm_ae": (5, 59),
    "rare_event_dense_ae": (59,),
    "rare_event_relu_lstm_ae": (5, 59),
    "curves_dense_ae": (256,),
    "mnist_dense_ae": (784,),
}


def tiny_problem(name):
    x = np.random.default_rng(0).random((40, *SHAPES[name]), dtype=np.float32)
    experiment = load_experiment(EXPERIMENTS[name])
    return Problem(experiment, experiment.config(batch_size=16), x, x[:8] if "rare_event" in name else None)


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
    torch = optional.package("torch")
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
