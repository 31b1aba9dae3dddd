"""Labels and windows of time series: turn rows of a table into samples of a sequence model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError


class Shifted(NamedTuple):
    """The rows that `curve_shift` keeps, as indices into the table, and their new labels."""

    rows: NDArray[np.intp]
    labels: NDArray[np.int_]


def curve_shift(labels: NDArray[Any], rows_before: int) -> Shifted:
    """Relabel a time series for the prediction of events instead of their detection ("curve shift").

    The last `rows_before` rows before an event become positive, and the rows of events themselves are dropped, since a
    prediction would come too late there. Rows are counted in the original table: if one of the rows before an event is
    itself an event it is dropped, and an event near the start has fewer rows before it.

    Args:
        labels: labels of the rows in order of time, shape `(rows,)`, 1 for a row of an event.
        rows_before: number of rows before an event that become positive.

    Raises:
        ValueError: `rows_before` is less than 1.
    """
    if rows_before < 1:
        raise ValueError(f"A curve shift needs at least one row before the event. Received: rows_before={rows_before}")
    events = np.asarray(labels) == 1
    # Cumulative number of events; its difference over rows_before rows counts the events ahead of a row.
    seen = np.concatenate([np.cumsum(events), np.full(rows_before, events.sum())])
    ahead = seen[rows_before:] - seen[: len(events)]
    rows = np.flatnonzero(~events)
    return Shifted(rows, (ahead[rows] > 0).astype(int))


def windows(rows: NDArray[Any], steps: int, first: int = 0) -> NDArray[Any]:
    """Cut a table into overlapping windows of consecutive rows, each beginning one row after the one before.

    Args:
        rows: the table, shape `(rows, features)`.
        steps: number of rows in a window.
        first: index of the row at which the first window begins. Default: 0.

    Returns:
        A read-only view of shape `(rows - first - steps + 1, steps, features)`.

    Raises:
        ValueError: `steps` or `first` is too small, or the table is too short for one window.
    """
    if steps < 1 or first < 0 or len(rows) < first + steps:
        raise ValueError(
            f"Windows need at least one step, and one of them must fit into the rows from `first` on. "
            f"Received: {len(rows)} rows, steps={steps}, first={first}"
        )
    view = np.lib.stride_tricks.sliding_window_view(rows[first:], steps, axis=0)
    return view.transpose(0, 2, 1)


# Functions for the held-out evaluation, which respects gaps in time.


def stretches(times: NDArray[np.datetime64], events: NDArray[Any], step: np.timedelta64) -> NDArray[np.intp]:
    """Number the stretches of a table that are interrupted neither by an event nor by a gap in time.

    Args:
        times: times of the rows, shape `(rows,)`, ascending.
        events: 1 for a row of an event, the same shape.
        step: time from one row to the next if no row is missing.

    Returns:
        The number of the stretch of each row, shape `(rows,)`. Each row of an event is a stretch of its own.
    """
    events = np.asarray(events) == 1
    begins = events.copy()
    begins[1:] |= events[:-1] | (np.diff(times) != step)
    return np.cumsum(begins)


def event_within(times: NDArray[np.datetime64], events: NDArray[Any], span: np.timedelta64) -> NDArray[np.int_]:
    """Label the rows that are followed by an event within a span of time.

    Without gaps these are the labels of `curve_shift`. That function counts rows, so it would also label rows before a
    gap that are far from the event in time; this one does not.

    Args:
        times: times of the rows, shape `(rows,)`, ascending.
        events: 1 for a row of an event, the same shape.
        span: longest time from a row to the event.

    Returns:
        Labels, shape `(rows,)`, 1 for a row that is followed by an event within `span`.
    """
    times = np.asarray(times)
    of_events = times[np.asarray(events) == 1]
    # The number of events up to each row, and up to the end of its span.
    before, within = (np.searchsorted(of_events, ends, side="right") for ends in (times, times + span))
    return (within > before).astype(int)


def windows_within(stretch: NDArray[np.intp], events: NDArray[Any], steps: int) -> NDArray[np.intp]:
    """List all windows of consecutive rows that lie within one stretch and contain no row of an event.

    Args:
        stretch: number of the stretch of each row, from `stretches`, shape `(rows,)`.
        events: 1 for a row of an event, the same shape.
        steps: number of rows in a window.

    Returns:
        Row indices, shape `(windows, steps)`, in order of time.
    """
    last = np.arange(steps - 1, len(stretch))
    within = (stretch[last] == stretch[last - steps + 1]) & (np.asarray(events)[last] != 1)
    return last[within, np.newaxis] + np.arange(1 - steps, 1)


def boundaries_after_events(events: NDArray[Any], fractions: Sequence[float], rows_before: int) -> list[int]:
    """Choose rows at which to split a table along time, so that no event is separated from the rows before it.

    Args:
        events: 1 for a row of an event, shape `(rows,)`, in order of time.
        fractions: fraction of the rows after which each split is wanted, ascending.
        rows_before: number of rows before an event that must stay in one part with it.

    Returns:
        For each fraction the index of the row that begins the next part: the first row, at or after that fraction of
        the rows, that directly follows an event which is not followed by another one within `rows_before` rows.

    Raises:
        DataError: there is no such event, or two splits would fall on the same one.
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
    """Count the events before each row, so that an event and the rows that lead up to it get the same number.

    Args:
        events: 1 for a row of an event, shape `(rows,)`, in order of time.

    Returns:
        Number of earlier events, shape `(rows,)`.
    """
    events = np.asarray(events) == 1
    return np.asarray(np.cumsum(events) - events)
