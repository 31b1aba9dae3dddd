"""The figures of a report: drawn from saved arrays, and kept, since most are the same in the next report.

Drawing takes most of the time of a report. So each set of figures is kept beside the records under a digest of all
that it was drawn from: arrays, code, versions. When one of them changes, it is drawn anew, and the old one forgotten.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from common import figures
from common.comparison.published import ROOT, read_published
from common.comparison.standings import scores_of
from common.errors import RecordError
from common.experiment import PUBLISHED
from common.figures import Drawing
from common.report.conclusions import RANDOM
from common.report.markdown import deciding
from common.runs import records
from common.runs.selection import Selection
from common.runs.tasks import Experiment, name_of

# How many methods share one figure.
BEST = 5
# Pictures depend on these besides our own code.
LIBRARIES = ("matplotlib", "seaborn", "numpy", "pillow", "scikit-learn", "scipy", "pandas")


class Picture(NamedTuple):
    """A figure that has been drawn."""

    name: str
    caption: str
    png: bytes


class Album:
    """The pictures of one experiment that were drawn before.

    Args:
        folder: where they are kept; where it cannot be written, everything is drawn every time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def pictures(self, inputs: Any, draw: Callable[[], list[Drawing]]) -> list[Picture]:
        """What `draw` draws, or drew when it was last asked for with these inputs.

        Args:
            inputs: all that the pictures depend on besides code and libraries, as plain data.
            draw: from these inputs.
        """
        key = hashlib.sha256(json.dumps([CODE, inputs], sort_keys=True).encode()).hexdigest()[:24]
        path = self._folder / f"{key}.json"
        self._used.add(path.name)
        kept = _kept(path)
        if kept is None:
            with figures.style():
                kept = [Picture(drawing.name, drawing.caption, figures.png(drawing)) for drawing in draw()]
            content = [[name, caption, base64.b64encode(png).decode()] for name, caption, png in kept]
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                records.write_atomically(path, json.dumps(content).encode())
        return kept

    def forget_the_rest(self) -> None:
        """Remove what was not asked for."""
        for path in self._folder.glob("*.json"):
            if path.name not in self._used:
                with contextlib.suppress(OSError):
                    path.unlink()


def _kept(path: Path) -> list[Picture] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = [Picture(str(name), str(caption), base64.b64decode(png)) for name, caption, png in content]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    # A name becomes that of a file.
    return kept if all(re.fullmatch(r"\w+", picture.name) for picture in kept) else None


def _code() -> list[str]:
    """A digest of all our code, and the versions of what it draws with."""
    sources = hashlib.sha256()
    for path in sorted([*(ROOT / "common").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]):
        sources.update(path.read_bytes())
    return [sources.hexdigest(), *map(version, LIBRARIES)]


# Of the code as it was when this process began, which is the code that will draw.
CODE = _code()


# The figures of one experiment.


def draw(
    experiment: Experiment, entry: Mapping[str, Any], selections: Mapping[str, Selection], out: Path
) -> dict[str, tuple[list[Picture], list[Picture], int | None]]:
    """The figures of an experiment in each protocol: what stands above all, those of one seed, and which seed.

    They are those of the first seed that shows what the source shows.

    Args:
        experiment: whose.
        entry: of the experiment in results.json.
        selections: its finished runs by protocol, the published one among them.
        out: where `runs/` is.
    """
    album = Album(out / "runs" / name_of(experiment) / "figures")
    drawn = {PUBLISHED: _published(experiment, entry, selections[PUBLISHED], album)}
    for protocol, selection in selections.items():
        if protocol != PUBLISHED:
            pictures, seed = _of_a_seed(experiment, selection, sorted(selection.runs), album)
            pictures = [picture for picture in pictures if picture.name in experiment.HELD_OUT_FIGURES]
            pictures += _best_roc(experiment, protocol, selection, entry["standings"][protocol], out, album)
            drawn[protocol] = [], pictures, seed
    album.forget_the_rest()
    return drawn


def _published(
    experiment: Experiment, entry: Mapping[str, Any], selection: Selection, album: Album
) -> tuple[list[Picture], list[Picture], int | None]:
    published = read_published(name_of(experiment))
    overview = []
    if selection.runs and not selection.stand_in and any(group.obtained == "one run" for group in published.groups):
        seeds = selection.metrics()
        # What is drawn is what was compared, so the comparison is all that the picture depends on.
        inputs = ["published against ours", entry["comparison"]["groups"], sorted(seeds), entry["seeds"]]
        hangs_on = {
            group["name"]: deciding(group)["metric"]
            for group in entry["comparison"]["groups"]
            if group["obtained"] == "one run"
        }
        overview = album.pictures(inputs, lambda: [figures.published_against_ours(published, seeds, hangs_on)])
    order = _by_what_the_source_shows(entry["comparison"], selection)
    return overview, *_of_a_seed(experiment, selection, order, album)


def _by_what_the_source_shows(comparison: Mapping[str, Any], selection: Selection) -> list[int]:
    """The seeds in the order in which to draw from them: first those that meet the source's conditions."""
    met = [set(given["seeds"]) for given in comparison["conditional"]]
    return sorted(selection.runs, key=lambda seed: (not all(seed in seeds for seeds in met), seed))


def _of_a_seed(
    experiment: Experiment, selection: Selection, seeds: Sequence[int], album: Album
) -> tuple[list[Picture], int | None]:
    """The figures of the first of these seeds whose arrays can be drawn, and which one that is."""
    for seed in seeds:
        folder, record = selection.runs[seed]
        try:
            inputs = ["run", name_of(experiment), record.arrays_sha256]
            return album.pictures(inputs, lambda: experiment.draw(records.read_arrays(folder, record))), seed  # noqa: B023
        except (RecordError, LookupError, ValueError, TypeError):  # damaged, or not the arrays of such a run at all
            continue
    return [], None


def _best_roc(
    experiment: Experiment,
    protocol: str,
    selection: Selection,
    table: Mapping[str, Any] | None,
    out: Path,
    album: Album,
) -> list[Picture]:
    """ROC curves of the best methods of a protocol on the samples of its first seed."""
    if table is None or not table["rows"]:
        return []
    seed = min(table["seeds"])
    methods = [row["method"] for row in table["rows"] if row["method"] != RANDOM]

    def draw_curves() -> list[Drawing]:
        scored = scores_of(experiment, protocol, selection.runs[seed], out)
        ranked = [method for method in methods if method in scored.scores]
        best = ranked[:BEST]
        if table["reference"] not in best:
            best = [*best[: BEST - 1], table["reference"]]
        figure, axes = figures.canvas(columns=1, height=4.0, wide=True)
        figures.roc_curves(axes[0], scored.labels, {method: scored.scores[method] for method in best})
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
        caption = (
            f"ROC curves of the best methods and of the {table['reference']}, held out, on the samples of seed {seed}."
        )
        return [Drawing("roc_of_the_best", caption, figure)]

    # The ranking follows from all scores, those of this seed among them.
    inputs = ["best ROC", protocol, selection.runs[seed][1].arrays_sha256, table["rows"], seed]
    try:
        return album.pictures(inputs, draw_curves)
    except RecordError:
        return []
