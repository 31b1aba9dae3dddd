"""The options that say how a user's tables are read, and what kinds of data there are."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import ConfigError

KINDS = ("images", "table", "rows")
FILLS = ("previous", "drop")


@dataclass(frozen=True)
class Reading:
    """How a user's table is read; images need none of this.

    Attributes:
        time: name of the column of times. Kind "table" needs it, kind "rows" has none. Default: none.
        label: name of the column of labels: 1 or true for an anomaly, 0 or false for a normal row. Default: no labels.
        drop: names of columns that are left out. Default: none.
        fill: what replaces missing values: "previous" takes the value of the row before, "drop" leaves out the rows
            that lack values. Default: a missing value is an error.
    """

    time: str | None = None
    label: str | None = None
    drop: tuple[str, ...] = ()
    fill: str | None = None


NO_OPTIONS = Reading()


def require_reading(kind: str, reading: Reading) -> None:
    """Check that the options fit a kind of data and each other.

    Raises:
        ConfigError: they do not.
    """
    if kind not in KINDS:
        raise ConfigError(f"the kind of the data must be one of {', '.join(KINDS)}. Received: {kind!r}")
    if kind == "images" and reading != NO_OPTIONS:
        raise ConfigError("--time, --label, --drop and --fill are for tables; images need none of them")
    if kind == "rows" and reading.time is not None:
        raise ConfigError(f"--time is for sensor tables. Received: --time {reading.time} for rows without an order")
    if kind == "table" and reading.time is None:
        raise ConfigError("a sensor table needs --time with the name of its column of times")
    if reading.fill not in (None, *FILLS):
        raise ConfigError(f"--fill must be one of {', '.join(FILLS)}. Received: {reading.fill!r}")
    named = [name for name in (reading.time, reading.label, *reading.drop) if name is not None]
    repeated = [name for name in named if named.count(name) > 1]
    if repeated:
        raise ConfigError(f"--time, --label and --drop must name different columns. Received: {repeated[0]!r} twice")


def require_named(reading: Reading, header: Sequence[str], dropped: bool = True) -> None:
    """Check that the columns that the options name are there.

    Args:
        reading: the options.
        header: names of the columns of the table.
        dropped: check also the columns that are left out. Default: yes.

    Raises:
        ConfigError: a column is missing; the message suggests the most similar name.
    """
    drops = [("--drop", name) for name in reading.drop if dropped]
    known = set(header)
    for option, name in [("--time", reading.time), ("--label", reading.label), *drops]:
        if name is not None and name not in known:
            by_lower = {one.lower(): one for one in header}
            nearest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.3)
            hint = f"did you mean {by_lower[nearest[0]]!r}?" if nearest else f"there are {listed(header)}"
            raise ConfigError(f"{option}: there is no column {name!r}; {hint}")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Write the first names of a list in quotation marks, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
