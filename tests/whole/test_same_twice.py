"""For every experiment: the same seed gives the same bytes, in a fresh process with all cores, and side by side."""

import os
import subprocess
import sys

import pytest

from common.files import ROOT
from common.runs import records
from common.runs.selection import find_records
from experiments import EXPERIMENTS

# All of them, as small as they go, on stand-ins: `tiny.py OUT JOBS`. Held out is what computes most; the one split that
# is drawn by the seed of the run is that of rare_event_lstm_ae as published.
TINY = """
import sys
from pathlib import Path
from tests.helpers.tiny import TINY, Silent
from common.data.datasets import Source
from common.experiment import load_experiment
from common.runs.executors import Execution
from common.runs.runner import execute
from common.runs.tasks import Task
from experiments import NAMES

if __name__ == "__main__":
    tasks = []
    for name in NAMES:
        experiment = load_experiment(f"small.{name}")
        config = TINY if name == "curves_dense_ae" else experiment.config(epochs=1)
        for protocol in ("published", "held_out") if name == "rare_event_lstm_ae" else ("held_out",):
            tasks.append(Task(experiment, config, protocol, 3, Path(sys.argv[1]), Source("stand-in")))
    for record in execute(tasks, Silent(), Execution(jobs=int(sys.argv[2]))):
        print(record.error)
"""
# Read by every process that imports an experiment of this package: a part of each stand-in is enough.
SMALLER = """
from common.data import stand_ins

def smaller(draw, part):
    def draw_smaller():
        whole = draw()
        return type(whole)(*(array[part] for array in whole))

    return draw_smaller

stand_ins.draw_digits = smaller(stand_ins.draw_digits, slice(None, None, 20))
stand_ins.draw_fashion = smaller(stand_ins.draw_fashion, slice(None, None, 20))
stand_ins.draw_paper_machine = smaller(stand_ins.draw_paper_machine, slice(6000))
"""
EXPERIMENT = """
from dataclasses import replace
from experiments import {name}

EXPERIMENT = replace({name}.EXPERIMENT, module=__name__)
"""


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    """What two commands have left, with one process each and with two."""
    folder = tmp_path_factory.mktemp("twice")
    (folder / "tiny.py").write_text(TINY)
    (folder / "small").mkdir()
    (folder / "small" / "__init__.py").write_text(SMALLER)
    for name in EXPERIMENTS:
        (folder / "small" / f"{name}.py").write_text(EXPERIMENT.format(name=name))
    for jobs in ("1", "2"):
        result = subprocess.run(
            [sys.executable, folder / "tiny.py", folder / jobs, jobs],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        assert result.stdout.split() == ["None"] * (len(EXPERIMENTS) + 1)
    return folder / "1", folder / "2"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_metrics_and_arrays_are_the_same(outs, experiment):
    one, other = ([*find_records(out, experiment)] for out in outs)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.record.metrics == b.record.metrics
        assert (a.folder / records.ARRAYS).read_bytes() == (b.folder / records.ARRAYS).read_bytes()
        # Alone, a run has all cores; beside another one, its share of them.
        environments = [{**found.record.environment, "threads": None} for found in (a, b)]
        assert environments[0] == environments[1]
        assert a.record.environment["threads"] >= b.record.environment["threads"] >= 1
        assert {"kernel_threads", "onednn", "device", "versions"} <= set(environments[0])
