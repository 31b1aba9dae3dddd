"""Tables of the measurements as Markdown, made by pure functions."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.growth import FACTOR, Growth
from benchmarks.measure import Measurement, epoch_cost, paired_ratios
from benchmarks.rows import NOTEBOOK, NOTEBOOK_ONE_THREAD, OURS, PYTORCH, PYTORCH_ONE_THREAD, TITLES, Row

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Measured = Mapping[str, Sequence[Measurement]]
NONE = ""


def render(
    machine: Mapping[str, Any],
    results: Sequence[tuple[Row, Measured]],
    growths: Sequence[tuple[Growth, Measurement, Measurement]],
) -> str:
    """Render the whole generated text: the description of the run, and all tables that have rows."""
    parts = [circumstances(machine)]
    if results:
        parts += [
            ratio_table(results),
            "Processor time of all cores together; threads that wait in a busy loop count too:\n\n"
            + processor_table(results),
            memory_table(results),
        ]
    training = [(row, measured) for row, measured in results if len(row.experiments) == 1]
    if training:
        parts.append(
            "Seconds of one epoch, and of the start of a training (building and compiling the model); the last column "
            "is the start as a fraction of the published training:\n\n" + epoch_table(training)
        )
        one_thread = one_thread_table(training)
        if one_thread:
            parts.append("Every way limited to one thread, one round:\n\n" + one_thread)
    if growths:
        parts.append("### Growth of cost\n\n" + growth_table(growths))
    return "\n\n".join(parts) + "\n"


def circumstances(machine: Mapping[str, Any]) -> str:
    """Render the machine, the versions and the settings of the run as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in machine.items())


def ratio_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the main table: ratios with their range over the rounds, targets, and median seconds."""
    header = (
        "",
        "times faster than the notebook",
        "target",
        "times faster than PyTorch",
        "target",
        "notebook, s",
        "ours, s",
        "PyTorch, s",
    )
    rows = []
    for row, measured in results:
        seconds = _seconds_of(measured)
        cells = [row.title]
        for way in (NOTEBOOK, PYTORCH):
            cells += [_ratio(seconds, way), _target(row, seconds, way)]
        cells += [_median(seconds.get(way)) for way in (NOTEBOOK, OURS, PYTORCH)]
        rows.append(cells)
    return _markdown(header, rows)


def processor_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the ratios and the median seconds of processor time."""
    header = ("", "times less than the notebook", "times less than PyTorch", "notebook, s", "ours, s", "PyTorch, s")
    rows = []
    for row, measured in results:
        seconds = _seconds_of(measured, "processor")
        ratios = [_ratio(seconds, way) for way in (NOTEBOOK, PYTORCH)]
        rows.append([row.title, *ratios, *(_median(seconds.get(way)) for way in (NOTEBOOK, OURS, PYTORCH))])
    return _markdown(header, rows)


def memory_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the peak memory of the processes of each way, and the peak before the clock started."""
    rows = []
    for row, measured in results:
        cells = [row.title]
        for way in (NOTEBOOK, OURS, PYTORCH):
            values = measured.get(way)
            cells.append(_peak(row, values) if values else NONE)
        rows.append(cells)
    header = ("peak memory in MiB (of which after imports and loading)", *TITLES.values())
    return _markdown(header, rows)


def epoch_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render for every way the start of a training, one epoch, and the start as a fraction of the training.

    The start is the extra time of the first epoch over a later one.
    """
    rows = []
    for row, measured in results:
        for way in (NOTEBOOK, OURS, PYTORCH):
            values = measured.get(way)
            if values:
                rows.append([row.title, TITLES[way], *_epoch_cells(row.experiments[0], values)])
    return _markdown(("", "way", "start", "epoch", "start / published training"), rows)


def one_thread_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the ratios of the first round with every way limited to one thread."""
    rows = []
    for row, measured in results:
        seconds = {way: values[:1] for way, values in _seconds_of(measured).items()}
        cells = [_ratio(seconds, way) for way in (NOTEBOOK_ONE_THREAD, PYTORCH_ONE_THREAD)]
        if any(cells):
            rows.append([row.title, *cells])
    return _markdown(("", "times faster than the notebook", "times faster than PyTorch"), rows) if rows else NONE


def growth_table(growths: Sequence[tuple[Growth, Measurement, Measurement]]) -> str:
    """Render time and memory at both sizes, the growth of time, and the remark of every entry."""
    rows = []
    for growth, one, ten in growths:
        small, large = _growth_seconds(growth, one), _growth_seconds(growth, ten)
        rows.append(
            [
                growth.what,
                growth.size,
                _seconds(small),
                _seconds(large),
                f"{large / small:.0f} x",
                f"{one.peak:.0f}",
                f"{ten.peak:.0f}",
                growth.remark,
            ]
        )
    header = (
        "",
        "published size",
        "s",
        f"s at {FACTOR} x",
        "time grows",
        "MiB",
        f"MiB at {FACTOR} x",
        "what dominates",
    )
    return _markdown(header, rows)


def _growth_seconds(growth: Growth, measurement: Measurement) -> float:
    if growth.per_epoch:
        (costs,) = measurement.epochs.values()
        return epoch_cost(costs).processor
    return measurement.cost.processor


def insert(text: str, generated: str) -> str:
    """Replace the text between the markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The text needs the lines {BEGIN} and {END}, in this order.")
    return f"{before}{BEGIN}\n{generated}{END}{after}"


def _seconds_of(measured: Measured, which: str = "seconds") -> dict[str, list[float]]:
    """Return by way the seconds of the published number of epochs in every round."""
    return {way: [getattr(value.published(), which) for value in values] for way, values in measured.items() if values}


def _ratio(seconds: Mapping[str, Sequence[float]], way: str) -> str:
    if not seconds.get(way) or not seconds.get(OURS):
        return NONE
    ratio = paired_ratios(seconds[way], seconds[OURS])
    text = f"**{_factor(ratio.median)}**"
    return f"{text} ({_factor(ratio.lowest)} to {_factor(ratio.highest)})" if len(seconds[way]) > 1 else text


def _factor(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def _target(row: Row, seconds: Mapping[str, Sequence[float]], way: str) -> str:
    if way not in row.targets or not seconds.get(way) or not seconds.get(OURS):
        return NONE
    reached = paired_ratios(seconds[way], seconds[OURS]).median >= row.targets[way]
    return f"{row.targets[way]:g}, {'reached' if reached else 'missed'}"


def _median(values: Sequence[float] | None) -> str:
    return _seconds(statistics.median(values)) if values else NONE


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _peak(row: Row, values: Sequence[Measurement]) -> str:
    largest = max(values, key=lambda value: value.peak)
    return f"{largest.peak:.0f}" if row.whole_process else f"{largest.peak:.0f} ({largest.before:.0f})"


def _epoch_cells(experiment: str, values: Sequence[Measurement]) -> list[str]:
    epoch = statistics.median(epoch_cost(value.epochs[experiment]).seconds for value in values)
    start = max(0.0, statistics.median(value.epochs[experiment][0].seconds for value in values) - epoch)
    total = statistics.median(value.published().seconds for value in values)
    return [_seconds(start), _seconds(epoch), f"{start / total:.0%}"]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
