"""Read files once, and compute the digest of exactly what was read."""

import functools
import hashlib
import logging
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from common.errors import DataError
from common.files import digest_of, to_plain
from common.own.reading import Reading

logger = logging.getLogger(__name__)

# Reads the content of a file.
Read = Callable[[Path], bytes]


class Contents:
    """The files of a data set and the sha256 digests of their contents, collected while they are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: list[tuple[str, str]] = []

    def read(self, path: Path) -> bytes:
        """Read a file, and remember the digest of these bytes.

        Raises:
            DataError: the file cannot be read.
        """
        content = read_bytes(path)
        self._remember(path, hashlib.sha256(content).hexdigest())
        return content

    def skim(self, path: Path) -> None:
        """Remember the digest of a file without keeping its content in memory.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with path.open("rb") as file:
                self._remember(path, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error

    def digest(self, kind: str, reading: Reading) -> str:
        """Compute the digest of the files so far, whatever their order, and of how they are read."""
        return digest_of([kind, sorted(self._digests), to_plain(reading)])

    def _remember(self, path: Path, digest: str) -> None:
        name = path.name if path == self._path else path.relative_to(self._path).as_posix()
        self._digests.append((as_nfc(name), digest))


def read_bytes(path: Path) -> bytes:
    """Read the content of a file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def require_path(path: Path) -> None:
    """Check that there is a file or a folder.

    Raises:
        DataError: there is none, or it is something else, such as a pipe.
    """
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path} is a link that points nowhere")
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is neither a file nor a folder")


def as_nfc(name: str) -> str:
    """Convert a name to one spelling: some systems store an accent as part of its letter, others beside it."""
    return unicodedata.normalize("NFC", name)


def one_line(error: BaseException) -> str:
    """Write the message of an error in one line; its type if there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def warn(path: Path, notes: Iterable[str]) -> None:
    """Log what is doubtful about a file, each note once in this process."""
    for note in notes:
        _warn_once(f"{path}: {note}")


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)
