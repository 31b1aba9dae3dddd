"""Read a user's table: rows of sensors in the order of time, or rows without an order."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.table_files import EXTENSIONS, Cells, read_cells, require_rectangle
from common.errors import DataError
from common.experiment import Prepared, Trained
from common.own.columns import Sheet, find_step, is_number, read_labels, read_numbers, read_times, require_one_mark
from common.own.contents import Read, read_bytes, require_path, warn
from common.own.reading import Reading, listed, require_named, require_reading

# Each part that labelled rows are divided into must have rows of both classes.
FEWEST = 10


class Table(NamedTuple):
    """Rows in the order of time.

    Attributes:
        features: float64 array (rows, columns).
        names: names of the columns of `features`, texts (columns,).
        labels: int64 array (rows,), 1 for an anomaly; `None` without labels.
        times: datetime64[s] array (rows,), rising; a difference is a multiple of `step`.
        step: most common difference between the times of successive rows, timedelta64[s].
    """

    features: np.ndarray
    names: np.ndarray
    labels: np.ndarray | None
    times: np.ndarray
    step: np.timedelta64


class Rows(NamedTuple):
    """Rows without an order.

    Attributes:
        x: float64 array (n, columns).
        labels: int64 array (n,), 1 for an anomaly; `None` without labels.
        names: names of the columns of `x`, texts (columns,).
    """

    x: np.ndarray
    labels: np.ndarray | None
    names: np.ndarray

    def divided(self, fraction: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Set a fraction of the rows aside at random, the same ones every time, with its share of the anomalies.

        Returns:
            The other rows and their labels, all 0 without labels; the rows set aside and their labels.

        Raises:
            DataError: there are too few normal rows or anomalies.
        """
        from sklearn.model_selection import train_test_split

        counts = [] if self.labels is None else np.unique(self.labels, return_counts=True)[1].tolist()
        anomalies = 0 if self.labels is None else int(self.labels.sum())
        if anomalies and (len(counts) < 2 or min(counts) < FEWEST):
            raise DataError(
                f"{FEWEST} or more normal rows and as many anomalies are needed to divide labelled rows. "
                f"Received: {len(self.x) - anomalies} normal rows and {anomalies} anomalies"
            )
        y = np.zeros(len(self.x), int) if self.labels is None else self.labels
        x, x_aside, y, y_aside = train_test_split(self.x, y, test_size=fraction, random_state=0, stratify=y)
        return x, y, x_aside, y_aside


def as_they_are(trained: Trained, rows: Rows) -> Prepared:
    """Give rows to a trained model as they are: `prepare` of an experiment that neither scales nor reshapes them."""
    return Prepared(rows.x, np.arange(len(rows.x)))


def read_table(path: Path, reading: Reading, columns: Sequence[str] | None = None) -> Table:
    """Read a table of rows in the order of time, and log warnings about what is doubtful, once in this process.

    Args:
        path: a text file or a workbook, see `read_cells`. In a text file whose columns are not separated by commas,
            numbers may have decimal commas.
        reading: names of the columns of times and of labels, which columns to leave out, and what replaces missing
            values: empty cells, NA, NaN, null and the like.
        columns: names of the features, in their order; other columns are ignored. Default: all that are left.

    Raises:
        DataError: the file cannot be read, a cell is not what it should be, or times are not evenly spaced. The message
            is one line with the path, and the row in the file, where the header is row 1.
        ConfigError: the options name a column that is not there, or do not fit each other.
    """
    table, notes = parse_table(path, reading, columns)
    warn(path, notes)
    return table


def read_rows(path: Path, reading: Reading, columns: Sequence[str] | None = None) -> Rows:
    """Read a table of rows without an order: like `read_table`, without times.

    With `columns`, one row is enough.

    Raises:
        DataError, ConfigError: under the same conditions as `read_table`.
    """
    rows, notes = parse_rows(path, reading, columns)
    warn(path, notes)
    return rows


def parse_table(
    path: Path, reading: Reading, columns: Sequence[str] | None = None, read: Read = read_bytes
) -> tuple[Table, list[str]]:
    """Read a table like `read_table`, and return its warnings, without the path, instead of logging them.

    Args:
        path: as for `read_table`.
        reading: as for `read_table`.
        columns: as for `read_table`.
        read: reads the content of the file. Default: as usual.
    """
    require_reading("table", reading)
    sheet, names = _open(path, reading, columns, read)
    time = str(reading.time)
    _require_rows(path, len(sheet.rows), 2)
    times, unsure = read_times(sheet, time)
    step, gaps = find_step(sheet, time, times)
    labels, features, kept = _values(sheet, names, reading)
    _require_rows(path, int(kept.sum()), 2, reading)
    notes = [unsure, gaps, *([] if columns else _doubts(features, names))]
    table = Table(features, np.array(names, dtype=np.str_), labels, times[kept], step)
    return table, [note for note in notes if note]


def parse_rows(
    path: Path, reading: Reading, columns: Sequence[str] | None = None, read: Read = read_bytes
) -> tuple[Rows, list[str]]:
    """Read a table like `read_rows`, and return its warnings instead of logging them; see `parse_table`."""
    require_reading("rows", reading)
    sheet, names = _open(path, reading, columns, read)
    labels, x, kept = _values(sheet, names, reading)
    _require_rows(path, int(kept.sum()), 1 if columns else 2, reading)
    return Rows(x, labels, np.array(names, dtype=np.str_)), [] if columns else _doubts(x, names)


def require_table_file(path: Path) -> None:
    """Check that a path is a file with the name of a table.

    Raises:
        DataError: it is not.
    """
    require_path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a table, a file {', '.join(EXTENSIONS)}")
    if path.suffix.lower() not in EXTENSIONS:
        raise DataError(f"{path} is no table; expected a file {', '.join(EXTENSIONS)}")


def _open(path: Path, reading: Reading, columns: Sequence[str] | None, read: Read) -> tuple[Sheet, list[str]]:
    """Read the cells of a file, and choose the columns of features."""
    require_table_file(path)
    content = read(path)
    if not content.strip():
        raise DataError(f"{path} is empty; expected a header and rows")
    wanted = [name for name in (reading.time, reading.label, *(columns or ())) if name is not None]
    cells = read_cells(path, wanted, content, lower=False)
    _require_names(cells)
    require_named(reading, cells.header, dropped=columns is None)
    names = _features(cells, reading, columns)
    require_rectangle(cells)
    _require_rows(path, len(cells.rows), 1)
    by_column = zip(*(row for _, row in cells.rows), strict=False)
    sheet = dict(zip(cells.header, by_column, strict=False))
    return Sheet(path, [number for number, _ in cells.rows], sheet, cells.delimiter not in ("", ",")), names


def _require_names(cells: Cells) -> None:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(cells.header, start=1):
        places.setdefault(name, []).append(place)
    where = f"{cells.path}, row 1"
    if not places:
        raise DataError(f"{where}: expected names of columns, found none")
    if "" in places:
        raise DataError(f"{where}: expected a name for each column, found none for {_positions(places[''])}")
    for name, positions in places.items():
        if len(positions) > 1:
            raise DataError(f"{where}: expected different names, found {name!r} for {_positions(positions)}")


def _positions(places: Sequence[int]) -> str:
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return f"column{'s' * (len(places) > 1)} {', '.join(map(str, places[:5]))}{more}"


def _features(cells: Cells, reading: Reading, columns: Sequence[str] | None) -> list[str]:
    if columns is not None:
        missing = sorted({*columns} - {*cells.header}, key=list(columns).index)
        if missing:
            raise DataError(
                f"{cells.path}, row 1: expected {len(columns)} columns of features, missing {listed(missing)}"
            )
        return list(columns)
    others = {reading.time, reading.label, *reading.drop}
    names = [name for name in cells.header if name not in others]
    if not names:
        raise DataError(f"{cells.path}, row 1: no column of features is left of {listed(cells.header)}")
    return names


def _require_rows(path: Path, rows: int, fewest: int, reading: Reading | None = None) -> None:
    if rows < fewest:
        left = " without missing values" if reading is not None and reading.fill == "drop" else ""
        raise DataError(f"{path}: expected {fewest} or more rows below the header, found {rows}{left}")


def _values(sheet: Sheet, names: Sequence[str], reading: Reading) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Convert labels and features, and fill missing values; the labels and features that are kept, and which rows."""
    labels = None if reading.label is None else read_labels(sheet, reading.label)
    features = np.column_stack([read_numbers(sheet, name) for name in names])
    require_one_mark(sheet, names)
    missing = np.isnan(features)
    kept = np.full(len(features), True)
    if missing.any():
        if reading.fill == "drop":
            kept = ~missing.any(axis=1)
        elif reading.fill == "previous":
            features = _filled(sheet, names, features, missing)
        else:
            row, column = np.argwhere(missing)[0]
            hint = "take the value of the row before with --fill previous, or leave such rows out with --fill drop"
            sheet.refuse(row, names[column], f"the value is missing, as are {missing.sum() - 1} more; {hint}")
    return None if labels is None else labels[kept], features[kept], kept


def _filled(sheet: Sheet, names: Sequence[str], features: np.ndarray, missing: np.ndarray) -> np.ndarray:
    if missing[0].any():
        problem = "the value is missing and there is no row before; remove the row, or leave it out with --fill drop"
        sheet.refuse(0, names[int(np.argmax(missing[0]))], problem)
    places = np.where(missing, 0, np.arange(len(features))[:, None])
    return np.take_along_axis(features, np.maximum.accumulate(places), axis=0)


def _doubts(features: np.ndarray, names: Sequence[str]) -> list[str]:
    """Describe what is doubtful about the features."""
    constant = [name for name, still in zip(names, (features == features[0]).all(axis=0), strict=True) if still]
    notes = [f"the same value in every row of {listed(constant)}"] if constant else []
    if all(is_number(name) for name in names):
        notes.append("the names of all columns are numbers; a table needs a row of names above its values")
    return notes
