"""Implement the command `report`: the report of this machine's runs, and the reference report."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common import files
from common.cli.execution import (
    SWEEP_SEEDS,
    execute,
    exit_status,
    on_own_data,
    protocols_of,
    require_writable,
    seeds_of,
    source_of,
    tasks_of,
)
from common.cli.paper import show_digit
from common.comparison.prediction import prefix_of
from common.comparison.published import read_published
from common.data.datasets import Source
from common.detectors.detector import CLASSICAL_GROUP
from common.detectors.registry import detector_named, names_in
from common.errors import ConfigError, DataError, SuiteError
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED, Experiment, load_experiment
from common.own.data import OwnData
from common.runs import records
from common.runs.tasks import Task, detector_tasks

if TYPE_CHECKING:
    from common.papers.isolation_forest import Rebuilt

REFERENCE = files.REPORTS / "reference"
REFERENCE_SEEDS = list(range(20))
# Enough for the effect of an ablation with its interval; one that is itself a printed network runs for all seeds.
ABLATION_SEEDS = list(range(8))


def report_command(options: argparse.Namespace) -> int:
    """Run what is missing, then write the report."""
    from common.page.write import readme_with_tables, write
    from common.report.collect import collect, judged_again
    from common.report.further import SEEDS
    from common.report.results import PARTS, SWEEP, require_complete

    names = options.known if options.reference else options.experiments or options.known
    experiments = [load_experiment(options.known[name]) for name in names]
    if not isinstance(options.data, Path) and (hasattr(options, "normal") or hasattr(options, "anomaly")):
        raise ConfigError("--normal and --anomaly choose classes of your own images; they need --data PATH")
    if isinstance(options.data, Path):
        return _report_on_own_data(experiments, options)
    if options.reference and len(protocols_of(options)) < len(PROTOCOLS):
        raise ConfigError("the reference is of both protocols; leave out --reference or --protocol")
    if options.reference and not files.IS_CHECKOUT:
        raise ConfigError("the reference belongs to a checkout of the repository; --reference needs one")
    if options.judge_again and not options.reference:
        raise ConfigError("--judge-again is for the reference; other reports are judged again whenever they are made")
    if options.reference and options.open:
        raise ConfigError("the reference has no page to open; leave out --reference or --open")
    making = options.reference and not options.judge_again
    taken_over = {part: _taken_over(experiments, options, part) if making else [] for part in PARTS}
    made = {part: [one for one in experiments if one.name not in taken_over[part]] for part in PARTS}
    made[SWEEP] = [one for one in made[SWEEP] if one.sweep] if making else []
    outcomes, problem = _run_for_report(made, options)
    folder = REFERENCE if options.reference else options.out / "latest"
    require_writable(folder)
    if options.judge_again:
        report = judged_again(experiments, REFERENCE, options.out)
    else:
        protocols = protocols_of(options)
        report = collect(experiments, options.out, REFERENCE, protocols, options.jobs, taken_over)
        if options.reference:
            require_complete(report.results, made, REFERENCE_SEEDS, SWEEP_SEEDS, SEEDS)
            report = replace(report, results=replace(report.results, rebuilt=_rebuilt(options)))
    path = write(report, folder, page=not options.reference)
    if options.reference:
        readme = files.ROOT / "README.md"
        text = readme_with_tables(readme.read_text(encoding="utf-8"), report.results)
        files.write_atomically(readme, text.encode())
    if not options.quiet:
        print(f"report: {path if options.reference else path.with_name('index.html')}")
    if options.open:
        webbrowser.open(path.with_name("index.html").resolve().as_uri())
    if problem:
        raise problem
    return exit_status(outcomes)


def _report_on_own_data(experiments: Sequence[Experiment], options: argparse.Namespace) -> int:
    """Run the experiments held out on a user's own data, and write the report on them.

    Raises:
        ConfigError: the options do not fit a report on a user's own data.
    """
    from common.page.write import write
    from common.report.collect import collect

    if not options.experiments or options.reference or options.judge_again:
        raise ConfigError("a report on your own data names the experiments, with --experiments, and is no reference")
    if protocols_of(options) != (HELD_OUT,):
        raise ConfigError("a report on your own data is held out; leave --protocol out")
    adapted, tasks = [], []
    for experiment in experiments:
        source = source_of(experiment, options)
        assert isinstance(source, OwnData)
        own, config, labelled = on_own_data(experiment, source, options)
        runs = tasks_of(own, [config], seeds_of(options, [0, 1, 2]), options)
        adapted.append(own)
        # Without labels, no detector can be told to be better or worse.
        tasks += runs + (detector_tasks(runs, options.detectors) if labelled else [])
    outcomes = [] if options.no_run else execute(tasks, options)
    (data,) = {tuple(task.data.items()) for task in tasks}
    which = files.digest_of(sorted({task.digest for task in tasks}))[:6]
    folder = options.out / "own" / f"{data[0][0]}-{which}"
    report = collect(adapted, options.out, REFERENCE, (HELD_OUT,), 1, own=dict(data))
    if not any(entry.held_out and entry.held_out.seeds for entry in report.results.experiments.values()):
        raise SuiteError("no run on these data has finished, so there is nothing to report")
    require_writable(folder)
    page = write(report, folder).with_name("index.html")
    if not options.quiet:
        print(f"report: {page}")
    if options.open:
        webbrowser.open(page.resolve().as_uri())
    return exit_status(outcomes)


def _taken_over(experiments: Sequence[Experiment], options: argparse.Namespace, part: str) -> list[str]:
    """List the experiments for which a part of the reference report stays: unchanged ones, or all that are not named.

    Args:
        experiments: the experiments.
        options: the options of the command.
        part: the part.
    """
    from common.report.collect import recipe
    from common.report.results import MAIN, commits_of, part_of, read_results

    known = read_results(REFERENCE).experiments if (REFERENCE / "results.json").exists() else {}
    kept = []
    for experiment in experiments:
        entry, (task, *_) = known.get(experiment.name), tasks_of(experiment, [experiment.config()], [0], options)
        if entry is None or options.fresh:
            continue
        known_part = part_of(entry, part)
        unchanged = known_part is not None and known_part.made_from == recipe(experiment, task.data, part)
        if unchanged or (options.experiments and experiment.name not in options.experiments):
            kept.append(experiment.name)
            if known_part is not None and not options.quiet:
                state, what = "unchanged" if unchanged else "not made anew", "" if part == MAIN else f" ({part})"
                commits = ", ".join(commits_of(known_part))
                print(f"{experiment.name}{what}: {state}, taken over from the reference (made with commit {commits})")
    return kept


def _rebuilt(options: argparse.Namespace) -> Rebuilt:
    """Take the rebuilt column of a paper over from the reference report, or rebuild it if it has changed."""
    from common.papers import isolation_forest
    from common.report.results import read_results

    source = Source(options.data, options.data_dir)
    known = read_results(REFERENCE).rebuilt if (REFERENCE / "results.json").exists() else None
    if known is not None and not options.fresh:
        unchanged = known.made_from == isolation_forest.recipe(source)
        if unchanged or options.experiments:
            return known
    return isolation_forest.rebuild(source, on_digit=None if options.quiet else show_digit)


def _run_for_report(
    made: Mapping[str, Sequence[Experiment]], options: argparse.Namespace
) -> tuple[list[records.Record], DataError | None]:
    """Run what is missing. An error of the data is returned, so that the runs on other data are reported first.

    Raises:
        DataError: an error of the data, for the reference, which needs all runs.
    """
    if options.no_run or options.judge_again:
        return [], None
    try:
        return execute(_report_tasks(made, options), options), None
    except DataError as error:
        if options.reference:
            raise
        return [], error


def _report_tasks(made: Mapping[str, Sequence[Experiment]], options: argparse.Namespace) -> list[Task]:
    """List the tasks of a report: all seeds in all protocols, the detectors, and sweeps and ablations of the reference.

    Args:
        made: by part, the experiments for which it is made.
        options: the options of the command.
    """
    from common.report import further
    from common.report.results import FURTHER, MAIN, SWEEP

    seeds = REFERENCE_SEEDS if options.reference else seeds_of(options, [0, 1, 2])
    chosen = (*names_in(CLASSICAL_GROUP), *further.names()) if options.reference else options.detectors
    classical = [name for name in chosen if detector_named(name).group == CLASSICAL_GROUP]
    others = [name for name in chosen if name not in classical]
    tasks = []
    for experiment in made[MAIN]:
        runs = tasks_of(experiment, [experiment.config()], seeds, options)
        tasks += runs + detector_tasks(runs, classical)
        if options.reference:
            printed = read_published(experiment.name).metrics()
            for title, ablation in experiment.ablated().items():
                is_printed = any(name.startswith(prefix_of(title)) for name in printed)
                ablation_seeds = REFERENCE_SEEDS if is_printed else ABLATION_SEEDS
                ablated = tasks_of(experiment, [ablation], ablation_seeds, options)
                tasks += [task for task in ablated if task.protocol == PUBLISHED]
    for experiment in made[FURTHER]:
        for protocol in protocols_of(options):
            runs = tasks_of(experiment, [experiment.config()], seeds[: further.SEEDS[protocol]], options, protocol)
            tasks += runs + detector_tasks(runs, others)
    for experiment in made[SWEEP]:
        runs = tasks_of(experiment, [*experiment.swept().values()], SWEEP_SEEDS, options, HELD_OUT)
        tasks += runs + detector_tasks(runs)
    return list(dict.fromkeys(tasks))
