"""Draw the figures of a report from the saved arrays.

Drawing takes most of the time of a report, so the figures are cached beside the records. They are drawn again when the
arrays, the code or a library changes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import figures, files
from common.comparison.prediction import SeedMetrics, values_of
from common.comparison.published import Claim, Published
from common.comparison.standings import Standings, scores_of
from common.comparison.sweeps import Sweep
from common.comparison.verdicts import (
    NEXT_REFERENCE,
    STAND_IN,
    Comparison,
    GroupResult,
    MemberResult,
)
from common.errors import RecordError
from common.experiment import PUBLISHED, Experiment
from common.figures import CLASS_COLOURS, WIDTH, CaptionedFigure
from common.report.conclusions import RANDOM
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection

# Number of methods in the figure of ROC curves.
BEST = 5
# The libraries that a figure depends on.
LIBRARIES = ("matplotlib", "seaborn", "numpy", "pillow", "scikit-learn", "scipy", "pandas")


@dataclass(frozen=True)
class Png:
    """A figure as a PNG file, with its name and caption."""

    name: str
    caption: str
    png: bytes


def kept(path: Path, inputs: Any, draw: Callable[[], list[CaptionedFigure]]) -> list[Png]:
    """Draw figures, or read them from their cache file.

    Args:
        path: path of the cache file.
        inputs: everything that the figures depend on besides code and libraries, as plain data.
        draw: draws the figures.
    """

    def compute() -> list[Png]:
        with figures.style():
            return [Png(figure.name, figure.caption, figures.png(figure)) for figure in draw()]

    return files.kept(path, [_CODE, inputs], compute, list[Png])


def _code() -> list[str]:
    """Compute a digest of the code of the suite, and list the versions of the libraries."""
    sources = hashlib.sha256()
    for path in sorted((files.ROOT / "common").rglob("*.py")):
        sources.update(path.read_bytes())
    return [sources.hexdigest(), *map(version, LIBRARIES)]


# Computed at import, since this process runs the code as it is now.
_CODE = _code()


# The figures of one experiment.


def overview(published: Published, comparison: Comparison, seeds: SeedMetrics, folder: Path) -> list[Png]:
    """Draw all published numbers from one run against ours, if there are both and the runs used the real data.

    Args:
        published: the published numbers.
        comparison: the verdicts on them.
        seeds: metrics by seed.
        folder: folder of the cache files.
    """
    one_run = [group for group in comparison.groups if group.obtained == "one run" and group.verdict != NEXT_REFERENCE]
    if not seeds or not one_run or any(group.verdict == STAND_IN for group in one_run):
        return []
    scales = {group.name: group.scale for group in published.groups}
    printed = {
        seed: {member.metric: metrics.get(member.metric) for group in one_run for member in group.members}
        for seed, metrics in seeds.items()
    }
    path = folder / "published_against_ours.json"
    return kept(path, [one_run, scales, printed], lambda: [published_against_ours(one_run, scales, printed)])


def of_one_run(
    experiment: Experiment,
    protocol: str,
    selection: Selection,
    conditions: Sequence[Claim],
    folder: Path,
) -> tuple[list[Png], int | None]:
    """Draw the figures of the first seed that meets the conditions of the source and whose arrays are complete.

    Args:
        experiment: the experiment.
        protocol: the protocol.
        selection: the runs in this protocol.
        conditions: the conditions. If no seed meets them, the figures are those of the first seed.
        folder: folder of the cache files.

    Returns:
        The figures and the seed; no figures and `None` if no seed has complete arrays.
    """
    functions = experiment.figures if protocol == PUBLISHED else experiment.held_out_figures
    metrics = selection.metrics()
    for seed in sorted(metrics, key=lambda seed: (not all(one.holds_in(metrics[seed]) for one in conditions), seed)):
        place, record = selection.runs[seed]

        def draw_all(place: Path = place, record: Record = record) -> list[CaptionedFigure]:
            arrays = records.read_arrays(place, record)
            return [function(arrays) for function in functions]

        try:
            code = hashlib.sha256(experiment.source_code()).hexdigest()
            inputs = [record.arrays_sha256, [function.__name__ for function in functions], code]
            return kept(folder / f"{protocol}.json", inputs, draw_all), seed
        except (RecordError, LookupError, ValueError, TypeError):  # damaged arrays, or other ones than the figures need
            continue
    return [], None


def best_roc(
    experiment: Experiment, protocol: str, selection: Selection, board: Standings | None, folder: Path
) -> list[Png]:
    """Draw the ROC curves of the best methods of a protocol on the test samples of its first seed."""
    if board is None or not board.rows:
        return []
    seed, reference = min(board.seeds), board.reference
    methods = [row.method for row in board.rows if row.method != RANDOM]

    def draw_curves() -> list[CaptionedFigure]:
        scored = scores_of(experiment, protocol, selection.runs[seed])
        ranked = [method for method in methods if method in scored.scores]
        best = ranked[:BEST]
        if reference not in best:
            best = [*best[: BEST - 1], reference]
        figure, axes = figures.canvas(columns=1, height=4.0, wide=True)
        figures.roc_curves(axes[0], scored.labels, {method: scored.scores[method] for method in best})
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
        caption = f"ROC curves of the best methods and of the {reference}, held out, on the samples of seed {seed}."
        return [CaptionedFigure("roc_of_the_best", caption, figure)]

    # The scores of the detectors are not listed: if they change, so does the ranking.
    inputs = [selection.runs[seed][1].arrays_sha256, board.rows, seed]
    try:
        return kept(folder / f"{protocol}-roc.json", inputs, draw_curves)
    except RecordError:
        return []


def heat_maps(sweep: Sweep, pictures: Mapping[int, NDArray[np.uint8]], folder: Path) -> list[Png]:
    """Draw the AUROC of every pair of classes for each method of a sweep, and the difference of two methods.

    Args:
        sweep: the sweep.
        pictures: a picture of each class, shape `(height, width)`.
        folder: folder of the cache files.
    """
    means = {method: sweep.mean_of(method) for method in sweep.methods}

    def draw() -> list[CaptionedFigure]:
        drawn = []
        for number, (method, values) in enumerate(means.items(), start=1):
            caption = (
                f"AUROC of the {method} by normal and anomalous class, held out, mean over the seeds. The source's "
                "pair is framed."
            )
            drawn.append(_heat_map(f"sweep_{number}", caption, values, sweep, pictures))
        if len(means) > 1:
            (first, ours), (second, other) = means.items()
            caption = f"AUROC of the {second} less that of the {first}, by normal and anomalous class."
            drawn.append(_heat_map("sweep_difference", caption, other - ours, sweep, pictures, signed=True))
        return drawn

    shown = {str(one): picture.tolist() for one, picture in pictures.items()}
    inputs = [sweep.names, sweep.classes, sweep.normals, sweep.pair, sweep.aurocs, shown]
    return kept(folder / "sweep.json", inputs, draw)


def _heat_map(
    name: str,
    caption: str,
    values: NDArray[np.float64],
    sweep: Sweep,
    pictures: Mapping[int, NDArray[np.uint8]],
    signed: bool = False,
) -> CaptionedFigure:
    from matplotlib.patches import Rectangle

    rows, columns = values.shape
    figure, (axis,) = figures.canvas(columns=1, height=0.62 * WIDTH * (rows + 1) / (columns + 1) + 0.9, wide=True)
    largest = float(np.nanmax(np.abs(values)))
    # Both scales of colour are told apart by the colour-blind, and in print.
    lowest, highest, colours = (-largest, largest, "PuOr") if signed else (0.4, 1.0, "cividis")
    shades = axis.imshow(values, cmap=colours, vmin=lowest, vmax=highest)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = abs(value) > 0.6 * largest if signed else value < 0.7
            text = f"{value:+.2f}" if signed else f"{value:.2f}"
            axis.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=8)
    for place, one in enumerate(sweep.normals):
        if one in pictures:
            axis.imshow(pictures[one], cmap="gray", extent=(-1.5, -0.5, place + 0.5, place - 0.5))
    for place, one in enumerate(sweep.classes):
        if one in pictures:
            axis.imshow(pictures[one], cmap="gray", extent=(place - 0.5, place + 0.5, rows + 0.5, rows - 0.5))
    normal, anomaly = sweep.pair
    if normal in sweep.normals:
        corner = sweep.classes.index(anomaly) - 0.5, sweep.normals.index(normal) - 0.5
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=CLASS_COLOURS[1], linewidth=3))
    axis.set(xlim=(-1.5, columns - 0.5), ylim=(rows + 0.5, -0.5), xlabel="anomalous class", ylabel="normal class")
    axis.set_xticks(range(columns), sweep.names, rotation=0 if max(map(len, sweep.names)) < 3 else 45)
    axis.set_yticks(range(rows), [sweep.name_of(one) for one in sweep.normals])
    axis.grid(visible=False)
    label, extend = ("difference of AUROC", "neither") if signed else ("AUROC", "min")
    figure.colorbar(shades, ax=axis, label=label, extend=extend)
    return CaptionedFigure(name, caption, figure)


def published_against_ours(
    groups: Sequence[GroupResult], scales: Mapping[str, str], seeds: SeedMetrics
) -> CaptionedFigure:
    """Draw the free numbers of each one-run row: our seeds, the interval, and the published value.

    Args:
        groups: the verdicts on the one-run rows.
        scales: scale of each row by its name.
        seeds: metrics by seed.
    """
    from matplotlib.figure import Figure

    shown = [[member for member in group.members if member.free] for group in groups]
    heights = [len(members) + 0.8 for members in shown]
    figure = Figure(figsize=(WIDTH, 0.28 * sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, group, members in zip(axes, groups, shown, strict=True):
        for row, member in enumerate(members):
            _draw_member(axis, row, member, values_of(member.metric, seeds))
        axis.set_yticks(range(len(members)), [member.metric for member in members])
        axis.set_ylim(len(members) - 0.5, -0.5)
        # A long title needs the room above the names of the numbers as well.
        axis.set_title(group.title, loc="right" if len(group.title) > 60 else "left", fontsize="medium")
        if scales[group.name] == "log":
            axis.set_xscale("log")
        if scales[group.name] == "logit":
            axis.set_xlim(-0.03, 1.03)
    handles, labels = axes[0].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, frameon=False)
    caption = (
        f"Every one-run number that a verdict hangs on: {len(seeds)} seeds of ours, the 95 % prediction interval for "
        "one further run, and the published value."
    )
    return CaptionedFigure("published_against_ours", caption, figure)


def _draw_member(axis: Any, row: int, member: MemberResult, values: list[float]) -> None:
    if member.interval is not None:
        low, high = member.interval
        axis.plot([low, high], [row, row], color="#b8cfe0", linewidth=9, solid_capstyle="butt", label="95 % interval")
    if values:
        axis.plot(values, [row] * len(values), "o", color=CLASS_COLOURS[0], markersize=3, alpha=0.6, label="our seeds")
    place = float(member.printed)
    axis.plot([place, place], [row - 0.38, row + 0.38], color=CLASS_COLOURS[1], linewidth=2.5, label="published")
