"""What one run leaves behind: write, read, list.

A run leaves one folder, `<out>/runs/<experiment>/<protocol>/<digest>/seed-0000/`, with `record.json` and `arrays.npz`.
Both are written under a temporary name and renamed when complete, the record last: a folder without `record.json` is
a run that did not finish, and counts for nothing. What the seeds share is computed once and lies beside them in
`<digest>/once/`, in the same two files, and so do the classical detectors, in `<digest>/detectors/<name>/seed-0000/`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.errors import RecordError
from common.metrics import Metric, Metrics, Undefined

SCHEMA = 1
OK, FAILED, INTERRUPTED = "ok", "failed", "interrupted"
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


def write_run(folder: Path, record: RecordT, arrays: Mapping[str, NDArray[Any]] | None = None) -> RecordT:
    """Write the arrays, then the record that makes them count.

    Args:
        folder: of the run; made if need be.
        record: without `arrays_sha256`, which is filled in here.
        arrays: what figures are drawn from; none for a failed run.

    Returns:
        The record as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = asdict(record)
    if arrays is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        content["arrays_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        write_atomically(folder / "arrays.npz", buffer.getvalue())
    write_atomically(folder / "record.json", json.dumps(content, indent=1, allow_nan=False).encode())
    return type(record)(**content)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its own folder, and rename it when it is complete and on the disk."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a report is for whoever may read its folder.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    path = folder / "record.json"
    try:
        record = kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"{path} is no record: {error}") from error
    if record.schema != SCHEMA:
        raise RecordError(f"{path} has schema version {record.schema}, this suite reads version {SCHEMA}")
    return record


def read_arrays(folder: Path, record: Record | OnceRecord) -> dict[str, NDArray[Any]]:
    """Read `arrays.npz`, without pickle, and make sure that it is the file which the record was written with.

    Raises:
        RecordError: the file is missing or another one.
    """
    path = folder / "arrays.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != record.arrays_sha256:
        raise RecordError(f"{path} is not the file that its record was written with; run the seed again with --fresh")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


class Found(NamedTuple):
    """A run folder, and its record or what is wrong with it."""

    folder: Path
    record: Record | None
    problem: str | None


def find_records(out: Path, experiment: str) -> Iterator[Found]:
    """Every run folder of an experiment that holds a record, whole or damaged, in order of path."""
    for path in sorted((out / "runs" / experiment).glob("*/*/seed-*/record.json")):
        if not re.fullmatch(r"seed-\d{4,}", path.parent.name):
            continue
        try:
            yield Found(path.parent, read_record(path.parent), None)
        except RecordError as error:
            yield Found(path.parent, None, str(error))


@dataclass
class Selection:
    """The records of one experiment, protocol and config, sorted by what a report may do with them.

    `runs` are finished, by seed, all on the same `data`.
    `failed` tells why the other seeds are not finished; `others` counts finished runs of other configs, other data or
    older code by their digest; `damaged` names records that cannot be read.
    """

    runs: dict[int, tuple[Path, Record]] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @property
    def stand_in(self) -> str | None:
        """What stood in for the real data, if anything did."""
        return stand_in_of(self.data)

    def metrics(self) -> dict[int, Mapping[str, float | int | None]]:
        """The metrics of every finished seed."""
        return {seed: record.metrics for seed, (_, record) in sorted(self.runs.items())}


def stand_in_of(data: Mapping[str, str]) -> str | None:
    """What stood in for the real data of a run, or None where the data were real or drawn by the experiment."""
    return ", ".join(value for value in data.values() if value.startswith(STAND_IN)) or None


def select(out: Path, experiment: str, protocol: str, config: Mapping[str, Any], revision: int) -> Selection:
    """Find what may be compared and reported: records of this very config, made by this revision of the code.

    Runs on real data are preferred to those on stand-ins, and where the same data set came in several files, those with
    the most runs: what is reported together was made from one file.
    """
    selection = Selection()
    matching: dict[str, list[tuple[Path, Record]]] = {}
    for folder, record, problem in find_records(out, experiment):
        if record is None:
            selection.damaged.append(problem or str(folder))
        elif record.protocol != protocol:
            continue
        elif record.config == config and record.revision == revision:
            matching.setdefault(record.digest, []).append((folder, record))
        elif record.status == OK:
            selection.others[record.digest] = selection.others.get(record.digest, 0) + 1
    if matching:
        chosen = max(matching, key=lambda digest: _preference(matching[digest]))
        for folder, record in matching.pop(chosen):
            if record.status == OK:
                selection.runs[record.seed] = (folder, record)
                selection.data = record.data
            else:
                selection.failed[record.seed] = record.error or record.status
    for digest, found in matching.items():
        if finished := sum(record.status == OK for _, record in found):
            selection.others[digest] = finished
    return selection


def _preference(found: list[tuple[Path, Record]]) -> tuple[bool, int]:
    finished = [record for _, record in found if record.status == OK]
    return bool(finished) and stand_in_of(finished[0].data) is None, len(finished)
