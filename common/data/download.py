"""Download one file whose size and digest are known beforehand.

A file gets its final name only when it is complete and its digest is right. Only https is used, also after a
redirection, and at most one byte more than the known size is read.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from common.errors import DataError

TRIES = 3
SECONDS_TO_WAIT = 5
_CHUNK = 1 << 16


class _WrongContentError(Exception):
    """The downloaded bytes differ from the expected file in size or digest."""


class _HttpsRedirects(HTTPRedirectHandler):
    """Redirect handler that refuses addresses other than https."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_address(address: str) -> Any:
    """Open an https address for reading, with a time-out of `SECONDS_TO_WAIT` for connecting and for each read."""
    _require_https(address)
    return build_opener(_HttpsRedirects).open(address, timeout=SECONDS_TO_WAIT)


def download(addresses: Sequence[str], target: Path, size: int, sha256: str) -> None:
    """Download one file from the first address that works.

    Args:
        addresses: https addresses of the file, tried in this order.
        target: path of the complete file; its folder is created if missing.
        size: size of the file in bytes.
        sha256: digest of the file, as hexadecimal digits.

    Raises:
        DataError: every address failed, with the error of each; or the folder cannot be written to.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    except OSError as error:
        raise DataError(f"cannot be written to {target.parent}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            _download_from_any(addresses, file, size, sha256)
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _download_from_any(addresses: Sequence[str], file: IO[bytes], size: int, sha256: str) -> None:
    problems = []
    for address in addresses:
        problem = _download_with_retries(address, file, size, sha256)
        if problem is None:
            return
        problems.append(f"{address}: {problem}")
    raise DataError("cannot be downloaded: " + "; ".join(problems))


def _download_with_retries(address: str, file: IO[bytes], size: int, sha256: str) -> str | None:
    """Download from one address, in up to `TRIES` attempts; return the error of the last one, `None` on success."""
    problem = None
    for _ in range(TRIES):
        try:
            _transfer(address, file, size, sha256)
            return None
        except HTTPError as error:
            problem = f"HTTP status {error.code}"
            if error.code < 500:
                break
        except URLError as error:
            # No further attempt: without a network it would only wait for the same time-out again.
            return f"no connection ({error.reason})"
        except (OSError, HTTPException, _WrongContentError) as error:
            problem = str(error) or type(error).__name__
    return problem


def _transfer(address: str, file: IO[bytes], size: int, sha256: str) -> None:
    file.seek(0)
    file.truncate()
    digest = hashlib.sha256()
    left = size
    with open_address(address) as response:
        # One byte more than expected is enough to see that the file is too long.
        while chunk := response.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise _WrongContentError(f"expected {size} bytes, but more came")
            digest.update(chunk)
            file.write(chunk)
    if left:
        raise _WrongContentError(f"expected {size} bytes, found {size - left}")
    if digest.hexdigest() != sha256:
        raise _WrongContentError(f"expected sha256 {sha256}, found {digest.hexdigest()}")


def _require_https(address: str) -> None:
    if not address.startswith("https://"):
        raise URLError(f"only https is allowed. Received: {address}")
