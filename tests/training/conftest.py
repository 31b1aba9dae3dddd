import pytest

from common.data import stand_ins
from common.data.datasets import Source
from common.experiment import load_experiment
from common.runs import worker
from common.runs.tasks import Task
from experiments import EXPERIMENTS
from tests.helpers.tiny import TINY

# As small as they go: what counts is that the same code is compiled.
SMALL = {
    "mnist_conv_ae": {"filters": (2, 2)},
    "fashion_latent_ocsvm": {},
    "rare_event_lstm_ae": {"units": (2, 2)},
    "rare_event_dense_ae": {"units": (2, 2, 2, 2)},
    "rare_event_relu_lstm_ae": {"units": (2, 2)},
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
