"""Remembers the digests of files and the parsed copies of data sets, in data/cache/.

Everything here can be thrown away at any time. What cannot be read is made again, and where nothing can be written,
nothing is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.comparison.published import ROOT
from common.errors import DataError
from common.runs.records import write_atomically

CACHE = ROOT / "data" / "cache"
# Raise it when the parsed copies change their form.
FORMAT = 1


def sha256_of(path: Path) -> str:
    """The digest of a file, from memory when its path, size and time of change are those of last time.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return _sha256_of(path.resolve())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_arrays(key: str) -> dict[str, np.ndarray] | None:
    """The arrays that were kept under a key, or `None` when there are none or they are damaged."""
    try:
        with np.load(_arrays_path(key), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def write_arrays(key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays under a key."""
    content = io.BytesIO()
    np.savez(content, **dict(arrays))  # type: ignore[arg-type]
    _write(_arrays_path(key).name, content.getvalue())


def _sha256_of(path: Path) -> str:
    stamp = [path.stat().st_size, path.stat().st_mtime_ns]
    known = _read_digests()
    entry = known.get(str(path))
    if isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3:
        return str(entry[2])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _write("digests.json", json.dumps({**known, str(path): [*stamp, digest]}, indent=1).encode())
    return digest


def _arrays_path(key: str) -> Path:
    return CACHE / f"{key}-v{FORMAT}.npz"


def _read_digests() -> dict[str, Any]:
    try:
        known = json.loads((CACHE / "digests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(name: str, content: bytes) -> None:
    with contextlib.suppress(OSError):
        CACHE.mkdir(parents=True, exist_ok=True)
        write_atomically(CACHE / name, content)
