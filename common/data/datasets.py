"""Find, verify and load the data sets: MNIST, Fashion-MNIST, and ProcessMiner's paper machine.

data/datasets.toml lists the files of each data set, their digests and their download addresses. The files are searched
for in this order: the folder given by the caller, `$ANOMALY_DATA`, `data/raw/`, `../shared/data/` beside this checkout,
and the download folder of Keras. Images that are found in none of them are downloaded to `data/raw/`. If a data set
cannot be obtained, a stand-in is generated, unless the caller allows real data only.
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
from common.data import images, paper_machine, stand_ins
from common.data.images import Images
from common.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger(__name__)

SHARED = files.HOME.parent / "shared" / "data"
# Version of the parsed copies in the cache; raise it when their form changes.
FORMAT = 1
MODES = ("auto", "real", "stand-in")


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
    patterns: tuple[str, ...] = ()
    ask: str = ""

    def digests(self) -> set[str]:
        """Collect the sha256 digests of all files in all forms."""
        return {file.sha256 for form in self.forms for file in form.files}

    @property
    def downloadable(self) -> bool:
        """True if the data set has a download address; if not, it must be requested from its owner."""
        return any(form.addresses for form in self.forms)


class Found(NamedTuple):
    """The verified files of a data set, and the sha256 digest that identifies its content."""

    files: tuple[Path, ...]
    digest: str


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
    """
    found = _resolve(_dataset(name), source)
    if found is None:
        data = stand_ins.draw(name)
    else:
        kind, read = (paper_machine.Table, _read_table) if name == "processminer" else (Images, _read_images)
        path, key = files.CACHE / f"{name}.npz", f"{found.digest} {FORMAT}"
        data = kind(**files.kept_arrays(path, key, lambda: read(found)._asdict()))
    return _to_frame(data) if isinstance(data, paper_machine.Table) else data


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
        DataError: a file has the expected name but another content.
    """
    found = _find(_dataset(name), source)
    return list(found.files) if found else []


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
    if found := _find(dataset, source):
        return found
    trouble = _try_to_fetch(dataset.name, files.RAW_DATA)
    if not trouble and (found := _find(dataset, source)):
        return found
    problem = f"{trouble or dataset.name + ' is missing'} (looked in {', '.join(map(str, _places(source)))})"
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
        if not place.is_dir():
            raise DataError(f"there is no data directory {place}; correct --data-dir or $ANOMALY_DATA")
    places = [*named, files.RAW_DATA, SHARED]
    # Under a user id without an entry in the system's list of users there may be no home folder.
    with contextlib.suppress(ConfigError):
        places.append(files.folder_named(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets")
    return places


def _find(dataset: DataSet, source: Source) -> Found | None:
    folders = [folder for place in _places(source) for folder in (place / dataset.folder, place)]
    return next((found for folder in folders if (found := _find_in(dataset, folder))), None)


def _find_in(dataset: DataSet, folder: Path) -> Found | None:
    if dataset.patterns:
        tables = [path for pattern in dataset.patterns for path in sorted(folder.glob(pattern))]
        return _accept_table(dataset, tables[0]) if tables else None
    for form in dataset.forms:
        paths = tuple(folder / file.name for file in form.files)
        missing = [path.name for path in paths if not path.is_file()]
        if not missing and not _belongs_to_another(dataset, paths[0]):
            return _verify(dataset, form, paths)
        if 0 < len(missing) < len(paths):
            _warn_once(f"{folder} holds only a part of the files; missing: {', '.join(missing)}")
    return None


def _belongs_to_another(dataset: DataSet, path: Path) -> bool:
    """Check if a file belongs to another data set: MNIST and Fashion-MNIST use the same file names."""
    digest = files.sha256_of(path)
    return any(digest in other.digests() for other in DATASETS.values() if other is not dataset)


def _verify(dataset: DataSet, form: Form, paths: tuple[Path, ...]) -> Found:
    for file, path in zip(form.files, paths, strict=True):
        digest = files.sha256_of(path)
        if digest != file.sha256:
            raise DataError(
                f"{path} is not the published file: expected sha256 {file.sha256} and {file.size} bytes, "
                f"found {digest} and {path.stat().st_size} bytes. Delete it, then: "
                f"python -m experiments fetch {dataset.name}"
            )
    return Found(paths, dataset.content)


def _accept_table(dataset: DataSet, path: Path) -> Found:
    digest = files.sha256_of(path)
    if digest not in dataset.digests():
        _warn_once(f"{path} has an unknown digest ({digest}): it is accepted if its columns and cells match the schema")
    return Found((path,), digest)


def _fetch_file(file: File, addresses: Sequence[str], folder: Path) -> Path:
    path = folder / file.name
    if not path.is_file() or files.sha256_of(path) != file.sha256:
        from common.data.download import download  # imported here: slow to import, seldom needed

        download([address + file.name for address in addresses], path, file.size, file.sha256)
    return path


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)


# From verified files to arrays and tables.


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
