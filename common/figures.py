"""The plots that the experiments share, and the one visual style of them all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

WIDTH = 8.0
DOTS_PER_INCH = 110
# Blue and orange of the colour-blind safe palette after Okabe and Ito: normal, anomaly.
CLASS_COLOURS = ("#0072B2", "#D55E00")
CLASS_NAMES = ("normal", "anomaly")


@dataclass(frozen=True)
class Drawing:
    """A figure, the name of its file, and a caption that says what it shows."""

    name: str
    caption: str
    figure: Any


def style() -> Any:
    """The visual style, as a context manager: seaborn's white grid with the class colours first."""
    import matplotlib
    import seaborn
    from cycler import cycler

    cycle = cycler(color=[*CLASS_COLOURS, "#009E73", "#CC79A7", "#56B4E9"])
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("notebook", font_scale=0.8),
        "axes.prop_cycle": cycle,
        "grid.color": "#e6e6e6",
        "axes.edgecolor": "#b0b0b0",
        "svg.hashsalt": "reproducible",
    }
    return matplotlib.rc_context(settings)


def canvas(columns: int, height: float, **shared: Any) -> tuple[Any, NDArray[Any]]:
    """A figure of the report's width, and its axes side by side.

    Built without pyplot, so that no global state remains and any backend will do.

    Args:
        columns: how many axes.
        height: in inches.
        **shared: `sharex` and `sharey`, as in `Figure.subplots`.

    Returns:
        The figure, and its axes as a vector of length `columns`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH if columns > 1 else WIDTH * 0.7, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **shared)[0]
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


def save(drawing: Drawing, folder: Path) -> Path:
    """Write a drawing as PNG, reduced to 128 colours: a third of the size, and no eye sees it.

    Returns:
        The path of the file, `<folder>/<name>.png`.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    picture = Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    path = folder / f"{drawing.name}.png"
    picture.save(path, optimize=True)
    return path
