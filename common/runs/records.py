"""Write and read the record of a run.

Each run has a folder, `<out>/runs/<experiment>/<protocol>/<digest>/seed-0000/`, with `record.json` and `arrays.npz`.
Both are written under a temporary name and renamed when complete, the record last: a folder without `record.json`
belongs to an unfinished run and is ignored. A record contains sha256 digests of its arrays and of itself, and is
rejected if one of them does not match. The results that all seeds share have the same two files in `<digest>/once/`,
those of a detector in `<digest>/detectors/<name>/seed-0000/`.
"""

import contextlib
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import RecordError
from common.files import alone_in, digest_of, from_plain, write_together
from common.metrics.scores import Metrics, Undefined
from common.metrics.thresholds import Decision

SCHEMA = 2
OK, FAILED, INTERRUPTED = "ok", "failed", "interrupted"
RECORD, ARRAYS, MODEL, KERAS = "record.json", "arrays.npz", "model.npz", "model.keras"
# Errors that mean the file is missing, which counts as a damaged record. Others, such as missing permissions or too
# many open files, do not.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True)
class Record:
    """The content of `record.json`: settings, results and environment of one run.

    Attributes:
        experiment: name of the experiment.
        protocol: "published" or "held_out".
        digest: digest of config, protocol, data and revision (`Task.digest`).
        seed: seed of the run; `None` for the results that all seeds share.
        status: "ok", "failed" or "interrupted".
        config: hyperparameters of the experiment.
        revision: revision of the code of the experiment or detector.
        data: the name of the data set and its sha256 digest or the name of its stand-in; empty if it reads none.
        metrics: values by metric name; `None` for an undefined metric.
        undefined: the reason for each undefined metric.
        decisions: the thresholds that were applied to the test samples; older records have none.
        error: error message of a run that did not finish.
        environment: versions, processor and commit (`environment.describe`).
        durations: seconds by part of the run, with "total" for all of it.
        arrays_sha256: digest of `arrays.npz`; `None` without arrays.
        model_sha256: digest of `model.npz`; `None` if the trained model was not saved.
        schema: version of this format.
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
    decisions: tuple[Decision, ...] = ()
    error: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    arrays_sha256: str | None = None
    model_sha256: str | None = None
    schema: int = SCHEMA


def digest_folder(out: Path, experiment: str, protocol: str, digest: str) -> Path:
    """Give the folder that contains the seeds of one digest."""
    return out / "runs" / experiment / protocol / digest


def detector_folder(digest_folder: Path, detector: str) -> Path:
    """Give the folder of a detector that is fitted on the splits of the runs of one digest."""
    return digest_folder / "detectors" / detector.replace(":", "-")  # a colon is no part of a name on every system


def seed_folder(folder: Path, seed: int | None) -> Path:
    """Give the folder of one record: that of a seed, or for `None` that of the results which all seeds share."""
    return folder / ("once" if seed is None else f"seed-{seed:04d}")


def seed_of(record: Record) -> int:
    """Give the seed of a record of a run or a detector, where it is never `None`."""
    assert record.seed is not None
    return record.seed


def flatten(metrics: Metrics) -> tuple[dict[str, float | int | None], dict[str, str]]:
    """Split metrics into values for JSON, with `None` for an undefined metric, and the reasons for the latter.

    Raises:
        ValueError: a metric is NaN or infinite.
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
    folder: Path,
    record: Record,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    unless_finished: bool = False,
    model: Mapping[str, bytes] = MappingProxyType({}),
) -> Record:
    """Write the record and the arrays of a run, and if wanted its model.

    Args:
        folder: folder of the run; created if missing.
        record: the record without `arrays_sha256` and `model_sha256`, which are filled in here.
        arrays: arrays by name, for figures and comparisons. Default: none, for a failed run.
        unless_finished: true to write nothing if the folder has the record of a finished run. Default: false.
        model: content of `model.npz` and `model.keras`. Default: no model.

    Returns:
        The record as written, or the existing one.

    Raises:
        OSError: a file cannot be written; the existing files are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[Path, bytes] = {}
    if arrays is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        record = replace(record, arrays_sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
        files[folder / ARRAYS] = buffer.getvalue()
    if model:
        record = replace(record, model_sha256=hashlib.sha256(model[MODEL]).hexdigest())
        files |= {folder / name: content for name, content in model.items()}
    content = asdict(record)
    text = json.dumps({**content, "checksum": digest_of(content)}, indent=1, allow_nan=False)
    files[folder / RECORD] = text.encode()
    with alone_in(folder):
        if unless_finished:
            with contextlib.suppress(RecordError):
                there = read_record(folder)
                if there.status == OK:
                    return there
        write_together(files)
    return record


def read_record(folder: Path) -> Record:
    """Read the `record.json` of a run.

    Raises:
        RecordError: the record is missing, damaged, in the wrong folder, or of another schema version.
    """
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise RecordError(f"{path} has schema version {content['schema']}, this suite reads version {SCHEMA}")
        if content.pop("checksum") != digest_of(content):
            raise RecordError(f"{path} is not as it was written; run the seed again with --fresh")
        # Older records of shared results lack these two fields; they were written only for finished ones.
        if unknown := content.keys() - {spec.name for spec in fields(Record)}:
            raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
        record = from_plain({"seed": None, "status": OK, **content}, Record)
        json.dumps(content, ensure_ascii=False).encode()  # a ValueError for text that is not Unicode
        _require_valid(record)
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
        _content(folder / ARRAYS, record.arrays_sha256)
    return record


def _require_valid(record: Record) -> None:
    """Check what the types of the fields do not express, so that a malformed file fails here and not in a report.

    Raises:
        ValueError: a field has a value that is not allowed.
    """
    for name, number in [*record.metrics.items(), *record.durations.items()]:
        if number is not None and not (math.isfinite(number) if isinstance(number, float) else abs(number) < 2**63):
            raise ValueError(f"{name} is {number!r:.60}")
    if (record.seed or 0) < 0 or record.revision < 0:
        raise ValueError("seed or revision is negative")
    if {name for name, value in record.metrics.items() if value is None} != set(record.undefined):
        raise ValueError("its undefined metrics and their reasons do not go together")
    if "total" not in record.durations and record.status == OK:
        raise ValueError("how long it took is missing")


def read_arrays(folder: Path, record: Record) -> dict[str, NDArray[Any]]:
    """Read `arrays.npz`, without pickle, and verify its digest.

    Args:
        folder: folder of the run.
        record: record of the run, which contains the digest.

    Raises:
        RecordError: the file is missing, or is not the one that the record was written with.
    """
    return _arrays(folder / ARRAYS, record.arrays_sha256)


def read_model(folder: Path, record: Record) -> dict[str, NDArray[Any]]:
    """Read `model.npz`, as `read_arrays` reads `arrays.npz`."""
    return _arrays(folder / MODEL, record.model_sha256)


def _arrays(path: Path, sha256: str | None) -> dict[str, NDArray[Any]]:
    content = _content(path, sha256)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # a damaged file can raise any exception of numpy, zipfile and zlib
        raise RecordError(f"{path} holds no plain arrays: {error}") from error


def _content(path: Path, sha256: str | None) -> bytes:
    try:
        content = path.read_bytes()
    except ABSENT as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{path} is not the file that its record was written with; run the seed again with --fresh")
    return content


def set_aside(folder: Path) -> str | None:
    """Rename the files of a damaged record to `*.damaged`, so that they are ignored but can still be inspected.

    Args:
        folder: folder of the record.

    Returns:
        Description of the damage; `None` if there is no record, or an undamaged one.
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
