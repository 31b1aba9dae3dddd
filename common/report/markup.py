"""Numbers, tables and pictures as Markdown: what the pages of the report share."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.comparison.prediction import decimals_of


def number(value: float | None, printed: str) -> str:
    """Our value with one decimal more than the printed one, at most four; whole where all is; a dash for nothing."""
    if value is None:
        return "-"
    whole = decimals_of(printed) == 0 and float(value).is_integer()
    return f"{value:.{0 if whole else min(decimals_of(printed) + 1, 4)}f}"


def plain(value: float | int | None, digits: int = 4) -> str:
    """A number without a printed counterpart: a few significant digits, whole ones in full, a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.{digits}g}"


def ranges(seeds: Sequence[int]) -> str:
    """`[0, 1, 2, 5]` as `0-2 5`, the way the command line takes them."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return " ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def quoted(names: Iterable[str]) -> list[str]:
    """Names as code."""
    return [f"`{name}`" for name in names]


def outside(text: Any) -> str:
    """A text that came from a file or an error, on one line, so that no mark-up in it does anything."""
    return re.sub(r"([\\`*_\[\]()!#|])", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def pictures(files: Sequence[Mapping[str, str]]) -> list[str]:
    """Figures with their captions below."""
    return [f"![{picture['caption']}]({picture['file']})\n\n*{picture['caption']}*" for picture in files]


def paragraph(heading: str, text: str) -> str:
    """A paragraph that begins with what it is about."""
    return f"**{heading}.** {' '.join(text.split())}"
