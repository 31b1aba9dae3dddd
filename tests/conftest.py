import os
from pathlib import Path

import pytest
from hypothesis import settings

from common.runs import runner
from common.runs.selection import Selection, find_records, select
from common.runs.tasks import Task, detector_tasks
from tests.helpers.tiny import CURVES, TINY, Silent

# No deadlines: a busy machine must not fail a test. Derandomised: a failure comes again.
settings.register_profile("suite", deadline=None, derandomize=True)
# Looks further, and somewhere else each time: `make fuzz`.
settings.register_profile("fuzz", deadline=None, max_examples=20_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture
def listener():
    return Silent()


@pytest.fixture(scope="session")
def tiny_out(tmp_path_factory) -> Path:
    """An output folder with three finished tiny runs of the curves."""
    out = tmp_path_factory.mktemp("tiny")
    tasks = [Task(CURVES, TINY, "published", seed, out) for seed in range(3)]
    assert [record.status for record in runner.execute(tasks, Silent())] == ["ok"] * 3
    return out


@pytest.fixture(scope="session")
def tiny_both(tmp_path_factory) -> Path:
    """An output folder with two tiny runs of the curves in both protocols, and the detectors beside them."""
    out = tmp_path_factory.mktemp("both")
    runs = [Task(CURVES, TINY, protocol, seed, out) for protocol in ("published", "held_out") for seed in (0, 1)]
    assert {record.error for record in runner.execute([*runs, *detector_tasks(runs)], Silent())} == {None}
    return out


@pytest.fixture(scope="session")
def tiny_selection(tiny_out) -> Selection:
    return select(find_records(tiny_out, CURVES.name), "published", TINY.to_dict(), CURVES.revision)
