"""Start Keras on TensorFlow with a fixed number of threads, and seed every run."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from common.training.surroundings import SETTINGS, THREADS, default_settings


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
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        # A GPU may sum in another order in every run, and models this small are no faster on it.
        tf.config.set_visible_devices([], "GPU")
        tf.constant(0)  # creates the devices, which writes the last messages
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


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all global random generators, clear Keras' state, and limit the BLAS threads within this context.

    Args:
        seed: seed of Python's `random`, NumPy's legacy global state and TensorFlow. scikit-learn's estimators and the
            shuffle buffer are not seeded here; the experiment passes them the seed.
    """
    from threadpoolctl import threadpool_limits

    keras = start_keras()
    # Collecting garbage takes longer than building a model; `fit` does it when it drops a compiled one.
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    with threadpool_limits(THREADS):
        yield
