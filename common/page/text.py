"""Convert parts of the Markdown report to HTML, with folded tables, figures side by side, and words explained."""

import base64
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from common.report.markup import filled

TEMPLATES = Path(__file__).parent / "templates"


class Term(NamedTuple):
    """A word that the page explains.

    Attributes:
        name: the word.
        identity: identity of its explanation in the page.
        text: the explanation.
    """

    name: str
    identity: str
    text: str


@cache
def terms() -> dict[str, Term]:
    """Read the words that the page explains, by every form in which they are written."""
    found = {}
    for entry in tomllib.loads((TEMPLATES / "terms.toml").read_text(encoding="utf-8"))["terms"]:
        name = entry["term"]
        identity = "term-" + re.sub(r"\W+", "-", name.lower()).strip("-")
        for form in (name, *entry.get("forms", ())):
            found[form] = Term(name, identity, entry["text"])
    return found


@cache
def _pattern() -> re.Pattern[str]:
    """Match any form of a term; the longest one, and whole words only."""
    forms = sorted(terms(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, forms))})(?!\w)")


def tip(text: str) -> Any:
    """Make a text that begins with a term a button that explains it; any other text is only escaped."""
    from markupsafe import Markup, escape

    match = _pattern().match(text)
    said = escape(text)
    if match is None:
        return said
    return Markup(f'<button type="button" class="tip" popovertarget="{terms()[match[1]].identity}">{said}</button>')


def parts(markdown: str) -> list[tuple[str, str]]:
    """Split the text of a section at its headings of the third level.

    Returns:
        The heading and the text of each part; the heading of the first one is empty.
    """
    first, *others = re.split(r"^### ", markdown, flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in others)
    return [("", first.strip()), *((heading.strip(), text.strip()) for heading, _, text in pairs)]


class Converter:
    """Converts Markdown to HTML.

    Figures are embedded, and stand side by side. Tables are folded, and can be scrolled and sorted. The first mention
    of a term in a text, and every verdict, is a button that explains it.

    Args:
        figures: the PNG of every figure, by its path within the report.
    """

    def __init__(self, figures: Mapping[str, bytes]) -> None:
        from markdown_it import MarkdownIt

        self._figures, self._tables = figures, count(1)
        # Terms that are explained in this text already, and elements within which there can be no button.
        self._explained, self._closed = set[str](), 0
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._markdown.renderer.rules |= {  # type: ignore[attr-defined]
            "image": self._image,
            "text": self._text,
            "table_open": self._table_open,
            "table_close": lambda *arguments: "</table></div></details>\n",
            "th_open": lambda *arguments: self._opened('<th scope="col">'),
            "th_close": lambda *arguments: self._left("</th>"),
            "td_open": lambda *arguments: self._opened("<td>"),
            "td_close": lambda *arguments: self._left("</td>"),
            "link_open": self._link_open,
            "link_close": lambda *arguments: self._left("</a>"),
            "heading_open": lambda tokens, index, *arguments: self._opened(f"<{tokens[index].tag}>"),
            "heading_close": lambda tokens, index, *arguments: self._left(f"</{tokens[index].tag}>\n"),
        }

    def __call__(self, text: str) -> str:
        """Convert a text."""
        self._explained = set()
        html: str = self._markdown.render(text)
        # A screen reader would announce an empty header cell.
        html = re.sub(r'<th scope="col"></th>', "<td></td>", html)
        html = re.sub(r"<strong>([^<]*)</strong>", lambda match: f"<strong>{_tip_of_html(match[1])}</strong>", html)
        html = re.sub(
            r'<p>(<button type="button" class="figure"[^>]*><img[^>]*></button>)</p>\n<p><em>(.*?)</em></p>\n',
            r"<figure>\1<figcaption>\2</figcaption></figure>\n",
            html,
        )
        return re.sub(r"(?:<figure>.*?</figure>\n)+", lambda match: f'<div class="figures">\n{match[0]}</div>\n', html)

    def _image(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        token = tokens[index]
        png = self._figures.get(str(token.attrs["src"]))
        return str(escape(token.content)) if png is None else str(figure(png, token.content))

    def _text(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        content = tokens[index].content
        if self._closed:
            return str(escape(content))
        pieces, end = [], 0
        for match in _pattern().finditer(content):
            term = terms()[match[1]]
            if term.name not in self._explained and term.name[0].isupper() | (" " in term.name) | ("-" in term.name):
                self._explained.add(term.name)
                pieces += [escape(content[end : match.start()]), tip(match[1])]
                end = match.end()
        return "".join(map(str, [*pieces, escape(content[end:])]))

    def _table_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        number = next(self._tables)
        row: list[str] = []
        for token in tokens[index:]:
            if token.type == "tr_close":
                break
            if token.type == "inline":
                row.append("".join(child.content for child in token.children))
        about = escape(", ".join(filter(None, row)))
        return (
            f'<details class="table"><summary>Table {number}: {about}</summary>'
            f'<div class="scroll" role="group" aria-label="Table {number}" tabindex="0"><table class="sortable">\n'
        )

    def _link_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        from markupsafe import escape

        return self._opened(f'<a href="{escape(tokens[index].attrs["href"])}">')

    def _opened(self, html: str) -> str:
        self._closed += 1
        return html

    def _left(self, html: str) -> str:
        self._closed -= 1
        return html


def _tip_of_html(text: str) -> str:
    """Make a tip of text that is escaped already."""
    from markupsafe import Markup

    return str(tip(Markup(text)))


def figure(png: bytes, caption: str) -> Any:
    """Embed a figure, which enlarges when it is chosen."""
    from markupsafe import Markup, escape

    encoded = base64.b64encode(png).decode()
    image = f'<img src="data:image/png;base64,{encoded}" alt="{escape(caption)}">'
    return Markup(f'<button type="button" class="figure" title="Enlarge">{image}</button>')


def fill(template: str, **values: Any) -> str:
    """Fill in a template of the page; all that is not `Markup` is escaped."""
    return filled(template, TEMPLATES, tip=tip, **values)
