import base64
import csv
import html
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import openpyxl
import pytest

from common.comparison.published import read_published
from common.comparison.verdicts import MemberResult
from common.metrics.scores import confusion_counts
from common.page import plots, write
from common.page import write as tidy
from common.page.render import render
from common.page.text import Converter
from common.report.collect import collect
from common.report.explorable import Explorable, ScoredRun
from common.report.markup import escaped
from common.report.results import ExperimentResults, Results
from common.runs.records import read_arrays
from common.runs.selection import find_records, select
from experiments.__main__ import main
from tests.helpers.made_up import made_up
from tests.helpers.tiny import CURVES, TINY


@pytest.fixture(scope="module")
def made(tiny_both, tmp_path_factory):
    """A report of tiny runs: its results, its folder, and what can be explored."""
    folder = tmp_path_factory.mktemp("page")
    tiny = replace(CURVES, config=lambda **changes: replace(TINY, **changes))
    collected = collect([tiny], tiny_both, folder / "nowhere")
    write.write(collected, folder)
    text = (folder / "index.html").read_text()
    explorable = json.loads(re.search(r'<script type="application/json" id="explorable">(.*?)</script>', text)[1])
    return collected, folder, explorable


class Outline(HTMLParser):
    """Checks that elements are closed in order; collects headings, ids, links, pictures and whatever is loaded."""

    EMPTY = ("meta", "img", "input", "br", "hr", "line", "circle", "rect", "path", "polyline")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.ids, self.links, self.pictures, self.loaded = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        if tag == "img":
            self.pictures.append(found)
        self.loaded += [found[name] for name in ("src", "srcset", "data", "poster") if name in found]
        if tag == "link":
            self.loaded.append(found["href"])

    def handle_startendtag(self, tag, attributes):
        assert tag in self.EMPTY
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(made):
    _, folder, _ = made
    text = (folder / "index.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    outline = Outline(text)
    assert all(address.startswith("data:image/") for address in outline.loaded)
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert all(link.startswith(("#", "https://")) for link in outline.links)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    figures = [picture for picture in outline.pictures if picture["src"].startswith("data:image/png;base64,")]
    assert len(figures) == len(list((folder / "figures").rglob("*.png"))) > 5
    assert all(len(picture["alt"]) > 20 for picture in figures)


def test_page_and_markdown_say_the_same(made):
    _, folder, _ = made
    text = html.unescape(re.sub(r"<[^>]*>", "", (folder / "index.html").read_text()))
    for line in (folder / "README.md").read_text().splitlines():
        if line.startswith("|") and set(line) > set("|- "):
            for cell in line.strip("| ").split(" | "):
                words = (
                    re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell).replace("**", "").replace("`", "").replace("\\", "")
                )
                assert words in text


def test_the_recorded_counts_come_out_of_the_stored_scores(made, tiny_both):
    collected, _, explorable = made
    results = collected.results
    found = explorable["curves_dense_ae"]["held_out"]["runs"]
    assert list(found) == ["0", "1"]
    for run in select(
        find_records(tiny_both, "curves_dense_ae"), "held_out", TINY.to_dict(), CURVES.revision
    ).runs.values():
        arrays = read_arrays(*run)
        rules = ["random_forest", "forest_residual", "forest_histogram", "percentile"]
        assert [decision.rule for decision in run[1].decisions] == rules
        for decision in run[1].decisions:
            flagged = (arrays[decision.scores] > decision.threshold).astype(int)
            counts = confusion_counts("m", arrays["labels"], flagged)
            assert {f"m.{name}": count for name, count in decision.counts.items()} == counts
            if decision.rule in ("forest_residual", "forest_histogram"):
                assert np.array_equal(flagged, arrays[f"{decision.rule}_flagged"])
    for seed, run in found.items():
        metrics = results.experiments["curves_dense_ae"].held_out.seeds[int(seed)]
        (decision,) = run["decisions"]
        assert decision["threshold"] == 0.5
        counts = decision["counts"]
        assert counts["tp"] / (counts["tp"] + counts["fn"]) == metrics["forest_histogram.anomaly.recall"]
    records = find_records(tiny_both, "curves_dense_ae")
    arrays = read_arrays(*select(records, "held_out", TINY.to_dict(), CURVES.revision).runs[0])
    decoded = np.frombuffer(base64.b64decode(found["0"]["scores"]), "<f8")
    assert np.array_equal(decoded, arrays["forest_histogram_scores"].astype(float))
    assert found["0"]["labels"] == "".join(str(label) for label in arrays["labels"])


def test_hostile_text_does_nothing(made):
    collected, _folder, _ = made
    results = collected.results
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    entry = results.experiments["curves_dense_ae"]
    hostile = replace(
        entry,
        failed={7: evil},
        damaged=(evil,),
        description=replace(entry.description, title=evil, claim=evil),
        environments=(replace(entry.environments[0], processor=evil),),
    )
    scored = {"curves_dense_ae": {evil: Explorable({0: ScoredRun(b"", evil, ())})}}
    text = render(replace(results, experiments={"curves_dense_ae": hostile}), scored, collected.figures)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    Outline(text)


def test_hostile_text_in_markdown_is_text():
    evil = "<img src=x>\n\n## At a glance\n\n[click](http://evil.test/) ![t](http://evil.test/a.png) `x` | y"
    written = escaped(evil)
    assert "\n" not in written
    assert "<" not in written
    read = Converter({})(f"Seed 7 failed: {written}.")
    assert html.unescape(read) == f"<p>Seed 7 failed: {' '.join(evil.split())}.</p>\n"


def test_figures_outside_of_the_report_are_not_taken_in(made):
    convert = Converter(made[0].figures)
    assert "<img" not in convert("![a secret](../results.json)")
    assert convert("![no file](nowhere.png)") == "<p>no file</p>\n"


@pytest.mark.parametrize(("published", "values", "interval"), [("0.5", [0.5], None), ("0.74", [0.1, 0.9], (0.0, 1.0))])
def test_a_plot_keeps_to_its_frame_and_its_order(published, values, interval):
    member = made_up(MemberResult, metric="m", printed=published, interval=interval)
    drawn = plots.plot(member, values)
    assert all(plots.MARGIN <= place <= plots.WIDTH - plots.MARGIN for place in [*drawn.dots, drawn.line])
    assert np.array_equal(np.argsort([*drawn.dots, drawn.line]), np.argsort([*values, float(published)]))
    assert f"published {published}" in drawn.words


COLUMNS_OF_TEXT = [column for column in tidy.COLUMNS if column != "value"]


def test_the_tables_are_tidy(made):
    collected, folder, _ = made
    results = collected.results
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tidy.COLUMNS
    runs_of = results.experiments["curves_dense_ae"].by_protocol
    count = sum(len(metrics) for runs in runs_of.values() for metrics in runs.seeds.values())
    assert len(rows) == count
    for row in rows:
        value = runs_of[row["protocol"]].seeds[int(row["seed"])][row["metric"]]
        assert (row["value"], bool(row["undefined"])) == ("" if value is None else str(value), value is None)

    header, *cells = openpyxl.load_workbook(folder / "results.xlsx").active.iter_rows(values_only=True)
    assert header == tidy.COLUMNS
    assert len(cells) == count
    for found, row in zip(cells, rows, strict=True):
        *names, value, undefined = ["" if cell is None else str(cell) for cell in found]
        assert [*names, undefined] == [row[column] for column in COLUMNS_OF_TEXT]
        assert value == row["value"] == "" or float(value) == pytest.approx(float(row["value"]), rel=1e-15)


def sheet_of(metrics, undefined):
    entry = made_up(ExperimentResults, seeds={0: metrics}, undefined={0: undefined})
    results = made_up(Results, experiments={"e": entry})
    assert tidy.as_csv(results).count(b"\n") == 2
    return openpyxl.load_workbook(io.BytesIO(tidy.as_xlsx(results))).active


def test_text_that_no_spreadsheet_can_hold_stops_no_report():
    assert sheet_of({"a\x00b": 1.0}, {})["E2"].value == "ab"


def test_no_text_becomes_a_formula():
    text = '=HYPERLINK("https://example.org")'
    cells = sheet_of({text: None}, {text: text})[2]
    assert [cell.value for cell in cells] == ["e", "published", "drawn", 0, text, None, text]
    assert {cell.data_type for cell in cells} == {"s", "n"}


def test_the_report_can_be_opened_and_the_reference_cannot(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    arguments = ["report", "--no-run", "--open", "--experiments", "curves_dense_ae", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert opened == [(tmp_path / "latest" / "index.html").as_uri()]
    assert capsys.readouterr().out == f"report: {tmp_path / 'latest' / 'index.html'}\n"
    assert main(["report", "--reference", "--open"]) == 2


@pytest.mark.parametrize("name", ["fashion_latent_ocsvm", "rare_event_lstm_ae", "curves_dense_ae", "mnist_dense_ae"])
def test_a_source_that_prints_numbers_has_a_headline(name):
    published = read_published(name)
    assert any(published.headline in group.numbers for group in published.groups if group.obtained != "context")
