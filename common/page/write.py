"""Write the files of a report: README.md, results.json, the figures, the page, and all metrics as one tidy table."""

import csv
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common import files
from common.errors import SuiteError
from common.page.render import render
from common.report import held_out, markdown
from common.report.collect import Report
from common.report.results import Results, as_json

COLUMNS = ("experiment", "protocol", "data", "seed", "metric", "value", "undefined")


def write(report: Report, folder: Path, page: bool = True) -> Path:
    """Write README.md, results.json and figures/ to a folder, and if wanted the page and the tables.

    Other files in figures/ are removed. The folder is locked, so that two reports are written one after the other.

    Args:
        report: the report, as returned by `collect`.
        folder: folder of the report; created if missing.
        page: true to write index.html, results.csv and results.xlsx too. Default: true.

    Returns:
        The path of README.md.
    """
    results = report.results
    contents = {"results.json": as_json(results), "README.md": markdown.report(results).encode()}
    if page:
        contents |= {
            "index.html": render(results, report.explorable, report.figures).encode(),
            "results.csv": as_csv(results),
            "results.xlsx": _kept_xlsx(results, report.cache),
        }
    folder.mkdir(parents=True, exist_ok=True)
    with files.alone_in(folder):
        _exchange_figures(report.figures, folder)
        files.write_together({folder / name: content for name, content in contents.items()})
    return folder / "README.md"


def _kept_xlsx(results: Results, cache: Path) -> bytes:
    """Make the spreadsheet of a report, or read it from the cache, since writing its cells takes seconds."""
    key = [Path(__file__).read_text(encoding="utf-8"), list(rows(results))]
    return files.kept(cache / "spreadsheet.json", key, lambda: as_xlsx(results), bytes)


def _exchange_figures(figures: Mapping[str, bytes], folder: Path) -> None:
    """Replace the folder of figures once all are written, so that an interruption leaves the old one."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=files.TEMPORARY) as unfinished:
        (Path(unfinished) / "figures").mkdir()
        for file, png in figures.items():
            path = Path(unfinished) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)
        shutil.rmtree(folder / "figures", ignore_errors=True)
        (Path(unfinished) / "figures").rename(folder / "figures")


def readme_with_tables(text: str, results: Results) -> str:
    """Replace the generated tables in the text of the project's README.

    Raises:
        SuiteError: the markers of a table do not occur exactly once.
    """
    generated = {"glance": held_out.page_one(results), "verdicts": markdown.verdict_table(results)}
    for name, table in generated.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SuiteError(f"README.md must hold {begin} and {end} once each, around a generated table")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    return text


# The tidy table.


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
