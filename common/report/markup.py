"""Format numbers, tables and figures as Markdown, and fill in the templates of the report."""

import html
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from common.comparison.prediction import decimals_of
from common.report.results import Figure

TEMPLATES = Path(__file__).parent / "templates"


def number(value: float | None, printed: str) -> str:
    """Format our value with one decimal more than the printed one, at most four; a dash for `None`.

    If both are whole numbers, it has no decimals.
    """
    if value is None:
        return "-"
    whole = decimals_of(printed) == 0 and float(value).is_integer()
    return f"{value:.{0 if whole else min(decimals_of(printed) + 1, 4)}f}"


def plain(value: float | int | None, digits: int = 4) -> str:
    """Format a number with some significant digits, a whole number with all of them; a dash for `None`."""
    if value is None:
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.{digits}g}"


def ranges(seeds: Iterable[int]) -> str:
    """Format `[0, 1, 2, 5]` as `0-2 5`, the form that `--seeds` takes."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return " ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table; a vertical bar within a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def quoted(names: Iterable[str]) -> list[str]:
    """Format names as code."""
    return [f"`{name}`" for name in names]


def escaped(text: object) -> str:
    """Escape a text from a file or an error, so that it contains no mark-up, and put it on one line."""
    return re.sub(r"([\\`*_\[\]()!#|])", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def shown(figures: Sequence[Figure]) -> str:
    """Show figures, each with its caption below."""
    return "\n\n".join(f"![{figure.caption}]({figure.file})\n\n*{figure.caption}*" for figure in figures)


# Templates.


@cache
def _templates(folder: Path) -> Any:
    """Set up templates: what is filled in is escaped in those of HTML, and not in those of Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"escaped": escaped, "median": median, "ranges": ranges, "shown": shown}
    return environment


def filled(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """Fill in a template. In Markdown, several blank lines before a text become one, so that a part may be empty."""
    text: str = _templates(folder).get_template(template).render(values)
    return re.sub(r"\n{3,}(?=\S)", "\n\n", text) if template.endswith(".md.jinja") else text
