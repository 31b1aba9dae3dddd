"""Keras on TensorFlow: started with a fixed number of threads, seeded anew for every run."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

# Threads of one run, for TensorFlow's kernels and for the BLAS under NumPy. Fixed, since kernels round differently
# with other thread counts, and 1, since two runs side by side use two cores better than one run with two threads.
THREADS = 1


def start_keras() -> ModuleType:
    """Import Keras on TensorFlow with the fixed number of threads and without start-up noise. Safe to call again.

    The messages that TensorFlow's libraries write before their own logging is set up (which processor features they
    use, that no GPU was found) come from C++ and ignore its log level, so the file descriptor itself is held back
    until the first device exists. If the import fails, what was held back is written out after all.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # Errors of kernels reach Python as exceptions; what is left on this channel is remarks on processor features.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _standard_error_held_back():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        # A GPU adds in another order from run to run; models this small are no faster there.
        tf.config.set_visible_devices([], "GPU")
        tf.constant(0)  # creates the devices, which is when the last messages come
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
    """Everything random within this context derives from `seed`, and the BLAS uses the fixed number of threads.

    Args:
        seed: seeds Python's `random`, NumPy's legacy global state and TensorFlow, in this order; scikit-learn's
            estimators and the shuffle buffer are handed it by the experiment.
    """
    from threadpoolctl import threadpool_limits

    keras = start_keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    with threadpool_limits(THREADS):
        yield
