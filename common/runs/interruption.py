"""Turn SIGINT and SIGTERM into exceptions, and raise them again if an exception got lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; a `KeyboardInterrupt`, so that it is handled like Ctrl-C."""


_INTERRUPTIONS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_asked: list[type[KeyboardInterrupt]] = []


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


def _ask(number: int, frame: Any) -> NoReturn:
    interruption = _INTERRUPTIONS[signal.Signals(number)]
    _asked.append(interruption)
    raise interruption


def check() -> None:
    """Raise the exception of a received signal again, in case it got lost.

    Python raises an exception from a signal handler wherever the main thread is at that moment. Inside a destructor or
    a callback from C it is discarded, and the program continues. So long computations must call this regularly.
    """
    if _asked:
        raise _asked[-1]
