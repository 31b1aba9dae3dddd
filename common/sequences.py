"""Labels and windows of time series: what turns rows of a table into samples of a sequence model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


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
