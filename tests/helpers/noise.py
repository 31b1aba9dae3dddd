"""Noise: what other threads of a process do to the random generators that all of its threads share."""

import contextlib
import random
import sys
import threading

import numpy as np

_stopped = threading.Event()


def disturb():
    """Draw from the generators that are global to a process, and seed them."""
    random.random()
    np.random.random()
    random.seed(np.random.randint(1000))
    np.random.seed(random.randrange(1000))
    with contextlib.suppress(KeyError, AttributeError):  # not imported, or still being imported
        sys.modules["tensorflow"].random.set_seed(random.randrange(1000))
        sys.modules["keras"].initializers.GlorotUniform()  # takes a seed from the same generator as a layer
    with contextlib.suppress(KeyError, AttributeError):
        sys.modules["torch"].manual_seed(random.randrange(1000))


def _disturb_on():
    while not _stopped.wait(1e-4):
        disturb()


def begin(dask_worker=None):
    """Start a thread that disturbs this process until `end`; Dask calls it with the worker that runs it."""
    _stopped.clear()
    threading.Thread(target=_disturb_on, daemon=True).start()


def end():
    _stopped.set()


@contextlib.contextmanager
def noise():
    """Disturb this process within this context."""
    begin()
    try:
        yield
    finally:
        end()
