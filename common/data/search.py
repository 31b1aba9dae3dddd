"""Search a folder for the files of a data set: by their content, and, to say what cannot be used, by their names."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import files
from common.data import images, table_files
from common.errors import DataError

# Folders are searched to this depth, since torchvision and others keep the files in folders of their own.
_DEPTH, _MOST_FILES = 3, 10_000


class Place(NamedTuple):
    """The files of a data set in one folder, none if they are not complete, and notes on files that are not used."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def find_images(name: str, parts: Sequence[str], others: set[str], published: Sequence[str], place: Path) -> Place:
    """Find the four arrays of an image data set, under any name, in idx files or in one .npz file.

    Args:
        name: name of the data set.
        parts: sha256 digests of the arrays, in the order of `Images`.
        others: digests of the arrays of other data sets, whose files may have the same names.
        published: names of the published files, in the same order.
        place: folder to search.

    Raises:
        DataError: all files are there, but one of them is damaged or has another content.
    """
    found: dict[str, Path] = {}
    unusable: dict[Path, str] = {}
    for path in _files_below(place):
        digests, problem = _digests(path)
        found = {part: path for part in parts if part in digests} | found
        if len(found) == len(parts):
            return Place(tuple(found[part] for part in parts), ())
        fits = (digests and {*digests} <= {*parts}) or others & {*digests}
        if not fits and _names(path.relative_to(place), name):
            unusable[path] = problem
    missing = [part for part in parts if part not in found]
    claimed = {part for path in unusable for part in _claimed(path, parts)}
    for path, problem in unusable.items():
        # Elsewhere, files of these names may belong to yet another data set.
        near = path.parent == place or _letters(name) in map(_letters, path.relative_to(place).parts)
        if near and _claimed(path, parts) and claimed.issuperset(missing):
            raise DataError(f"{problem}. Delete it, then: python -m experiments fetch {name}")
    notes = [f"not usable as {name}: {problem}" for problem in _several([*unusable.values()])]
    if found:
        absent = ", ".join(published[parts.index(part)] for part in missing)
        notes.insert(0, f"{place} holds only a part of {name}; missing: {absent}")
    return Place((), tuple(notes))


def find_table(stem: str, known: Mapping[str, tuple[int, str]], columns: Sequence[str], place: Path) -> Place:
    """Find a table: a known file under any name, or else a file whose name begins with a stem.

    Args:
        stem: beginning of the names, in letters only.
        known: size and sha256 digest of the known files by name; the first ones are preferred.
        columns: columns of the table; of several files, one with these columns is preferred.
        place: folder to search.
    """
    paths = _files_below(place)
    for size, digest in known.values():
        for path in paths:
            if path.is_file() and path.stat().st_size == size and files.sha256_of(path) == digest:
                return Place((path,), ())
    named = [path for path in paths if _letters(path.name).startswith(stem)]
    readable = [path for path in named if path.suffix.lower() in table_files.EXTENSIONS]
    if not readable:
        unread = [f"{path} is not read; save it as .csv or .xlsx" for path in named]
        return Place((), tuple(_several(unread)))
    stems = {Path(name).stem.lower() for name in known}

    def rank(path: Path) -> tuple[bool, bool, int, int]:
        preferred = table_files.EXTENSIONS.index(path.suffix.lower())
        return not table_files.has_columns(path, columns), path.stem.lower() not in stems, preferred, len(path.name)

    best, *rest = sorted(readable, key=rank) if len(readable) > 1 else readable
    return Place((best,), tuple(f"{path} is not used, but {best.name} beside it" for path in rest))


def _files_below(place: Path) -> list[Path]:
    """List the files in a folder and in the folders below it, the nearest first, without hidden and lock files."""
    found: list[Path] = []
    folders = [place]
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in folders:
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in (entry for entry in entries if not entry.name.startswith((".", "~$"))):
                if entry.is_dir():
                    below.append(Path(entry.path))
                elif entry.is_file() or entry.is_symlink():
                    found.append(Path(entry.path))
        folders = below if len(found) < _MOST_FILES else []
    return found[:_MOST_FILES]


def _digests(path: Path) -> tuple[list[str], str]:
    """Compute the digests of the arrays in a file, and say why it is not usable if they are none of the expected."""
    try:
        if images.begins_with_arrays(path):
            digests = files.kept_about(path, "arrays", lambda: images.digests(path), list[str])
            return digests, f"{path} does not hold the published images or labels (sha256 of its content: {digests[0]})"
    except DataError as error:
        return [], str(error)
    return [], f"{path} is neither an idx nor an .npz file"


def _letters(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower())


def _names(path: Path, name: str) -> bool:
    """Check if a path names an image data set, or has the name of one of its files without naming another data set."""
    sets = [match[0] for part in path.parts for match in re.finditer("[a-z]*mnist", _letters(part))]
    return sets[-1] == _letters(name) if sets else bool(_claimed(path, images.Images._fields))


def _claimed(path: Path, parts: Sequence[str]) -> Sequence[str]:
    """List the parts of a data set that a file holds according to its name."""
    name = path.name.lower()
    if name.endswith(".npz") and "mnist" in name:
        return parts
    match = re.search("(train|t10k|test)[^a-z]*(images|labels)", name)
    return [parts[2 * (match[1] != "train") + (match[2] == "labels")]] if match else []


def _several(notes: Sequence[str]) -> list[str]:
    return [*notes[:3], *([f"and {len(notes) - 3} more"] if len(notes) > 3 else [])]
