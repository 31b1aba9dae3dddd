"""A run gives the same bytes whatever other threads of its process do to the generators that all threads share."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common.runs import worker
from common.training.keras import seeded, start_keras
from experiments import EXPERIMENTS
from tests.helpers import optional
from tests.helpers.noise import noise


def unchanged_by_noise(run, name, protocol, **changes):
    """Compare a run with noise, in the main thread and in another one, and a run without noise."""
    memory = worker.Memory()
    with noise():
        here = run(memory, name, protocol, 2, **changes)
        with ThreadPoolExecutor(1) as threads:
            there = threads.submit(run, memory, name, protocol, 2, **changes).result()
    return here == there == run(memory, name, protocol, 2, **changes)


# As published, the split of the paper machine is drawn by the seed of the run; held out, that of the curves.
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_training_with_noise_gives_the_bytes_of_a_run_on_its_own(name, run):
    assert unchanged_by_noise(run, name, "published" if name == "rare_event_lstm_ae" else "held_out")


def test_so_does_training_with_pytorch(run):
    optional.package("torch")
    assert unchanged_by_noise(run, "curves_dense_ae", "held_out", framework="pytorch")


def test_threads_that_run_at_the_same_time_do_not_disturb_each_other(run):
    memory = worker.Memory()
    alone = [run(memory, "curves_dense_ae", "held_out", seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(run, worker.Memory(), "curves_dense_ae", "held_out", seed) for seed in (1, 2)]
    assert [future.result() for future in both] == alone


def test_keras_takes_its_seeds_from_the_generator_of_the_run_in_the_thread_of_the_run():
    def layer_seed():
        return start_keras().initializers.GlorotUniform().seed

    def first_of(seed):
        return random.Random(seed).randint(1, 10**9)

    with seeded(5), ThreadPoolExecutor(1) as threads:
        random.seed(7)
        assert threads.submit(layer_seed).result() == first_of(7)
        assert layer_seed() == first_of(5)
    random.seed(7)
    assert layer_seed() == first_of(7)


def test_global_generators_are_seeded_too():
    draws = []
    for seed in (3, 3, 4):
        with seeded(seed):
            draws.append((random.random(), np.random.random(), float(start_keras().random.uniform(()))))
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])
