"""The report as one HTML file that needs nothing else: no network, no other file.

Its text is the Markdown report's, its first page is drawn from the same results, and only the thresholds that a reader
sets are new. So it cannot say anything else than README.md beside it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from common.comparison.verdicts import EXACT, REPRODUCED, lies_outside
from common.experiment import HELD_OUT, PUBLISHED
from common.report import conclusions, markdown
from common.report import held_out as markdown_held_out
from common.report.markup import number

TEMPLATES = Path(__file__).parent / "templates"
# The plot of a headline number: its width, and the margin on both sides, in the units of its drawing.
WIDTH, MARGIN = 300.0, 12.0


class Plot(NamedTuple):
    """Where to draw what: our seeds, the prediction interval for one further run, the published value, and the ends."""

    dots: list[float]
    band: tuple[float, float] | None
    line: float
    ends: tuple[str, str]
    words: str


def render(results: Mapping[str, Any], explorable: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        results: of `report.results.collect`.
        explorable: by experiment and protocol what `explore.explorable` gives.
        figures: the PNG of every figure, by its path within the report.

    Returns:
        HTML. Text that comes from files is escaped, and no mark-up in it does anything.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    convert = _Converter(figures)
    sections = []
    for name, entry in results["experiments"].items():
        parts = markdown.experiment(name, entry)[1:]
        numbers = next((index for index, part in enumerate(parts) if part.startswith("### ")), len(parts))
        sections.append(
            {
                "name": name,
                "title": entry["description"]["title"],
                "about": Markup(convert(parts[:numbers])),
                "numbers": Markup(convert(parts[numbers:])),
                "explorable": any(explorable.get(name, {}).values()),
            }
        )
    # In a script nothing is escaped, so that no text in it may end it.
    data = json.dumps(explorable, separators=(",", ":")).replace("<", "\\u003c")
    template = environment.get_template("page.html.jinja")
    return template.render(
        first_page=first_page(results),
        sections=sections,
        how_to_read=Markup(convert([markdown.HOW_TO_READ])),
        how_to_read_protocols=Markup(convert([markdown_held_out.HOW_TO_READ])),
        verdicts=Markup(convert([markdown.verdict_table(results)])),
        appendix=Markup(convert(markdown_held_out.appendix(results))),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        data=Markup(data),
        protocols={PUBLISHED: "published protocol", HELD_OUT: "held out"},
        width=WIDTH,
    )


# The first page.


def first_page(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each source: what it claims, whether its numbers came out, whether it holds up, and what beats it."""
    return [
        {
            "name": name,
            "title": entry["description"]["title"],
            "claim": " ".join(entry["description"]["claim"].split()),
            "reproduced": conclusions.reproduced(entry),
            "headline": _headline(entry),
            "finding": conclusions.holds_up(entry),
            "beaten": markdown_held_out.beaten(entry),
            "stand_in": entry["stand_in"],
            "address": entry["source"]["address"],
        }
        for name, entry in results["experiments"].items()
    ]


def _headline(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The number that a source would be quoted for, its verdict, and how it is drawn; None where it printed none."""
    metric = entry["headline"]
    for group in entry["comparison"]["groups"]:
        for member in group["members"]:
            if member["metric"] == metric and group["obtained"] != "context":
                values = [found[metric] for found in entry["seeds"].values() if found.get(metric) is not None]
                return {
                    "title": group["title"],
                    "metric": metric,
                    "published": conclusions.shortened(member["printed"]),
                    "ours": number(member["mean"], member["printed"]),
                    "verdict": group["verdict"],
                    "mood": mood(group["verdict"]),
                    "plot": plot(member, values) if values else None,
                }
    return None


def mood(verdict: str) -> str:
    """The class that colours a verdict; its words say the same."""
    if verdict in (EXACT, REPRODUCED):
        return "good"
    return "bad" if lies_outside(verdict) else ""


def plot(member: Mapping[str, Any], values: Sequence[float]) -> Plot:
    """Place a number of a source, our prediction interval and our seeds on one line.

    Args:
        member: of a compared group.
        values: ours, one or more.
    """
    printed, interval = member["printed"], member["interval"]
    published = float(printed)
    known = [published, *values, *(interval or ())]
    low, high = min(known), max(known)
    scale: float = (WIDTH - 2 * MARGIN) / ((high - low) or 1)

    def place(value: float) -> float:
        return float(round(MARGIN + (value - low) * scale, 2))

    words = f"{member['metric']}: published {printed}; our {len(values)} seeds from {number(min(values), printed)} to "
    words += number(max(values), printed)
    if interval:
        words += f"; 95 % prediction interval {number(interval[0], printed)} to {number(interval[1], printed)}"
    return Plot(
        [place(value) for value in values],
        (place(interval[0]), place(interval[1])) if interval else None,
        place(published),
        (number(low, printed), number(high, printed)),
        words,
    )


# From Markdown to HTML.


class _Converter:
    """Converts Markdown: figures come into the page, tables can be scrolled and sorted, headings can be linked to."""

    def __init__(self, figures: Mapping[str, bytes]) -> None:
        from markdown_it import MarkdownIt

        self._figures, self._tables = figures, count(1)
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._markdown.renderer.rules |= {  # type: ignore[attr-defined]
            "image": self._image,
            "table_open": self._table_open,
            "table_close": lambda *arguments: "</table></div>\n",
            "th_open": lambda *arguments: '<th scope="col">',
        }

    def __call__(self, parts: Sequence[str]) -> str:
        html: str = self._markdown.render("\n\n".join(part for part in parts if part))
        # Empty header cells would be announced as nothing at all.
        return re.sub(r'<th scope="col"></th>', "<td></td>", html)

    def _image(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        token = tokens[index]
        png = self._figures.get(str(token.attrs["src"]))
        if png is None:
            return str(escape(token.content))
        picture = base64.b64encode(png).decode()
        image = f'<img src="data:image/png;base64,{picture}" alt="{escape(token.content)}">'
        return f'<button type="button" class="figure" title="Enlarge">{image}</button>'

    def _table_open(self, *arguments: Any) -> str:
        label = f"Table {next(self._tables)}"
        return f'<div class="scroll" role="group" aria-label="{label}" tabindex="0"><table class="sortable">\n'
