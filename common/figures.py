"""Plots that several experiments use, and the visual style of all figures."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.experiment import Arrays
from common.training.surroundings import default_settings

WIDTH = 8.0
DOTS_PER_INCH = 110
# Blue for normal and orange for anomaly, from the colour-blind-safe palette of Okabe and Ito.
CLASS_COLOURS = ("#0072B2", "#D55E00")
CLASS_NAMES = ("normal", "anomaly")
# Colours of the parts of a time series that is split along time.
PART_COLOURS = {"train": "#56B4E9", "validation": "#009E73", "test": CLASS_COLOURS[0]}
THRESHOLD_LINE: Mapping[str, Any] = {"color": "black", "linewidth": 1, "linestyle": "--"}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with its caption and the name of its file.

    Attributes:
        name: file name without extension.
        caption: sentence that says what the figure shows.
        figure: Matplotlib figure.
    """

    name: str
    caption: str
    figure: Any


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Set the visual style within this context: seaborn's white grid with the class colours first.

    All other settings are Matplotlib's defaults, whatever the user's configuration says.
    """
    with default_settings():
        import matplotlib
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
        # Where titles are anyway; otherwise Matplotlib computes all tick labels to find it.
        "axes.titley": 1.0,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def canvas(columns: int, height: float, rows: int = 1, wide: bool = False, **shared: Any) -> tuple[Any, NDArray[Any]]:
    """Create a figure with a grid of axes.

    It is built without pyplot, which would keep global state and need a backend.

    Args:
        columns: number of axes in a row.
        height: height of the figure in inches.
        rows: number of rows of axes. Default: 1.
        wide: true to use the full width `WIDTH` for a single column too. Default: false, 70 % of it.
        **shared: `sharex` and `sharey`, passed to `Figure.subplots`.

    Returns:
        The figure, and its axes row by row, as a vector of length `rows * columns`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH if columns > 1 or wide else WIDTH * 0.7, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared).ravel()


def extremes(arrays: Arrays) -> CaptionedFigure:
    """Draw the scored samples with the lowest and the highest scores, and where their errors are."""
    kind, scores = str(arrays["extreme_kind"]), arrays["all_scores"][arrays["extreme_samples"]]
    inputs, errors = arrays["extreme_inputs"], arrays["extreme_errors"]
    half = max(1, len(scores) // 2)
    titles = [f"sample {one}\n{score:.3g}" for one, score in zip(arrays["extreme_samples"], scores, strict=True)]
    if kind == "table":
        figure, axes = canvas(columns=2, rows=-(-half // 2), height=1.7 * -(-half // 2))
        for axis, one in zip(axes, np.arange(len(scores))[::-1][:half], strict=False):
            largest = np.argsort(errors[one], kind="stable")[::-1][:5][::-1]
            axis.barh(
                arrays["extreme_names"][largest], errors[one][largest] / errors[one].sum(), color=CLASS_COLOURS[1]
            )
            axis.set(title=titles[one].replace("\n", ", score "), xlim=(0, 1), xlabel="share of the squared error")
        caption = "The samples with the highest scores: the columns that make most of each score."
        return CaptionedFigure("extremes", caption, figure)
    rows = 4 if kind == "images" else 2
    figure, axes = canvas(columns=half, rows=rows, height=1.5 * rows, **({} if rows == 4 else {"sharey": True}))
    for place, one in enumerate([*range(half), *range(len(scores) - half, len(scores))]):
        row, column = divmod(place, half)
        if kind == "images":
            side = round(inputs.shape[1] ** 0.5)
            top, bottom = (axes[(2 * row + below) * half + column] for below in (0, 1))
            image(top, inputs[one].reshape(side, side), title=titles[one])
            image(bottom, errors[one].reshape(side, side), cmap="inferno")
        else:
            axis = axes[place]
            axis.plot(inputs[one], linewidth=1)
            axis.fill_between(np.arange(inputs.shape[1]), inputs[one], inputs[one] + np.sqrt(errors[one]), alpha=0.5)
            axis.set_title(titles[one], fontsize="small")
    below = "below each the error of every pixel" if kind == "images" else "the band is the error of every point"
    caption = f"The samples with the lowest scores (first row) and the highest ones (last row); {below}."
    return CaptionedFigure("extremes", caption, figure)


def score_histogram(arrays: Arrays) -> CaptionedFigure:
    """Draw a histogram of all scores, by class if there are anomalies."""
    figure, axes = canvas(columns=1, height=2.8)
    scores, labels = arrays["all_scores"], np.asarray(arrays["labels"])
    bins = np.linspace(scores.min(), scores.max(), 61)
    for label, name in enumerate(CLASS_NAMES if labels.any() else ("all",)):
        axes[0].hist(scores[labels == label], bins, alpha=0.7, color=CLASS_COLOURS[label], label=name)
    axes[0].set(xlabel="score", ylabel="test samples", yscale="log")
    axes[0].legend()
    return CaptionedFigure("scores", "Histogram of the scores of the test samples.", figure)


# The figures of a user's own data.
OF_OWN_DATA = (extremes, score_histogram)


def boxes_by_class(axis: Any, values: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Draw box plots of values by class, normal before anomaly.

    Args:
        axis: Matplotlib axes to draw on.
        values: values of the samples, shape `(samples,)`.
        labels: shape `(samples,)`, 1 for an anomaly.
    """
    by_class = [values[labels == label] for label in (0, 1)]
    style = {"widths": 0.6, "flierprops": {"markersize": 2.5}, "medianprops": {"color": "black"}}
    boxes = axis.boxplot(by_class, tick_labels=CLASS_NAMES, patch_artist=True, **style)
    for box, colour in zip(boxes["boxes"], CLASS_COLOURS, strict=True):
        box.set_facecolor(colour)


def scatter_by_class(axis: Any, points: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Draw a scatter plot of points in the plane, coloured by class, anomalies on top.

    Args:
        axis: Matplotlib axes to draw on.
        points: coordinates of the samples, shape `(samples, 2)`.
        labels: shape `(samples,)`, 1 for an anomaly.
    """
    for label in (0, 1):
        x, y = points[labels == label].T
        axis.plot(x, y, ".", markersize=3, alpha=0.6, color=CLASS_COLOURS[label], label=CLASS_NAMES[label])
    axis.legend(markerscale=3)


def scores_by_index(axis: Any, scores: NDArray[np.floating], labels: NDArray[np.integer], threshold: float) -> None:
    """Plot anomaly scores over the index of the sample, coloured by class, with the threshold as a line.

    Args:
        axis: Matplotlib axes to draw on.
        scores: anomaly scores, shape `(samples,)`.
        labels: shape `(samples,)`, 1 for an anomaly.
        threshold: threshold above which scores are flagged.
    """
    for label in (0, 1):
        index = np.flatnonzero(labels == label)
        axis.plot(index, scores[index], ".", markersize=3, color=CLASS_COLOURS[label], label=CLASS_NAMES[label])
    axis.axhline(threshold, label=f"threshold {threshold:.3g}", **THRESHOLD_LINE)
    axis.set(xlabel="data point index", ylabel="reconstruction error")
    axis.legend()


def roc_curves(axis: Any, labels: NDArray[np.integer], scores: Mapping[str, NDArray[np.floating]]) -> None:
    """Plot the ROC curves of several methods on the same samples, with their AUROC in the legend.

    Args:
        axis: Matplotlib axes to draw on.
        labels: shape `(samples,)`, 1 for an anomaly.
        scores: anomaly scores by method, each of shape `(samples,)`, higher = more anomalous.
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
    """Show one greyscale image without axis lines, 0 as black and 1 as white by default.

    Args:
        axis: Matplotlib axes to draw on.
        pixels: pixels of the image, shape `(height, width)`.
        title: title above the image. Default: none.
        **style: arguments of `imshow` that override the defaults.
    """
    axis.imshow(pixels, **{"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"} | style)
    axis.set_title(title)
    axis.set_axis_off()


def confusion_matrix(axis: Any, labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> None:
    """Draw the confusion matrix as a heat map of counts.

    Args:
        axis: Matplotlib axes to draw on.
        labels: true classes, shape `(samples,)`, 1 for an anomaly.
        predictions: predicted classes, the same shape, 1 for a flagged sample.
    """
    import seaborn
    from sklearn import metrics

    counts = metrics.confusion_matrix(labels, predictions, labels=[0, 1])
    names = {"xticklabels": list(CLASS_NAMES), "yticklabels": list(CLASS_NAMES)}
    seaborn.heatmap(counts, annot=True, fmt="d", cbar=False, cmap="Blues", ax=axis, **names)
    axis.set(xlabel="predicted class", ylabel="true class", aspect="equal")


def model_graph(axis: Any, names: NDArray[Any], shapes: NDArray[Any], parameters: NDArray[np.integer]) -> None:
    """Draw the layers of a model without branches as boxes from top to bottom, with an arrow from each to the next.

    Args:
        axis: Matplotlib axes to draw on.
        names: names of the layers, shape `(layers,)`.
        shapes: output shapes of the layers as text, the same shape.
        parameters: number of weights of each layer, the same shape.
    """
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f7", "edgecolor": CLASS_COLOURS[0]}
    style = {"ha": "center", "va": "center", "bbox": box, "annotation_clip": False}
    above = None
    for row, (name, shape, count) in enumerate(zip(names, shapes, parameters, strict=True)):
        words = [str(name), f"output {shape}", *([f"{count:,} parameters"] if count else [])]
        # The arrow connects the centres of two boxes and is clipped at their edges.
        arrow = {"arrowstyle": "<-", "color": "#606060", "shrinkA": 0, "shrinkB": 0, "patchB": above} if above else None
        label = axis.annotate("   ".join(words), xy=(0.5, 1 - row), xytext=(0.5, -row), arrowprops=arrow, **style)
        above = label.get_bbox_patch()
    axis.set(xlim=(0, 1), ylim=(0.6 - len(names), 0.6))
    axis.set_axis_off()


# Figures along time.


# Whole figures, from the arrays of a run.


def layers(arrays: Arrays) -> CaptionedFigure:
    """Draw the layers of the autoencoder, from input to output.

    Args:
        arrays: arrays of a run, including those of `training.fit.layer_arrays`.
    """
    figure, axes = canvas(columns=1, height=4.2)
    model_graph(axes[0], arrays["layer_names"], arrays["layer_shapes"], arrays["layer_parameters"])
    caption = f"The layers of the autoencoder: {arrays['layer_parameters'].sum():,} parameters."
    return CaptionedFigure("model", caption, figure)


def losses(arrays: Arrays) -> CaptionedFigure:
    """Plot `loss` and `validation_loss` by epoch."""
    figure, axes = canvas(columns=1, height=2.8)
    epochs = np.arange(1, len(arrays["loss"]) + 1)
    axes[0].plot(epochs, arrays["loss"], label="training")
    axes[0].plot(epochs, arrays["validation_loss"], label="validation")
    axes[0].set(xlabel="epoch", ylabel="loss")
    axes[0].legend()
    caption = f"Loss on the normal training and validation samples, over the {len(epochs)} epochs trained."
    return CaptionedFigure("loss", caption, figure)


def precision_and_recall(arrays: Arrays) -> CaptionedFigure:
    """Plot precision and recall of `validation_scores` over the threshold, shifted by one as in the sources."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, limits = precision_recall_curve(arrays["validation_labels"], arrays["validation_scores"])
    figure, axes = canvas(columns=1, height=2.8)
    axes[0].plot(limits, precision[1:], label="precision")
    axes[0].plot(limits, recall[1:], label="recall")
    axes[0].axvline(float(arrays["threshold"]), label="threshold", **THRESHOLD_LINE)
    axes[0].set(xlabel="threshold", ylabel="precision, recall", xscale="log")
    axes[0].legend()
    caption = (
        "Precision and recall on the validation samples over the threshold. As in the source, each threshold is shown "
        "with the precision and recall of the next higher threshold."
    )
    return CaptionedFigure("precision_and_recall", caption, figure)


def errors_by_index(arrays: Arrays) -> CaptionedFigure:
    """Plot the `scores` of the test samples by class, with the threshold."""
    figure, axes = canvas(columns=1, height=3.2)
    scores_by_index(axes[0], arrays["scores"], arrays["labels"], float(arrays["threshold"]))
    axes[0].set_yscale("log")
    caption = "Reconstruction error of each scored sample by class; anomalies are those before a break."
    return CaptionedFigure("test_errors", caption, figure)


def confusion(arrays: Arrays) -> CaptionedFigure:
    """Draw the confusion matrix of the `scores` at the threshold."""
    figure, axes = canvas(columns=1, height=3.2)
    flagged = (arrays["scores"] > arrays["threshold"]).astype(int)
    confusion_matrix(axes[0], arrays["labels"], flagged)
    return CaptionedFigure("confusion_matrix", "Scored samples by true and predicted class at the threshold.", figure)


def roc(arrays: Arrays) -> CaptionedFigure:
    """Draw the ROC curve of the `scores`."""
    figure, axes = canvas(columns=1, height=3.6)
    roc_curves(axes[0], arrays["labels"], {"autoencoder": arrays["scores"]})
    return CaptionedFigure("roc", "ROC curve of the scored samples' reconstruction errors.", figure)


def errors_by_time(arrays: Arrays) -> CaptionedFigure:
    """Plot reconstruction errors along time: normal samples of all parts, test samples before a break, and the breaks.

    The figure shows if the errors of normal samples drift more than they rise before a break.

    Args:
        arrays: arrays of a run, including those of `drift.drift_arrays`.
    """
    figure, axes = canvas(columns=1, height=3.4, wide=True)
    for part, colour in PART_COLOURS.items():
        scores = arrays["scores" if part == "test" else f"{part}_scores"]
        axes[0].plot(_times(arrays, part), scores, ".", markersize=2, alpha=0.5, color=colour, label=part)
    before = arrays["labels"] == 1
    style = {"markersize": 2.5, "color": CLASS_COLOURS[1], "label": "test, before a break"}
    axes[0].plot(_times(arrays, "test")[before], arrays["scores"][before], ".", **style)
    breaks = arrays["break_times"][arrays["break_times"] >= arrays["test_times"][0]]
    for number, moment in enumerate(breaks.astype("datetime64[s]")):
        label = "break" if number == 0 else None
        axes[0].axvline(moment, color="black", linewidth=0.6, alpha=0.5, zorder=0, label=label)
    axes[0].axhline(float(arrays["threshold"]), label="threshold", **THRESHOLD_LINE)
    axes[0].set(xlabel="time", ylabel="reconstruction error", yscale="log")
    axes[0].legend(markerscale=3, loc="lower right", fontsize="small")
    caption = (
        "Reconstruction errors along time: training, validation and test samples, and the breaks of the test period."
    )
    return CaptionedFigure("errors_by_time", caption, figure)


def sensors_by_time(arrays: Arrays) -> CaptionedFigure:
    """Plot the sensors with the largest share of the error of normal samples in validation and test along time.

    Args:
        arrays: arrays of a run, including those of `drift.drift_arrays`.
    """
    numbers = arrays["drifting_sensors"]
    figure, axes = canvas(columns=1, rows=len(numbers), height=1.9 * len(numbers) + 0.4, wide=True, sharex=True)
    for row, number in enumerate(numbers):
        for part, colour in PART_COLOURS.items():
            values = arrays[f"{part}_sensors"][:, row]
            axes[row].plot(_times(arrays, part), values, ".", markersize=2, color=colour, label=part)
        axes[row].set(ylabel=f"x{number}, standard deviations")
    axes[-1].set(xlabel="time")
    axes[0].legend(markerscale=3, fontsize="small")
    named = " and ".join(f"x{number}" for number in numbers)
    caption = (
        f"What moves the errors: {named}, largest in the error of normal samples of validation or test, as last rows "
        "of samples, in standard deviations of the training samples."
    )
    return CaptionedFigure("sensors_by_time", caption, figure)


def _times(arrays: Arrays, part: str) -> NDArray[np.datetime64]:
    return np.asarray(arrays[f"{part}_times"].astype("datetime64[s]"))


def png(captioned: CaptionedFigure) -> bytes:
    """Convert a figure to PNG, reduced to 128 colours, a third of the file size without visible loss."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure, content = captioned.figure, io.BytesIO()
    # The same pixels as by `savefig`, which draws everything twice: first to compute the layout, then for the file.
    figure.set_dpi(DOTS_PER_INCH)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(content, format="png", optimize=True)
    return content.getvalue()
