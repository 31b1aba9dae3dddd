"""The section of the report on methods beyond the classical detectors: those that authors announced, and PyOD's."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import figures
from common.comparison.leaderboard import BETTER, WORSE
from common.comparison.standings import (
    Located,
    Standing,
    Standings,
    detectors_beside,
    finished,
    standings,
    unfinished,
    unranked,
)
from common.comparison.verdicts import NOT_RUN
from common.detectors import pyod
from common.detectors.detector import ANNOUNCED_GROUP, PYOD_GROUP
from common.detectors.registry import can_score, detector_named, names_in
from common.errors import ConfigError, RecordError
from common.experiment import HELD_OUT, PUBLISHED, Experiment
from common.figures import CaptionedFigure
from common.report.figures import Png, kept
from common.report.held_out import auroc, change, leaderboard_table
from common.report.markup import filled
from common.report.results import ExperimentResults, FurtherResults
from common.runs import records
from common.runs.selection import Selection

# Number of seeds by protocol, the first ones of a report: these methods take as long as a run each.
SEEDS = {PUBLISHED: 3, HELD_OUT: 10}


def names() -> tuple[str, ...]:
    """List these methods of the reference report; other reports have those that were run."""
    return (*names_in(ANNOUNCED_GROUP), *pyod.IN_REFERENCE)


class Collected(NamedTuple):
    """The rankings of one experiment and what else a report tells of them, with the figures.

    Attributes:
        results: the results, without the digest that `collect.recipe` computes.
        figures: the figures.
        as_in_reference: true if these are the methods of the reference report, no more and no fewer.
    """

    results: FurtherResults
    figures: Sequence[Png]
    as_in_reference: bool


def collect_further(experiment: Experiment, selections: Mapping[str, Selection], folder: Path) -> Collected | None:
    """Collect the methods beyond the classical detectors from the records of an experiment.

    Args:
        experiment: the experiment.
        selections: the selected records by protocol.
        folder: folder of the cache files of its figures.

    Returns:
        The results; `None` if no such method was run.
    """
    expected = [name for name in names() if _can_score_here(name, experiment)]
    boards, records_of, known = {}, {}, set()
    for protocol, selection in selections.items():
        run_here = [name for name in (*names(), *_pyod_run(selection)) if _can_score_here(name, experiment)]
        found = dict.fromkeys(run_here)
        board = standings(experiment, protocol, selection, list(found))
        beside = detectors_beside(experiment, protocol, selection.runs, list(found))
        known |= {name for of_seed in beside.values() for name in of_seed}
        if board is None:  # What failed in every seed is named, although nothing can be ranked.
            board = unranked("", unfinished(beside))
        lacking = _lacking(board, sorted(selection.runs)[: SEEDS[protocol]])
        if board.rows or lacking:
            boards[protocol], records_of[protocol] = replace(board, missing=lacking), beside
    if not boards:
        return None
    used = [one for found in records_of.values() for beside in found.values() for one in finished(beside).values()]
    any_run = next(iter(selections.values()))
    results = FurtherResults(
        boards=boards,
        data=any_run.data,
        stand_in=any_run.stand_in,
        commits=tuple(sorted({str(record.environment.get("commit") or "unknown") for _, record in used})),
    )
    drawn = _drawn(experiment, selections[HELD_OUT], records_of[HELD_OUT], folder) if HELD_OUT in boards else []
    return Collected(results, drawn, known == set(expected) and pyod.is_installed())


def _lacking(board: Standings, seeds: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """List what a ranking lacks: that a method was not run counts only for the seeds that a report runs it for."""
    found = {
        what: tuple(seed for seed in of_it if seed in seeds or not what.endswith(NOT_RUN))
        for what, of_it in board.missing.items()
    }
    return {what: of_it for what, of_it in found.items() if of_it}


def _pyod_run(selection: Selection) -> Sequence[str]:
    """List the detectors of PyOD that have records beside the runs of a selection."""
    prefix = records.detector_folder(Path(), pyod.PREFIX)
    found = [path for folder, _ in selection.runs.values() for path in folder.parent.glob(f"{prefix}*")]
    return [pyod.PREFIX + path.name.removeprefix(prefix.name) for path in sorted(found)]


def _can_score_here(name: str, experiment: Experiment) -> bool:
    """Check if a method works on the samples of an experiment, and its library is installed."""
    try:
        return can_score(name, experiment)
    except ConfigError:
        return False


# The figures.


def _drawn(
    experiment: Experiment, selection: Selection, beside: Mapping[int, Mapping[str, Located | str]], folder: Path
) -> Sequence[Png]:
    """Draw samples from the trained methods of the first seed, and for curves anomalies with their reconstructions."""
    trained = {
        seed: {name: one for name, one in finished(found).items() if detector_named(name).trained}
        for seed, found in beside.items()
    }
    seed = next((seed for seed, found in trained.items() if found), None)
    if seed is None:
        return []
    run, found = selection.runs[seed], trained[seed]

    def draw() -> list[CaptionedFigure]:
        arrays = {detector_named(name).title: records.read_arrays(*one) for name, one in found.items()}
        drawn, reconstructed = (
            {title: of_method for title, of_method in arrays.items() if part in of_method}
            for part in ("drawn", "reconstructed")
        )
        found_figures = []
        if drawn and experiment.dataset is None:
            found_figures.append(_curves(drawn, seed))
        elif drawn and (side := _side(drawn)):
            found_figures.append(_images(drawn, side, seed))
        if reconstructed and experiment.dataset is None:
            found_figures.append(_anomalies(reconstructed, records.read_arrays(*run), seed))
        return found_figures

    try:
        inputs = [run[1].arrays_sha256, {name: record.arrays_sha256 for name, (_, record) in found.items()}]
        return kept(folder / "further.json", inputs, draw)
    except (RecordError, LookupError, ValueError):  # damaged arrays, or other ones than the figures need
        return []


def _curves(arrays: Mapping[str, Mapping[str, NDArray[Any]]], seed: int) -> CaptionedFigure:
    figure, axes = figures.canvas(columns=len(arrays), height=2.6, sharey=True, wide=True)
    for axis, (title, of_method) in zip(axes, arrays.items(), strict=True):
        axis.plot(np.linspace(0, 1, of_method["drawn"].shape[1]), of_method["drawn"].T, linewidth=1)
        axis.set(title=title, xlabel="position")
    caption = f"Curves drawn from the trained methods of seed {seed}, held out; the training curves have one peak."
    return CaptionedFigure("drawn_by_announced", caption, figure)


def _side(arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> int | None:
    """Give the width of square images; `None` for what is no picture, such as windows of many sensors."""
    features = next(iter(arrays.values()))["drawn"].shape[1]
    return side if (side := math.isqrt(features)) ** 2 == features else None


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
_PROTOCOLS = {HELD_OUT: "held out", PUBLISHED: "published protocol"}


def section(entry: ExperimentResults) -> str:
    """Write the section on these methods; empty if none was run."""
    if entry.further is None:
        return ""
    kinds: dict[str, Callable[[Standing], bool]] = {
        "Announced by the author of the source": lambda row: row.method in entry.announced,
        "Other trained methods": lambda row: row.group == ANNOUNCED_GROUP and row.method not in entry.announced,
        "From the collection PyOD": lambda row: row.group == PYOD_GROUP,
    }
    tables = []
    for title, belongs in kinds.items():
        for protocol, words in _PROTOCOLS.items():
            board = entry.further.boards.get(protocol)
            if board and any(map(belongs, board.rows)):
                rows = [row for row in board.rows if row.ours or belongs(row)]
                tables.append((f"{title}, {words}", board, leaderboard_table(board, rows)))
    return filled(
        "further.md.jinja",
        sentences=sentences(entry),
        tables=tables,
        missing={_PROTOCOLS[protocol]: board.missing for protocol, board in entry.further.boards.items()},
        figures=entry.further.figures,
    )


def sentences(entry: ExperimentResults) -> list[str]:
    """Say for each trained method, held out, if it is better than the source's; for an announced one, if it helps."""
    board = entry.further.boards.get(HELD_OUT) if entry.further else None
    if board is None:
        return []
    rows = [row for row in board.rows if row.group == ANNOUNCED_GROUP]
    return [_sentence(row, entry.announced.get(row.method), board.reference) for row in rows]


def _sentence(row: Standing, words: str | None, reference: str) -> str:
    standing = _STANDINGS.get(row.standing, "not told apart from")
    by = f"with a difference of {change(row.difference, row.difference_interval)}"
    collapsed = f" It collapsed in {row.collapsed} of {row.seeds} seeds." if row.collapsed else ""
    if words is None:
        return f"{row.method}, which the source does not name, is {standing} the {reference}, {by}.{collapsed}"
    name = row.method if words == row.method else f"{words} (here {row.method})"
    answer = _ANSWERS.get(row.standing, "it is not shown that it would have helped")
    return (
        f"The author of the source names {name} as a next step: {answer}. Its AUROC of {auroc(row)} is {standing} "
        f"that of the {reference}, {by}.{collapsed}"
    )
