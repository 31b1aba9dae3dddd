"""Read images and labels from idx files, the format in which MNIST was first published, and from .npz files."""

import functools
import gzip
import hashlib
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from common.errors import ConfigError, DataError
from common.experiment import REST, with_labels

# An idx file begins with two zero bytes and the code of its data type (8: unsigned byte); the number of dimensions
# follows.
_IDX_MAGIC = b"\x00\x00\x08"
_MOST_BYTES = 1 << 28
_GZIP_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"


class Images(NamedTuple):
    """Training and test images, uint8 pixels of shape `(n, 28, 28)`, and their classes, shape `(n,)`.

    Classes are uint8 numbers; in a user's own data they may be words, or `None` if the images have no labels: then all
    training images count as normal.
    """

    x_train: np.ndarray
    y_train: Any
    x_test: np.ndarray
    y_test: Any


Class = int | str


class Scored(NamedTuple):
    """Test images to score, normal ones first: their indices, their labels, 1 for an anomaly, and their classes.

    Without labels, `labels` are all 0, and `classes` is `None`.
    """

    indices: np.ndarray
    labels: np.ndarray
    classes: np.ndarray | None


def choose_normal(images: Images, normal: Class) -> np.ndarray:
    """Choose the training images of the normal class, in the order of the files; without labels, all of them.

    Raises:
        DataError: there are none.
    """
    if images.y_train is None:
        return images.x_train
    chosen: np.ndarray = images.x_train[images.y_train == normal]
    if not len(chosen):
        raise DataError(f"the data have no training images of class {normal}; {_known(images)}")
    return chosen


def choose_scored(images: Images, normal: Class, anomaly: Class) -> Scored:
    """Choose the test images of the normal and of the anomalous class, both in the order of the files.

    Args:
        images: the data set.
        normal: the normal class.
        anomaly: the anomalous class, or `REST` for all others.

    Returns:
        The images; without labels, all test images.

    Raises:
        DataError: there are no test images of one of these classes.
    """
    if images.y_test is None:
        return Scored(np.arange(len(images.x_test)), np.zeros(len(images.x_test), int), None)
    for one in (normal, anomaly):
        if one != REST and one not in images.y_test.tolist():
            raise DataError(f"the data have no test images of class {one}; {_known(images)}")
    scored = np.flatnonzero(images.y_test == normal), of_anomaly(images.y_test, normal, anomaly)
    indices, labels = with_labels(*scored)
    return Scored(indices, labels, images.y_test[indices])


def of_anomaly(labels: np.ndarray, normal: Class, anomaly: Class) -> np.ndarray:
    """Find the images of the anomalous class, or with `REST` of all but the normal one; their indices, ascending."""
    return np.flatnonzero(labels != normal if anomaly == REST else labels == anomaly)


def _known(images: Images) -> str:
    train, test = (", ".join(map(str, np.unique(labels).tolist())) for labels in (images.y_train, images.y_test))
    return f"its classes are {train}" if train == test else f"its classes are {train} in training, {test} in the test"


def require_two_classes(normal: Class, anomaly: Class) -> None:
    """Check that the anomalous class is another than the normal one.

    Raises:
        ConfigError: it is not.
    """
    if normal == anomaly:
        raise ConfigError(f"normal and anomaly must differ. Received: both are {normal}")


def require_classes(images: Images, classes: Iterable[Class]) -> None:
    """Check that there are training and test images of these classes.

    Raises:
        DataError: a class is missing.
    """
    missing = sorted({*classes} - ({*images.y_train.tolist()} & {*images.y_test.tolist()}))
    if missing:
        raise DataError(f"the data have no training and test images of class {', '.join(map(str, missing))}")


def begins_with_arrays(path: Path) -> bool:
    """Check if a file begins like an idx file, compressed or not, or like an .npz file.

    Raises:
        DataError: the file cannot be read.
    """
    return _start(path).startswith((_IDX_MAGIC, _GZIP_MAGIC, _ZIP_MAGIC))


def digests(path: Path) -> list[str]:
    """Compute the sha256 digest of each array of unsigned bytes in a file: one of an idx file, four of an .npz file.

    Raises:
        DataError: the file cannot be read, is damaged, or is of another format.
    """
    arrays = read_npz(path) if _is_npz(path) else [read_idx(path)]
    return [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]


def read_images(files: Sequence[Path]) -> Images:
    """Read an image data set.

    Args:
        files: four files, with the training images, training labels, test images and test labels, or one with all.

    Raises:
        DataError: a file is damaged, or images and labels differ in number.
    """
    paths = list(files) * (4 // len(files))
    # An archive is read once for all of its arrays.
    read: Callable[[Path], Any] = functools.cache(lambda path: read_npz(path) if _is_npz(path) else read_idx(path))
    images = Images(*(getattr(read(path), part, read(path)) for path, part in zip(paths, Images._fields, strict=True)))
    place = files[0] if len(files) == 1 else files[0].parent
    _require_pair(f"{place}, training part", images.x_train, images.y_train)
    _require_pair(f"{place}, test part", images.x_test, images.y_test)
    return images


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" or _start(path).startswith(_ZIP_MAGIC)


def read_idx(path: Path) -> np.ndarray:
    """Read one idx file of unsigned bytes, compressed with gzip or not.

    Returns:
        uint8 array of the shape that the header states.

    Raises:
        DataError: the file is not of this format, or is shorter or longer than its header states.
    """
    try:
        packed = _start(path).startswith(_GZIP_MAGIC)
        with cast(IO[bytes], gzip.open(path, "rb") if packed else path.open("rb")) as file:
            shape = _read_idx_shape(path, file)
            size = math.prod(shape)
            # One byte beyond the end: it must not exist, and reading to the end makes gzip verify its checksum.
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file: {error}. It begins {_beginning(_start(path))}") from error
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise DataError(f"{path}: its header promises {size} bytes of shape {shape}, found {found}")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def read_npz(path: Path) -> Images:
    """Read an .npz file like Keras' mnist.npz, without unpickling anything.

    Raises:
        DataError: the file is no .npz file of plain arrays, or an array is missing.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Images(*(_as_bytes(np.asarray(archive[name])) for name in Images._fields))
    except KeyError as error:
        raise DataError(f"{path}: expected arrays {', '.join(Images._fields)}. {error.args[0]}") from error
    except Exception as error:  # a damaged file can raise any exception of numpy, zipfile and zlib
        raise DataError(
            f"{path} is no .npz file of plain arrays: {' '.join(str(error).split())}. "
            f"It begins {_beginning(_start(path))}"
        ) from error


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Convert whole numbers of another type to unsigned bytes if all of them fit."""
    fits = array.dtype.kind in "iu" and array.size > 0 and array.min() >= 0 and array.max() <= 255
    return array.astype(np.uint8) if fits else array


def _read_idx_shape(path: Path, file: IO[bytes]) -> tuple[int, ...]:
    start = file.read(4)
    if len(start) < 4 or start[:3] != _IDX_MAGIC or not 1 <= start[3] <= 3:
        found = _beginning(start + file.read(12))
        raise DataError(f"{path}: expected an idx file of unsigned bytes, found a file that begins {found}")
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


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _beginning(start: bytes) -> str:
    kind = ", so it is empty" if not start else ""
    kind = ", a web page" if start.lstrip().lower().startswith((b"<!doc", b"<html")) else kind
    return f"with {start!r}{kind}"
