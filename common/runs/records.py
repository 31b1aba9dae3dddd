"""What one run leaves behind: write, read, list.

A run leaves one folder, `<out>/runs/<experiment>/<protocol>/<digest>/seed-0000/`, with `record.json` and `arrays.npz`.
Both are written under a temporary name and renamed when complete, the record last: a folder without `record.json` is
a run that did not finish, and counts for nothing. A record holds the digest of its arrays and of itself, and counts
only as long as both are what they were. In the same two files, what the seeds share lies beside them in
`<digest>/once/`, and a detector in `<digest>/detectors/<name>/seed-0000/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import RecordError
from common.files import alone_in, digest_of, write_together
from common.metrics.scores import Metrics, Undefined

SCHEMA = 2
OK, FAILED, INTERRUPTED = "ok", "failed", "interrupted"
RECORD, ARRAYS = "record.json", "arrays.npz"
# A file that is not there is damage; one that cannot be read just now, for want of rights or handles, is not.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class Record:
    """One run, as `record.json` holds it.

    `seed` is `None` for the part that all seeds share. `metrics` is flat; an undefined metric is `None` there and has
    its reason in `undefined`. `data` maps the data set to its sha256 or to the name of its stand-in; it is empty where
    the experiment draws its data itself.
    """

    experiment: str
    protocol: str
    digest: str
    seed: int | None
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


def digest_folder(out: Path, experiment: str, protocol: str, digest: str) -> Path:
    """The folder of all seeds of one digest."""
    return out / "runs" / experiment / protocol / digest


def detector_folder(digest_folder: Path, detector: str) -> Path:
    """The folder of a detector under the splits of the runs of one digest."""
    return digest_folder / "detectors" / detector


def seed_folder(folder: Path, seed: int | None) -> Path:
    """The folder of one record; without a seed that of what all seeds share."""
    return folder / ("once" if seed is None else f"seed-{seed:04d}")


def seed_of(record: Record) -> int:
    """Give the seed of the record of a run or a detector, which always has one."""
    assert record.seed is not None
    return record.seed


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


def write_run(
    folder: Path, record: Record, arrays: Mapping[str, NDArray[Any]] | None = None, unless_finished: bool = False
) -> Record:
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
    text = json.dumps({**content, "checksum": digest_of(content)}, indent=1, allow_nan=False)
    files[folder / RECORD] = text.encode()
    with alone_in(folder):
        if unless_finished:
            with contextlib.suppress(RecordError):
                there = read_record(folder)
                if there.status == OK:
                    return there
        write_together(files)
    return Record(**content)


def read_record(folder: Path) -> Record:
    """Read the `record.json` of a run.

    Raises:
        RecordError: it is missing, damaged, or of another schema version.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise RecordError(f"{path} has schema version {content['schema']}, this suite reads version {SCHEMA}")
        if content.pop("checksum") != digest_of(content):
            raise RecordError(f"{path} is not as it was written; run the seed again with --fresh")
        # Older records of what the seeds share have neither; they were written only when it was finished.
        record = Record(**{"seed": None, "status": OK, **content})
        _require_types(record)
    except (*ABSENT, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError(f"{path} is no record: {error}") from error
    place = folder.parents[1] if folder.parent.parent.name == "detectors" else folder
    if (record.experiment, record.protocol, record.digest) != place.parts[-4:-1]:
        raise RecordError(
            f"{path} belongs to {record.experiment}/{record.protocol}/{record.digest}, and lies elsewhere"
        )
    if folder != seed_folder(folder.parent, record.seed):
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


def _require_types(record: Record) -> None:
    """What comes from a file may hold anything, and must not fail later, where nobody expects it.

    Raises:
        ValueError: a field holds what it cannot hold.
    """
    for name, value in vars(record).items():
        if name in _ENTRIES:
            right = isinstance(value, dict) and all(_is_entry(entry, _ENTRIES[name]) for entry in value.values())
        elif name in ("seed", "revision", "schema"):
            right = (type(value) is int and value >= 0) or (value is None and name == "seed")
        else:
            right = isinstance(value, str) or (value is None and name in ("error", "arrays_sha256"))
        if not right:
            raise ValueError(f"{name} is {value!r:.60}")
    if {name for name, value in record.metrics.items() if value is None} != set(record.undefined):
        raise ValueError("its undefined metrics and their reasons do not go together")
    if "total" not in record.durations and record.status == OK:
        raise ValueError("how long it took is missing")


def _is_entry(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and isinstance(value, kinds)
    if isinstance(value, int) and abs(value) >= 2**63:
        return False
    return isinstance(value, kinds) and (object in kinds or not isinstance(value, bool))


def read_arrays(folder: Path, record: Record) -> dict[str, NDArray[Any]]:
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


def _arrays_content(folder: Path, record: Record) -> bytes:
    path = folder / ARRAYS
    try:
        content = path.read_bytes()
    except ABSENT as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != record.arrays_sha256:
        raise RecordError(f"{path} is not the file that its record was written with; run the seed again with --fresh")
    return content


def set_aside(folder: Path) -> str | None:
    """Give a damaged record another name, so that it counts for nothing and can still be looked at.

    Args:
        folder: of the record.

    Returns:
        What is wrong with it; `None` where there is no record, or a whole one.
    """
    if not (folder / RECORD).exists():
        return None
    with alone_in(folder):
        try:
            read_record(folder)
        except RecordError as error:
            for name in (RECORD, ARRAYS):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).replace(folder / f"{name}.damaged")
            return str(error)
    return None
