"""A seed that reuses the compiled model of others gives the same bytes as a run in a process of its own."""

import pytest

from common.data import stand_ins
from common.data.datasets import Source
from common.experiment import PROTOCOLS, load_experiment
from common.runs import worker
from common.runs.tasks import Task
from common.training import fit as fitting
from common.training import reuse
from common.training.keras import start_keras
from experiments import EXPERIMENTS
from tests.helpers.tiny import TINY

# As small as they go: what counts is that the same code is compiled.
SMALL = {
    "mnist_conv_ae": {"filters": (2, 2)},
    "fashion_latent_ocsvm": {},
    "rare_event_lstm_ae": {"units": (2, 2)},
    "curves_dense_ae": {name: getattr(TINY, name) for name in TINY.changes() if name != "epochs"},
    "mnist_dense_ae": {},
}


def part_of(draw, part):
    def draw_part():
        whole = draw()
        return type(whole)(*(array[part] for array in whole))

    return draw_part


@pytest.fixture(scope="module")
def data():
    """The data that each experiment has loaded."""
    return {}


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Run two epochs of an experiment on small stand-ins, and return the bytes of all its results."""
    monkeypatch.setattr(fitting, "WORTH_XLA", 0)
    monkeypatch.setattr(stand_ins, "draw_digits", part_of(stand_ins.draw_digits, slice(None, None, 20)))
    monkeypatch.setattr(stand_ins, "draw_fashion", part_of(stand_ins.draw_fashion, slice(None, None, 20)))
    monkeypatch.setattr(stand_ins, "draw_paper_machine", part_of(stand_ins.draw_paper_machine, slice(6000)))

    def run(memory, name, protocol, seed, **changes):
        experiment = load_experiment(EXPERIMENTS[name])
        config = experiment.config(epochs=2, **SMALL[name] | changes)
        memory.data |= data
        task = Task(experiment, config, protocol, seed, tmp_path, Source("stand-in"))
        outcome = worker.compute(task, memory, lambda *progress: None)
        assert outcome.error is None, outcome.details
        data.update(memory.data)
        return outcome.metrics, {array: value.tobytes() for array, value in outcome.arrays.items()}

    return run


@pytest.fixture
def copies(monkeypatch):
    """The number of times that a compiled model got the state of a new one, as a list of ones."""
    copies = []
    copy_state = reuse._copy_state
    monkeypatch.setattr(reuse, "_copy_state", lambda *models: copies.append(1) or copy_state(*models))
    return copies


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_further_seed_gives_the_bytes_of_a_run_on_its_own(name, protocol, run, copies):
    memory = worker.Memory()
    alone = run(memory, name, protocol, 2)
    assert not copies
    assert run(memory, name, protocol, 1) != alone
    assert run(memory, name, protocol, 2) == alone
    assert copies == [1, 1]


@pytest.mark.parametrize("changes", [{"learning_rate": 0.01}, {"initializer": "keras"}])
def test_what_is_compiled_for_another_config_is_not_reused(changes, run, copies):
    alone = run(worker.Memory(), "curves_dense_ae", "held_out", 2)
    memory = worker.Memory()
    run(memory, "curves_dense_ae", "held_out", 2, **changes)
    assert run(memory, "curves_dense_ae", "held_out", 2) == alone
    assert not copies


def network():
    keras = start_keras()
    inputs = keras.Input((3,))
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, x)
    model.compile(optimizer="adam", loss="mse")
    return model


def test_weights_generators_and_optimizer_are_copied_and_other_settings_get_a_model_of_their_own():
    last = reuse.LastModel()
    start_keras().utils.set_random_seed(1)  # whatever ran before, so that the first weights are others than those below
    first = last.get("settings", network)
    expected = [variable.numpy() for variable in first.variables]
    fitting.fit(first, start_keras().ops.ones((8, 3)).numpy(), epochs=2, batch_size=4, seed=0)
    assert first.optimizer.iterations.numpy() == 4
    start_keras().utils.set_random_seed(0)
    second = last.get("settings", network)
    start_keras().utils.set_random_seed(0)
    fresh = network()
    assert second is first
    assert second.optimizer.iterations.numpy() == 0
    for found, wanted, before in zip(second.variables, fresh.variables, expected, strict=True):
        assert (found.numpy() == wanted.numpy()).all()
        assert found.shape != (3, 3) or (found.numpy() != before).any()
    assert last.get("other settings", network) is not first
