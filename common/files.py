"""Folders of the suite, atomic writing of files, and cached results."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, DataError

T = TypeVar("T")

# The folder that contains common/, experiments/ and data/: a checkout, or site-packages for an installed wheel.
ROOT = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (ROOT / "pyproject.toml").is_file()
# The folder that the suite writes to: the checkout, or the current folder if there is none.
HOME = ROOT if IS_CHECKOUT else Path.cwd()
RAW_DATA = HOME / "data" / "raw"
CACHE = HOME / "data" / "cache"
REPORTS = HOME / "reports"

# Prefix of the temporary name of a file that is being written.
TEMPORARY = ".unfinished-"


def folder_named(text: str) -> Path:
    """Make the path of a folder that a user named; a leading `~` becomes the home folder, as in a shell.

    Raises:
        ConfigError: the text is empty, or there is no such home folder.
    """
    if not text.strip():
        raise ConfigError("the name of a folder must not be empty")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"there is no home folder for the ~ in {text}") from error


# Atomic writing.


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that use this function, and remove temporary files of killed processes."""
    try:
        import fcntl
    except ImportError:  # Windows: each file is still complete, but two files may come from two processes.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # A file system without locks is treated like Windows.
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
    """Write a file under a temporary name in the same folder, and rename it once it is complete and on the disk.

    Raises:
        OSError: the file cannot be written; an existing file is unchanged. `filename` is `path`.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files that belong together: all are complete and on the disk before the first is renamed.

    Args:
        files: content by path. The files are renamed in this order.

    Raises:
        OSError: a file cannot be written; existing files are unchanged. `filename` is the path of that file.
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
            # mkstemp creates files that only their owner can read; give them the usual permissions instead.
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


# Cached results. These files can be deleted at any time. A file that cannot be read is computed again, and a result
# that cannot be written is not cached.


class NotKept(Exception):  # noqa: N818  it is no error
    """Raised by `kept` within `nothing_computed` if there is no cached result."""


_computing: ContextVar[bool] = ContextVar("computing", default=True)


@contextlib.contextmanager
def nothing_computed() -> Iterator[None]:
    """Make `kept` raise `NotKept` within this context instead of computing a result that is not cached."""
    token = _computing.set(False)
    try:
        yield
    finally:
        _computing.reset(token)


def kept(path: Path, key: Any, compute: Callable[[], T], kind: type[T]) -> T:
    """Read a result from its cache file, or compute it and write it there.

    Args:
        path: path of the file, which contains one result and the digest of its key.
        key: everything that the result depends on: plain data, or dataclasses of them. If it has changed, the result is
            computed again.
        compute: computes the result.
        kind: type of the result: plain data, a dataclass, or a collection of them.

    Returns:
        The result after conversion to JSON and back, also if it was just computed.

    Raises:
        NotKept: the result is not cached, within `nothing_computed`.
    """
    digest = digest_of(to_plain(key))
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == digest and content["checksum"] == digest_of(content["result"]):
            return from_plain(content["result"], kind)
    if not _computing.get():
        raise NotKept(path)
    result = to_plain(compute())
    text = json.dumps({"key": digest, "checksum": digest_of(result), "result": result})
    _keep(path, text.encode())
    return from_plain(json.loads(text)["result"], kind)


def kept_arrays(path: Path, key: str, compute: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Read arrays from their cache file, or compute them and write them there; like `kept`, for large arrays.

    Args:
        path: path of the .npz file.
        key: text that identifies everything that the arrays depend on.
        compute: computes the arrays by name; the name `key` is reserved.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        if arrays.pop("key").item() == key:
            return arrays
    except Exception:  # noqa: BLE001  a damaged file can raise any exception of numpy, zipfile and zlib
        pass
    arrays = dict(compute())
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, key=np.array(key))
    _keep(path, content.getvalue())
    return arrays


def kept_about(path: Path, what: str, compute: Callable[[], T], kind: type[T]) -> T:
    """Read or compute a result about the content of a file, like `kept`; until its path, size or time of change differ.

    Args:
        path: path of the file.
        what: name of the result.
        compute: computes the result.
        kind: type of the result.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        place, status = str(path.resolve()), path.stat()
        memory = CACHE / "digests" / f"{digest_of([what, place])}.json"
        return kept(memory, [place, status.st_size, status.st_mtime_ns], compute, kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """Compute the sha256 digest of a file, or read it from the cache.

    Raises:
        DataError: the file cannot be read.
    """

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return kept_about(path, "sha256", compute, str)


def digest_of(content: Any) -> str:
    """Compute the sha256 digest of JSON-serialisable data in hexadecimal; the order of keys has no influence."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def to_plain(content: Any) -> Any:
    """Convert dataclasses and collections of them to JSON-serialisable data; bytes become base64 text."""
    return msgspec.to_builtins(content, str_keys=True)


def from_plain(content: Any, kind: type[T]) -> T:
    """Convert JSON data to a type: a dataclass, plain data, or a collection of them; the reverse of `to_plain`.

    Raises:
        ValueError: the data do not have this type; the message names the first place where they differ.
    """
    try:
        return msgspec.convert(content, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _keep(path: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
