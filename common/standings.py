"""Records of one experiment and protocol -> its methods and the classical detectors on the same test samples.

What is compared here are scores, not decisions, so every method needs only an array of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import records
from common.baselines import DETECTORS
from common.errors import RecordError
from common.leaderboard import Scored, leaderboard
from common.records import Record, Selection
from common.runner import Experiment, name_of, varies_by_seed

Arrays = Mapping[str, NDArray[Any]]


def standings(experiment: Experiment, protocol: str, selection: Selection, out: Path) -> dict[str, Any] | None:
    """Rank the methods of the source and the detectors on the test samples of one protocol.

    Args:
        experiment: whose.
        protocol: which.
        selection: its finished runs.
        out: where `runs/` is.

    Returns:
        Plain data for results.json: the rows, best first, with what they cost; `None` without a finished run.
    """
    seeds: dict[int, Scored] = {}
    costs: dict[str, list[Record]] = {}
    missing: dict[str, str] = {}
    for seed, (folder, record) in sorted(selection.runs.items()):
        try:
            arrays = records.read_arrays(folder, record)
        except RecordError as error:
            missing[f"seed {seed}"] = str(error)
            continue
        found = _detections(experiment, protocol, record, out, missing)
        seeds[seed] = _scored(experiment, protocol, seed, arrays, {name: arrays for name, (_, arrays) in found.items()})
        for method, made_by in [
            (next(iter(experiment.METHODS)), record),
            *((DETECTORS[name].title, detection) for name, (detection, _) in found.items()),
        ]:
            costs.setdefault(method, []).append(made_by)
    if not seeds:
        return None
    reference = next(iter(experiment.METHODS))
    first = next(iter(seeds.values()))
    return {
        "reference": reference,
        "samples": len(first.labels),
        "prevalence": float(np.mean(first.labels)),
        "groups": len(np.unique(first.groups)),
        "rows": [
            {**asdict(row), "ours": row.method in experiment.METHODS, **_cost(costs.get(row.method, []))}
            for row in leaderboard(seeds, reference)
        ],
        "missing": missing,
    }


def _detections(
    experiment: Experiment, protocol: str, run: Record, out: Path, missing: dict[str, str]
) -> dict[str, tuple[Record, Arrays]]:
    """The detectors that were scored under the split of a run; what is wrong with the others goes into `missing`."""
    found: dict[str, tuple[Record, Arrays]] = {}
    for name, detector in DETECTORS.items():
        seed = run.seed if varies_by_seed(experiment, protocol, name) else 0
        folder = records.detector_folder(out, name_of(experiment), protocol, run.digest, name, seed)
        try:
            record = records.read_record(folder)
            if record.status != records.OK:
                missing[detector.title] = record.error or record.status
            elif record.revision == detector.revision:
                found[name] = record, records.read_arrays(folder, record)
        except RecordError as error:
            if (folder / "record.json").exists():
                missing[detector.title] = str(error)
    return found


def _scored(experiment: Experiment, protocol: str, seed: int, run: Arrays, detections: Mapping[str, Arrays]) -> Scored:
    labels = run["labels"]
    scores = {method: run[array] for method, array in experiment.METHODS.items() if array in run}
    groups = np.arange(len(labels))
    for name, arrays in detections.items():
        if not np.array_equal(arrays["labels"], labels):
            raise RecordError(f"{name} and the run of seed {seed} were scored on different samples; run both --fresh")
        scores[DETECTORS[name].title] = arrays["scores"]
        groups = arrays["groups"]
    if protocol in experiment.SPLIT_BY_SEED and len(np.unique(groups)) == len(groups):
        # Where each sample stands for itself and each seed has its own, those of two seeds have nothing in common.
        groups = groups + seed * len(groups)
    return Scored(labels, groups, scores)


def _cost(made_by: list[Record]) -> dict[str, float | None]:
    """Median seconds of fitting and scoring on one thread, as far as they were recorded."""
    return {
        f"{part}_seconds": median(seconds)
        if (seconds := [r.durations[part] for r in made_by if part in r.durations])
        else None
        for part in ("fit", "score")
    }
