"""All metrics of a report as one tidy table, for those who would rather analyse than read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.protocols import PUBLISHED

COLUMNS = ("experiment", "protocol", "data", "seed", "metric", "value", "undefined")


def rows(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int, str, float | int | None, str | None]]:
    """One row for every metric, experiment, protocol and seed, in the order of `COLUMNS`.

    `data` says whether they were real, drawn by the experiment itself, or what stood in for them; `value` is None
    where a metric is undefined, and `undefined` says why.
    """
    for name, entry in results["experiments"].items():
        for protocol, runs in ((PUBLISHED, entry), *entry["protocols"].items()):
            data = runs["stand_in"] or ("real" if runs["data"] else "drawn")
            for seed, metrics in runs["seeds"].items():
                reasons = runs["undefined"].get(seed, {})
                for metric, value in metrics.items():
                    yield name, protocol, data, int(seed), metric, value, reasons.get(metric)


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Write results.csv and results.xlsx."""
    import pandas

    # Numbers are of two kinds, and a count should not become 200.0.
    frame = pandas.DataFrame(list(rows(results)), columns=COLUMNS, dtype=object)
    frame.to_csv(folder / "results.csv", index=False)
    frame.to_excel(folder / "results.xlsx", index=False, sheet_name="metrics")
