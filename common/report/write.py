"""Write the files of a report: README.md, results.json, the figures, the page and the tables."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from common import files
from common.errors import SuiteError
from common.report import held_out, markdown, tables
from common.report.collect import Report
from common.report.page import render
from common.report.results import Results, as_json


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
            "results.csv": tables.as_csv(results),
            "results.xlsx": _kept_xlsx(results, report.cache),
        }
    folder.mkdir(parents=True, exist_ok=True)
    with files.alone_in(folder):
        _exchange_figures(report.figures, folder)
        files.write_together({folder / name: content for name, content in contents.items()})
    return folder / "README.md"


def _kept_xlsx(results: Results, cache: Path) -> bytes:
    """Make the spreadsheet of a report, or read it from the cache, since writing its cells takes seconds."""
    key = [Path(tables.__file__).read_text(encoding="utf-8"), list(tables.rows(results))]
    return files.kept(cache / "spreadsheet.json", key, lambda: tables.as_xlsx(results), bytes)


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
