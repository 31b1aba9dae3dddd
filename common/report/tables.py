"""Write all metrics of a report as one tidy table, as CSV and as a spreadsheet."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from common.report.results import Results

COLUMNS = ("experiment", "protocol", "data", "seed", "metric", "value", "undefined")


def rows(results: Results) -> Iterator[tuple[str, str, str, int, str, float | int | None, str | None]]:
    """Yield one row for every experiment, protocol, seed and metric.

    Yields:
        The values of `COLUMNS`: `data` is "real", the name of the stand-in, or "drawn" if the experiment generates its
        data; `value` is `None` for an undefined metric, and `undefined` gives the reason.
    """
    for name, entry in results.experiments.items():
        for protocol, runs in entry.by_protocol.items():
            data = runs.stand_in or ("real" if runs.data else "drawn")
            for seed, metrics in runs.seeds.items():
                reasons = runs.undefined.get(seed, {})
                for metric, value in metrics.items():
                    yield name, protocol, data, seed, metric, value, reasons.get(metric)


def as_csv(results: Results) -> bytes:
    """Encode the table as the content of results.csv."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows(results)])
    return text.getvalue().encode()


def as_xlsx(results: Results) -> bytes:
    """Encode the table as the content of results.xlsx."""
    import openpyxl
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("metrics")
    sheet.freeze_panes = "A2"

    def cell(value: Any) -> Any:
        """Make a cell that is never a formula, without the characters that a spreadsheet cannot contain."""
        if not isinstance(value, str):
            return value
        text = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
        text.data_type = "s"
        return text

    for row in (COLUMNS, *rows(results)):
        sheet.append([cell(value) for value in row])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
