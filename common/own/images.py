"""Read a user's images from a folder or an .npz file."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import DataError
from common.own.contents import Read, one_line, read_bytes, require_path
from common.own.folders import EXTENSIONS, LAYOUTS, Parts, divide, images_below
from common.own.pixels import SIDE, decode, reduce_arrays


class OwnImages(NamedTuple):
    """Training and test images, uint8 pixels of shape `(n, 28, 28)`, and the classes of each part, shape `(n,)`.

    The classes are int64 if the names of all of them are whole numbers, otherwise texts, and `None` without labels.
    """

    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None


def read_images(path: Path, read: Read = read_bytes) -> OwnImages:
    """Read training and test images.

    Args:
        path: a folder, see `divide` for its layouts; or an .npz file with `x_train`, `x_test` and, with labels,
            `y_train` and `y_test`, see `reduce_arrays` for its images.
        read: reads the content of a file. Default: as usual.

    Raises:
        DataError: a file is damaged, the images do not have one of these layouts, or there are too few of them. The
            message is one line with the path.
    """
    require_path(path)
    images = _read_folder(divide(path), read) if path.is_dir() else _read_npz(path, read)
    for part, x, fewest in (("training", images.x_train, 2), ("test", images.x_test, 1)):
        if len(x) < fewest:
            raise DataError(f"{path}: expected {fewest} or more {part} images, found {len(x)}")
    return images


def read_unlabelled(path: Path, read: Read = read_bytes) -> tuple[list[str], np.ndarray]:
    """Read images to score, without labels.

    Args:
        path: one image; a folder, with images at any depth; or an .npz file with `x_test`, or else with only one array
            of three or four dimensions.
        read: reads the content of a file. Default: as usual.

    Returns:
        Names: paths relative to the folder, sorted, or the positions in the array; and uint8 pixels (n, 28, 28).

    Raises:
        DataError: a file is damaged, or there are no images. The message is one line with the path.
    """
    require_path(path)
    if _is_npz(path):
        arrays = _open_npz(path, read)
        images = [name for name, array in arrays.items() if array.ndim in (3, 4)]
        images = ["x_test"] if "x_test" in arrays else images
        if len(images) != 1:
            found = f"found {', '.join(arrays) or 'none'}"
            raise DataError(f"{path}: expected an array x_test, or a single array of images, {found}")
        pixels = reduce_arrays({images[0]: arrays[images[0]]}, path)[images[0]]
        return list(map(str, range(len(pixels)))), pixels
    paths = images_below(path) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"{path} holds no images ({', '.join(EXTENSIONS)})")
    names = [one.relative_to(path).as_posix() if one != path else one.name for one in paths]
    return names, _decode_all(paths, read)


def files_of(path: Path) -> list[Path]:
    """List the files that `read_images` reads, in the same order.

    Raises:
        DataError: under the same conditions as `read_images`, but no file is opened.
    """
    require_path(path)
    if path.is_dir():
        parts = divide(path)
        return [*parts.train, *parts.test]
    if not _is_npz(path):
        raise DataError(f"{path} is no data set of images; expected {LAYOUTS}")
    return [path]


# Folders.


def _read_folder(parts: Parts, read: Read) -> OwnImages:
    y_train, y_test = _as_labels(parts.train_classes), _as_labels(parts.test_classes)
    y_train, y_test = _of_one_kind(y_train, y_test)
    return OwnImages(_decode_all(parts.train, read), y_train, _decode_all(parts.test, read), y_test)


def _decode_all(paths: Sequence[Path], read: Read) -> np.ndarray:
    pixels = np.empty((len(paths), SIDE, SIDE), np.uint8)
    for place, path in enumerate(paths):
        pixels[place] = decode(read(path), path)
    return pixels


def _as_labels(classes: list[str] | None) -> np.ndarray | None:
    return None if classes is None else np.array(classes, dtype=np.str_)


def _of_one_kind(y_train: np.ndarray | None, y_test: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Convert the labels of both parts to int64 if all are whole numbers that stay different, otherwise to texts."""
    if y_train is None or y_test is None or {y_train.dtype.kind, y_test.dtype.kind} <= {"i"}:
        return y_train, y_test
    y_train, y_test = y_train.astype(np.str_), y_test.astype(np.str_)
    names = {*y_train.tolist(), *y_test.tolist()}
    whole = all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in names)
    if whole and len(set(map(int, names))) == len(names):
        return y_train.astype(np.int64), y_test.astype(np.int64)
    return y_train, y_test


# .npz files.


def _is_npz(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".npz"


def _open_npz(path: Path, read: Read) -> dict[str, np.ndarray]:
    content = read(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # a damaged file can raise any exception of numpy, zipfile and zlib
        found = "it is empty" if not content else one_line(error)
        raise DataError(f"{path} is no .npz file of plain arrays: {found}") from error


def _read_npz(path: Path, read: Read) -> OwnImages:
    files_of(path)
    arrays: dict[str, Any] = _open_npz(path, read)
    labelled = {"y_train", "y_test"} & {*arrays}
    missing = [name for name in OwnImages._fields if name not in arrays and (labelled or name.startswith("x"))]
    if missing:
        found = ", ".join(arrays) or "none"
        raise DataError(
            f"{path}: expected arrays x_train and x_test, and y_train and y_test or none of these; "
            f"missing {', '.join(missing)}, found {found}"
        )
    x = reduce_arrays({name: arrays[name] for name in ("x_train", "x_test")}, path)
    if not labelled:
        return OwnImages(x["x_train"], None, x["x_test"], None)
    y = [_labels(path, part, arrays[f"y_{part}"], len(x[f"x_{part}"])) for part in ("train", "test")]
    y_train, y_test = _of_one_kind(*y)
    return OwnImages(x["x_train"], y_train, x["x_test"], y_test)


def _labels(path: Path, part: str, y: np.ndarray, images: int) -> np.ndarray:
    """Check the labels of one part, shape `(n,)` or `(n, 1)`, and convert them to int64 or to texts of shape `(n,)`."""
    place = f"{path}, array y_{part}"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (images,):
        raise DataError(f"{place}: expected one label for each of {images} images, found shape {y.shape}")
    with np.errstate(invalid="ignore"):
        if y.dtype.kind in "buif" and (y.astype(np.int64) == y).all():
            return y.astype(np.int64)
    if y.dtype.kind != "U":
        raise DataError(f"{place}: expected whole numbers or texts, found {y.dtype}")
    return y
