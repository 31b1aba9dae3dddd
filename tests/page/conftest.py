"""A report of all experiments with small settings, and a browser to look at it."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from common.data.datasets import Source
from common.experiment import HELD_OUT, PUBLISHED, load_experiment
from common.page.write import write
from common.report.collect import collect
from common.runs import runner
from common.runs.tasks import Task, detector_tasks
from experiments import EXPERIMENTS
from tests.helpers import optional
from tests.helpers.tiny import SMALL, Silent

NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def small_report(tmp_path_factory):
    """A report of one small run of each experiment in both protocols, on stand-ins, with a detector beside it.

    Returns:
        Its folder, its results, what can be explored, and the folder of the records.
    """
    out, folder = tmp_path_factory.mktemp("small"), tmp_path_factory.mktemp("report")
    small = []
    for name, module in EXPERIMENTS.items():
        experiment = load_experiment(module)
        config = experiment.config(**SMALL[name])
        small.append(replace(experiment, config=lambda config=config, **changes: replace(config, **changes)))
    tasks = [
        Task(one, one.config(), protocol, 0, out, Source("stand-in"))
        for one in small
        for protocol in (PUBLISHED, HELD_OUT)
    ]
    fast = ("knn", "mean_distance", "random_score")
    beside = [task for task in detector_tasks(tasks) if task.detector in fast]
    assert {record.error for record in runner.execute([*tasks, *beside], Silent())} == {None}
    report = collect(small, out, out / "nowhere")
    write(report, folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    explorable = json.loads(re.search(r'<script type="application/json" id="explorable">(.*?)</script>', text)[1])
    return folder, report.results, explorable, out


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window; the test is skipped where it or Playwright is missing."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        optional.lacking("Playwright")
    if chromium is None:
        optional.lacking("Chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()
