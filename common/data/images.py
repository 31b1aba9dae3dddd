"""Read images and labels from idx files, the format in which MNIST was first published, and from Keras' mnist.npz."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import DataError

# An idx file begins with two zero bytes and the code of its data type (8: unsigned byte); the number of dimensions
# follows.
_IDX_MAGIC = b"\x00\x00\x08"
_MOST_BYTES = 1 << 28


class Images(NamedTuple):
    """Training and test images, uint8 pixels of shape `(n, 28, 28)`, and their uint8 labels, shape `(n,)`."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read_images(files: Sequence[Path]) -> Images:
    """Read an image data set.

    Args:
        files: one .npz file, or the four idx files: training images, training labels, test images, test labels.

    Raises:
        DataError: a file is damaged, or images and labels differ in number.
    """
    images = read_npz(files[0]) if len(files) == 1 else Images(*map(read_idx, files))
    place = files[0] if len(files) == 1 else files[0].parent
    _require_pair(f"{place}, training part", images.x_train, images.y_train)
    _require_pair(f"{place}, test part", images.x_test, images.y_test)
    return images


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped idx file of unsigned bytes.

    Returns:
        uint8 array of the shape that the header states.

    Raises:
        DataError: the file is not of this format, or is shorter or longer than its header states.
    """
    try:
        with gzip.open(path, "rb") as file:
            shape = _read_idx_shape(path, file)
            size = math.prod(shape)
            # One byte beyond the end: it must not exist, and reading to the end makes gzip verify its checksum.
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file: {error}. {_begins(path)}") from error
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise DataError(f"{path}: its header promises {size} bytes of shape {shape}, found {found}")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def read_npz(path: Path) -> Images:
    """Read Keras' mnist.npz, without unpickling anything.

    Raises:
        DataError: the file is no .npz file of plain arrays, or an array is missing.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Images(*(archive[name] for name in Images._fields))
    except KeyError as error:
        raise DataError(f"{path}: expected arrays {', '.join(Images._fields)}. {error.args[0]}") from error
    except Exception as error:  # a damaged file can raise any exception of numpy, zipfile and zlib
        raise DataError(
            f"{path} is no .npz file of plain arrays: {' '.join(str(error).split())}. {_begins(path)}"
        ) from error


def _read_idx_shape(path: Path, file: gzip.GzipFile) -> tuple[int, ...]:
    start = file.read(4)
    if len(start) < 4 or start[:3] != _IDX_MAGIC or not 1 <= start[3] <= 3:
        raise DataError(f"{path}: expected an idx file of unsigned bytes, found a file that begins with {start!r}")
    header = file.read(4 * start[3])
    if len(header) < 4 * start[3]:
        raise DataError(f"{path} ends within its header")
    shape = tuple(int(length) for length in np.frombuffer(header, ">u4"))
    if math.prod(shape) > _MOST_BYTES:
        raise DataError(f"{path}: its header promises shape {shape}, more than {_MOST_BYTES} bytes")
    return shape


def _require_pair(place: str, x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8:
        raise DataError(f"{place}: expected images (n, 28, 28) of uint8, found {x.shape} of {x.dtype}")
    if y.ndim != 1 or y.dtype != np.uint8 or (len(y) and y.max() > 9):
        raise DataError(f"{place}: expected labels (n,) of uint8 from 0 to 9, found {y.shape} of {y.dtype}")
    if len(x) != len(y):
        raise DataError(f"{place}: {len(x)} images, but {len(y)} labels")


def _begins(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return "It cannot be read."
    if not start:
        return "It is empty."
    kind = ", a web page" if start.lstrip().lower().startswith((b"<!doc", b"<html")) else ""
    return f"It begins with {start!r}{kind}."
