"""The conversion of the report's text for the page, and the words that explain themselves."""

import re

import pytest
from markupsafe import Markup

from common.comparison import verdicts
from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, WORSE
from common.page.text import Converter, parts, terms, tip
from common.report import conclusions

VERDICTS = [verdicts.EXACT, verdicts.AGREES, verdicts.REPRODUCED, verdicts.WITHIN_SPREAD, verdicts.DIFFERS_HIGHER,
            verdicts.DIFFERS_LOWER, verdicts.DIFFERS, verdicts.OUTSIDE, verdicts.STAND_IN, verdicts.NO_VERDICT,
            conclusions.HOLDS_UP, conclusions.WEAKER, conclusions.OPEN, conclusions.FAILS, conclusions.NOT_SHOWN,
            BETTER, WORSE, NOT_TOLD_APART]  # fmt: skip


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_explained(verdict):
    assert terms()[verdict].name == verdict
    assert f'popovertarget="{terms()[verdict].identity}"' in tip(verdict)


def test_a_verdict_with_a_remark_is_explained_by_the_verdict():
    assert f'popovertarget="{terms()["differs (lower)"].identity}">differs (lower), provisional' in tip(
        "differs (lower), provisional"
    )
    assert tip("something else") == "something else"


def test_no_two_terms_share_an_explanation():
    by_identity = {}
    for term in terms().values():
        assert by_identity.setdefault(term.identity, term.name) == term.name


def test_hostile_words_stay_text():
    assert tip("<b>") == Markup("&lt;b&gt;")
    assert "<b>" not in tip("reproduced <b>")


def test_parts_keep_every_line():
    markdown = "intro\n\nmore\n\n### One\n\na\n\n#### not a part\n\n### Two\n\nb"
    found = parts(markdown)
    assert [heading for heading, _ in found] == ["", "One", "Two"]
    assert found[1][1] == "a\n\n#### not a part"
    rebuilt = [line for heading, text in found for line in ([f"### {heading}"] if heading else []) + text.splitlines()]
    assert [line for line in rebuilt if line] == [line for line in markdown.splitlines() if line]


def test_the_first_mention_in_a_text_is_explained_and_no_other():
    convert = Converter({})
    html = convert("The AUROC is high. The AUROC is low.\n\nAUROC again.")
    assert html.count("popovertarget") == 1
    assert convert("AUROC").count("popovertarget") == 1  # In the next text, its first mention again.


def test_no_button_stands_in_a_link_a_heading_or_the_head_of_a_table():
    html = Converter({})("# AUROC\n\n[AUROC](https://example.org)\n\n| AUROC |\n| --- |\n| AUROC |")
    assert "popovertarget" not in html
    assert '<a href="https://example.org">AUROC</a>' in html


def test_tables_are_folded_and_say_what_they_hold():
    html = Converter({})("| a | b<c |\n| --- | --- |\n| 1 | 2 |")
    assert re.search(r'<details class="table"><summary>Table 1: a, b&lt;c</summary>.*<table class="sortable">', html)
    assert html.rstrip().endswith("</table></div></details>")


def test_figures_that_follow_each_other_stand_side_by_side():
    figures = {"a.png": b"a", "b.png": b"b", "c.png": b"c"}
    text = "![one](a.png)\n\n*one*\n\n![two](b.png)\n\n*two*\n\ntext\n\n![three](c.png)\n\n*three*"
    html = Converter(figures)(text)
    assert [group.count("<figure>") for group in html.split('<div class="figures">')[1:]] == [2, 1]
    assert html.count("<figcaption>") == 3
