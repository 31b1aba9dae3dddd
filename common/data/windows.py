"""Labels and windows of time series: what turns rows of a table into samples of a sequence model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError


class Shifted(NamedTuple):
    """The rows that a curve shift keeps, as indices into the table, and their new labels."""

    rows: NDArray[np.intp]
    labels: NDArray[np.int_]


def curve_shift(labels: NDArray[Any], rows_before: int) -> Shifted:
    """Turn the detection of an event into its prediction.

    The rows before an event become positive, and the rows of events themselves are dropped: by then it is too late.
    Rows are counted in the table as it is, so where events follow each other closely, the rows before the later one
    may be dropped as events of their own, and an event at the start has fewer rows before it.

    Args:
        labels: shape `(rows,)`, in order of time, 1 for a row of an event.
        rows_before: how many rows before an event become positive.
    """
    if rows_before < 1:
        raise ValueError(f"A curve shift needs at least one row before the event. Received: rows_before={rows_before}")
    events = np.asarray(labels) == 1
    # How many events there are in the rows up to each one: the difference over rows_before rows counts those ahead.
    seen = np.concatenate([np.cumsum(events), np.full(rows_before, events.sum())])
    ahead = seen[rows_before:] - seen[: len(events)]
    rows = np.flatnonzero(~events)
    return Shifted(rows, (ahead[rows] > 0).astype(int))


def windows(rows: NDArray[Any], steps: int, first: int = 0) -> NDArray[Any]:
    """All runs of consecutive rows, each beginning one row after the other.

    Args:
        rows: shape `(rows, features)`.
        steps: rows of a window.
        first: the row at which the first window begins.

    Returns:
        Shape `(rows - first - steps + 1, steps, features)`: a view, to be copied before anything is written to it.
    """
    if steps < 1 or first < 0 or len(rows) < first + steps:
        raise ValueError(
            f"Windows need at least one step, and one of them must fit behind the first row. "
            f"Received: {len(rows)} rows, steps={steps}, first={first}"
        )
    view = np.lib.stride_tricks.sliding_window_view(rows[first:], steps, axis=0)
    return view.transpose(0, 2, 1)


# Along time: what a held-out evaluation needs.


def stretches(times: NDArray[np.datetime64], events: NDArray[Any], step: np.timedelta64) -> NDArray[np.intp]:
    """Number the unbroken stretches of a table: a row of an event is one by itself, and a gap in time begins another.

    Args:
        times: shape `(rows,)`, ascending.
        events: the same shape, 1 for a row of an event.
        step: the time from one row to the next where nothing is missing.

    Returns:
        Shape `(rows,)`: rows of the same number follow each other without a gap or an event between them.
    """
    events = np.asarray(events) == 1
    begins = events.copy()
    begins[1:] |= events[:-1] | (np.diff(times) != step)
    return np.cumsum(begins)


def event_within(times: NDArray[np.datetime64], events: NDArray[Any], span: np.timedelta64) -> NDArray[np.int_]:
    """The curve shift by the clock: 1 for a row that an event follows within `span`, however few rows lie between.

    Where no row is missing this is `curve_shift`; where some are, a row before the gap is not close to what follows it.

    Args:
        times: shape `(rows,)`, ascending.
        events: the same shape, 1 for a row of an event.
        span: how far ahead an event may lie.

    Returns:
        Shape `(rows,)`.
    """
    of_events = np.asarray(times)[np.asarray(events) == 1]
    following = np.searchsorted(of_events, times, side="right")
    labels = np.zeros(len(times), dtype=int)
    some = following < len(of_events)
    labels[some] = of_events[following[some]] - np.asarray(times)[some] <= span
    return labels


def windows_within(stretch: NDArray[np.intp], events: NDArray[Any], steps: int) -> NDArray[np.intp]:
    """All windows of consecutive rows that lie within one stretch and hold no row of an event.

    Args:
        stretch: of `stretches`, shape `(rows,)`.
        events: the same shape, 1 for a row of an event.
        steps: rows of a window.

    Returns:
        Indices of rows, shape `(windows, steps)`, in order of time.
    """
    last = np.arange(steps - 1, len(stretch))
    within = (stretch[last] == stretch[last - steps + 1]) & (np.asarray(events)[last] != 1)
    return last[within, np.newaxis] + np.arange(1 - steps, 1)


def boundaries_after_events(events: NDArray[Any], fractions: Sequence[float], rows_before: int) -> list[int]:
    """Where to cut a table along time without cutting what leads up to an event.

    Args:
        events: shape `(rows,)`, in order of time, 1 for a row of an event.
        fractions: after which part of the rows each cut is wanted, ascending.
        rows_before: how many rows lead up to an event.

    Returns:
        For each fraction the index of the row that begins the next part: the one behind the first event from there on
        that no other event follows within `rows_before` rows.

    Raises:
        DataError: there is no such event, or none between two cuts.
    """
    rows = np.flatnonzero(np.asarray(events) == 1)
    apart = np.diff(rows, append=len(events) + rows_before) > rows_before
    candidates = rows[apart] + 1
    wanted = np.ceil(np.asarray(fractions) * len(events))
    found = np.searchsorted(candidates, wanted)
    if np.any(found >= len(candidates)) or np.any(np.diff(found) == 0) or np.any(candidates[found] >= len(events)):
        raise DataError(
            f"Cutting {len(events)} rows at {', '.join(f'{fraction:.0%}' for fraction in fractions)} needs events "
            f"behind each cut, apart from each other. Received: {len(rows)} events"
        )
    return [int(candidate) for candidate in candidates[found]]


def episodes(events: NDArray[Any]) -> NDArray[np.intp]:
    """Number what lies between events: each row gets the number of events before it, so a run-up goes with its event.

    Args:
        events: shape `(rows,)`, in order of time, 1 for a row of an event.
    """
    events = np.asarray(events) == 1
    return np.asarray(np.cumsum(events) - events)
