"""Start Keras on TensorFlow with a fixed number of threads, and seed every run."""

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from common.training.surroundings import SETTINGS, THREADS, default_settings

# Number of kernels that TensorFlow computes at a time. It changes no result.
_threads = 1


def give_threads(threads: int) -> None:
    """Let TensorFlow compute several kernels at a time, each with one thread; without effect once it has started.

    Results do not depend on it: the kernels are the same, and where their results are put together the order is fixed.

    Args:
        threads: largest number of threads that a run of this process should use.
    """
    global _threads
    _threads = threads


def threads() -> int:
    """Return the number of threads that the runs of this process have."""
    if "tensorflow" not in sys.modules:
        return _threads
    return int(sys.modules["tensorflow"].config.threading.get_inter_op_parallelism_threads())


def start_keras() -> ModuleType:
    """Import Keras on TensorFlow with the settings `SETTINGS` and without start-up messages.

    Later calls return the imported module, and so does the first one if the program has imported it before; `settings`
    then tells how it was set up. Some messages of TensorFlow's C++ libraries (processor features in use, no
    GPU found) ignore its log level, so file descriptor 2 (stderr) is redirected to a temporary file until the first
    device exists. If the import fails, the contents of that file are written to stderr.

    Returns:
        The module `keras`.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ["KERAS_BACKEND"] = SETTINGS["backend"]
    # Errors of kernels are raised as Python exceptions, so only remarks on processor features are lost.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _standard_error_held_back(), default_settings():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(_threads)
        # A GPU may sum in another order in every run, and models this small are no faster on it.
        tf.config.set_visible_devices([], "GPU")
        tf.constant(0)  # creates the devices, which writes the last messages
        # A sweep compiles a model for each class, and TensorFlow would warn that compiling often is slow.
        tf.get_logger().setLevel("ERROR")
        import keras  # noqa: F401
    return sys.modules["keras"]


@contextlib.contextmanager
def _standard_error_held_back() -> Iterator[None]:
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        started = False
        try:
            yield
            started = True
        finally:
            sys.stderr.flush()
            if not started:
                held_back.seek(0)
                os.write(original, held_back.read())
            os.dup2(original, 2)
            os.close(original)


@dataclass(frozen=True)
class _Run:
    """The seed of the current run, and the generator from which Keras draws the seeds of its layers in this run."""

    seed: int
    generator: random.Random


# Every thread has a value of its own, so other threads of this process do not draw from the generator of a run.
_run: ContextVar[_Run | None] = ContextVar("run", default=None)


class _PythonRandom:
    """Replacement for the module `random` in Keras: during a run its generator, otherwise the module."""

    def __getattr__(self, name: str) -> Any:
        run = _run.get()
        return getattr(random if run is None else run.generator, name)


def run_seed(default: int) -> int:
    """Give the seed of the current run, or outside `seeded` the default."""
    run = _run.get()
    return default if run is None else run.seed


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make the random numbers of a run depend on its seed alone, clear Keras' state, and limit the BLAS threads.

    Within this context, Keras draws initial weights from a generator of the run, and `fit` derives the order of the
    samples from the seed. So whatever other threads of the process draw or seed (those of a Dask worker or a notebook,
    for example), the results are the same. The global generators of Python, NumPy and TensorFlow are seeded as well,
    but other threads may draw from them: an experiment that uses them is repeatable only in a process of its own. Use
    generators made from the seed instead, and pass it to scikit-learn as `random_state`.

    Args:
        seed: seed of the run.
    """
    from threadpoolctl import threadpool_limits

    keras = start_keras()
    from keras.src.random import seed_generator

    # Keras takes default seeds from the global generator of Python, and has no setting for another one.
    if not isinstance(seed_generator.python_random, _PythonRandom):
        seed_generator.python_random = _PythonRandom()
    # Collecting garbage takes longer than building a model; `fit` does it when it drops a compiled one.
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    token = _run.set(_Run(seed, random.Random(seed)))
    try:
        with threadpool_limits(THREADS):
            yield
    finally:
        _run.reset(token)
