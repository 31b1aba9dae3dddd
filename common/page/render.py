"""Render the report as one HTML file that needs no network and no other file.

Its text is converted from the Markdown report, part by part, so that both say the same. The cards of the first screen,
the plots, and what can be explored are the page's own, made from the same results.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.experiment import HELD_OUT, PUBLISHED
from common.files import to_plain
from common.page import cards, plots
from common.page.text import TEMPLATES, Converter, fill, parts, terms
from common.report import conclusions, held_out, markdown
from common.report.explorable import Explorable
from common.report.results import ExperimentResults, Results

# Headings of parts that are not folded, and stand in this order after the first one. All others are folded.
FIGURES, PROTOCOLS, DETECTORS, SWEEP = (
    "Figures",
    "Held out",
    "Was an autoencoder needed?",
    "Was the choice of classes typical?",
)
# The heading of a part that is folded and has a plot.
FURTHER = "Would a further method have done better?"
# The figures of the part on the held-out protocol, which stand with the others.
HELD_OUT_FIGURES = "Figures, held out"
PUBLISHED_PARTS = ("Published against ours", "Ours")


class Section(NamedTuple):
    """The section of a source.

    Attributes:
        name: name of the experiment, and identity of the section.
        title: its title.
        entry: its results.
        parts: HTML of each part by its heading; that of the first one is empty.
        published: heading of the part on the published numbers; empty if there are no runs.
        explorable: true if there is something to explore.
    """

    name: str
    title: str
    entry: ExperimentResults
    parts: Mapping[str, Any]
    published: str
    explorable: bool

    @property
    def figures(self) -> Any:
        """The figures of both protocols side by side, below the words on them."""
        from markupsafe import Markup

        # As `str`, since the methods of `Markup` escape their arguments.
        html = str(self.parts.get(FIGURES, ""))
        html += str(self.parts.get(HELD_OUT_FIGURES, "")).replace("<figcaption>", "<figcaption>Held out: ")
        found = re.findall(r"<figure>.*?</figure>\n", html, re.DOTALL)
        words = re.findall(r"<p>These figures show [^\n]*\n", html)
        if len(words) > 1 and words[1].startswith(words[0].split(".</p>")[0]):
            del words[0]  # Both name the same seed.
        return Markup(f'{"".join(words)}<div class="figures">\n{"".join(found)}</div>') if found else ""

    @property
    def folded(self) -> dict[str, Any]:
        """The parts that are folded."""
        open_parts = ("", FIGURES, PROTOCOLS, HELD_OUT_FIGURES, DETECTORS, SWEEP, self.published)
        return {heading: html for heading, html in self.parts.items() if heading not in open_parts}


def render(results: Results, explorable: Mapping[str, Mapping[str, Explorable]], figures: Mapping[str, bytes]) -> str:
    """Render the page.

    Args:
        results: the results.
        explorable: what can be explored, by experiment and protocol.
        figures: the PNG of every figure, by its path within the report.

    Returns:
        HTML. Text that comes from files is escaped.
    """
    from markupsafe import Markup

    convert = Converter(figures)

    def converted(text: str) -> Any:
        return Markup(convert(text))

    known = results.experiments
    sections = [_section(name, known, convert, explorable.get(name, {})) for name in known]
    shown = [cards.card(name, entry, explorable.get(name, {})) for name, entry in results.experiments.items()]
    for name, entry in results.experiments.items():
        if entry.sweep:
            shown.append(cards.sweep_card(name, entry.sweep, figures))
    # HTML has no escapes within a script element, and a "<" could end it.
    data = json.dumps(to_plain(explorable), separators=(",", ":")).replace("<", "\\u003c")
    return fill(
        "page.html.jinja",
        own=results.are_of_user,
        title="Report on your own data" if results.are_of_user else "Reproduction report",
        sections=sections,
        cards=shown,
        plots=plots,
        headings={"protocols": PROTOCOLS, "detectors": DETECTORS, "sweep": SWEEP, "further": FURTHER},
        how_to_read=converted(markdown.how_to_read()),
        how_to_read_protocols=converted(held_out.how_to_read()),
        verdicts=converted(markdown.verdict_table(results)),
        glance=converted(held_out.page_one(results)),
        rebuilt=converted(markdown.rebuilt(results.rebuilt)),
        appendix=converted(held_out.appendix(results)),
        terms={term.identity: term for term in terms().values()},
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        data=Markup(data),
        protocols={PUBLISHED: "published protocol", HELD_OUT: "held out"},
    )


def _section(
    name: str, known: Mapping[str, ExperimentResults], convert: Converter, explorable: Mapping[str, Explorable]
) -> Section:
    """Make the section of a source, one of those of the report, from the parts of its text."""
    from markupsafe import Markup

    entry = known[name]
    # The title has a heading of the page's own.
    _, _, text = markdown.experiment(name, entry, known).partition("\n\n")
    found = {heading: convert(part) for heading, part in parts(text)}
    if PROTOCOLS in found:
        finding = conclusions.holds_up(entry)
        leaking = finding is not None and finding.verdict == conclusions.FAILS
        text, found[HELD_OUT_FIGURES] = _split_protocols(found[PROTOCOLS], leaking)
        found[PROTOCOLS] = text.replace("All numbers of both protocols", "All numbers") if entry.is_of_user else text
    if SWEEP in found:
        found[SWEEP] = _fold("One class against all others, beside tables of papers", "<p>One class", found[SWEEP])
    if DETECTORS in found:
        found[DETECTORS] = _fold("All numbers of all methods", "<p>Held out, on", found[DETECTORS])
    return Section(
        name=name,
        title=entry.description.title,
        entry=entry,
        parts={heading: Markup(html) for heading, html in found.items()},
        published=next((heading for heading in PUBLISHED_PARTS if heading in found), ""),
        explorable=any(one.runs for one in explorable.values()),
    )


def _split_protocols(html: str, leaking: bool) -> tuple[str, str]:
    """Fold the description of the protocols, and take the figures out.

    Args:
        html: the part on the held-out protocol.
        leaking: true if a method does not hold up. Then the description, which names the leaks, is open at first.

    Returns:
        The text, and the figures with the words before them.
    """
    numbers = re.search(r"<p>(Decisions on the test samples|AUROC over the seeds)", html)
    text = re.sub(
        r"<p>(What the two protocols do):</p>\n(<ol>.*?</ol>\n)",
        lambda match: f"<details{' open' * leaking}><summary>{match[1]}</summary>\n{match[2]}</details>\n",
        html,
        flags=re.DOTALL,
    )
    figures = re.search(r'(?:<p>These figures [^\n]*</p>\n)?<div class="figures">.*</div>\n', text, re.DOTALL)
    text = text.replace(figures[0], "") if figures else text
    text = _fold("All numbers of both protocols", numbers[0], text) if numbers else text
    return text, figures[0] if figures else ""


def _fold(summary: str, beginning: str, html: str) -> str:
    """Fold the end of a text, from the first place where it has this beginning."""
    before, found, after = html.partition(beginning)
    return f"{before}<details><summary>{summary}</summary>\n{found}{after}</details>\n" if found else html
