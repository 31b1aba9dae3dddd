"""Download one file whose size and digest are known beforehand.

A file gets its final name only when it is complete and its digest is right. Only https is used, also after a
redirection, and at most one byte more than the known size is read.
"""

import hashlib
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
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            unfinished = Path(folder, target.name)
            unfinished.write_bytes(_download_from_any(target.name, addresses, size, sha256))
            unfinished.replace(target)
    except OSError as error:
        raise DataError(f"{target.name} cannot be written to {target.parent}: {error.strerror}") from error


def _download_from_any(name: str, addresses: Sequence[str], size: int, sha256: str) -> bytes:
    problems = []
    for address in addresses:
        try:
            return _download_with_retries(address, size, sha256)
        except DataError as error:
            problems.append(f"{address}: {error}")
    raise DataError(f"{name} cannot be downloaded: {'; '.join(problems)}")


def _download_with_retries(address: str, size: int, sha256: str) -> bytes:
    """Download from one address, in up to `TRIES` attempts.

    Raises:
        DataError: all attempts failed, with the error of the last one.
    """
    problem = ""
    for _ in range(TRIES):
        try:
            return _read(address, size, sha256)
        except HTTPError as error:
            problem = f"HTTP status {error.code}"
            if error.code < 500:
                break
        except URLError as error:
            # No further attempt: without a network it would only wait for the same time-out again.
            problem = f"no connection ({error.reason})"
            break
        except (OSError, HTTPException, DataError) as error:
            problem = str(error) or type(error).__name__
    raise DataError(problem)


def _read(address: str, size: int, sha256: str) -> bytes:
    with open_address(address) as response:
        # One byte more than expected is enough to see that the file is too long.
        content: bytes = response.read(size + 1)
    if len(content) > size:
        raise DataError(f"expected {size} bytes, but more came")
    if len(content) < size:
        raise DataError(f"expected {size} bytes, found {len(content)}")
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(f"expected sha256 {sha256}, found {digest}")
    return content


def _require_https(address: str) -> None:
    if not address.startswith("https://"):
        raise URLError(f"only https is allowed. Received: {address}")
