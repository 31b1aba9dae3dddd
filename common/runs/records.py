"""What one run leaves behind: write, read, list.

A run leaves one folder, `<out>/runs/<experiment>/<protocol>/<digest>/seed-0000/`, with `record.json` and `arrays.npz`.
Both are written under a temporary name and renamed when complete, the record last: a folder without `record.json` is
a run that did not finish, and counts for nothing. A record holds the digest of its arrays and of itself, and counts
only as long as both are what they were. What the seeds share is computed once and lies beside them in
`<digest>/once/`, in the same two files, and so do the classical detectors, in `<digest>/detectors/<name>/seed-0000/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.errors import RecordError
from common.metrics.scores import Metric, Metrics, Undefined

SCHEMA = 2
OK, FAILED, INTERRUPTED = "ok", "failed", "interrupted"
RECORD, ARRAYS = "record.json", "arrays.npz"
# A file that is not there is damage; one that cannot be read just now, for want of rights or handles, is not.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# What the name of a file begins with while it is written.
TEMPORARY = ".unfinished-"
# What the digest of a data set begins with where something stood in for it.
STAND_IN = "stand-in: "


class Result(NamedTuple):
    """What an experiment's `run` returns: a flat mapping of metrics, and the arrays that its figures need."""

    metrics: Metrics
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Record:
    """One run, as `record.json` holds it.

    `metrics` is flat; an undefined metric is `None` there and has its reason in `undefined`. `data` maps each data set
    to its sha256 or to the name of its stand-in; it is empty where the experiment draws its data itself.
    """

    experiment: str
    protocol: str
    digest: str
    seed: int
    status: str
    config: Mapping[str, Any]
    revision: int
    data: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    arrays_sha256: str | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class OnceRecord:
    """What all seeds of one digest share, as the `record.json` in `once/` holds it. It exists only when it is finished.

    The fields are those of `Record`, without what only a run has: a seed, a status, an error.
    """

    experiment: str
    protocol: str
    digest: str
    config: Mapping[str, Any]
    revision: int
    data: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    arrays_sha256: str | None = None
    schema: int = SCHEMA


RecordT = TypeVar("RecordT", Record, OnceRecord)


def digest_of(config: Mapping[str, Any], protocol: str, data: Mapping[str, str], revision: int) -> str:
    """Twelve hexadecimal digits that name everything a run depends on besides its seed."""
    content = {"config": config, "protocol": protocol, "data": data, "revision": revision}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def stand_in_of(data: Mapping[str, str]) -> str | None:
    """What stood in for the real data of a run, or None where the data were real or drawn by the experiment."""
    return ", ".join(value for value in data.values() if value.startswith(STAND_IN)) or None


def run_folder(out: Path, experiment: str, protocol: str, digest: str, seed: int) -> Path:
    """Where the run of one seed leaves its record."""
    return out / "runs" / experiment / protocol / digest / f"seed-{seed:04d}"


def once_folder(out: Path, experiment: str, protocol: str, digest: str) -> Path:
    """Where the seeds of one digest keep what they share."""
    return out / "runs" / experiment / protocol / digest / "once"


def detector_folder(out: Path, experiment: str, protocol: str, digest: str, detector: str, seed: int) -> Path:
    """Where a classical detector under the split of one seed leaves its record."""
    return out / "runs" / experiment / protocol / digest / "detectors" / detector / f"seed-{seed:04d}"


def flatten(metrics: Metrics) -> tuple[dict[str, float | int | None], dict[str, str]]:
    """Split metrics into JSON's numbers and nulls, and the reasons of the nulls.

    Raises:
        ValueError: a metric is NaN or infinite, which no metric may be.
    """
    values: dict[str, float | int | None] = {}
    undefined: dict[str, str] = {}
    for name, metric in metrics.items():
        if isinstance(metric, Undefined):
            values[name], undefined[name] = None, metric.reason
        elif not np.isfinite(metric):
            raise ValueError(f"Metric {name} is {metric}; an undefined metric must be Undefined with a reason")
        else:
            values[name] = metric
    return values, undefined


def unflatten(record: Record | OnceRecord) -> dict[str, Metric]:
    """The metrics of a record as they were before `flatten`."""
    return {
        name: Undefined(record.undefined[name]) if value is None else value for name, value in record.metrics.items()
    }


def write_run(
    folder: Path, record: RecordT, arrays: Mapping[str, NDArray[Any]] | None = None, unless_finished: bool = False
) -> RecordT:
    """Write the arrays and the record that makes them count.

    Args:
        folder: of the run; made if need be.
        record: without `arrays_sha256`, which is filled in here.
        arrays: what figures are drawn from; none for a failed run.
        unless_finished: write nothing where a finished run has left its record.

    Returns:
        The record as written, or the one that was there.

    Raises:
        OSError: of the disk; what was there before is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = asdict(record)
    files: dict[Path, bytes] = {}
    if arrays is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        content["arrays_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        files[folder / ARRAYS] = buffer.getvalue()
    text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, allow_nan=False)
    files[folder / RECORD] = text.encode()
    with alone_in(folder):
        if unless_finished:
            with contextlib.suppress(RecordError):
                there = _read(folder, type(record))
                if getattr(there, "status", OK) == OK:
                    return there
        write_together(files)
    return type(record)(**content)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within this context no other process writes into the folder; what a killed one has left there is removed."""
    try:
        import fcntl
    except ImportError:  # On Windows each file is still whole, only two files might come from two processes.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Where a file system knows no locks, it is as on Windows.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in folder.glob(f"{TEMPORARY}*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its own folder, and rename it when it is complete and on the disk.

    Raises:
        OSError: of the disk, with the path of the file; what was there before is as it was.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files that belong together: all are complete and on the disk before the first is renamed.

    Raises:
        OSError: of the disk, with the path of the file; what was there before is as it was.
    """
    temporaries: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in files.items():
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
            temporaries[path] = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes private files; a report is for whoever may read its folder.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
        for path in files:
            temporaries[path].replace(path)
            del temporaries[path]
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def read_record(folder: Path) -> Record:
    """Read the `record.json` of a run.

    Raises:
        RecordError: it is missing, damaged, or of another schema version.
    """
    return _read(folder, Record)


def read_once(folder: Path) -> OnceRecord:
    """Read the `record.json` of what the seeds share.

    Raises:
        RecordError: it is missing, damaged, or of another schema version.
    """
    return _read(folder, OnceRecord)


def _read(folder: Path, kind: type[RecordT]) -> RecordT:
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise RecordError(f"{path} has schema version {content['schema']}, this suite reads version {SCHEMA}")
        if content.pop("checksum") != _checksum(content):
            raise RecordError(f"{path} is not as it was written; run the seed again with --fresh")
        record = kind(**content)
        _require_types(record)
    except (*ABSENT, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError(f"{path} is no record: {error}") from error
    place = folder.parents[1] if folder.parent.parent.name == "detectors" else folder
    if (record.experiment, record.protocol, record.digest) != place.parts[-4:-1]:
        raise RecordError(
            f"{path} belongs to {record.experiment}/{record.protocol}/{record.digest}, and lies elsewhere"
        )
    if isinstance(record, Record) and folder.name != f"seed-{record.seed:04d}":
        raise RecordError(f"{path} is the record of seed {record.seed}, and lies elsewhere")
    if record.arrays_sha256 is not None:
        _arrays_content(folder, record)
    return record


# What the entries of a record's mappings may be.
_ENTRIES: Mapping[str, tuple[type, ...]] = {
    "config": (object,),
    "data": (str,),
    "metrics": (float, int, type(None)),
    "undefined": (str,),
    "environment": (object,),
    "durations": (float, int),
}


def _require_types(record: Record | OnceRecord) -> None:
    """What comes from a file may hold anything, and must not fail later, where nobody expects it.

    Raises:
        ValueError: a field holds what it cannot hold.
    """
    for name, value in vars(record).items():
        if name in _ENTRIES:
            right = isinstance(value, dict) and all(_is_entry(entry, _ENTRIES[name]) for entry in value.values())
        elif name in ("seed", "revision", "schema"):
            right = type(value) is int and value >= 0
        else:
            right = isinstance(value, str) or (value is None and name in ("error", "arrays_sha256"))
        if not right:
            raise ValueError(f"{name} is {value!r:.60}")
    if {name for name, value in record.metrics.items() if value is None} != set(record.undefined):
        raise ValueError("its undefined metrics and their reasons do not go together")
    if "total" not in record.durations and getattr(record, "status", OK) == OK:
        raise ValueError("how long it took is missing")


def _is_entry(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and isinstance(value, kinds)
    if isinstance(value, int) and abs(value) >= 2**63:
        return False
    return isinstance(value, kinds) and (object in kinds or not isinstance(value, bool))


def read_arrays(folder: Path, record: Record | OnceRecord) -> dict[str, NDArray[Any]]:
    """Read `arrays.npz`, without pickle, and make sure that it is the file which the record was written with.

    Raises:
        RecordError: the file is missing or another one.
    """
    content = _arrays_content(folder, record)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # damage goes through three libraries, and each has its own words for it
        raise RecordError(f"{folder / ARRAYS} holds no plain arrays: {error}") from error


def _arrays_content(folder: Path, record: Record | OnceRecord) -> bytes:
    path = folder / ARRAYS
    try:
        content = path.read_bytes()
    except ABSENT as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != record.arrays_sha256:
        raise RecordError(f"{path} is not the file that its record was written with; run the seed again with --fresh")
    return content


def set_aside(folder: Path, kind: Any = Record) -> str | None:
    """Give a damaged record another name, so that it counts for nothing and can still be looked at.

    Args:
        folder: of the record.
        kind: `Record` or `OnceRecord`.

    Returns:
        What is wrong with it; `None` where there is no record, or a whole one.
    """
    if not (folder / RECORD).exists():
        return None
    with alone_in(folder):
        try:
            _read(folder, kind)
        except RecordError as error:
            for name in (RECORD, ARRAYS):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).replace(folder / f"{name}.damaged")
            return str(error)
    return None
