"""The plots that the experiments share, and the one visual style of them all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.comparison.published import Group, Published
from common.comparison.verdicts import MINIMUM_SEEDS, Prediction, SeedMetrics, values_of

Arrays = Mapping[str, NDArray[Any]]

WIDTH = 8.0
DOTS_PER_INCH = 110
# Blue and orange of the colour-blind safe palette after Okabe and Ito: normal, anomaly.
CLASS_COLOURS = ("#0072B2", "#D55E00")
CLASS_NAMES = ("normal", "anomaly")
THRESHOLD_LINE: Mapping[str, Any] = {"color": "black", "linewidth": 1, "linestyle": "--"}


@dataclass(frozen=True)
class Drawing:
    """A figure, the name of its file, and a caption that says what it shows."""

    name: str
    caption: str
    figure: Any


def style() -> Any:
    """The visual style, as a context manager: seaborn's white grid with the class colours first."""
    import matplotlib.rcsetup
    import seaborn

    cycle = matplotlib.rcsetup.cycler(color=[*CLASS_COLOURS, "#009E73", "#CC79A7", "#56B4E9"])
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("notebook", font_scale=0.8),
        "axes.prop_cycle": cycle,
        "grid.color": "#e6e6e6",
        "axes.edgecolor": "#b0b0b0",
        "svg.hashsalt": "reproducible",
    }
    return matplotlib.rc_context(settings)


def canvas(columns: int, height: float, rows: int = 1, wide: bool = False, **shared: Any) -> tuple[Any, NDArray[Any]]:
    """A figure of the report's width, and its axes side by side, row after row.

    Built without pyplot, so that no global state remains and any backend will do.

    Args:
        columns: how many axes.
        height: of the figure, in inches.
        rows: how many rows of axes.
        wide: whether a single axes takes the whole width.
        **shared: `sharex` and `sharey`, as in `Figure.subplots`.

    Returns:
        The figure, and its axes as a vector of length `rows * columns`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH if columns > 1 or wide else WIDTH * 0.7, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    return figure, axes


def boxes_by_class(axis: Any, values: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Box plots of values by class, normal before anomaly.

    Args:
        axis: where to draw.
        values: shape `(samples,)`.
        labels: shape `(samples,)`, 1 for an anomaly.
    """
    boxes = axis.boxplot(
        [values[labels == label] for label in (0, 1)],
        tick_labels=CLASS_NAMES,
        patch_artist=True,
        widths=0.6,
        flierprops={"markersize": 2.5},
        medianprops={"color": "black"},
    )
    for box, colour in zip(boxes["boxes"], CLASS_COLOURS, strict=True):
        box.set_facecolor(colour)


def scatter_by_class(axis: Any, points: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Points of the plane, coloured by class, anomalies on top.

    Args:
        axis: where to draw.
        points: shape `(samples, 2)`.
        labels: shape `(samples,)`, 1 for an anomaly.
    """
    for label in (0, 1):
        x, y = points[labels == label].T
        axis.plot(x, y, ".", markersize=3, alpha=0.6, color=CLASS_COLOURS[label], label=CLASS_NAMES[label])
    axis.legend(markerscale=3)


def scores_by_index(axis: Any, scores: NDArray[np.floating], labels: NDArray[np.integer], threshold: float) -> None:
    """Anomaly scores over the index of the sample, coloured by class, with the threshold as a line.

    Args:
        axis: where to draw.
        scores: shape `(samples,)`.
        labels: shape `(samples,)`, 1 for an anomaly.
        threshold: scores above it are flagged.
    """
    for label in (0, 1):
        index = np.flatnonzero(labels == label)
        axis.plot(index, scores[index], ".", markersize=3, color=CLASS_COLOURS[label], label=CLASS_NAMES[label])
    axis.axhline(threshold, label=f"threshold {threshold:.3g}", **THRESHOLD_LINE)
    axis.set(xlabel="data point index", ylabel="reconstruction error")
    axis.legend()


def roc_curves(axis: Any, labels: NDArray[np.integer], scores: Mapping[str, NDArray[np.floating]]) -> None:
    """ROC curves of several methods on the same samples, with their AUROC in the legend.

    Args:
        axis: where to draw.
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: by method, each of shape `(samples,)`, higher = more anomalous.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    for method, values in scores.items():
        false_positive_rate, true_positive_rate, _ = roc_curve(labels, values)
        auroc = roc_auc_score(labels, values)
        axis.plot(false_positive_rate, true_positive_rate, label=f"{method} (AUROC {auroc:.3f})")
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axis.legend(loc="lower right")


def image(axis: Any, pixels: NDArray[Any], title: str = "", **style: Any) -> None:
    """One grey picture without axes, on the scale of 0 to 1 unless told otherwise.

    Args:
        axis: where to draw.
        pixels: shape `(height, width)`.
        title: above the picture.
        **style: of `imshow`.
    """
    axis.imshow(pixels, **{"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"} | style)
    axis.set_title(title)
    axis.set_axis_off()


def confusion_matrix(axis: Any, labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> None:
    """Counts of true against predicted class as a heat map.

    Args:
        axis: where to draw.
        labels: shape `(samples,)`, 1 for an anomaly.
        predictions: the same shape, 1 where one was flagged.
    """
    import seaborn
    from sklearn import metrics

    counts = metrics.confusion_matrix(labels, predictions, labels=[0, 1])
    names = list(CLASS_NAMES)
    seaborn.heatmap(
        counts, annot=True, fmt="d", cbar=False, xticklabels=names, yticklabels=names, cmap="Blues", ax=axis
    )
    axis.set(xlabel="predicted class", ylabel="true class", aspect="equal")


def model_graph(axis: Any, names: NDArray[Any], shapes: NDArray[Any], parameters: NDArray[np.integer]) -> None:
    """The layers of a model without branches as boxes from top to bottom, with an arrow from each to the next.

    Args:
        axis: where to draw.
        names: of the layers, shape `(layers,)`.
        shapes: of their outputs, as text, the same shape.
        parameters: number of their weights, the same shape.
    """
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f7", "edgecolor": CLASS_COLOURS[0]}
    above = None
    for row, (name, shape, count) in enumerate(zip(names, shapes, parameters, strict=True)):
        words = [str(name), f"output {shape}", *([f"{count:,} parameters"] if count else [])]
        # The arrow joins the centres of two boxes and is cut off at their edges.
        arrow = {"arrowstyle": "<-", "color": "#606060", "shrinkA": 0, "shrinkB": 0, "patchB": above}
        label = axis.annotate(
            "   ".join(words),
            xy=(0.5, 1 - row),
            xytext=(0.5, -row),
            ha="center",
            va="center",
            bbox=box,
            arrowprops=arrow if above else None,
            annotation_clip=False,
        )
        above = label.get_bbox_patch()
    axis.set(xlim=(0, 1), ylim=(0.6 - len(names), 0.6))
    axis.set_axis_off()


def png(drawing: Drawing) -> bytes:
    """A drawing as PNG, reduced to 128 colours: a third of the size, and no eye sees it."""
    from PIL import Image

    drawn, reduced = io.BytesIO(), io.BytesIO()
    drawing.figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
    picture = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(reduced, format="png", optimize=True)
    return reduced.getvalue()


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
