"""Implement the commands `list`, `run`, `sweep`, `compare` and `fetch`, and name all commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from common import files
from common.cli.execution import (
    SWEEP_SEEDS,
    execute,
    exit_status,
    on_own_data,
    print_plan,
    seeds_of,
    source_of,
    tasks_of,
)
from common.cli.notebook import notebook_command
from common.cli.options import require_known
from common.cli.paper import paper_command
from common.cli.report import report_command
from common.cli.score import score_command
from common.comparison.published import read_published
from common.config import from_options
from common.data.datasets import Source
from common.errors import ConfigError, DataError, SuiteError
from common.experiment import HELD_OUT, PUBLISHED, Experiment, load_experiment
from common.own.data import OwnData
from common.runs import records
from common.runs.selection import Selection, find_records, select, select_ablations
from common.runs.tasks import Task, detector_tasks

if TYPE_CHECKING:
    from common.report.results import ExperimentResults


def list_command(options: argparse.Namespace) -> int:
    """List the experiments and their sources."""
    from common.cli import tables

    tables.print_list([read_published(name) for name in options.known])
    return 0


def run_command(options: argparse.Namespace) -> int:
    """Run one experiment for some seeds."""
    experiment = options.chosen
    source = source_of(experiment, options)
    if isinstance(source, OwnData):
        if options.ablate:
            raise ConfigError("--ablate explains differences from the published numbers, which your own data have not")
        experiment, config, labelled = on_own_data(experiment, source, options)
        if not labelled and not options.quiet:
            print(_without_labels(options.chosen, experiment))
    else:
        config = from_options(experiment.config, options)
    configs = [config]
    if options.ablate:
        if configs[0].changes():
            raise ConfigError("--ablate runs the published settings and its own; it takes no other hyperparameters")
        configs += experiment.ablated().values()
    tasks = tasks_of(experiment, configs, seeds_of(options, [0]), options)
    if options.detectors:
        tasks += detector_tasks(tasks, options.detectors)
    if options.dry_run:
        return print_plan(tasks, options.fresh)
    outcomes = execute(tasks, options, options.tensorboard)
    if not options.quiet:
        _print_outcome(tasks, outcomes, options)
    return exit_status(outcomes)


def _without_labels(original: Experiment, adapted: Experiment) -> str:
    left_out = [method for method in original.methods if method not in adapted.methods]
    why = "without labels, what is flagged cannot be called right or wrong"
    return f"{why}; left out, since they learn from labels: {', '.join(left_out)}" if left_out else why


def sweep_command(options: argparse.Namespace) -> int:
    """Make each class of an experiment the normal one in turn, with all others as anomalies, and run it for some seeds.

    Raises:
        ConfigError: the experiment has no classes.
        DataError: the data lack one of them, as some stand-ins do.
    """
    from common.cli import tables
    from common.data import datasets
    from common.data.images import require_classes
    from common.report.sweeps import collect_sweep

    experiment = options.chosen
    if not experiment.sweep:
        named = [name for name, module in options.known.items() if load_experiment(module).sweep]
        raise ConfigError(f"{experiment.name} has no classes to sweep; these have: {', '.join(named)}")
    assert experiment.dataset is not None
    require_classes(datasets.load(experiment.dataset, Source(options.data, options.data_dir)), experiment.sweep)
    tasks = tasks_of(experiment, [*experiment.swept().values()], seeds_of(options, SWEEP_SEEDS), options, HELD_OUT)
    if options.detectors:
        tasks += detector_tasks(tasks, options.detectors)
    if options.dry_run:
        return print_plan(tasks, options.fresh)
    outcomes = execute(tasks, options)
    found = collect_sweep(experiment, [*find_records(options.out, experiment.name)])
    if found is not None and not options.quiet:
        tables.print_sweep(experiment.name, found.sweep)
        print(f"records: {tasks[0].folder.parents[1]}")
    return exit_status(outcomes)


def compare_command(options: argparse.Namespace) -> int:
    """Compare our runs with the published numbers, or with a reference report."""
    names = options.experiments or list(options.known)
    for name in names:
        require_known(name, options.known)
    if options.against:
        return _compare_with_reference(names, options)
    return _compare_with_published(names, options)


def _compare_with_published(names: Sequence[str], options: argparse.Namespace) -> int:
    from common.cli import tables
    from common.comparison.prediction import with_ablations
    from common.comparison.verdicts import DIFFERS, compare

    comparisons = []
    for name in names:
        experiment, published = load_experiment(options.known[name]), read_published(name)
        found, config = [*find_records(options.out, name)], experiment.config().to_dict()
        selection = select(found, PUBLISHED, config, experiment.revision)
        others = {title: one.metrics() for title, one in select_ablations(found, experiment, selection).items()}
        metrics = with_ablations(selection.metrics(), others, published.metrics())
        comparison = compare(published, metrics, sorted(selection.failed), bool(selection.stand_in))
        comparisons.append(comparison)
        if not options.json:
            tables.print_comparison(comparison, bool(options.experiments), _notes(name, selection))
    if options.json:
        print(json.dumps({comparison.experiment: asdict(comparison) for comparison in comparisons}, indent=1))
    return int(any(group.verdict == DIFFERS for comparison in comparisons for group in comparison.groups))


def _compare_with_reference(names: Sequence[str], options: argparse.Namespace) -> int:
    from common.cli import tables
    from common.comparison.agreement import agree
    from common.comparison.verdicts import DIFFERS
    from common.report.results import read_results

    known = read_results(options.against).experiments
    status, answers = 0, []
    for name in names:
        experiment = load_experiment(options.known[name])
        selection = _select(experiment, options)
        _require_comparable(experiment, known, selection, options.against)
        reference = known[name].seeds
        rows = agree(reference, selection.metrics())
        verdicts = [row.verdict for row in rows]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(sorted(verdicts)))
        summary = f"{name}: {len(selection.runs)} seeds here, {len(reference)} in the reference; {counts}"
        if not selection.runs:
            summary = _how_to_run(name)
        answers.append(
            {
                "experiment": name,
                "reference": str(options.against),
                "all": options.all,
                "metrics": [asdict(row) for row in rows],
                "summary": summary,
            }
        )
        if not options.json:
            title = f"{name}: this machine against {options.against}"
            tables.print_agreement(title, [row for row in rows if options.all or row.verdict != "identical"], summary)
        status |= DIFFERS in verdicts
    if options.json:
        print(json.dumps(answers, indent=1))
    return int(status)


def fetch_command(options: argparse.Namespace) -> int:
    """Download the missing data sets, and verify those that are present."""
    from common.data import datasets

    if options.data_dir:
        options.data_dir.mkdir(parents=True, exist_ok=True)
    source = datasets.Source(data_dir=options.data_dir)
    status = 0
    for name in options.names or datasets.DATASETS:
        try:
            found = datasets.find(name, source)
            # A named directory gets the files even if they are present elsewhere.
            if not found or (options.data_dir and not found[0].is_relative_to(options.data_dir)):
                found = datasets.fetch(name, options.data_dir or files.RAW_DATA)
            print(f"{name}: complete and verified in {found[0].parent}")
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            # Without names, a data set that cannot be downloaded is only reported.
            if options.names or datasets.DATASETS[name].downloadable:
                status = 2
    return status


def _require_comparable(
    experiment: Experiment, known: Mapping[str, ExperimentResults], selection: Selection, folder: Path
) -> None:
    name = experiment.name
    if name not in known:
        raise SuiteError(f"{folder} has no results of {name}")
    entry = known[name]
    if (entry.revision, entry.config) != (experiment.revision, experiment.config().to_dict()):
        raise SuiteError(f"{folder} contains {name} as computed by other code or settings; make it again")
    if selection.runs and selection.data != entry.data:
        raise SuiteError(f"not compared: {name} used {selection.data} here and {entry.data} in {folder}")


def _print_outcome(tasks: Sequence[Task], outcomes: Sequence[records.Record], options: argparse.Namespace) -> None:
    """Print the metrics of the runs with the chosen settings by protocol, and the folder of their records.

    In the published protocol, only the metrics that the source printed; in the held-out one, all but those of single
    epochs.
    """
    from common.cli import tables

    done: dict[str, dict[Task, records.Record]] = {}
    for task, record in zip(tasks, outcomes, strict=True):
        if task.detector is None and task.config == tasks[0].config and record.status == records.OK:
            done.setdefault(task.protocol, {})[task] = record
    printed = read_published(tasks[0].name).metrics()
    for protocol, found in done.items():
        task, record = next(iter(found.items()))
        shown = [
            name for name in record.metrics if name in printed or (protocol != PUBLISHED and ".epoch_" not in name)
        ]
        if task.own_data:
            shown = [name for name in shown if any(one.metrics.get(name) is not None for one in found.values())]
        tables.print_metrics(list(found.values()), shown)
        if options.detectors:
            _print_standings(task, options.detectors)
        print(f"records: {task.folder.parent}")


def _print_standings(task: Task, detectors: Sequence[str]) -> None:
    """Print the ranking of all methods over all finished seeds with the settings of a task."""
    from common.cli import tables
    from common.comparison.standings import detectors_beside, standings, unfinished

    known = find_records(task.out, task.name)
    found = select(known, task.protocol, task.config.to_dict(), task.revision, task.own_data)
    board = standings(task.experiment, task.protocol, found, detectors)
    if board and board.rows:
        title = f"{task.name}, {task.protocol} protocol, {len(found.runs)} seeds, against the {board.reference}"
        tables.print_standings(title, board.rows)
    elif board:
        print("; ".join(board.missing))
    beside = detectors_beside(task.experiment, task.protocol, found.runs, detectors)
    for what, seeds in unfinished(beside).items():
        print(f"left out: {what} (seeds {', '.join(map(str, seeds))})")


def _select(experiment: Experiment, options: argparse.Namespace) -> Selection:
    found = find_records(options.out, experiment.name)
    return select(found, PUBLISHED, experiment.config().to_dict(), experiment.revision)


def _notes(name: str, selection: Selection) -> list[str]:
    notes = [f"seed {seed} failed: {error}" for seed, error in sorted(selection.failed.items())]
    if selection.stand_in:
        notes.append(f"not compared with the published numbers: these runs used {selection.stand_in}")
    notes += [f"damaged, left out: {problem}" for problem in selection.damaged]
    if selection.others:
        notes.append(
            f"left out: {sum(selection.others.values())} runs with other settings or of older code "
            f"({', '.join(selection.others)})"
        )
    if not selection.runs:
        notes.append(_how_to_run(name))
    return notes


def _how_to_run(name: str) -> str:
    return f"no finished runs of {name} yet: python -m experiments run {name} --seeds 0-19"


COMMANDS = {
    "list": list_command,
    "run": run_command,
    "sweep": sweep_command,
    "notebook": notebook_command,
    "report": report_command,
    "compare": compare_command,
    "score": score_command,
    "paper": paper_command,
    "fetch": fetch_command,
}
