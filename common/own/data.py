"""Find a user's own data, check them, and load them again later if they are still the same."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.errors import DataError
from common.own.contents import Contents, warn
from common.own.images import OwnImages, files_of, read_images
from common.own.reading import KINDS as KINDS
from common.own.reading import NO_OPTIONS, require_reading
from common.own.reading import Reading as Reading
from common.own.tables import Rows, Table, parse_rows, parse_table, require_table_file

# Version of the parsed copies in the cache; raise it when their form or the way they are read changes.
FORMAT = 1
# What is doubtful about a file is cached beside its arrays, without its path: the file may have moved.
_NOTES = "notes"


@dataclass(frozen=True)
class OwnData:
    """A user's own data.

    Attributes:
        path: path of the file or folder.
        kind: "images", "table" or "rows".
        reading: how a table is read.
        digest: sha256 digest of the names and contents of all files that are read, and of `kind` and `reading`.
    """

    path: Path
    kind: str
    reading: Reading
    digest: str

    @property
    def name(self) -> str:
        """The last part of the path, such as "parts" or "parts.csv"."""
        return Path(os.path.abspath(self.path)).name  # noqa: PTH100  a link keeps its own name

    def load(self) -> OwnImages | Table | Rows:
        """Load the data, from their parsed copy in the cache if there is one.

        Raises:
            DataError: the files have changed since `find`, or cannot be read any more.
        """
        if _digest(self.path, self.kind, self.reading) != self.digest:
            raise DataError(self._changed())
        return self._load()[0]

    def _load(self) -> tuple[OwnImages | Table | Rows, list[str]]:
        place = files.CACHE / "own" / f"{self.digest}.npz"
        arrays = files.kept_arrays(place, f"{self.digest} {FORMAT}", self._parse)
        notes = arrays.pop(_NOTES).tolist()
        return _from_arrays(self.kind, arrays), notes

    def _parse(self) -> Mapping[str, np.ndarray]:
        """Parse the files, and check that what was parsed is what the digest stands for."""
        contents = Contents(self.path)
        data, notes = _read(self.path, self.kind, self.reading, contents)
        if contents.digest(self.kind, self.reading) != self.digest:
            raise DataError(self._changed())
        arrays = {name: np.asarray(part) for name, part in data._asdict().items() if part is not None}
        return {**arrays, _NOTES: np.array(notes, dtype=np.str_)}

    def _changed(self) -> str:
        return f"{self.path} has changed since it was first read; start again"


def find(path: Path, kind: str, reading: Reading = NO_OPTIONS) -> OwnData:
    """Find a user's own data, read them completely to check them, and log warnings about what is doubtful.

    Args:
        path: a folder or .npz file of images, see `read_images`; or a table, see `read_table`.
        kind: "images"; "table" for rows of sensors in the order of time; or "rows" for rows without an order.
        reading: how a table is read. Default: no times, no labels, all columns, no missing values.

    Raises:
        DataError: there are no such data, or they are damaged or incomplete; the message is one line with the path.
        ConfigError: the options do not fit the kind, each other, or the columns of the table.
    """
    require_reading(kind, reading)
    data = OwnData(path, kind, reading, _digest(path, kind, reading))
    _, notes = data._load()
    warn(path, notes)
    return data


def _digest(path: Path, kind: str, reading: Reading) -> str:
    contents = Contents(path)
    if kind == "images":
        for file in files_of(path):
            contents.skim(file)
    else:
        require_table_file(path)
        contents.skim(path)
    return contents.digest(kind, reading)


def _read(path: Path, kind: str, reading: Reading, contents: Contents) -> tuple[OwnImages | Table | Rows, list[str]]:
    if kind == "images":
        return read_images(path, contents.read), []
    return (parse_table if kind == "table" else parse_rows)(path, reading, read=contents.read)


def _from_arrays(kind: str, arrays: dict[str, Any]) -> OwnImages | Table | Rows:
    if kind == "images":
        return OwnImages(**{"y_train": None, "y_test": None, **arrays})
    arrays = {"labels": None, **arrays}
    return Table(**{**arrays, "step": arrays["step"][()]}) if kind == "table" else Rows(**arrays)
