"""Collect the results of a report from the records and the published numbers, and draw its figures."""

import contextlib
import functools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common import files
from common.comparison import associations
from common.comparison.associations import Associations
from common.comparison.leaderboard import REFERENCE
from common.comparison.prediction import prefix_of, with_ablations
from common.comparison.published import Published, read_published
from common.comparison.standings import Standings, standings
from common.comparison.verdicts import NEXT_REFERENCE
from common.config import BaseConfig
from common.data.stand_ins import stand_in_of
from common.detectors.detector import CLASSICAL_GROUP, Detector
from common.detectors.registry import DETECTORS, can_score, detector_named, names_in
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED, Experiment, load_experiment
from common.report import figures, further, results
from common.report.explorable import Explorable, explorable
from common.report.figures import Png
from common.report.results import ExperimentResults, Results
from common.report.sweeps import collect_sweep
from common.runs import environment, records
from common.runs.executors import in_processes
from common.runs.records import Record
from common.runs.selection import Selection, find_records, select, select_ablations


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Attributes:
        results: the content of results.json.
        figures: the PNG of every figure, by its path within the report.
        explorable: what can be explored on the page, by experiment and protocol.
        cache: folder for cached files, which lie beside the records and can be deleted.
    """

    results: Results
    figures: Mapping[str, bytes]
    explorable: Mapping[str, Mapping[str, Explorable]]
    cache: Path


def collect(
    experiments: Iterable[Experiment],
    out: Path,
    reference: Path,
    protocols: Sequence[str] = PROTOCOLS,
    jobs: int = 1,
    taken_over: Mapping[str, Collection[str]] = MappingProxyType({}),
    own: Mapping[str, str] | None = None,
) -> Report:
    """Collect the results of experiments from their records, and draw their figures.

    Args:
        experiments: the experiments, in the order of the report.
        out: folder that contains `runs/`.
        reference: folder of the reference report, which comes with the suite. From its results.json are taken the
            ablations that were not run here, and beside experiments on its data the rebuilt column of a paper.
        protocols: the protocols to report, "published" (always included) and "held_out". Default: both.
        jobs: number of processes that rank and draw side by side. Default: 1.
        taken_over: by part (`results.PARTS`), names of the experiments for which it is that of the reference report,
            judged by the published numbers and rules of today. Default: none.
        own: a user's own data, as in the records, on which the experiments ran held out. Default: none.
    """
    with_reference = own is None and (reference / "results.json").exists()
    read = results.judged(results.read_results(reference)) if with_reference else None
    known = read.experiments if read else {}
    protocols = tuple(dict.fromkeys((PUBLISHED, *protocols)))
    experiments = list(experiments)
    rebuilt = read.rebuilt if read else None
    if rebuilt and not any(one.dataset in rebuilt.data for one in experiments):
        rebuilt = None
    taken = {part: frozenset(taken_over.get(part, ())) for part in results.PARTS}
    collected_here = [one for one in experiments if one.name not in taken[results.MAIN]]

    def collected() -> Report:
        parts = {
            one.name: _taken_over(one, known[one.name], reference, out)
            if one.name in taken[results.MAIN]
            else _part(one, out, protocols, known.get(one.name), own)
            for one in experiments
        }
        for one in experiments:
            for part, add in ((results.SWEEP, _sweep), (results.FURTHER, _further)):
                if one.name in taken[part]:
                    parts[one.name] = _with_known(parts[one.name], part, known[one.name], reference)
                elif HELD_OUT in protocols:
                    parts[one.name] = add(parts[one.name], one, out, protocols, own)
        ranked = set[str]().union(*(part.results.ranked for part in parts.values()))
        content = Results(
            experiments={name: part.results for name, part in parts.items()},
            detectors={one.title: _settings(one) for one in DETECTORS.values() if one.title in ranked},
            detectors_not_run={name: why for part in parts.values() for name, why in part.not_run.items()},
            rebuilt=rebuilt,
        )
        pngs = {file: png for part in parts.values() for file, png in part.figures.items()}
        return Report(content, pngs, {name: part.explorable for name, part in parts.items()}, out / "runs")

    if jobs > 1:
        # Worker processes take seconds to start, so they are used only if something is not cached.
        with contextlib.suppress(files.NotKept), files.nothing_computed():
            return collected()
        # What a worker that died has not cached is computed here.
        with contextlib.suppress(BrokenExecutor):
            orders = [(one, out, protocol) for protocol in protocols for one in collected_here]
            in_processes(_fill_cache, orders, jobs)
    return collected()


def judged_again(experiments: Iterable[Experiment], folder: Path, out: Path) -> Report:
    """Judge a report again, from its results.json, by the published numbers and the rules of today.

    Args:
        experiments: the experiments of the report.
        folder: folder of the report.
        out: folder that contains `runs/`, in which figures are cached.
    """
    known = results.read_results(folder)
    reported = [one for one in experiments if one.name in known.experiments]
    report = collect(reported, out, folder, taken_over=dict.fromkeys(results.PARTS, known.experiments))
    kept = replace(report.results, detectors=known.detectors, detectors_not_run=known.detectors_not_run)
    return replace(report, results=kept)


def recipe(experiment: Experiment, data: Mapping[str, str], part: str = results.MAIN) -> str:
    """Compute a digest of everything that decides a part of the results of an experiment in the reference report.

    Args:
        experiment: the experiment, with its config, its ablations and its revision.
        data: name of its data set and the sha256 digest, as in a record; empty if it reads none.
        part: one of `results.PARTS`. Default: the runs.
    """
    names = further.names() if part == results.FURTHER else names_in(CLASSICAL_GROUP)
    known = {name: detector_named(name) for name in names if can_score(name, experiment)}
    detectors = {name: (one.title, one.revision, _settings(one)) for name, one in known.items()}
    config, revision = experiment.config().to_dict(), experiment.revision
    others: dict[str, Mapping[Any, BaseConfig]]
    others = {results.MAIN: experiment.ablated(), results.SWEEP: experiment.swept(), results.FURTHER: {}}
    changed = {str(label): config.to_dict() for label, config in others[part].items()}
    versions = dict(environment.describe()["versions"])
    if part != results.FURTHER:
        versions.pop("pyod", None)
    if not any("pytorch" in settings.values() for settings in (config, *changed.values())):
        # Where no run uses PyTorch, it may be installed or not.
        versions.pop("torch", None)
    return files.digest_of([experiment.name, revision, config, changed, dict(data), detectors, versions])[:12]


def _relative_to(method: str, board: Standings | None) -> Standings | None:
    """Name the main method of a ranking, without the comparisons with the method that was the main one before."""
    if board is None or board.reference == method:
        return board
    unknown: dict[str, Any] = {"difference": None, "difference_interval": None, "p_value": None}
    rows = (
        replace(row, **unknown, standing=REFERENCE if row.method == method else NEXT_REFERENCE) for row in board.rows
    )
    return replace(board, reference=method, rows=tuple(rows))


def _cache(name: str, out: Path) -> Path:
    return out / "runs" / name / "figures"


def _settings(detector: Detector) -> str:
    limit = "" if detector.fit_limit is None else f"fitted on at most {detector.fit_limit} training samples"
    return "; ".join(part for part in (detector.note, limit) if part)


# One experiment.


@dataclass(frozen=True)
class _Part:
    """The part of a report on one experiment; see `Report`."""

    results: ExperimentResults
    figures: Mapping[str, bytes]
    explorable: Mapping[str, Explorable]
    not_run: Mapping[str, str]


@dataclass(frozen=True)
class _Shown:
    """The ranking and the figures of one protocol; `overview` and `separation` only of the published one."""

    board: Standings | None
    figures: Sequence[Png]
    seed: int | None
    overview: Sequence[Png] = ()
    separation: Associations | None = None


def _shown(
    experiment: Experiment, published: Published, protocol: str, selection: Selection, out: Path, runs: results.Runs
) -> _Shown:
    """Rank the methods of a protocol and draw its figures, or read them from the cache."""
    cache = _cache(experiment.name, out)
    board = standings(experiment, protocol, selection)
    drawn, seed = figures.of_one_run(experiment, protocol, selection, published.conditions, cache)
    if protocol == PUBLISHED:
        overview = figures.overview(published, results.verdicts_of(published, runs), runs.seeds, cache)
        return _Shown(board, drawn, seed, overview, _associations(published, selection, cache))
    return _Shown(board, drawn + figures.best_roc(experiment, protocol, selection, board, cache), seed)


def _fill_cache(order: tuple[Experiment, Path, str]) -> None:
    """Rank and draw for one experiment and protocol; the results are cached, and read by the calling process."""
    experiment, out, protocol = order
    published, found = read_published(experiment.name), [*find_records(out, experiment.name)]
    selection = select(found, protocol, experiment.config().to_dict(), experiment.revision)
    runs = _main_runs(published, selection, select_ablations(found, experiment, selection))
    _shown(experiment, published, protocol, selection, out, runs)
    further.collect_further(experiment, {protocol: selection}, _cache(experiment.name, out))


def _part(
    experiment: Experiment,
    out: Path,
    protocols: Sequence[str],
    reference: ExperimentResults | None,
    own: Mapping[str, str] | None,
) -> _Part:
    """Collect the results of one experiment, and give its figures by their path within the report."""
    published, found = read_published(experiment.name), [*find_records(out, experiment.name)]
    config = experiment.config().to_dict()
    selections = {protocol: select(found, protocol, config, experiment.revision, own) for protocol in protocols}
    main = selections[PUBLISHED]
    ablated = select_ablations(found, experiment, main)
    runs = _main_runs(published, main, ablated)
    # The runs of ablations have a table of their own, so they are not counted as left out.
    reported = {record.digest for selection in ablated.values() for _, record in selection.runs.values()}
    runs = replace(runs, others={digest: n for digest, n in runs.others.items() if digest not in reported})
    comparison = results.verdicts_of(published, runs)
    shown = {
        protocol: _shown(experiment, published, protocol, selection, out, runs)
        for protocol, selection in selections.items()
    }
    pngs: dict[str, bytes] = {}

    def noted(drawn: Iterable[Png], *folders: str) -> tuple[results.Figure, ...]:
        shown_files, content = _as_files(experiment, drawn, *folders)
        pngs.update(content)
        return shown_files

    entry = ExperimentResults(
        **vars(runs),
        comparison=comparison,
        description=results.describe(experiment.docstring, f"{experiment.name} on {stand_in_of(own)}" if own else None),
        source=published.source,
        headline=published.headline,
        not_published=published.not_published,
        protocols={
            protocol: results.ProtocolRuns(
                **vars(_runs(published, selection)),
                figures=noted(shown[protocol].figures, protocol),
                figure_seed=shown[protocol].seed,
            )
            for protocol, selection in selections.items()
            if protocol != PUBLISHED
        },
        standings={protocol: one.board for protocol, one in shown.items()},
        own_data=HELD_OUT in experiment.own_test_set,
        revision=experiment.revision,
        config={name: value for name, value in config.items() if not own or name not in experiment.generator},
        separation=shown[PUBLISHED].separation,
        beside={group.name: group.beside for group in published.groups if group.beside},
        variants=_ablations(experiment, published, ablated, main, reference),
        overview=noted(shown[PUBLISHED].overview),
        figures=noted(shown[PUBLISHED].figures),
        figure_seed=shown[PUBLISHED].seed,
        announced=published.announced,
        made_from=recipe(experiment, main.data),
    )
    explored = {protocol: explorable(experiment, selection) for protocol, selection in selections.items()}
    return _Part(entry, pngs, explored, _left_out(experiment) if own else published.not_run)


def _left_out(experiment: Experiment) -> dict[str, str]:
    """Name the methods of an experiment that its adaptation to a user's own data lacks."""
    why = "learns from labels, and there are none"
    return {method: why for method in load_experiment(experiment.module).methods if method not in experiment.methods}


def _taken_over(experiment: Experiment, entry: ExperimentResults, folder: Path, out: Path) -> _Part:
    """Take the results of an experiment over from a report, whose verdicts have been given anew.

    Rankings, and figures of single runs, need the records and stay as they are. If another method is now the main one
    of the source, its AUROC is known, but not its differences to the other methods.
    """
    published = read_published(experiment.name)
    drawn = figures.overview(published, entry.comparison, entry.seeds, _cache(experiment.name, out))
    overview, overview_pngs = _as_files(experiment, drawn)
    main_method = next(iter(experiment.methods))
    same = experiment.revision == entry.revision
    entry = replace(
        entry,
        overview=overview,
        standings={protocol: _relative_to(main_method, board) for protocol, board in entry.standings.items()},
        # The module describes runs of its own revision only.
        description=results.describe(experiment.docstring) if same else entry.description,
        outdated=not same,
    )
    shown = (figure for runs in entry.by_protocol.values() for figure in runs.figures)
    pngs = {figure.file: (folder / figure.file).read_bytes() for figure in shown}
    return _Part(entry, pngs | overview_pngs, {}, published.not_run)


def _sweep(
    part: _Part, experiment: Experiment, out: Path, protocols: Sequence[str], own: Mapping[str, str] | None
) -> _Part:
    """Add the sweep that was run here to the part of an experiment."""
    found = collect_sweep(experiment, [*find_records(out, experiment.name)]) if experiment.sweep else None
    if found is None:
        return part
    drawn = figures.heat_maps(found.sweep, found.pictures, _cache(experiment.name, out))
    made_from = recipe(experiment, found.sweep.data, results.SWEEP)
    shown, pngs = _as_files(experiment, drawn)
    sweep = results.SweepResults(**{**vars(found.sweep), "made_from": made_from}, figures=shown)
    return replace(part, results=replace(part.results, sweep=sweep), figures={**part.figures, **pngs})


def _further(
    part: _Part, experiment: Experiment, out: Path, protocols: Sequence[str], own: Mapping[str, str] | None
) -> _Part:
    """Add the methods beyond the classical detectors that were run here to the part of an experiment."""
    config, found = experiment.config().to_dict(), [*find_records(out, experiment.name)]
    selections = {protocol: select(found, protocol, config, experiment.revision, own) for protocol in protocols}
    collected = further.collect_further(experiment, selections, _cache(experiment.name, out))
    if collected is None:
        return part
    made_from = recipe(experiment, collected.results.data, results.FURTHER) if collected.as_in_reference else ""
    shown, pngs = _as_files(experiment, collected.figures)
    known = replace(collected.results, figures=shown, made_from=made_from)
    return replace(part, results=replace(part.results, further=known), figures={**part.figures, **pngs})


def _as_files(
    experiment: Experiment, drawn: Iterable[Png], *folders: str
) -> tuple[tuple[results.Figure, ...], dict[str, bytes]]:
    """Name the files of figures."""
    paths = {"/".join(("figures", experiment.name, *folders, f"{figure.name}.png")): figure for figure in drawn}
    shown = tuple(results.Figure(path, figure.caption) for path, figure in paths.items())
    return shown, {path: figure.png for path, figure in paths.items()}


def _with_known(part: _Part, name: str, entry: ExperimentResults, folder: Path) -> _Part:
    """Add the sweep or the further methods of a report to the part of an experiment."""
    known = entry.sweep if name == results.SWEEP else entry.further
    pngs = {figure.file: (folder / figure.file).read_bytes() for figure in known.figures} if known else {}
    changed: Any = {"sweep" if name == results.SWEEP else "further": known}
    return replace(part, results=replace(part.results, **changed), figures={**part.figures, **pngs})


def _runs(published: Published, selection: Selection) -> results.Runs:
    """Collect the runs of one selection.

    Metrics of single epochs that the source does not print are left out, since they would be most of results.json.
    """
    printed = published.metrics()

    def is_kept(name: str) -> bool:
        return name in printed or not re.search(r"\.epoch_\d+$", name)

    runs = {seed: record for seed, (_, record) in sorted(selection.runs.items())}
    return results.Runs(
        seeds={
            seed: {name: value for name, value in record.metrics.items() if is_kept(name)}
            for seed, record in runs.items()
        },
        undefined={seed: record.undefined for seed, record in runs.items()},
        failed=dict(sorted(selection.failed.items())),
        seconds={seed: record.durations["total"] for seed, record in runs.items()},
        environments=_environments(runs.values()),
        data=selection.data,
        stand_in=selection.stand_in,
        others=selection.others,
        damaged=tuple(selection.damaged),
    )


def _main_runs(published: Published, main: Selection, ablated: Mapping[str, Selection]) -> results.Runs:
    """Collect the runs with the published settings, and what the source printed of its other networks."""
    runs = _runs(published, main)
    others = {title: selection.metrics() for title, selection in ablated.items()}
    return replace(runs, seeds=with_ablations(runs.seeds, others, published.metrics()))


def _environments(found: Iterable[Record]) -> tuple[results.Environment, ...]:
    """Group runs by their environment. The commit and the number of threads, which changes no result, may differ."""
    groups: dict[str, list[Record]] = {}
    for record in found:
        same = {name: value for name, value in record.environment.items() if name not in ("commit", "threads")}
        key = json.dumps(same)
        groups.setdefault(key, []).append(record)
    return tuple(map(_environment, groups.values()))


def _environment(group: Sequence[Record]) -> results.Environment:
    """Describe the environment of these runs as far as it was recorded in the present form; older ones may differ."""
    seeds = tuple(sorted(map(records.seed_of, group)))
    commits = tuple(sorted({str(record.environment.get("commit") or "unknown") for record in group}))
    try:
        return files.from_plain({**group[0].environment, "seeds": seeds, "commits": commits}, results.Environment)
    except ValueError:
        return results.Environment(seeds=seeds, commits=commits)


def _associations(published: Published, selection: Selection, folder: Path) -> Associations | None:
    """Compute the rank correlations of metrics that may explain why a published number varies between seeds.

    The file of published numbers lists these metrics as `separates` of a printed row. The correlation is with the first
    free number of that row. `None` if no row has such a list. They are cached, since loading SciPy takes a second.
    """
    for group in published.groups:
        if group.separates:
            target, metrics = group.free[0], group.separates
            names = (target, *metrics)
            seeds = {seed: {name: found.get(name) for name in names} for seed, found in selection.metrics().items()}
            key = [Path(associations.__file__).read_text(encoding="utf-8"), seeds, names]
            compute = functools.partial(associations.associate, seeds, target, metrics)
            return files.kept(folder / "associations.json", key, compute, Associations) if seeds else compute()
    return None


def _ablations(
    experiment: Experiment,
    published: Published,
    ablated: Mapping[str, Selection],
    main: Selection,
    reference: ExperimentResults | None,
) -> tuple[results.Ablation, ...]:
    """Collect the ablations that were run here, and for the others those of the reference report."""
    printed = published.metrics()
    ours = []
    for label, selection in ablated.items():
        # What changes another network of the source is held against the rows of that network.
        networks = [title for title in experiment.ablations if label.startswith(f"{title}, ")]
        prefix = prefix_of(networks[0]) if networks else ""
        runs = _runs(published, selection)
        named = {seed: {f"{prefix}{name}": value for name, value in one.items()} for seed, one in runs.seeds.items()}
        seeds = {seed: {name: one[name] for name in one if name in printed} for seed, one in named.items()}
        ours.append(
            results.Ablation(
                **{**vars(runs), "seeds": seeds},
                label=label,
                changes=experiment.ablated()[label].changes(),
                origin="here",
                comparison=results.verdicts_of(published, replace(runs, seeds=named)),
            )
        )
    # The reference is comparable if it was computed by the same code on the same data.
    if reference is None or reference.revision != experiment.revision:
        return tuple(ours)
    if main.runs and main.data != reference.data:
        return tuple(ours)
    others = experiment.ablations.keys() - ablated.keys()
    return (*ours, *(replace(one, origin="the reference") for one in reference.variants if one.label in others))
