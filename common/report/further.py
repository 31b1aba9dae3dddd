"""The section of the report on methods beyond the classical detectors: those that authors announced, and PyOD's."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import figures
from common.comparison.leaderboard import BETTER, WORSE
from common.comparison.standings import Standing, standings
from common.detectors import pyod
from common.detectors.detector import ANNOUNCED_GROUP, PYOD_GROUP
from common.detectors.registry import can_score, detector_named, names_in
from common.errors import RecordError
from common.experiment import HELD_OUT, PUBLISHED, Experiment
from common.figures import CaptionedFigure
from common.report.figures import Png, kept
from common.report.held_out import auroc, change, leaderboard_table
from common.report.markup import filled
from common.report.results import ExperimentResults, FurtherResults
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection

# Number of seeds by protocol, the first ones of a report: these methods take as long as a run each.
SEEDS = {PUBLISHED: 3, HELD_OUT: 10}


def names() -> tuple[str, ...]:
    """List these methods of the reference report; other reports have those that were run."""
    return (*names_in(ANNOUNCED_GROUP), *pyod.IN_REFERENCE)


class Collected(NamedTuple):
    """The rankings of one experiment and what else a report tells of them, with the figures."""

    results: FurtherResults
    figures: Sequence[Png]


def collect_further(experiment: Experiment, selections: Mapping[str, Selection], folder: Path) -> Collected | None:
    """Collect the methods beyond the classical detectors from the records of an experiment.

    Args:
        experiment: the experiment.
        selections: the selected records by protocol.
        folder: folder of the cache files of its figures.

    Returns:
        The results without the digest that `collect.recipe` computes; `None` if no such method was run.
    """
    located = {protocol: _located(experiment, protocol, selection) for protocol, selection in selections.items()}
    boards = {}
    for protocol, found in located.items():
        # Only what was run here, finished or not, so that a report without PyOD lacks nothing.
        run = [name for name in names() if any(name in of_seed for of_seed in found.values())]
        board = standings(experiment, protocol, selections[protocol], run) if run else None
        if board is not None and board.rows:
            boards[protocol] = board
    if not boards:
        return None
    used = [found[1] for protocol in boards for of_seed in located[protocol].values() for found in of_seed.values()]
    any_run = next(iter(selections.values()))
    results = FurtherResults(
        boards=boards,
        data=any_run.data,
        stand_in=any_run.stand_in,
        commits=tuple(sorted({str(record.environment.get("commit") or "unknown") for record in used})),
    )
    return Collected(results, _drawn(experiment, selections.get(HELD_OUT), located.get(HELD_OUT, {}), folder))


def is_complete() -> bool:
    """Check if all methods of the reference report can be run here."""
    return pyod.is_installed()


Found = Mapping[str, tuple[Path, Record]]


def _located(experiment: Experiment, protocol: str, selection: Selection) -> dict[int, Found]:
    """Find the records of these methods by seed and name, those of failed ones included."""
    found: dict[int, Found] = {}
    usable = [name for name in names() if _can_score_here(name, experiment)]
    for seed, (folder, _) in sorted(selection.runs.items()):
        for name in usable:
            of_seed = seed if detector_named(name).random or protocol in experiment.split_by_seed else 0
            place = records.seed_folder(records.detector_folder(folder.parent, name), of_seed)
            try:
                record = records.read_record(place)
            except RecordError:
                continue
            found[seed] = {**found.get(seed, {}), name: (place, record)}
    return found


def _can_score_here(name: str, experiment: Experiment) -> bool:
    """Check if a method works on the samples of an experiment, and its library is installed."""
    return (not name.startswith(pyod.PREFIX) or pyod.is_installed()) and can_score(name, experiment)


# The figures.


def _drawn(
    experiment: Experiment, selection: Selection | None, located: Mapping[int, Found], folder: Path
) -> Sequence[Png]:
    """Draw samples from the trained methods of the first seed, and for curves anomalies with their reconstructions."""
    trained = {
        seed: {name: one for name, one in found.items() if detector_named(name).trained and one[1].status == records.OK}
        for seed, found in located.items()
    }
    seed = next((seed for seed, found in trained.items() if found), None)
    if selection is None or seed is None:
        return []
    run, found = selection.runs[seed], trained[seed]

    def draw() -> list[CaptionedFigure]:
        arrays = {detector_named(name).title: records.read_arrays(*one) for name, one in found.items()}
        features = next(iter(arrays.values()))["drawn"].shape[1]
        side = round(features**0.5)
        if experiment.dataset is None:
            return [_curves(arrays, seed), _anomalies(arrays, records.read_arrays(*run), seed)]
        if side * side == features:
            return [_images(arrays, side, seed)]
        return []  # Windows of many sensors are no picture.

    inputs = [run[1].arrays_sha256, {name: record.arrays_sha256 for name, (_, record) in found.items()}]
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    try:
        return kept(folder / "further.json", [inputs, code], draw)
    except (RecordError, LookupError, ValueError):  # damaged arrays, or other ones than the figures need
        return []


def _curves(arrays: Mapping[str, Mapping[str, NDArray[Any]]], seed: int) -> CaptionedFigure:
    figure, axes = figures.canvas(columns=len(arrays), height=2.6, sharey=True, wide=True)
    for axis, (title, of_method) in zip(axes, arrays.items(), strict=True):
        axis.plot(np.linspace(0, 1, of_method["drawn"].shape[1]), of_method["drawn"].T, linewidth=1)
        axis.set(title=title, xlabel="position")
    caption = f"Curves drawn from the trained methods of seed {seed}, held out; the training curves have one peak."
    return CaptionedFigure("drawn_by_announced", caption, figure)


def _images(arrays: Mapping[str, Mapping[str, NDArray[Any]]], side: int, seed: int) -> CaptionedFigure:
    figure, axes = figures.canvas(columns=1, rows=len(arrays), height=1.1 * len(arrays), wide=True)
    for axis, (title, of_method) in zip(axes, arrays.items(), strict=True):
        axis.imshow(np.hstack([*of_method["drawn"].reshape(-1, side, side)]), cmap="gray")
        axis.set(title=title, xticks=[], yticks=[])
        axis.grid(visible=False)
    caption = f"Images drawn from the trained methods of seed {seed}, held out; all training images are normal."
    return CaptionedFigure("drawn_by_announced", caption, figure)


def _anomalies(
    arrays: Mapping[str, Mapping[str, NDArray[Any]]], run: Mapping[str, NDArray[Any]], seed: int
) -> CaptionedFigure:
    """Draw anomalous curves with the reconstructions of the source's autoencoder and of the trained methods."""
    first = next(iter(arrays.values()))["reconstructed_samples"]
    shown = [place for place, index in enumerate(first) if run["labels"][index] == 1]
    figure, axes = figures.canvas(columns=2, rows=-(-len(shown) // 2), height=2.2 * -(-len(shown) // 2), sharey=True)
    for axis, place in zip(axes, shown, strict=False):
        index, x = first[place], np.linspace(0, 1, run["curves"].shape[1])
        axis.plot(x, run["curves"][index], color="black", linewidth=2, label="anomaly")
        axis.plot(x, run["reconstructions"][index], label="the source's autoencoder")
        for title, of_method in arrays.items():
            axis.plot(x, of_method["reconstructed"][place], linewidth=1, label=title)
        axis.set(xlabel="position")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(arrays) + 2, frameon=False
    )
    caption = f"Anomalies, reconstructed by the source's autoencoder and by the trained methods; seed {seed}, held out."
    return CaptionedFigure("anomalies_by_announced", caption, figure)


# The text.

_ANSWERS = {BETTER: "it would have helped", WORSE: "it would not have helped"}
_STANDINGS = {BETTER: "better than", WORSE: "worse than"}
_TITLES = {ANNOUNCED_GROUP: "Announced by authors of the sources", PYOD_GROUP: "From the collection PyOD"}
_PROTOCOLS = {HELD_OUT: "held out", PUBLISHED: "published protocol"}


def section(entry: ExperimentResults) -> str:
    """Write the section on these methods; empty if none was run."""
    if entry.further is None:
        return ""
    tables = []
    for group, title in _TITLES.items():
        for protocol, words in _PROTOCOLS.items():
            board = entry.further.boards.get(protocol)
            rows = [row for row in board.rows if row.ours or row.group == group] if board else []
            if board and any(row.group for row in rows):
                tables.append((f"{title}, {words}", board, leaderboard_table(board, rows)))
    return filled("further.md.jinja", sentences=sentences(entry), tables=tables, figures=entry.further.figures)


def sentences(entry: ExperimentResults) -> list[str]:
    """Say for each trained method, held out, if it would have helped, by how much, and who announced it."""
    board = entry.further.boards.get(HELD_OUT) if entry.further else None
    rows = [row for row in board.rows if row.group == ANNOUNCED_GROUP] if board else []
    assert board is not None or not rows
    return [_sentence(row, entry.announced.get(row.method), board.reference) for row in rows if board]


def _sentence(row: Standing, words: str | None, reference: str) -> str:
    standing = _STANDINGS.get(row.standing, "not told apart from")
    by = f"with a difference of {change(row.difference, row.difference_interval)}"
    collapsed = f" It collapsed in {row.collapsed} of {row.seeds} seeds." if row.collapsed else ""
    if words is None:
        return f"{row.method}, announced by authors of other sources, is {standing} the {reference}, {by}.{collapsed}"
    name = row.method if words == row.method else f"{words} (here {row.method})"
    answer = _ANSWERS.get(row.standing, "it is not shown that it would have helped")
    return (
        f"The author of the source names {name} as a next step: {answer}. Its AUROC of {auroc(row)} is {standing} "
        f"that of the {reference}, {by}.{collapsed}"
    )
