"""The section of the report on the sweep over all classes of a data set: its results, and its text as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.comparison.leaderboard import BETTER, REFERENCE, WORSE
from common.comparison.standings import standings
from common.comparison.sweeps import Matrix, Sweep, rank_of_pair, worst_anomalies
from common.data.datasets import DATASETS
from common.detectors.registry import DETECTORS
from common.errors import RecordError
from common.experiment import HELD_OUT, Experiment
from common.papers.tables import PaperTable, read_tables
from common.report import held_out
from common.report.conclusions import RANDOM
from common.report.markup import filled, table
from common.report.results import SweepResults
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Found, Selection, select

# The detector whose pairs are shown beside those of the source's method. It was named before anything was run.
BESIDE = "knn"


class Collected(NamedTuple):
    """A sweep, and by class the picture of an image that the model of that class reconstructs best."""

    sweep: Sweep
    pictures: Mapping[int, NDArray[np.uint8]]


def collect_sweep(experiment: Experiment, found: Sequence[Found]) -> Collected | None:
    """Collect the sweep of an experiment from its records.

    The seeds are those that all normal classes have. So all classes stand on the same seeds.

    Args:
        experiment: the experiment.
        found: its records, as returned by `find_records`.

    Returns:
        The sweep; `None` if no seed is finished for all normal classes that were run.
    """
    selected = {
        normal: select(found, HELD_OUT, config.to_dict(), experiment.revision)
        for normal, config in experiment.swept().items()
    }
    data = next((one.data for one in selected.values() if one.runs and one.stand_in is None), None)
    data = data or next((one.data for one in selected.values() if one.runs), None)
    selected = {normal: one for normal, one in selected.items() if one.runs and one.data == data}
    seeds = sorted(set.intersection(*(set(one.runs) for one in selected.values()))) if selected else []
    if not seeds:
        return None
    for one in selected.values():
        one.runs = {seed: one.runs[seed] for seed in seeds}
    main_method, array = next(iter(experiment.methods.items()))
    aurocs = {main_method: {seed: _row_by_row(experiment, selected, seed, f"{array}.") for seed in seeds}}
    beside = _row_by_row_beside(experiment, selected)
    if beside is not None:
        aurocs[DETECTORS[BESIDE].title] = {seeds[0]: beside}
    boards = {normal: standings(experiment, HELD_OUT, one) for normal, one in selected.items()}
    first = next(iter(selected.values()))
    config, runs = experiment.config(), [record for one in selected.values() for _, record in one.runs.values()]
    assert experiment.dataset is not None
    sweep = Sweep(
        classes=experiment.sweep,
        names=tuple(DATASETS[experiment.dataset].classes[one] for one in experiment.sweep),
        normals=tuple(selected),
        pair=(config.to_dict()["normal"], config.to_dict()["anomaly"]),
        seeds=tuple(seeds),
        aurocs=aurocs,
        boards={normal: board for normal, board in boards.items() if board is not None},
        data=first.data,
        commits=tuple(sorted({str(record.environment.get("commit") or "unknown") for record in runs})),
    )
    pictures = {normal: _picture(*one.runs[seeds[0]], array) for normal, one in selected.items()}
    return Collected(sweep, {normal: picture for normal, picture in pictures.items() if picture is not None})


def _row_by_row(experiment: Experiment, selected: Mapping[int, Selection], seed: int, prefix: str) -> Matrix:
    return tuple(_row(experiment.sweep, selection.runs[seed][1], prefix) for selection in selected.values())


def _row_by_row_beside(experiment: Experiment, selected: Mapping[int, Selection]) -> Matrix | None:
    """Collect the AUROCs of the detector `BESIDE`, which has no randomness; `None` if one of its records is missing."""
    rows = []
    for selection in selected.values():
        folder = next(iter(selection.runs.values()))[0].parent
        try:
            record = records.read_record(records.seed_folder(records.detector_folder(folder, BESIDE), 0))
        except RecordError:
            return None
        if record.status != records.OK or record.revision != DETECTORS[BESIDE].revision:
            return None
        rows.append(_row(experiment.sweep, record, ""))
    return tuple(rows)


def _row(classes: Sequence[int], record: Record, prefix: str) -> tuple[float | None, ...]:
    return tuple(record.metrics.get(f"{prefix}against_{one}.auroc") for one in classes)


def _picture(folder: Path, record: Record, array: str) -> NDArray[np.uint8] | None:
    """Choose, among the stored normal samples of a run, the one with the lowest score; `None` if arrays are damaged."""
    try:
        arrays = records.read_arrays(folder, record)
        chosen = arrays["page_samples"]
        scores = np.where(arrays["labels"][chosen] == 0, arrays[array][chosen], np.inf)
        pixels = arrays["page_inputs"][np.argmin(scores)]
    except (RecordError, LookupError):
        return None
    side = round(pixels.size**0.5)
    return np.asarray(pixels.reshape(side, side))


# The text.


def section(sweep: SweepResults | None) -> str:
    """Write the section on a sweep, with the tables of papers on its data set; empty without one."""
    if sweep is None:
        return ""
    papers = [] if sweep.stand_in else [one for dataset in sweep.data for one in read_tables(dataset)]
    return filled(
        "sweep.md.jinja",
        sweep=sweep,
        sentences=[*_pair_sentences(sweep), *_span_sentences(sweep), *_worst_sentences(sweep), *_rest_sentences(sweep)],
        rest=_rest_table(sweep),
        papers=[(paper, _paper_table(sweep, paper)) for paper in papers],
    )


def _pair(sweep: Sweep, normal: int, anomaly: int) -> str:
    return f"{sweep.name_of(normal)} against {sweep.name_of(anomaly)}"


def _pair_sentences(sweep: Sweep) -> list[str]:
    """Say for each method how hard the source's pair is among all pairs."""
    sentences = []
    for method in sweep.methods:
        rank = rank_of_pair(sweep, method)
        if rank is None:
            continue
        low, high = min(rank.ranks), max(rank.ranks)
        place = ("among the easiest third", "in the middle third", "among the hardest third")[rank.third]
        spread = f" ({low} to {high} over the seeds)" if low < high else ""
        sentences.append(
            f"**The source's pair**, {_pair(sweep, *sweep.pair)}, is {place} for the {method}: AUROC {rank.auroc:.3f}, "
            f"rank {rank.middle:g}{spread} of {rank.pairs} pairs, rank 1 being the highest."
        )
    return sentences


def _span_sentences(sweep: Sweep) -> list[str]:
    """Name the pairs with the lowest and the highest mean AUROC, and count the pairs on which each method is higher."""
    sentences = []
    for method in sweep.methods:
        means = sweep.mean_of(method)
        ends = [np.unravel_index(find(means), means.shape) for find in (np.nanargmin, np.nanargmax)]
        low, high = (
            f"{means[row, column]:.3f} ({_pair(sweep, sweep.normals[row], sweep.classes[column])})"
            for row, column in ends
        )
        below = int(np.sum(means < 0.5))
        counted = f"{below} pair{' has' if below == 1 else 's have'}"
        chance = f"; {counted} less than 0.5, which is worse than chance" if below else ""
        sentences.append(f"The mean AUROC of the {method} over the seeds ranges from {low} to {high}{chance}.")
    if len(sweep.methods) > 1:
        first, second = sweep.methods
        difference = sweep.mean_of(second) - sweep.mean_of(first)
        known = int(np.isfinite(difference).sum())
        sentences.append(
            f"The {second} has the higher mean AUROC on {int(np.sum(difference > 0))} of {known} pairs, the {first} on "
            f"{int(np.sum(difference < 0))}."
        )
    return sentences


def _worst_sentences(sweep: Sweep) -> list[str]:
    named = {
        method: ", ".join(f"{sweep.name_of(one)} for {count}" for one, count in worst_anomalies(sweep, method))
        for method in sweep.methods
    }
    return [
        f"The anomalous class with the lowest AUROC of the {method}: {found} of {len(sweep.normals)} normal classes."
        for method, found in named.items()
    ]


def _rest_sentences(sweep: Sweep) -> list[str]:
    """Count the normal classes on which each detector is better or worse than the source's method."""
    counts: dict[str, list[str]] = {}
    for board in sweep.boards.values():
        for row in board.rows:
            if row.standing != REFERENCE and row.method != RANDOM:
                counts.setdefault(row.method, []).append(row.standing)
    if not counts:
        return []
    total = len(sweep.boards)
    ranked = sorted(counts.items(), key=lambda item: (-item[1].count(BETTER), item[1].count(WORSE), item[0]))
    named = [f"{method}: better on {found.count(BETTER)}, worse on {found.count(WORSE)}" for method, found in ranked]
    reference = next(iter(sweep.boards.values())).reference
    return [
        f"One class against the rest, over {total} normal classes, methods compared with the {reference} by the paired "
        f"bootstrap, with Holm's correction within each class: {'; '.join(named)}."
    ]


def _rest_table(sweep: Sweep) -> str:
    """Make the table of one class against the rest: the source's method, the detector beside it, and the best one."""
    if not sweep.boards:
        return ""
    first = next(iter(sweep.boards.values()))
    beside = DETECTORS[BESIDE].title
    rows = []
    for normal, board in sweep.boards.items():
        by_method = {row.method: row for row in board.rows}
        ours, other, best = board.reference_row, by_method.get(beside), board.rows[0]
        change = held_out.change(other.difference, other.difference_interval) if other else "-"
        numbers = [held_out.auroc(row) if row else "-" for row in (ours, other)]
        rows.append([sweep.name_of(normal), *numbers, change, f"{best.method} {best.auroc:.3f}"])
    headings = ["normal class", f"{first.reference}, AUROC (95 % interval)", f"{beside}", "difference", "highest"]
    return table(headings, rows)


def _paper_table(sweep: Sweep, paper: PaperTable) -> str:
    """Make the table of a paper's numbers, with ours beside them where they are AUROCs too."""
    ours = {method: _by_role(sweep, method, paper.role) for method in sweep.methods} if "AUROC" in paper.number else {}
    scale, digits = (100, 1) if "%" in paper.number else (1, 3)
    printed = [paper.printed(column) for column in paper.columns]
    rows = []
    for one in sorted({*paper.classes} & {*sweep.classes}):
        numbers = [f"{scale * values[one]:.{digits}f}" if one in values else "-" for values in ours.values()]
        rows.append([sweep.name_of(one), *numbers, *(column[one] for column in printed)])
    headings = [
        "normal class" if paper.role == "normal" else "anomalous class",
        *(f"ours: {method}" for method in ours),
    ]
    return table([*headings, *(column.method for column in paper.columns)], rows)


def _by_role(sweep: Sweep, method: str, role: str) -> dict[int, float]:
    """Give the mean AUROC of a method by class: the class against all others, or all normal classes against it."""
    if role == "anomaly":
        return dict(zip(sweep.classes, np.nanmean(sweep.mean_of(method), axis=0).tolist(), strict=True))
    found = {normal: {row.method: row.auroc for row in board.rows} for normal, board in sweep.boards.items()}
    return {normal: aurocs[method] for normal, aurocs in found.items() if method in aurocs}
