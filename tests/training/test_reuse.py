"""A seed that reuses the compiled model of others gives the same bytes as a run in a process of its own."""

import pytest

from common.experiment import PROTOCOLS
from common.runs import worker
from common.training import fit as fitting
from common.training import reuse
from common.training.keras import start_keras
from experiments import EXPERIMENTS


@pytest.fixture(autouse=True)
def compiled_by_xla(monkeypatch):
    monkeypatch.setattr(fitting, "WORTH_XLA", 0)


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
