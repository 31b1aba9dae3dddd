"""List the images in a folder, and divide them into classes and into a training and a test part."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import DataError
from common.own.contents import as_nfc

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp")
LAYOUTS = (
    "a folder with one sub-folder of images per class, a folder with train/ and test/ that hold such sub-folders, "
    "a folder of images alone, or an .npz file with x_train and x_test"
)
TRAIN, TEST = "train", "test"
TEST_SHARE = 0.2


class Parts(NamedTuple):
    """The image files of the training and the test part, and the names of their classes; `None` without classes."""

    train: list[Path]
    test: list[Path]
    train_classes: list[str] | None
    test_classes: list[str] | None


class _Listing(NamedTuple):
    folders: list[Path]
    images: list[Path]


def divide(folder: Path) -> Parts:
    """List the images of a folder by part and class.

    The folder holds `train/` and `test/` with one sub-folder per class, and what lies beside them is ignored; or one
    sub-folder per class; or images alone, which then have no classes. Without `train/` and `test/`, a random fifth of
    each class is the test part, always the same one, and at least one image of each class that has two. Images may lie
    at any depth below the folder of their class. Hidden files and files that are no images are ignored, and a folder
    that links lead to twice is read once. A folder `train/` of folders without `test/`, or the reverse, is an error.

    Returns:
        The files, sorted by class and name.

    Raises:
        DataError: the folder has none of these layouts, or a link points nowhere.
    """
    listing = _list(folder)
    names = {sub.name for sub in listing.folders}
    if {TRAIN, TEST} <= names:
        spelled: dict[str, str] = {}
        train, test = (_by_class(folder / part, spelled) for part in (TRAIN, TEST))
        return Parts(*_flat(train, test))
    for present, absent in ((TRAIN, TEST), (TEST, TRAIN)):
        if present in names and _list(folder / present).folders:
            raise DataError(f"{folder} has a sub-folder {present}, but none that is called {absent}")
    if not listing.folders:
        if not listing.images:
            raise DataError(f"{folder} holds no images ({', '.join(EXTENSIONS)}); expected {LAYOUTS}")
        return Parts(*_chosen(listing.images), None, None)
    classes = {name: _chosen(images) for name, images in _by_class(folder, {}).items()}
    return Parts(
        *_flat(
            {name: train for name, (train, _) in classes.items()}, {name: test for name, (_, test) in classes.items()}
        )
    )


def images_below(folder: Path, seen: set[Path] | None = None) -> list[Path]:
    """List the images in a folder and in all folders below it, sorted by their relative path.

    Args:
        folder: the folder.
        seen: resolved paths of folders that are not read again; those that are read are added. Default: none.

    Raises:
        DataError: a folder cannot be read, or a link points nowhere.
    """
    seen = set() if seen is None else seen
    found, waiting = [], _unseen([folder], seen)
    while waiting:
        listing = _list(waiting.pop())
        found += listing.images
        waiting += _unseen(listing.folders, seen)
    return sorted(found, key=lambda path: _order(path.relative_to(folder).as_posix()))


def _list(folder: Path) -> _Listing:
    """List the sub-folders and the images of a folder, each sorted by name."""
    try:
        with os.scandir(folder) as entries:
            shown = sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: _order(one.name))
        for entry in shown:
            if entry.is_symlink() and not Path(entry).exists():
                raise DataError(f"{Path(entry)} is a link that points nowhere")
        folders = [Path(entry) for entry in shown if entry.is_dir()]
        images = [Path(entry) for entry in shown if entry.name.lower().endswith(EXTENSIONS) and entry.is_file()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    return _Listing(folders, images)


def _order(name: str) -> tuple[str, str]:
    return as_nfc(name), name


def _unseen(folders: Iterable[Path], seen: set[Path]) -> list[Path]:
    """Select the folders that were not seen, and add them to `seen`; a real folder goes before links to it."""
    found = []
    for folder in sorted(folders, key=lambda one: one.is_symlink()):
        place = folder.resolve()
        if place not in seen:
            seen.add(place)
            found.append(folder)
    return found


def _by_class(folder: Path, spelled: dict[str, str]) -> dict[str, list[Path]]:
    """List the images of each class of a folder.

    Args:
        folder: a folder with one sub-folder per class.
        spelled: names of classes as they were met first, by their common spelling; new ones are added.
    """
    listing, seen = _list(folder), {folder.resolve()}
    if listing.images:
        raise DataError(f"{listing.images[0]} lies beside folders of classes; expected {LAYOUTS}")
    found: dict[str, list[Path]] = {}
    for place in sorted(_unseen(listing.folders, seen), key=lambda one: _order(one.name)):
        images = images_below(place, seen - {place.resolve()})
        if not images:
            raise DataError(
                f"{place} holds no images ({', '.join(EXTENSIONS)}); remove it, or add images of this class"
            )
        found.setdefault(spelled.setdefault(as_nfc(place.name), place.name), []).extend(images)
    if not found:
        raise DataError(f"{folder} has no sub-folders; expected {LAYOUTS}")
    return found


def _chosen(images: list[Path]) -> tuple[list[Path], list[Path]]:
    """Choose a random fifth of the images of a class for the test part; both parts in the order of the names."""
    size = max(1, round(TEST_SHARE * len(images))) if len(images) > 1 else 0
    chosen = set(np.random.default_rng(0).permutation(len(images))[:size].tolist())
    train = [image for place, image in enumerate(images) if place not in chosen]
    return train, [image for place, image in enumerate(images) if place in chosen]


def _flat(
    train: Mapping[str, list[Path]], test: Mapping[str, list[Path]]
) -> tuple[list[Path], list[Path], list[str], list[str]]:
    files = [[image for images in part.values() for image in images] for part in (train, test)]
    classes = [[name for name, images in part.items() for _ in images] for part in (train, test)]
    return files[0], files[1], classes[0], classes[1]
