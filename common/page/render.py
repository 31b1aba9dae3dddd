"""Render the report as one HTML file that needs no network and no other file.

Its text is converted from the Markdown report, so that both say the same. Only the first screen and the threshold
explorer are its own.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from common.comparison.verdicts import AGREES, EXACT, REPRODUCED, GroupResult, MemberResult, lies_outside
from common.experiment import HELD_OUT, PUBLISHED
from common.files import to_plain
from common.report import conclusions, held_out, markdown
from common.report.collect import Explorable
from common.report.markup import filled, number
from common.report.results import ExperimentResults, Results

TEMPLATES = Path(__file__).parent / "templates"

# Width of the plot of a headline number, and its margin on both sides, in SVG units.
WIDTH, MARGIN = 300.0, 12.0


class Plot(NamedTuple):
    """The plot of a headline number, in SVG units.

    Attributes:
        dots: positions of our seeds.
        band: ends of the prediction interval for one further run; empty if there is none.
        line: position of the published value.
        ends: labels of the two ends of the axis.
        words: description of the plot for screen readers.
    """

    dots: list[float]
    band: list[float]
    line: float
    ends: tuple[str, str]
    words: str


def render(results: Results, explorable: Explorable, figures: Mapping[str, bytes]) -> str:
    """Render the page.

    Args:
        results: the results.
        explorable: for each experiment and protocol, the scores that a reader can set a threshold on.
        figures: the PNG of every figure, by its path within the report.

    Returns:
        HTML. Text that comes from files is escaped.
    """
    from markupsafe import Markup

    convert = _Converter(figures)
    sections = []
    for name, entry in results.experiments.items():
        # The title has a heading of the page's own. The threshold explorer comes before the first section of the text.
        _, _, text = markdown.experiment(name, entry).partition("\n\n")
        about, heading, numbers = text.partition("\n\n### ")
        sections.append(
            {
                "name": name,
                "title": entry.description.title,
                "about": Markup(convert(about)),
                "numbers": Markup(convert(heading + numbers)),
                "explorable": any(explorable.get(name, {}).values()),
            }
        )
    # HTML has no escapes within a script element, and a "<" could end it.
    data = json.dumps(to_plain(explorable), separators=(",", ":")).replace("<", "\\u003c")
    return filled(
        "page.html.jinja",
        TEMPLATES,
        experiments=results.experiments,
        sections=sections,
        conclusions=conclusions,
        beaten=held_out.beaten,
        headline_of=_headline,
        mood=mood,
        number=number,
        interval_plot=plot,
        how_to_read=Markup(convert(markdown.how_to_read())),
        how_to_read_protocols=Markup(convert(held_out.how_to_read())),
        verdicts=Markup(convert(markdown.verdict_table(results))),
        rebuilt=Markup(convert(markdown.rebuilt(results.rebuilt))),
        appendix=Markup(convert(held_out.appendix(results))),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        data=Markup(data),
        protocols={PUBLISHED: "published protocol", HELD_OUT: "held out"},
        width=WIDTH,
    )


# The first page.


def _headline(entry: ExperimentResults) -> tuple[GroupResult, MemberResult] | None:
    """Find the number that a source is quoted for, and its row; `None` if it has no such number."""
    judged = (group for group in entry.comparison.groups if group.obtained != "context")
    members = ((group, member) for group in judged for member in group.members)
    return next((pair for pair in members if pair[1].metric == entry.headline), None)


def mood(verdict: str) -> str:
    """Give the CSS class for the colour of a verdict."""
    if verdict in (EXACT, AGREES, REPRODUCED):
        return "good"
    return "bad" if lies_outside(verdict) else ""


def plot(member: MemberResult, values: Sequence[float]) -> Plot:
    """Lay out the plot of a published number, our prediction interval and our seeds.

    Args:
        member: the published number.
        values: our values, at least one.
    """
    printed, interval = member.printed, member.interval
    published = float(printed)
    known = [published, *values, *(interval or ())]
    low, high = min(known), max(known)
    scale: float = (WIDTH - 2 * MARGIN) / ((high - low) or 1)

    def place(value: float) -> float:
        return float(round(MARGIN + (value - low) * scale, 2))

    words = f"{member.metric}: published {printed}; our {len(values)} seeds from {number(min(values), printed)} to "
    words += number(max(values), printed)
    if interval:
        words += f"; 95 % prediction interval {number(interval[0], printed)} to {number(interval[1], printed)}"
    return Plot(
        dots=[place(value) for value in values],
        band=[place(end) for end in interval or ()],
        line=place(published),
        ends=(number(low, printed), number(high, printed)),
        words=words,
    )


# From Markdown to HTML.


class _Converter:
    """Converts Markdown to HTML with embedded figures, and with tables that can be scrolled and sorted."""

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

    def __call__(self, text: str) -> str:
        html: str = self._markdown.render(text)
        # A screen reader would announce an empty header cell.
        return re.sub(r'<th scope="col"></th>', "<td></td>", html)

    def _image(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        token = tokens[index]
        png = self._figures.get(str(token.attrs["src"]))
        if png is None:
            return str(escape(token.content))
        encoded = base64.b64encode(png).decode()
        image = f'<img src="data:image/png;base64,{encoded}" alt="{escape(token.content)}">'
        return f'<button type="button" class="figure" title="Enlarge">{image}</button>'

    def _table_open(self, *arguments: Any) -> str:
        label = f"Table {next(self._tables)}"
        return f'<div class="scroll" role="group" aria-label="{label}" tabindex="0"><table class="sortable">\n'
