"""All metrics of a report as one tidy table, for those who would rather analyse than read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from common.experiment import PUBLISHED

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


def as_csv(results: Mapping[str, Any]) -> bytes:
    """The table as results.csv."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows(results)])
    return text.getvalue().encode(errors="backslashreplace")


def as_xlsx(results: Mapping[str, Any]) -> bytes:
    """The table as results.xlsx."""
    import openpyxl
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("metrics")
    sheet.freeze_panes = "A2"

    def cell(value: Any) -> Any:
        """What a record calls a metric is text, even if a spreadsheet would compute it or could not hold it."""
        if not isinstance(value, str):
            return value
        text = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value.encode(errors="backslashreplace").decode()))
        text.data_type = "s"
        return text

    for row in (COLUMNS, *rows(results)):
        sheet.append([cell(value) for value in row])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
