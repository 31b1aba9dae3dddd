"""Turn SIGINT and SIGTERM into exceptions, and raise them again if an exception got lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; a `KeyboardInterrupt`, so that it is handled like Ctrl-C."""


_INTERRUPTIONS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_asked: list[type[KeyboardInterrupt]] = []
# One entry for each `deferred` context that is open.
_deferred: list[None] = []


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Make SIGINT raise `KeyboardInterrupt` and SIGTERM raise `Terminated` within this context.

    A signal that was ignored before stays ignored. Outside the main thread, which alone receives signals in Python,
    this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _INTERRUPTIONS}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in heard:
            signal.signal(number, _ask)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
        _asked.clear()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Only note signals within this context; `check`, and the end of the context, raise their exceptions.

    An exception from a signal handler can come between any two instructions: a lock of the standard library that was
    acquired just before is then never released. A pool of processes whose threads need this lock would never end.
    """
    _deferred.append(None)
    try:
        yield
    finally:
        _deferred.pop()
    check()


def _ask(number: int, frame: Any) -> None:
    interruption = _INTERRUPTIONS[signal.Signals(number)]
    _asked.append(interruption)
    if not _deferred:
        raise interruption


def check() -> None:
    """Raise the exception of a received signal, in case it was deferred or got lost.

    Python raises an exception from a signal handler wherever the main thread is at that moment. Inside a destructor or
    a callback from C it is discarded, and the program continues. So long computations must call this regularly.
    """
    if _asked:
        raise _asked[-1]
