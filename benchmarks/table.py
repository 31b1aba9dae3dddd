"""Tables of the measurements as Markdown, made by pure functions."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.growth import FACTOR, Growth
from benchmarks.limit import Limit
from benchmarks.measure import Measurement, epoch_cost, paired_ratios
from benchmarks.rows import (
    NOTEBOOK,
    NOTEBOOK_ONE_THREAD,
    OURS,
    OURS_APART,
    OURS_ONE_THREAD,
    PYTORCH,
    PYTORCH_ONE_THREAD,
    TITLES,
    Row,
)

Measured = Mapping[str, Sequence[Measurement]]
NONE = ""

# What the time of an epoch goes to beside the products, by the class of the layers with most operations.
EVERYTHING_ELSE = {
    "Conv2D": "convolutions: windows are cut out and rearranged",
    "Conv2DTranspose": "convolutions: windows are cut out and rearranged",
    "LSTM": "gates and steps of the LSTM, one after the other",
    "Dense": "activations, loss and gathering of batches",
}


def speed(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render all tables of single trainings, scoring, windows and whole runs."""
    parts = [
        rounds_of(results),
        ratio_table(results),
        "Processor time of all cores together; threads that wait in a busy loop count too:\n\n"
        + processor_table(results),
        memory_table(results),
    ]
    training = [(row, measured) for row, measured in results if row.is_training]
    if training:
        parts.append(
            "Seconds of one epoch, and of the start of a training (building and compiling the model); the last column "
            "is the start as a fraction of the published training:\n\n" + epoch_table(training)
        )
        one_thread = one_thread_table(training)
        if one_thread:
            parts.append("Every way limited to one thread, one round:\n\n" + one_thread)
    return "\n\n".join(parts)


def seeds(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the table of ten trainings."""
    return f"{rounds_of(results)}\n\n{seeds_table(results)}"


def limit(limits: Sequence[tuple[Row, Measured, Limit]]) -> str:
    """Render both tables of the limit of the machine."""
    rounds = rounds_of([(row, measured) for row, measured, _ in limits])
    return f"{rounds}\n\n{peak_table(limits)}\n\n{spent_table(limits)}"


def rounds_of(results: Sequence[tuple[Row, Measured]]) -> str:
    """State the number of rounds, as measured."""
    counts = {max(len(values) for values in measured.values()) for _, measured in results}
    return f"Rounds: {' to '.join(map(str, sorted({min(counts), max(counts)})))}."


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
                rows.append([row.title, TITLES[way], *_epoch_cells(values)])
    return _markdown(("", "way", "start", "epoch", "start / published training"), rows)


def one_thread_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the ratios of the first round with every way limited to one thread."""
    rows = []
    for row, measured in results:
        seconds = {way: values[:1] for way, values in _seconds_of(measured).items()}
        cells = [_ratio(seconds, way, OURS_ONE_THREAD) for way in (NOTEBOOK_ONE_THREAD, PYTORCH_ONE_THREAD)]
        if any(cells):
            rows.append([row.title, *cells])
    return _markdown(("", "times faster than the notebook", "times faster than PyTorch"), rows) if rows else NONE


def seeds_table(results: Sequence[tuple[Row, Measured]]) -> str:
    """Render the ratios of a process for each seed, and of PyTorch, to ten seeds in one process.

    The possible ratio is that of seeds that cost no start after the first: of the time of a process for each seed to
    the same time without the starts of the further seeds.
    """
    header = (
        "",
        "times faster than a process for each seed",
        "possible",
        "times faster than PyTorch on one thread",
        "target",
        "times faster than PyTorch",
        "ours, s",
        "a process for each, s",
        "PyTorch on one thread, s",
        "PyTorch, s",
    )
    rows = []
    for row, measured in results:
        seconds = _seconds_of(measured)
        possible = _factor(statistics.median(map(_possible, measured[OURS_APART]))) if OURS_APART in seconds else NONE
        one_thread, target = _ratio(seconds, PYTORCH_ONE_THREAD), _target(row, seconds, PYTORCH_ONE_THREAD)
        ratios = [_ratio(seconds, OURS_APART), possible, one_thread, target, _ratio(seconds, PYTORCH)]
        ways = (OURS, OURS_APART, PYTORCH_ONE_THREAD, PYTORCH)
        rows.append([row.title, *ratios, *(_median(seconds.get(way)) for way in ways)])
    return _markdown(header, rows)


def _possible(apart: Measurement) -> float:
    starts = [max(0.0, costs[0].seconds - epoch_cost(costs).seconds) for costs in apart.epochs.values()]
    whole = apart.published().seconds
    return whole / (whole - (len(starts) - 1) * statistics.fmean(starts))


def peak_table(limits: Sequence[tuple[Row, Measured, Limit]]) -> str:
    """Render the operations of an epoch, the peak rates, and the part of the peak that every way reaches."""
    ways = {
        OURS_ONE_THREAD: "ours on one thread",
        PYTORCH_ONE_THREAD: "PyTorch on one thread",
        NOTEBOOK_ONE_THREAD: "the notebook on one thread",
        OURS: "ours on all threads",
        PYTORCH: "PyTorch on all threads",
        NOTEBOOK: "the notebook on all threads",
    }
    rows = []
    for row, measured, limit in limits:
        peaks = dict.fromkeys(ways, limit.peak_one_thread) | dict.fromkeys((OURS, PYTORCH, NOTEBOOK), limit.peak)
        parts = [
            f"{limit.operations / _fastest_epoch(measured[way]) / peak:.0%}" if measured.get(way) else NONE
            for way, peak in peaks.items()
        ]
        rates = (f"{rate / 1e9:.0f}" for rate in (limit.peak_one_thread, limit.peak))
        rows.append([row.title, f"{limit.operations / 1e9:.1f}", *rates, *parts])
    header = ("", "10^9 operations of an epoch", "peak on one thread, 10^9/s", "on all, 10^9/s", *ways.values())
    return _markdown(header, rows)


def spent_table(limits: Sequence[tuple[Row, Measured, Limit]]) -> str:
    """Render what our epoch on one thread takes its time for, as measured by leaving parts out."""
    header = (
        "of an epoch of ours",
        "products at the peak rate",
        "more for products of their sizes",
        "more for Adam than for gradient descent",
        "everything else",
        "held back most by",
    )
    rows = []
    for row, measured, limit in limits:
        epoch, at_peak = _fastest_epoch(measured[OURS_ONE_THREAD]), limit.operations / limit.peak_one_thread
        spent = {
            "products of small matrices": limit.products - at_peak,
            "memory: Adam reads and writes two more numbers for each weight": epoch - limit.descent,
            EVERYTHING_ELSE[limit.layer]: limit.descent - limit.products,
        }
        parts = [f"{seconds / epoch:.0%}" for seconds in (at_peak, *spent.values())]
        rows.append([row.title, *parts, max(spent, key=lambda part: spent[part])])
    return _markdown(header, rows)


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


def insert(text: str, section: str, generated: str) -> str:
    """Replace the text between the markers of a section.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"The text needs the lines {begin} and {end}, in this order.")
    return f"{before}{begin}\n{generated}{end}{after}"


def _seconds_of(measured: Measured, which: str = "seconds") -> dict[str, list[float]]:
    """Return by way the seconds of the published number of epochs in every round."""
    return {way: [getattr(value.published(), which) for value in values] for way, values in measured.items() if values}


def _ratio(seconds: Mapping[str, Sequence[float]], way: str, ours: str = OURS) -> str:
    if not seconds.get(way) or not seconds.get(ours):
        return NONE
    ratio = paired_ratios(seconds[way], seconds[ours])
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


def _epoch_cells(values: Sequence[Measurement]) -> list[str]:
    epoch = _epoch(values)
    first = statistics.median(costs[0].seconds for value in values for costs in value.epochs.values())
    start = max(0.0, first - epoch)
    total = statistics.median(value.published().seconds for value in values)
    return [_seconds(start), _seconds(epoch), f"{start / total:.0%}"]


def _epoch(values: Sequence[Measurement]) -> float:
    """Compute the median seconds of an epoch after the first, of measurements of one training."""
    return statistics.median(epoch_cost(costs).seconds for value in values for costs in value.epochs.values())


def _fastest_epoch(values: Sequence[Measurement]) -> float:
    """Compute the seconds of the fastest epoch after the first."""
    return min(cost.seconds for value in values for costs in value.epochs.values() for cost in costs[1:] or costs)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
