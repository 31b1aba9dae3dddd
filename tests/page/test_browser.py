"""The page in a browser: nothing overflows or is loaded, and what a reader picks is what the records hold."""

import re

import numpy as np
import pytest

from common.experiment import HELD_OUT, PUBLISHED, load_experiment
from common.metrics.shown import MOST_WRONG
from common.runs.records import read_arrays
from common.runs.selection import find_records
from experiments import EXPERIMENTS

WIDTHS = [390, 1280, 1920]


@pytest.fixture
def opened(browser, small_report):
    """Open the page; whatever goes wrong in it, or is loaded, fails the test at its end."""
    contexts, wrong, loaded = [], [], []
    address = (small_report[0] / "index.html").as_uri()

    def open_page(width=1280, height=800, **settings):
        phone = {"is_mobile": True, "has_touch": True} if width < 500 else {}
        context = browser.new_context(viewport={"width": width, "height": height}, **phone, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
    assert {url for url in loaded if not url.startswith("data:")} <= {address}


def contrast(ink, paper):
    """The contrast of two colours as WCAG defines it."""
    lights = []
    for colour in (ink, paper):
        channels = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        lights.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_can_be_read(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    body = "getComputedStyle(document.body)"
    assert contrast(page.evaluate(f"{body}.color"), page.evaluate(f"{body}.backgroundColor")) > 7
    unnamed = """[...document.querySelectorAll("button, a, input, select, summary")].filter((element) => !(
        element.textContent.trim() || element.ariaLabel || element.labels?.length || element.querySelector("img")?.alt
    )).map((element) => element.outerHTML)"""
    assert page.evaluate(unnamed) == []


def test_the_first_three_cards_are_whole_and_the_page_is_short(opened):
    page = opened(1280, 800)
    ends = [card.bounding_box() for card in page.locator(".card").all()[:3]]
    assert all(box["y"] + box["height"] <= 800 for box in ends)
    assert page.evaluate("document.documentElement.scrollHeight") < 3_000 * len(EXPERIMENTS)


def arrays_of(out, name, protocol):
    (found,) = [one for one in find_records(out, name) if one.record.protocol == protocol]
    return read_arrays(found.folder, found.record)


def said(root):
    """What the page says of the picked sample: its number, its class, its score, and whether it is flagged."""
    text = root.locator(".said").inner_text()
    number, label, score, flagged, right = re.fullmatch(
        r"Sample (\d+), (an anomaly|normal)\. Score (\S+) of the [^.]*, (not flagged|flagged), (rightly|wrongly)\.",
        text,
    ).groups()
    return int(number), int(label == "an anomaly"), float(score), flagged == "flagged", right == "rightly"


def require_as_recorded(root, arrays, scores):
    number, label, score, flagged, right = said(root)
    assert label == arrays["labels"][number]
    assert score == pytest.approx(float(scores[number]), rel=1e-3)
    threshold = float(root.locator(".value").inner_text())
    # What is shown is rounded to four digits.
    if abs(scores[number] - threshold) > 2e-3 * abs(threshold):
        assert flagged == (scores[number] > threshold)
    assert right == (flagged == bool(label))
    return number


@pytest.mark.parametrize("name", [*EXPERIMENTS])
def test_a_picked_sample_is_that_of_the_record(opened, small_report, name):
    _, _, explorable, out = small_report
    page, array = opened(), next(iter(load_experiment(EXPERIMENTS[name]).methods.values()))
    root = page.locator(f'.explore[data-experiment="{name}"]')
    for protocol in (PUBLISHED, HELD_OUT):
        arrays = arrays_of(out, name, protocol)
        root.locator(".protocol").select_option(protocol)
        stored = explorable[name][protocol]["samples"]["indices"]
        first = require_as_recorded(root, arrays, arrays[array])
        # By keyboard.
        root.locator(".next").focus()
        page.keyboard.press("Enter")
        second = require_as_recorded(root, arrays, arrays[array])
        assert stored.index(second) == (stored.index(first) + 1) % len(stored)
        root.locator(".previous").focus()
        page.keyboard.press("Space")
        assert said(root)[0] == first
        # By mouse: the dot of a stored sample.
        wanted = stored[len(stored) // 2]
        box = root.locator(".strip").bounding_box()
        dot = root.locator(f".strip circle:not(.picked) >> nth={stored.index(wanted)}")
        x, y = (float(dot.get_attribute(name)) for name in ("cx", "cy"))
        root.locator(".strip").click(position={"x": x * box["width"] / 640, "y": y * box["height"] / 200})
        picked = require_as_recorded(root, arrays, arrays[array])
        near = arrays[array][picked] == pytest.approx(arrays[array][wanted])
        assert picked == wanted or near
        root.locator(".histogram").click(position={"x": box["width"] - 2, "y": 5})
        highest = max(stored, key=lambda index: arrays[array][index])
        assert arrays[array][require_as_recorded(root, arrays, arrays[array])] == arrays[array][highest]
        # By keyboard again: at the lowest threshold almost every normal sample is a wrong decision.
        root.locator(".threshold input").focus()
        page.keyboard.press("Home")
        root.locator(".wrong").click()
        require_as_recorded(root, arrays, arrays[array])
        assert not said(root)[4]


def test_a_touch_picks_too(opened):
    page = opened(390)
    root = page.locator(".explore").first
    before = root.locator(".said").inner_text()
    box = root.locator(".strip").bounding_box()
    root.locator(".strip").tap(position={"x": box["width"] - 3, "y": box["height"] / 2})
    assert said(root)[0] is not None and root.locator(".said").inner_text() != before


def test_what_is_drawn_of_an_image_is_its_pixels(opened, small_report):
    page, name = opened(), "mnist_dense_ae"
    root = page.locator(f'.explore[data-experiment="{name}"]')
    arrays = arrays_of(small_report[3], name, PUBLISHED)
    number = said(root)[0]
    drawn = root.locator("canvas").first.evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
    )
    stored = arrays["page_inputs"][arrays["page_samples"].tolist().index(number)]
    np.testing.assert_array_equal(np.reshape(drawn, (784, 4))[:, 0], stored)


@pytest.mark.parametrize("name", ["mnist_conv_ae", "curves_dense_ae", "rare_event_lstm_ae"])
def test_the_slider_of_epochs_changes_the_pictures(opened, small_report, name):
    page = opened()
    root = page.locator(f'.explore[data-experiment="{name}"]')
    learning = small_report[2][name][PUBLISHED]["learning"]
    slider = root.locator(".epochs")
    assert int(slider.get_attribute("max")) == len(learning["epochs"]) - 1
    assert root.locator(".epoch").inner_text().startswith(str(learning["epochs"][-1]))
    pictures = (
        "root => [...root.querySelectorAll('.pairs canvas, .pairs svg')].map((e) => e.toDataURL?.() ?? e.innerHTML)"
    )
    last = root.evaluate(pictures)
    if len(learning["epochs"]) > 1:
        slider.fill("0")
        assert root.locator(".epoch").inner_text().startswith(f"{learning['epochs'][0]} of ")
        assert root.evaluate(pictures) != last


def test_the_rules_of_the_runs_decide_as_recorded(opened, small_report):
    page = opened()
    for name, protocols in small_report[2].items():
        root = page.locator(f'.explore[data-experiment="{name}"]')
        for protocol, explored in protocols.items():
            root.locator(".protocol").select_option(protocol)
            decisions = explored["runs"]["0"]["decisions"]
            buttons = root.locator(".rules button").all()
            assert len(buttons) == len(decisions)
            for button, decision in zip(buttons, decisions, strict=True):
                button.click()
                cells = {count: int(root.locator(f".{count}").inner_text()) for count in ("tn", "fp", "fn", "tp")}
                assert cells == decision["counts"]


def test_a_question_leads_to_the_part_that_answers_it(opened):
    page = opened()
    for link in page.locator(".card dt a").all():
        target = link.get_attribute("href")
        link.click()
        box = page.locator(target).bounding_box()
        assert -1 < box["y"] < 800


def test_a_seed_without_samples_says_so_and_the_picked_one_comes_back(opened, browser):
    page = opened()
    root = page.locator(".explore").first
    root.locator(".next").click()
    before = root.locator(".said").inner_text()
    root.evaluate("""root => {
        // Another seed with the same scores, of which no samples are stored.
        const runs = explorable[root.dataset.experiment][root.querySelector(".protocol").value].runs;
        runs[7] = runs[0];
        root.querySelector(".seed").append(new Option("7", "7"));
    }""")
    root.locator(".seed").select_option("7")
    assert root.locator(".elsewhere").inner_text() == "Samples are kept of seed 0 only; choose it to look at them."
    assert not root.locator(".said").is_visible()
    root.locator(".strip").click()  # picks nothing, and breaks nothing
    root.locator(".seed").select_option("0")
    assert root.locator(".said").inner_text() == before


def test_words_explain_themselves_by_mouse_and_by_keyboard(opened):
    page = opened()
    for press in (lambda tip: tip.click(), lambda tip: (tip.focus(), page.keyboard.press("Enter"))):
        tip = page.locator(".tip:visible").first
        term = page.locator(f"#{tip.get_attribute('popovertarget')}")
        assert not term.is_visible()
        press(tip)
        assert term.is_visible()
        page.keyboard.press("Escape")
        assert not term.is_visible()


def test_folds_open_by_keyboard_and_in_print(opened):
    page = opened()
    fold = page.locator("details").first
    fold.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("fold => fold.open")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every((fold) => fold.open)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].filter((fold) => fold.open).length") == 1


def test_tables_sort_and_figures_enlarge(opened):
    page = opened()
    page.locator("#verdicts ~ details summary").click()
    table = page.locator("#verdicts ~ details table")
    heading = table.locator("th:nth-child(2) button")
    heading.click()
    column = "table => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent)"
    ascending = table.evaluate(column)
    heading.click()
    assert ascending == sorted(ascending, key=str.casefold) == table.evaluate(column)[::-1]
    page.locator(".figures .figure").first.click()
    assert page.locator("dialog").is_visible() and page.locator("dialog img").get_attribute("alt")
    page.locator("dialog button").click()
    assert not page.locator("dialog").is_visible()


def test_without_a_script_all_figures_and_tables_are_there(opened, small_report):
    page = opened(java_script_enabled=False)
    folder = small_report[0]
    assert page.locator(".figures img").count() == len([*(folder / "figures").rglob("*.png")])
    assert not page.locator(".explore").first.is_visible()
    page.locator("#verdicts ~ details summary").click()
    assert page.locator("#verdicts ~ details table").is_visible()


@pytest.mark.parametrize("name", [*EXPERIMENTS])
def test_the_wrong_decisions_of_a_run_can_be_looked_at(small_report, name):
    array = next(iter(load_experiment(EXPERIMENTS[name]).methods.values()))
    for protocol, explored in small_report[2][name].items():
        arrays, stored = arrays_of(small_report[3], name, protocol), explored["samples"]["indices"]
        complete = []
        for decision in explored["runs"]["0"]["decisions"]:
            wrong = np.flatnonzero((arrays[array] > decision["threshold"]) != (arrays["labels"] == 1))
            complete.append(np.isin(wrong, stored).sum() == min(len(wrong), MOST_WRONG))
        assert any(complete) or not complete


def test_print_is_light_and_in_one_column(opened):
    page = opened(1280, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    body = "getComputedStyle(document.body)"
    assert page.evaluate(f"{body}.backgroundColor") == "rgb(255, 255, 255)"
    assert contrast(page.evaluate(f"{body}.color"), page.evaluate(f"{body}.backgroundColor")) > 7
    assert page.evaluate(
        "[...document.querySelectorAll('section > .columns')].every((e) => getComputedStyle(e).display === 'block')"
    )


def test_the_page_is_small(small_report):
    assert (small_report[0] / "index.html").stat().st_size < 8 * 1024**2
