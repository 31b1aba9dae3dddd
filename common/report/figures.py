"""The figures of a report: drawn from saved arrays, and kept, since most are the same in the next report.

Drawing takes most of the time of a report. So each set of figures is kept beside the records, together with a digest
of everything that it was drawn from: arrays, code, versions. When one of them changes, it is drawn anew.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from common import figures, files
from common.comparison.prediction import MINIMUM_SEEDS, Prediction, SeedMetrics, values_of
from common.comparison.published import Group, Published
from common.comparison.standings import scores_of
from common.errors import RecordError
from common.experiment import PUBLISHED, Experiment
from common.figures import CLASS_COLOURS, WIDTH, Drawing
from common.report.conclusions import RANDOM, deciding
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection

# How many methods share one figure.
BEST = 5
# Pictures depend on these besides our own code.
LIBRARIES = ("matplotlib", "seaborn", "numpy", "pillow", "scikit-learn", "scipy", "pandas")


class Picture(NamedTuple):
    """A figure that has been drawn."""

    name: str
    caption: str
    png: bytes


class Drawn(NamedTuple):
    """The figures of one protocol: the one above all others, if there is one, those of a seed, and which seed."""

    overview: list[Picture]
    pictures: list[Picture]
    seed: int | None


def _kept(path: Path, inputs: Any, draw: Callable[[], list[Drawing]]) -> list[Picture]:
    """Give the figures that `draw` draws, or drew when it was last asked for with these inputs.

    Args:
        path: where they are kept.
        inputs: everything that the figures depend on besides code and libraries, as plain data.
        draw: from these inputs.
    """

    def compute() -> list[list[str]]:
        with figures.style():
            drawn = [(drawing.name, drawing.caption, figures.png(drawing)) for drawing in draw()]
        return [[name, caption, base64.b64encode(png).decode()] for name, caption, png in drawn]

    kept = files.kept(path, [_CODE, inputs], compute)
    return [Picture(name, caption, base64.b64decode(png)) for name, caption, png in kept]


def _code() -> list[str]:
    """A digest of the code that figures are drawn with, and the versions of the libraries."""
    sources = hashlib.sha256()
    for path in sorted((files.ROOT / "common").rglob("*.py")):
        sources.update(path.read_bytes())
    return [sources.hexdigest(), *map(version, LIBRARIES)]


# Of the code as it was when this process began, which is the code that will draw.
_CODE = _code()


# The figures of one experiment.


def draw(
    experiment: Experiment,
    published: Published,
    entry: Mapping[str, Any],
    selections: Mapping[str, Selection],
    out: Path,
) -> dict[str, Drawn]:
    """Draw the figures of an experiment in each protocol, from the first seed that shows what the source shows.

    Args:
        experiment: whose.
        published: the numbers of its source.
        entry: of the experiment in results.json.
        selections: its finished runs by protocol, the published one among them.
        out: the folder that `runs/` is in.
    """
    folder = out / "runs" / experiment.name / "figures"
    drawn = {}
    for protocol, selection in selections.items():
        if protocol == PUBLISHED:
            overview = _overview(published, entry, selection, folder)
            order = _by_what_the_source_shows(entry["comparison"], selection)
            drawn[protocol] = Drawn(overview, *_of_a_seed(experiment, protocol, selection, order, folder))
        else:
            pictures, seed = _of_a_seed(experiment, protocol, selection, sorted(selection.runs), folder)
            best = _best_roc(experiment, protocol, selection, entry["standings"][protocol], folder)
            drawn[protocol] = Drawn([], [*pictures, *best], seed)
    return drawn


def _overview(published: Published, entry: Mapping[str, Any], selection: Selection, folder: Path) -> list[Picture]:
    groups = [group for group in entry["comparison"]["groups"] if group["obtained"] == "one run"]
    if not selection.runs or selection.stand_in or not groups:
        return []
    seeds = selection.metrics()
    # What is drawn is what was compared, so the comparison is all that the figure depends on.
    inputs = [entry["comparison"]["groups"], sorted(seeds), entry["seeds"]]
    hangs_on = {group["name"]: deciding(group)["metric"] for group in groups}
    path = folder / "published_against_ours.json"
    return _kept(path, inputs, lambda: [published_against_ours(published, seeds, hangs_on)])


def _by_what_the_source_shows(comparison: Mapping[str, Any], selection: Selection) -> list[int]:
    """Order the seeds for drawing: first those that meet the source's conditions."""
    met = [set(given["seeds"]) for given in comparison["conditional"]]
    return sorted(selection.runs, key=lambda seed: (not all(seed in seeds for seeds in met), seed))


def _of_a_seed(
    experiment: Experiment, protocol: str, selection: Selection, seeds: Sequence[int], folder: Path
) -> tuple[list[Picture], int | None]:
    """Draw the figures of the first of these seeds whose arrays can be drawn, and name that seed."""
    functions = experiment.figures if protocol == PUBLISHED else experiment.held_out_figures
    for seed in seeds:
        place, record = selection.runs[seed]

        def draw_all(place: Path = place, record: Record = record) -> list[Drawing]:
            arrays = records.read_arrays(place, record)
            return [function(arrays) for function in functions]

        try:
            code = hashlib.sha256(experiment.source_code()).hexdigest()
            inputs = [record.arrays_sha256, [function.__name__ for function in functions], code]
            return _kept(folder / f"{protocol}.json", inputs, draw_all), seed
        except (RecordError, LookupError, ValueError, TypeError):  # damaged, or not the arrays of such a run at all
            continue
    return [], None


def _best_roc(
    experiment: Experiment,
    protocol: str,
    selection: Selection,
    table: Mapping[str, Any] | None,
    folder: Path,
) -> list[Picture]:
    """Draw ROC curves of the best methods of a protocol on the samples of its first seed."""
    if table is None or not table["rows"]:
        return []
    seed = min(table["seeds"])
    methods = [row["method"] for row in table["rows"] if row["method"] != RANDOM]

    def draw_curves() -> list[Drawing]:
        scored = scores_of(experiment, protocol, selection.runs[seed])
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
    inputs = [selection.runs[seed][1].arrays_sha256, table["rows"], seed]
    try:
        return _kept(folder / f"{protocol}-roc.json", inputs, draw_curves)
    except RecordError:
        return []


def published_against_ours(published: Published, seeds: SeedMetrics, deciding: Mapping[str, str]) -> Drawing:
    """Every one-run number that a verdict hangs on: our seeds as dots, the prediction interval, the published value.

    Args:
        published: the source's numbers.
        seeds: our metrics by seed.
        deciding: by the name of a group the number that its verdict hangs on, which is drawn beside its free ones.
    """
    from matplotlib.figure import Figure

    groups = [group for group in published.groups if group.obtained == "one run"]
    shown = [list(dict.fromkeys([*group.free, deciding.get(group.name, group.free[0])])) for group in groups]
    heights = [len(metrics) + 0.8 for metrics in shown]
    figure = Figure(figsize=(WIDTH, 0.28 * sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, group, metrics in zip(axes, groups, shown, strict=True):
        for row, metric in enumerate(metrics):
            _draw_member(axis, row, group, metric, values_of(metric, seeds))
        axis.set_yticks(range(len(metrics)), metrics)
        axis.set_ylim(len(metrics) - 0.5, -0.5)
        axis.set_title(group.title, loc="left", fontsize="medium")
        if group.scale == "log":
            axis.set_xscale("log")
        if group.scale == "logit":
            axis.set_xlim(-0.03, 1.03)
    handles, labels = axes[0].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, frameon=False)
    caption = (
        f"Every one-run number that a verdict hangs on: {len(seeds)} seeds of ours, the 95 % prediction interval for "
        "one further run, and the published value."
    )
    return Drawing("published_against_ours", caption, figure)


def _draw_member(axis: Any, row: int, group: Group, metric: str, values: list[float]) -> None:
    if len(values) >= MINIMUM_SEEDS:
        low, high = Prediction(values, group.numbers[metric], group.scale, group.cases).interval()
        axis.plot([low, high], [row, row], color="#b8cfe0", linewidth=9, solid_capstyle="butt", label="95 % interval")
    if values:
        axis.plot(values, [row] * len(values), "o", color=CLASS_COLOURS[0], markersize=3, alpha=0.6, label="our seeds")
    place = float(group.numbers[metric])
    axis.plot([place, place], [row - 0.38, row + 0.38], color=CLASS_COLOURS[1], linewidth=2.5, label="published")
