"""Records of one experiment and protocol -> its methods and the classical detectors on the same test samples.

What is compared here are scores, not decisions, so every method needs only an array of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.comparison.leaderboard import Scored, leaderboard
from common.detectors.registry import DETECTORS
from common.errors import RecordError
from common.experiment import Experiment
from common.files import kept
from common.runs import records
from common.runs.records import Record, seed_of
from common.runs.selection import Selection
from common.runs.tasks import varies_by_seed

# Raised by whoever changes what the rows below say of the same records.
REVISION = 2


class Evidence(NamedTuple):
    """What one seed has left: its run, and the detectors under its split; each with the folder of its record."""

    run: tuple[Path, Record]
    detectors: Mapping[str, tuple[Path, Record]]


def standings(experiment: Experiment, protocol: str, selection: Selection) -> dict[str, Any] | None:
    """Rank the methods of the source and the detectors on the test samples of one protocol.

    Ranked are the seeds that have every detector which any seed has: all rows of a table stand on the same seeds. A
    bootstrap takes seconds, so its result is kept beside the records, and computed again when one of them changes.

    Args:
        experiment: whose.
        protocol: which.
        selection: its finished runs.

    Returns:
        Plain data for results.json: the rows, best first, with what they cost, and what is missing; `None` without a
        finished run that detectors stand beside.
    """
    missing: dict[str, list[int]] = {}
    evidence = {
        seed: Evidence(run, _detectors_of(experiment, protocol, run, missing))
        for seed, run in sorted(selection.runs.items())
    }
    known = {name for found in evidence.values() for name in found.detectors}
    complete = {seed: found for seed, found in evidence.items() if known and set(found.detectors) == known}
    if not complete:
        return None
    path = next(iter(complete.values())).run[0].parent / "standings.json"
    damaged: dict[str, list[int]] = {}
    ranked = kept(path, _key(experiment, complete), lambda: _ranked(experiment, protocol, complete, damaged))
    if damaged:  # The files may be whole again in the next report.
        with contextlib.suppress(OSError):
            path.unlink()
    return {**ranked, "missing": missing | damaged}


def scores_of(experiment: Experiment, protocol: str, run: tuple[Path, Record]) -> Scored:
    """Read the scores of all methods on the test samples of one run.

    Raises:
        RecordError: arrays are damaged, or a detector saw other samples than the run.
    """
    return _scored(experiment, protocol, Evidence(run, _detectors_of(experiment, protocol, run, {})))


def _detectors_of(
    experiment: Experiment, protocol: str, run: tuple[Path, Record], missing: dict[str, list[int]]
) -> dict[str, tuple[Path, Record]]:
    """Find the detectors that were scored under the split of a run; those that lack go into `missing`."""
    found: dict[str, tuple[Path, Record]] = {}
    run_folder, run_record = run
    for name, detector in DETECTORS.items():
        seed = run_record.seed if varies_by_seed(experiment, protocol, name) else 0
        folder = records.seed_folder(records.detector_folder(run_folder.parent, name), seed)
        why = "not run"
        try:
            record = records.read_record(folder)
            if record.status == records.OK and record.revision == detector.revision:
                found[name] = folder, record
                continue
            why = record.error or "of older code"
        except RecordError as error:
            if (folder / "record.json").exists():
                why = str(error)
        missing.setdefault(f"{detector.title}: {why}", []).append(seed_of(run_record))
    return found


def _key(experiment: Experiment, evidence: Mapping[int, Evidence]) -> list[Any]:
    """List everything that a ranking follows from: the methods, and arrays and durations of every record."""

    def told(record: Record) -> list[Any]:
        return [record.arrays_sha256, dict(record.durations)]

    arrays = {
        seed: [told(found.run[1]), {name: told(record) for name, (_, record) in found.detectors.items()}]
        for seed, found in evidence.items()
    }
    titles = {name: detector.title for name, detector in DETECTORS.items()}
    return [REVISION, dict(experiment.methods), titles, {str(seed): told for seed, told in arrays.items()}]


def _ranked(
    experiment: Experiment, protocol: str, evidence: Mapping[int, Evidence], damaged: dict[str, list[int]]
) -> dict[str, Any]:
    reference = next(iter(experiment.methods))
    scored: dict[int, Scored] = {}
    costs: dict[str, list[Record]] = {}
    for seed, found in evidence.items():
        try:
            scored[seed] = _scored(experiment, protocol, found)
        except RecordError as error:
            damaged.setdefault(str(error), []).append(seed)
            continue
        costs.setdefault(reference, []).append(found.run[1])
        for name, (_, record) in found.detectors.items():
            costs.setdefault(DETECTORS[name].title, []).append(record)
    rows = leaderboard(scored, reference) if scored else []
    sizes = [len(one.labels) for one in scored.values()]
    return {
        "reference": reference,
        "samples": sizes[0] if sizes else 0,
        "prevalence": float(np.mean([one.labels.mean() for one in scored.values()])) if scored else None,
        "groups": len(np.unique(next(iter(scored.values())).groups)) if scored else 0,
        "seeds": sorted(scored),
        "rows": [
            {**asdict(row), "ours": row.method in experiment.methods, **_cost(costs.get(row.method, []))}
            for row in rows
        ],
    }


def _scored(experiment: Experiment, protocol: str, found: Evidence) -> Scored:
    """The scores of all methods on the test samples of one seed.

    Raises:
        RecordError: arrays are damaged, or a detector saw other samples than the run.
    """
    run, seed = records.read_arrays(*found.run), seed_of(found.run[1])
    labels = column(run, "labels", found.run[0])
    scores = {method: column(run, array, found.run[0]) for method, array in experiment.methods.items() if array in run}
    groups = None
    for name, (folder, record) in found.detectors.items():
        arrays = records.read_arrays(folder, record)
        if not np.array_equal(column(arrays, "labels", folder), labels):
            raise RecordError(
                f"{folder} was scored on other samples than the run of seed {seed}; run both with --fresh"
            )
        scores[DETECTORS[name].title] = column(arrays, "scores", folder)
        groups = column(arrays, "groups", folder)
    if groups is None:
        raise RecordError(f"no detector beside seed {seed} says which of its samples belong together")
    if protocol in experiment.split_by_seed and len(np.unique(groups)) == len(groups):
        # Where each sample stands for itself and each seed has its own, those of two seeds have nothing in common.
        groups = groups + seed * len(groups)
    return Scored(labels, groups, scores)


def column(arrays: Mapping[str, NDArray[Any]], name: str, folder: Path) -> NDArray[Any]:
    """One number for every test sample.

    Raises:
        RecordError: there are none of that name, or other ones than the labels need.
    """
    found, labels = arrays.get(name, np.empty(0)), arrays.get("labels", np.empty(()))
    right = found.ndim == 1 and found.shape == labels.shape and found.dtype.kind in "biuf"
    if not right or not np.isfinite(found).all():
        raise RecordError(f"{folder} holds no {name} of its test samples; run it again with --fresh")
    return found


def _cost(made_by: list[Record]) -> dict[str, float | None]:
    """Median seconds of fitting and scoring on one thread, as far as they were recorded."""
    costs: dict[str, float | None] = {}
    for part in ("fit", "score"):
        seconds = [record.durations[part] for record in made_by if part in record.durations]
        costs[f"{part}_seconds"] = median(seconds) if seconds else None
    return costs
