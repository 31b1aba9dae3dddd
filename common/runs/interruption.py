"""Signals that ask a process to end, and that cannot get lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """Somebody has asked this process to end (SIGTERM), which is an interruption like any other."""


_INTERRUPTIONS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_asked: list[type[KeyboardInterrupt]] = []


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within this context SIGINT raises `KeyboardInterrupt` and SIGTERM `Terminated`, so what runs can be recorded.

    A signal that is ignored stays ignored. In a thread that is not the main one, to which signals never come, this does
    nothing.
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
    """Raise the interruption that a signal has asked for and whose own exception got lost.

    Python raises what a handler raises wherever the main thread happens to be. Within a destructor or a callback from C
    it goes nowhere, and the work goes on. So whatever works for long calls this now and then.
    """
    if _asked:
        raise _asked[-1]
