"""Folders and files: where the suite reads and writes, whole files or none, and results kept under a key."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError

# The folder that holds common/, experiments/ and data/: a checkout, or where a wheel was installed.
ROOT = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (ROOT / "pyproject.toml").is_file()
# What the suite writes goes into the checkout, and without one into the current folder.
HOME = ROOT if IS_CHECKOUT else Path.cwd()
RAW_DATA = HOME / "data" / "raw"
CACHE = HOME / "data" / "cache"
REPORTS = HOME / "reports"

# Every file has a name that begins like this while it is being written.
TEMPORARY = ".unfinished-"


# Whole files or none.


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder, and remove unfinished files that a killed one has left there."""
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
        OSError: of the disk, with the path of the file; the file that was there before is unchanged.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files that belong together: all are complete and on the disk before the first is renamed.

    Raises:
        OSError: of the disk, with the path of the file; the files that were there before are unchanged.
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
            # mkstemp makes private files; a report is for everybody who may read its folder.
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


# Results kept under a key. All of these files can be deleted at any time: what cannot be read is computed again, and
# where nothing can be written, nothing is kept.


def kept(path: Path, key: Any, compute: Callable[[], Any]) -> Any:
    """Read a result from a file, or compute it and keep it there for the next time.

    Args:
        path: of the file, which holds one result together with the key that it was computed for.
        key: everything that the result depends on, as plain data; with another key it is computed again.
        compute: gives the result, as plain data.

    Returns:
        The result as JSON gives it back, whether it was kept or has just been computed.
    """
    digest = digest_of(key)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == digest and content["checksum"] == digest_of(content["result"]):
            return content["result"]
    result = json.loads(json.dumps(compute()))
    text = json.dumps({"key": digest, "checksum": digest_of(result), "result": result})
    _keep(path, text.encode())
    return result


def kept_arrays(path: Path, key: str, compute: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Read arrays from an .npz file, or compute them and keep them there: `kept` for what is too large for JSON.

    Args:
        path: of the file.
        key: everything that the arrays depend on.
        compute: gives the arrays by name; none is named `key`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        if arrays.pop("key").item() == key:
            return arrays
    except Exception:  # noqa: BLE001  damage goes through three libraries, each with exceptions of its own
        pass
    arrays = dict(compute())
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, key=np.array(key))
    _keep(path, content.getvalue())
    return arrays


def sha256_of(path: Path) -> str:
    """Compute the digest of a file; it is kept as long as path, size and time of change stay the same.

    Raises:
        DataError: the file cannot be read.
    """

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    try:
        place, status = str(path.resolve()), path.stat()
        memory = CACHE / "digests" / f"{digest_of(place)}.json"
        return str(kept(memory, [place, status.st_size, status.st_mtime_ns], compute))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def digest_of(content: Any) -> str:
    """Compute the sha256 of plain data, whatever the order of its keys, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _keep(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
