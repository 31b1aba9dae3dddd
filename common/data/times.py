"""Read a column of times, and infer from all of it whether its dates begin with the month or with the day."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

EXPECTED = "a time as 5/1/99 0:00 or 1999-05-01 00:00 (in a spreadsheet: a cell that is formatted as a date)"
# The formats of dates by the order of their parts, after all separators have become slashes.
_ORDERS = {
    "month/day/year": ("%m/%d/%Y", "%m/%d/%y"),
    "day/month/year": ("%d/%m/%Y", "%d/%m/%y"),
    "year/month/day": ("%y/%m/%d",),
}
_UNAMBIGUOUS = ("%Y/%m/%d", "%d/%b/%Y", "%d/%b/%y", "%b/%d/%Y", "%b/%d/%y")
_CLOCKS = (" %H:%M:%S.%f", " %I:%M:%S.%f %p")
# Replacements that bring a cell, in capital letters, into one of the formats.
_PART, _GAP = r"(\d{1,4}|[A-Z]{3}(?=[A-Z.]{0,7}[-./, ]))[A-Z]*", r"[-./, ]+"
_UNIFY = (
    (rf"^{_PART}{_GAP}{_PART}{_GAP}(\d+)(?:T|[, ]+|$)", r"\1/\2/\3 "),
    (r"^(\S+/\S+/\S+) *$", r"\1 0:00"),
    (r"^(\S+ \d{1,2})\.(\d\d)(?:\.(\d\d))?$", lambda found: ":".join(filter(None, found.groups()))),
    (r"(:\d\d),(\d)", r"\1.\2"),
    (r"(\d)\s*([AP])\.?\s?M\b\.?", r"\1 \2M"),
    (r"(:\d.*?)\s*(?:Z|UTC|GMT)$", r"\1+0000"),
    (r"(:\d.*?)\s*([+-]\d\d)$", r"\1\g<2>00"),
    (r"(:\d.*?)\s*([+-]\d\d):?(\d\d)$", r"\1\2\3"),
    (r" (\d{1,2}:\d\d)(?![\d:])", r" \1:00"),
    (r"(:\d\d:\d\d)(?![\d.])", r"\1.0"),
)
_OFFSET = r":\d.*[+-]\d{4}$"


class Times(NamedTuple):
    """A column of times as datetime64[s], NaT where a cell is no time.

    `order` is the order of the parts of its dates, and `others` lists further orders that fit as well. Times with an
    offset from UTC are converted to UTC.
    """

    values: np.ndarray
    order: str
    others: tuple[str, ...]


def read_times(cells: Sequence[Any]) -> Times:
    """Read the cells of a column of times: texts, or dates from a spreadsheet.

    All dates are read in one order: the one with the fewest cells that are no time or not later than the one before;
    of several, the one with the most steps of one length, then the one that spans the shortest time. If they are equal
    in all this, dates with dots begin with the day, as everywhere, and others with the month.
    """
    import pandas

    texts = _texts(cells)
    dotted = texts.str.match(r"\d+\.\d+\.").any()
    texts = _unified(texts)
    zoned = texts.str.contains(_OFFSET)
    # A time without an offset cannot be compared with one that has an offset.
    texts = texts.where(zoned == zoned.any(), "")
    zone = "%z" if zoned.any() else ""
    # Dates without separators, as 19990501T0002; shorter texts would be read as a year or a month.
    compact = pandas.to_datetime(texts.where(texts.str.len() >= 8, ""), format="ISO8601", utc=True, errors="coerce")
    known = _parse(compact, texts, _UNAMBIGUOUS, zone)
    readings = {order: _in_seconds(_parse(known, texts, dates, zone)) for order, dates in _ORDERS.items()}
    order, *_ = sorted(readings, key=lambda order: (_rank(readings[order]), dotted and order != "day/month/year"))
    values = readings[order]
    others = [
        other
        for other, reading in readings.items()
        if _rank(reading) == _rank(values) and not np.array_equal(reading, values, equal_nan=True)
    ]
    return Times(values, order, tuple(others))


def have_offset(cells: Sequence[Any]) -> np.ndarray:
    """Mark the cells of a column of times that have an offset from UTC, shape `(rows,)`."""
    return np.asarray(_unified(_texts(cells)).str.contains(_OFFSET), dtype=bool)


def out_of_order(values: np.ndarray) -> np.ndarray:
    """Mark the times that are not later than the one before, shape `(rows,)`."""
    return np.concatenate([[False], np.diff(values) <= np.timedelta64(0, "s")])


def _texts(cells: Sequence[Any]) -> Any:
    import pandas

    texts = pandas.Series([str(cell) if isinstance(cell, str | datetime) else "" for cell in cells], dtype=object)
    return texts.str.strip().str.upper()


def _unified(texts: Any) -> Any:
    """Bring texts into one of the formats, as far as they hold times."""
    for pattern, replacement in _UNIFY:
        texts = texts.str.replace(pattern, replacement, regex=True)
    return texts.str.strip()


def _parse(known: Any, texts: Any, dates: Sequence[str], zone: str) -> Any:
    """Parse the texts that are not known yet, with each combination of a date and a clock."""
    import pandas

    # Most columns hold neither names of months nor AM and PM.
    absent = tuple(
        code for code, sign in (("%b", r"[A-Z]{3}/"), ("%p", r" [AP]M")) if not texts.str.contains(sign).any()
    )
    forms = [date + clock + zone for date in dates for clock in _CLOCKS]
    for form in [form for form in forms if not any(code in form for code in absent)]:
        unknown = known.isna()
        if not unknown.any():
            break
        parsed = pandas.to_datetime(texts[unknown], format=form, utc=True, errors="coerce")
        known = known.where(~unknown, parsed.reindex(known.index))
    return known


def _in_seconds(moments: Any) -> np.ndarray:
    # A spreadsheet stores times as fractions of a day, so they need rounding to the second.
    values = moments.dt.tz_localize(None).to_numpy() + np.timedelta64(500, "ms")
    return np.asarray(values.astype("datetime64[s]"))


def _rank(values: np.ndarray) -> tuple[int, int, int]:
    """Rate a reading of a column, the better the smaller: wrong cells, less the most steps of one length, the span."""
    wrong = int((np.isnat(values) | out_of_order(values)).sum())
    if wrong or not len(values):
        return wrong, 0, 0
    _, counts = np.unique(np.diff(values), return_counts=True)
    return 0, -int(counts.max(initial=0)), int((values[-1] - values[0]).astype(np.int64))
