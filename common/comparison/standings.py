"""Rank methods by their scores of the same test samples: those of the source, and detectors.

The source is the publication that an experiment reproduces. The first of its methods is the reference, with which all
others are compared. In a ranking without classical detectors the reference is the first method that learns without
labels, as all detectors do, and the other methods of the source are left out.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.comparison.leaderboard import Row, Scored, leaderboard
from common.comparison.prediction import MINIMUM_SEEDS
from common.comparison.verdicts import NOT_RUN
from common.detectors.detector import CLASSICAL_GROUP
from common.detectors.registry import can_score, detector_named, names_in
from common.errors import RecordError
from common.experiment import LABELS, Experiment
from common.files import digest_of, kept
from common.runs import records
from common.runs.records import Record, seed_of
from common.runs.selection import Selection
from common.runs.tasks import varies_by_seed

# Raise this when the same records give another ranking.
REVISION = 5
# With fewer anomalies, or events, among the test samples, intervals by resampling them are far too narrow.
FEWEST_ANOMALIES = 10

Located = tuple[Path, Record]


@dataclass(frozen=True)
class Standing(Row):
    """A row of the leaderboard, completed with the kind of the method and its cost.

    Attributes:
        ours: true for our rebuilt method of the source, false for a detector.
        fit_seconds: median duration of fitting on one thread. For the reference, this is the training of the
            autoencoder that it uses; `None` for the other methods of the source.
        score_seconds: likewise, of scoring, and of all reconstructions.
        group: group of the detector; empty for a method of the source.
        collapsed: number of its trainings that collapsed, see `detectors.announced`; `None` for a method that cannot.
    """

    ours: bool
    fit_seconds: float | None
    score_seconds: float | None
    group: str = ""
    collapsed: int | None = None


@dataclass(frozen=True)
class Standings:
    """The ranking of all methods on the test samples of one protocol.

    Attributes:
        reference: the method of the source that the others are compared with.
        samples: number of test samples of a seed; 0 if no seed could be ranked.
        prevalence: mean fraction of anomalies among them; `None` if no seed could be ranked.
        groups: number of their groups: samples of one group, such as the windows before one event, are resampled
            together by the bootstrap.
        seeds: the ranked seeds.
        rows: the methods, best first.
        own_test_set: true if each seed has a test set of its own, so that intervals and tests are Student's t over the
            seeds instead of the bootstrap.
        missing: for each reason why something could not be ranked, such as "k-means: not run", the seeds it concerns.
    """

    reference: str
    samples: int
    prevalence: float | None
    groups: int
    seeds: tuple[int, ...]
    rows: tuple[Standing, ...]
    missing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    own_test_set: bool = False

    @property
    def reference_row(self) -> Standing | None:
        """The row of the reference; `None` if no seed could be ranked."""
        return next((row for row in self.rows if row.method == self.reference), None)


def unranked(reference: str, missing: Mapping[str, Sequence[int]] = MappingProxyType({})) -> Standings:
    """Give the ranking of no seed, with the reasons why nothing could be ranked."""
    reasons = {what: tuple(seeds) for what, seeds in missing.items()}
    return Standings(reference, samples=0, prevalence=None, groups=0, seeds=(), rows=(), missing=reasons)


class Evidence(NamedTuple):
    """The record of a run and those of the detectors on its split, each with its folder."""

    run: Located
    detectors: Mapping[str, Located]


def standings(
    experiment: Experiment, protocol: str, selection: Selection, detectors: Sequence[str] | None = None
) -> Standings | None:
    """Rank the methods of the source and detectors on the test samples of one protocol.

    All rows must stand on the same seeds. So a seed is left out if it lacks a detector that another seed has. The
    ranking is cached beside the records, since the bootstrap takes seconds.

    Args:
        experiment: the experiment.
        protocol: the protocol.
        selection: the selected records of this protocol; only the finished runs are used.
        detectors: names of the detectors; those that cannot score these samples, or were run for no seed, are left out.
            Default: the classical ones.

    Returns:
        The ranking; `None` if no seed has all these detectors.
    """
    classical = [name for name in names_in(CLASSICAL_GROUP) if can_score(name, experiment)]
    names = classical if detectors is None else [name for name in detectors if can_score(name, experiment)]
    beside = detectors_beside(experiment, protocol, selection.runs, names)
    evidence = {seed: Evidence(run, finished(beside[seed])) for seed, run in sorted(selection.runs.items())}
    known = {name for found in evidence.values() for name in found.detectors}
    complete = {seed: found for seed, found in evidence.items() if known and set(found.detectors) == known}
    if not complete:
        return None
    methods = _methods(experiment, names)
    which = "" if names == classical else f"-{digest_of(names)[:8]}"
    path = next(iter(complete.values())).run[0].parent / f"standings{which}.json"
    damaged: dict[str, list[int]] = {}
    key = _key(experiment, methods, complete)
    ranked = kept(path, key, lambda: _ranked(experiment, protocol, methods, complete, damaged), Standings)
    if damaged:  # Do not cache this ranking: the key would be the same after the files have been restored.
        with contextlib.suppress(OSError):
            path.unlink()
    missing = {what: tuple(seeds) for what, seeds in (unfinished(beside) | damaged).items()}
    return replace(ranked, missing={**ranked.missing, **missing})


def _methods(experiment: Experiment, detectors: Sequence[str]) -> Mapping[str, str]:
    """Choose the methods of the source that are ranked with these detectors, as in `Experiment.methods`."""
    if any(detector_named(name).group == CLASSICAL_GROUP for name in detectors):
        return experiment.methods
    alike = {method: array for method, array in experiment.methods.items() if not method.endswith(LABELS)}
    return dict([next(iter(alike.items()))]) if alike else experiment.methods


def scores_of(experiment: Experiment, protocol: str, run: Located) -> Scored:
    """Read the scores of the source's methods and the classical detectors on the test samples of one run.

    Raises:
        RecordError: arrays are damaged, or a detector saw other samples than the run.
    """
    (beside,) = detectors_beside(experiment, protocol, {0: run}, names_in(CLASSICAL_GROUP)).values()
    return _scored(experiment, protocol, experiment.methods, Evidence(run, finished(beside)))


def detectors_beside(
    experiment: Experiment, protocol: str, runs: Mapping[int, Located], names: Sequence[str]
) -> dict[int, dict[str, Located | str]]:
    """Find the detectors that were scored on the splits of some runs.

    Args:
        experiment: the experiment.
        protocol: the protocol of the runs.
        runs: folder and record of each run by seed.
        names: names of the detectors.

    Returns:
        By seed and name, the folder and the record of a finished detector, or the reason why it cannot be used.
        Detectors that were run for none of these seeds are left out.
    """
    # A detector whose scores do not depend on the seed has one record for all seeds, which is read once.
    read = functools.cache(_detector_record)
    found: dict[int, dict[str, Located | str]] = {}
    for seed, (folder, record) in sorted(runs.items()):
        found[seed] = {}
        for name in names:
            of_seed = record.seed if varies_by_seed(experiment, protocol, name) else 0
            place = records.seed_folder(records.detector_folder(folder.parent, name), of_seed)
            found[seed][name] = read(place, detector_named(name).revision)
    run_here = {name for beside in found.values() for name, one in beside.items() if one != NOT_RUN}
    return {seed: {name: beside[name] for name in names if name in run_here} for seed, beside in found.items()}


def unfinished(beside: Mapping[int, Mapping[str, Located | str]]) -> dict[str, list[int]]:
    """List the detectors that cannot be used, by title and reason, with the seeds."""
    found: dict[str, list[int]] = {}
    for seed, detectors in beside.items():
        for name, one in detectors.items():
            if isinstance(one, str):
                found.setdefault(f"{detector_named(name).title}: {one}", []).append(seed)
    return found


def finished(beside: Mapping[str, Located | str]) -> dict[str, Located]:
    """Select the detectors that can be used, of those beside one run."""
    return {name: one for name, one in beside.items() if not isinstance(one, str)}


def _detector_record(folder: Path, revision: int) -> Located | str:
    """Read the record of a detector, or give the reason why there is no finished one of this revision."""
    try:
        record = records.read_record(folder)
    except RecordError as error:
        return str(error) if (folder / records.RECORD).exists() else NOT_RUN
    if record.status == records.OK and record.revision == revision:
        return folder, record
    return record.error or "run by another version of the code"


def _key(experiment: Experiment, methods: Mapping[str, str], evidence: Mapping[int, Evidence]) -> list[Any]:
    """List everything that a ranking depends on, besides the protocol, which the path of the cache file contains."""

    def of_record(record: Record) -> list[Any]:
        return [record.arrays_sha256, dict(record.durations)]

    inputs = {
        seed: [of_record(found.run[1]), {name: of_record(record) for name, (_, record) in found.detectors.items()}]
        for seed, found in evidence.items()
    }
    titles = {name: detector_named(name).title for found in evidence.values() for name in found.detectors}
    protocols = [list(experiment.split_by_seed), list(experiment.own_test_set)]
    return [REVISION, list(methods.items()), protocols, titles, inputs]


def _ranked(
    experiment: Experiment,
    protocol: str,
    methods: Mapping[str, str],
    evidence: Mapping[int, Evidence],
    damaged: dict[str, list[int]],
) -> Standings:
    reference = next(iter(methods))
    scored: dict[int, Scored] = {}
    for seed, found in evidence.items():
        try:
            scored[seed] = _scored(experiment, protocol, methods, found)
        except RecordError as error:
            damaged.setdefault(str(error), []).append(seed)
    if not scored:
        return unranked(reference)
    fewest = min(len(np.unique(one.groups[one.labels == 1])) for one in scored.values())
    if fewest < FEWEST_ANOMALIES or any(one.labels.all() for one in scored.values()):
        reason = f"{fewest} anomalies or events among the test samples, {FEWEST_ANOMALIES} are needed to rank methods"
        return unranked(reference, {reason: sorted(scored)})
    ranked = [evidence[seed] for seed in scored]
    detectors = {detector_named(name).title: name for name in ranked[0].detectors}
    groups = {title: detector_named(name).group for title, name in detectors.items()}
    made_by = {title: [found.detectors[name][1] for found in ranked] for title, name in detectors.items()}
    made_by[reference] = [found.run[1] for found in ranked]
    first = next(iter(scored.values()))
    students_t = protocol in experiment.own_test_set and len(scored) >= MINIMUM_SEEDS
    return Standings(
        reference=reference,
        samples=len(first.labels),
        prevalence=float(np.mean([one.labels.mean() for one in scored.values()])),
        groups=len(np.unique(first.groups)),
        seeds=tuple(sorted(scored)),
        rows=tuple(
            _standing(row, groups.get(row.method, ""), made_by.get(row.method, []))
            # The other methods of the source are of one family with the classical detectors.
            for row in leaderboard(
                scored,
                reference,
                students_t=students_t,
                families={title: group for title, group in groups.items() if group != CLASSICAL_GROUP},
            )
        ),
        own_test_set=students_t,
    )


def _standing(row: Row, group: str, made_by: list[Record]) -> Standing:
    """Add what the records that a row was made from tell of cost and collapses; methods of the source have no group."""

    def median_of(part: str) -> float | None:
        seconds = [record.durations[part] for record in made_by if part in record.durations]
        return median(seconds) if seconds else None

    collapses = [record.metrics["collapsed"] for record in made_by if "collapsed" in record.metrics]
    return Standing(
        **vars(row),
        ours=not group,
        fit_seconds=median_of("fit"),
        score_seconds=median_of("score"),
        group=group,
        collapsed=sum(map(int, filter(None, collapses))) if collapses else None,
    )


def _scored(experiment: Experiment, protocol: str, methods: Mapping[str, str], found: Evidence) -> Scored:
    """Read the scores of all methods on the test samples of one seed.

    Raises:
        RecordError: arrays are damaged, or a detector saw other samples than the run.
    """
    run, seed = records.read_arrays(*found.run), seed_of(found.run[1])
    labels = column(run, "labels", found.run[0])
    scores = {method: column(run, array, found.run[0]) for method, array in methods.items() if array in run}
    groups = None
    for name, (folder, record) in found.detectors.items():
        arrays = records.read_arrays(folder, record)
        if not np.array_equal(column(arrays, "labels", folder), labels):
            raise RecordError(
                f"{folder} was scored on other samples than the run of seed {seed}; run both with --fresh"
            )
        scores[detector_named(name).title] = column(arrays, "scores", folder)
        groups = column(arrays, "groups", folder)
    if groups is None:
        raise RecordError(f"no detector beside seed {seed} says which of its samples belong together")
    # If the split depends on the seed and each sample is its own group (0, 1, 2, ...), no two seeds share samples. Then
    # number the groups of each seed differently, so that they are resampled independently. Larger groups are events,
    # such as breaks of the paper machine, which keep their number in every split.
    if protocol in experiment.split_by_seed and len(np.unique(groups)) == len(groups):
        groups = groups + seed * len(groups)
    return Scored(labels, groups, scores)


def column(arrays: Mapping[str, NDArray[Any]], name: str, folder: Path) -> NDArray[Any]:
    """Look up an array that must have one number for every test sample.

    Raises:
        RecordError: there is none, or it has another length than the labels, or a number is not finite.
    """
    found, labels = arrays.get(name, np.empty(0)), arrays.get("labels", np.empty(()))
    right = found.ndim == 1 and found.shape == labels.shape and found.dtype.kind in "biuf"
    if not right or not np.isfinite(found).all():
        raise RecordError(f"{folder} has no finite {name} for each of its test samples; run it again with --fresh")
    return found
