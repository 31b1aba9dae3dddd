"""Find, verify and load the data sets: MNIST, Fashion-MNIST, and ProcessMiner's paper machine.

data/datasets.toml lists the files of each data set, their digests and their download addresses. The files are searched
for in these folders and the folders below them, in this order: the folder given by the caller, `$ANOMALY_DATA`,
`data/raw/`, `../shared/data/` beside this checkout, and the download folder of Keras. Images that are found in none of
them are downloaded to `data/raw/`. If a data set cannot be obtained, a stand-in is generated, unless the caller allows
real data only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from common import files
from common.data import images, paper_machine, search, stand_ins
from common.data.images import Images
from common.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger(__name__)

SHARED = files.HOME.parent / "shared" / "data"
# Version of the parsed copies in the cache; raise it when their form changes.
FORMAT = 2
MODES = ("auto", "real", "stand-in")
# The warnings that this process has given.
_warned: set[str] = set()


@dataclass(frozen=True)
class Source:
    """The choice between real data and a stand-in, and the folder to search first.

    Attributes:
        mode: "auto" (a stand-in if the real data cannot be obtained), "real" (never a stand-in) or "stand-in" (always).
        data_dir: folder that is searched before all others. Default: none.
    """

    mode: str = "auto"
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise DataError(f"the data mode must be one of {', '.join(MODES)}. Received: {self.mode!r}")


AUTO = Source()


class File(Struct, frozen=True):
    """One file of a data set."""

    name: str
    size: int
    sha256: str


class Form(Struct, frozen=True):
    """One of the forms in which a data set is published: files that together hold all of it, and their addresses."""

    files: tuple[File, ...]
    addresses: tuple[str, ...] = ()


class DataSet(Struct, frozen=True):
    """An entry of data/datasets.toml; the fields are explained there."""

    name: str
    title: str
    authors: str
    licence: str
    folder: str
    forms: tuple[Form, ...]
    content: str = ""
    arrays: tuple[str, ...] = ()
    stem: str = ""
    ask: str = ""
    classes: tuple[str, ...] = ()

    @property
    def downloadable(self) -> bool:
        """True if the data set has a download address; if not, it must be requested from its owner."""
        return any(form.addresses for form in self.forms)


class Found(NamedTuple):
    """Verified files of a data set, the sha256 digest that identifies its content, and notes on what is doubtful."""

    files: tuple[Path, ...]
    digest: str
    notes: tuple[str, ...]


_ENTRIES = tomllib.loads((files.ROOT / "data" / "datasets.toml").read_text(encoding="utf-8"))
DATASETS = {name: files.from_plain({"name": name, **entry}, DataSet) for name, entry in _ENTRIES.items()}


# The public functions, used by the runs and the command line.


def load(name: str, source: Source = AUTO) -> Any:
    """Load a data set from its files, or generate its stand-in.

    Args:
        name: "mnist", "fashion_mnist" or "processminer".
        source: real data or stand-in, and the folder to search first. Default: real data if they can be obtained.

    Returns:
        `Images` with unscaled pixels; for the paper machine a pandas `DataFrame` of 63 columns: `time` (datetime64),
        `y` (int64, 1 in the rows where the paper sheet broke), and the sensors `x1` to `x61` (float64).

    Raises:
        DataError: the files are damaged, or they cannot be obtained and the source allows no stand-in.
        ConfigError: there is no such folder to search.
    """
    found = _resolve(_dataset(name), source)
    data = stand_ins.draw(name) if found is None else _read(name, found)
    return _to_frame(data) if isinstance(data, paper_machine.Table) else data


def check(name: str, source: Source = AUTO) -> None:
    """Check that `load` would succeed, and give its warnings; a stand-in is not generated.

    Raises:
        DataError, ConfigError: under the same conditions as `load`.
    """
    if found := _resolve(_dataset(name), source):
        _read(name, found)


def identify(name: str, source: Source = AUTO) -> str:
    """Identify the data that `load` would return: the sha256 digest of the data set, or "stand-in: <description>".

    The digest of images is computed from pixels and labels, so it is the same for every file format; the digest of the
    paper machine's table is that of its file. Missing files are downloaded, as by `load`, but no file is parsed.

    Raises:
        DataError: under the same conditions as `load`.
    """
    found = _resolve(_dataset(name), source)
    return found.digest if found else stand_ins.STAND_IN + stand_ins.NAMES[name]


def find(name: str, source: Source = AUTO) -> list[Path]:
    """Find the files of a data set on this machine and verify them, without downloading anything.

    Returns:
        The paths of the files; an empty list if there are none.

    Raises:
        DataError: the files are there, but one of them is damaged or has another content.
    """
    found, notes = _find(_dataset(name), source)
    _warn_once(*notes)
    return list(dict.fromkeys(found.files)) if found else []


def fetch(name: str, folder: Path) -> list[Path]:
    """Download a data set into its own subfolder of `folder`. Files that are there with the right digest are kept.

    Raises:
        DataError: the download failed, and why; or the data set must be requested from its owner, and how.
    """
    dataset = _dataset(name)
    folder = folder / dataset.folder
    if not dataset.downloadable:
        raise DataError(f"{name} cannot be downloaded: {dataset.ask}, in {folder}")
    problems = []
    for form in dataset.forms:
        try:
            return [_fetch_file(file, form.addresses, folder) for file in form.files]
        except DataError as error:
            problems.append(str(error))
    raise DataError(f"{name}: {'; '.join(problems)}")


# From the name of a data set to its verified files.


def _dataset(name: str) -> DataSet:
    if name not in DATASETS:
        raise DataError(f"there is no data set {name!r}; known are: {', '.join(DATASETS)}")
    return DATASETS[name]


def _resolve(dataset: DataSet, source: Source) -> Found | None:
    """Find the files of a data set, and download them if they are missing; `None` means to use the stand-in."""
    if source.mode == "stand-in":
        return None
    found, notes = _find(dataset, source)
    trouble = None if found else _try_to_fetch(dataset.name, files.RAW_DATA)
    if not found and not trouble:
        found, notes = _find(dataset, source)
    if found:
        return found
    places = f"looked in {', '.join(map(str, _places(source)))}"
    problem = f"{'; '.join([trouble or f'{dataset.name} is missing', *notes])} ({places})"
    if source.mode == "real":
        raise DataError(problem)
    _warn_once(f"{problem}. Going on with a stand-in: {stand_ins.NAMES[dataset.name]}")
    return None


@functools.cache
def _try_to_fetch(name: str, folder: Path) -> str | None:
    """Download a data set; return the error message if that fails.

    Cached, because without a network every attempt waits for a time-out.
    """
    try:
        fetch(name, folder)
    except DataError as error:
        return str(error)
    return None


def _places(source: Source) -> list[Path]:
    """List the folders to search, in order. Folders that the user named must exist."""
    variable = os.environ.get("ANOMALY_DATA")
    named = [place for place in (source.data_dir, variable and files.folder_named(variable)) if place]
    for place in named:
        if not (place.is_dir() and os.access(place, os.R_OK | os.X_OK)):
            raise ConfigError(f"there is no readable data directory {place}; correct --data-dir or $ANOMALY_DATA")
    places = [*named, files.RAW_DATA, SHARED]
    # Under a user id without an entry in the system's list of users there may be no home folder.
    with contextlib.suppress(ConfigError):
        places.append(files.folder_named(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets")
    return places


def _find(dataset: DataSet, source: Source) -> tuple[Found | None, list[str]]:
    """Search all places for a data set; return what was found, and notes on what is doubtful about it or not used."""
    notes: list[str] = []
    for place in _places(source):
        found = _search_images(dataset, place) if dataset.arrays else _search_table(dataset, place)
        notes += found.notes
        if found.files:
            digest = dataset.content or files.sha256_of(found.files[0])
            if not dataset.arrays and digest not in {file.sha256 for form in dataset.forms for file in form.files}:
                doubt = f"an unknown digest ({digest}): it is accepted if its columns and cells match the schema"
                notes.append(f"{found.files[0]} has {doubt}")
            return Found(found.files, digest, tuple(notes)), notes
    return None, notes


def _search_images(dataset: DataSet, place: Path) -> search.Place:
    others = {digest for other in DATASETS.values() if other is not dataset for digest in other.arrays}
    published = [file.name for file in dataset.forms[0].files]
    return search.find_images(dataset.name, dataset.arrays, others, published, place)


def _search_table(dataset: DataSet, place: Path) -> search.Place:
    known = {file.name: (file.size, file.sha256) for form in dataset.forms for file in form.files}
    return search.find_table(dataset.stem, known, paper_machine.COLUMNS, place)


def _fetch_file(file: File, addresses: Sequence[str], folder: Path) -> Path:
    path = folder / file.name
    if not path.is_file() or files.sha256_of(path) != file.sha256:
        from common.data.download import download  # imported here: slow to import, seldom needed

        download([address + file.name for address in addresses], path, file.size, file.sha256)
    return path


def _warn_once(*messages: str) -> None:
    for message in filter(None, messages):
        if message not in _warned:
            _warned.add(message)
            logger.warning(message)


# From verified files to arrays and tables.


def _read(name: str, found: Found) -> Images | paper_machine.Table:
    """Read verified files, or their parsed copy in the cache."""
    kind, read = (Images, _read_images) if DATASETS[name].arrays else (paper_machine.Table, _read_table)
    path, key = files.CACHE / f"{name}.npz", f"{found.digest} {FORMAT}"
    arrays: dict[str, Any] = files.kept_arrays(path, key, lambda: read(found)._asdict())
    _warn_once(*found.notes, str(arrays.get("note", "")))
    return kind(**arrays)


def _read_images(found: Found) -> Images:
    read = images.read_images(found.files)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in read)).hexdigest()
    if digest != found.digest:
        raise DataError(f"{found.files[0]}: expected pixels and labels of sha256 {found.digest}, found {digest}")
    return read


def _read_table(found: Found) -> paper_machine.Table:
    table = paper_machine.read_table(found.files[0])
    if len(table.y) < paper_machine.FEWEST_ROWS:
        raise DataError(f"{found.files[0]}: expected {paper_machine.FEWEST_ROWS} rows or more, found {len(table.y)}")
    return table


def _to_frame(table: paper_machine.Table) -> pandas.DataFrame:
    import pandas

    columns = dict(zip(paper_machine.SENSORS, table.x.T, strict=True))
    return pandas.DataFrame({"time": table.time, "y": table.y, **columns})
