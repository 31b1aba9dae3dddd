"""Records and published numbers -> the report.

`collect` turns records into plain data (`results.json`), and everything else is a function of that data and of the
saved arrays: the Markdown page, the figures, the verdict table of the project's README. Nothing here trains anything.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.comparison.associations import separate
from common.comparison.published import Published, read_published
from common.comparison.standings import standings
from common.comparison.verdicts import compare
from common.detectors.detector import Detector
from common.detectors.registry import DETECTORS
from common.errors import SuiteError
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED, Experiment
from common.report import explore, figures
from common.report.figures import Drawn, Picture
from common.runs.records import Record
from common.runs.selection import Selection, select

SCHEMA = 1

Results = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """Everything that a report is written from.

    Attributes:
        results: plain data, what results.json holds.
        figures: the PNG of every figure, by its path within the report.
        explorable: by experiment and protocol the scores that a reader of the page may set a threshold on.
    """

    results: Results
    figures: Mapping[str, bytes]
    explorable: Mapping[str, Mapping[str, Any]]


def collect(
    experiments: Iterable[Experiment], out: Path, reference: Path, protocols: Sequence[str] = PROTOCOLS
) -> Report:
    """Gather what the records in `out` say about each experiment, and draw its figures.

    Args:
        experiments: which ones, in the order of the report.
        out: the folder that `runs/` is in.
        reference: a folder with the reference's results.json. Ablations that were not run here are taken from there.
        protocols: which ones to report; the published one always is, since the verdicts are on it.
    """
    known = read_results(reference)["experiments"] if (reference / "results.json").exists() else {}
    entries: dict[str, Any] = {}
    not_run: dict[str, str] = {}
    drawn: dict[str, bytes] = {}
    explorable = {}
    for experiment in experiments:
        name, published = experiment.name, read_published(experiment.name)
        selections = {protocol: select_default(experiment, protocol, out) for protocol in (PUBLISHED, *protocols)}
        entry = _entry(experiment, published, selections, out, known.get(name, {}))
        for protocol, shown in figures.draw(experiment, published, entry, selections, out).items():
            _add_figures(entry, name, protocol, shown, drawn)
        explorable[name] = {protocol: explore.explorable(experiment, found) for protocol, found in selections.items()}
        entries[name] = entry
        not_run |= published.not_run
    detectors = {detector.title: _detector_note(detector) for detector in DETECTORS.values()}
    results = {"schema": SCHEMA, "experiments": entries, "detectors": detectors, "detectors_not_run": not_run}
    return Report(results, drawn, explorable)


def _entry(
    experiment: Experiment, published: Published, selections: Mapping[str, Selection], out: Path, known: Results
) -> dict[str, Any]:
    """Gather the results of one experiment, but for its figures."""
    selection = selections[PUBLISHED]
    return {
        **_results_of(published, selection),
        "description": describe(experiment.docstring),
        "source": asdict(published.source),
        "headline": published.headline,
        "not_published": dict(published.not_published),
        "protocols": {
            protocol: _runs_of(published, found, experiment.published_only)
            for protocol, found in selections.items()
            if protocol != PUBLISHED
        },
        "standings": {protocol: standings(experiment, protocol, found) for protocol, found in selections.items()},
        "own_data": HELD_OUT in experiment.split_by_seed,
        "revision": experiment.revision,
        "config": experiment.config().to_dict(),
        "separation": _separation(published, selection),
        "beside": {group.name: list(group.beside) for group in published.groups if group.beside},
        "variants": _variants(experiment, published, out, selection, known),
    }


def _add_figures(entry: dict[str, Any], name: str, protocol: str, shown: Drawn, drawn: dict[str, bytes]) -> None:
    """Note files and captions of figures in the entry of an experiment, and their PNGs in `drawn`."""

    def noted(pictures: Iterable[Picture], place: str) -> list[dict[str, str]]:
        drawn.update({f"{place}/{picture.name}.png": picture.png for picture in pictures})
        return [{"file": f"{place}/{picture.name}.png", "caption": picture.caption} for picture in pictures]

    if protocol == PUBLISHED:
        place = f"figures/{name}"
        entry["overview"] = noted(shown.overview, place)
        entry |= {"figures": noted(shown.pictures, place), "figure_seed": shown.seed}
    else:
        place = f"figures/{name}/{protocol}"
        entry["protocols"][protocol] |= {"figures": noted(shown.pictures, place), "figure_seed": shown.seed}


def select_default(experiment: Experiment, protocol: str, out: Path) -> Selection:
    """Select the records of the published settings in one protocol."""
    return select(out, experiment.name, protocol, experiment.config().to_dict(), experiment.revision)


def _detector_note(detector: Detector) -> str:
    limit = "" if detector.fit_limit is None else f"fitted on at most {detector.fit_limit} training samples"
    return "; ".join(part for part in (detector.note, limit) if part)


def read_results(folder: Path) -> Results:
    """Read the results.json of a report.

    Raises:
        SuiteError: there is none, or it cannot be read.
    """
    path = folder / "results.json"
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        if results["schema"] != SCHEMA:
            raise SuiteError(f"{path} has schema version {results['schema']}, this suite reads version {SCHEMA}")
        for entry in results["experiments"].values():
            _ = entry["revision"], entry["config"], entry["data"], entry["seeds"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SuiteError(f"{path} holds no results of a report: {what}") from error
    return results


def describe(docstring: str) -> dict[str, str]:
    """The sections of an experiment's docstring: title, source, claim, method, deviations.

    A section begins with its name and a colon at the margin; its text goes on indented.
    """
    title, _, body = docstring.partition("\n")
    sections = {"title": title.strip().rstrip(".")}
    for name, text in re.findall(r"^(\w+):[ \n](.*?)(?=^\S|\Z)", body, flags=re.MULTILINE | re.DOTALL):
        sections[name.lower()] = textwrap.dedent(" " * 4 + text.lstrip(" ")).strip()
    return sections


def _results_of(published: Published, selection: Selection) -> dict[str, Any]:
    """The runs of the published protocol, and what they say of the published numbers."""
    kept = {seed: _worth_keeping(values, published) for seed, values in selection.metrics().items()}
    comparison = compare(published, kept, sorted(selection.failed), bool(selection.stand_in))
    return {**_runs_of(published, selection), "comparison": asdict(comparison)}


def _runs_of(published: Published, selection: Selection, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the runs of one protocol gave, without metrics whose names begin so, and how they were made."""
    kept = {
        seed: {name: value for name, value in _worth_keeping(values, published).items() if not name.startswith(without)}
        for seed, values in selection.metrics().items()
    }
    return {
        "seeds": {str(seed): values for seed, values in kept.items()},
        "undefined": {str(seed): dict(record.undefined) for seed, (_, record) in selection.runs.items()},
        "failed": {str(seed): error for seed, error in sorted(selection.failed.items())},
        "seconds": {str(seed): record.durations["total"] for seed, (_, record) in sorted(selection.runs.items())},
        "environments": _environments(record for _, record in selection.runs.values()),
        "data": dict(selection.data),
        "stand_in": selection.stand_in,
        "others": selection.others,
        "damaged": selection.damaged,
    }


def _worth_keeping(metrics: Mapping[str, Any], published: Published) -> dict[str, Any]:
    """All metrics but those of epochs that the source does not print, which would be most of results.json."""
    printed = published.metrics()
    return {name: value for name, value in metrics.items() if name in printed or not re.search(r"\.epoch_\d+$", name)}


def _separation(published: Published, selection: Selection) -> dict[str, Any] | None:
    """Find what goes with a printed number over the seeds, for a source with a row that names candidates."""
    for group in published.groups:
        if group.separates:
            target = group.free[0]
            found = separate(selection.metrics(), target, group.separates)
            return {"target": target, "rows": [asdict(row) for row in found]}
    return None


def _environments(found: Iterable[Record]) -> list[dict[str, Any]]:
    """The environments that the runs were made in, without the commit, each once, with its seeds."""
    groups: dict[str, dict[str, Any]] = {}
    for record in found:
        key = json.dumps({name: value for name, value in record.environment.items() if name != "commit"})
        group = groups.setdefault(key, {**record.environment, "seeds": [], "commits": []})
        group.pop("commit", None)
        group["seeds"] = sorted([*group["seeds"], record.seed])
        group["commits"] = sorted({*group["commits"], record.environment.get("commit") or "unknown"})
    return list(groups.values())


def _variants(
    experiment: Experiment, published: Published, out: Path, main: Selection, reference: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The ablations that were run here on the same data, or else those of the reference.

    Each carries, as `same_seeds`, the verdicts of the published settings over its own seeds, since a verdict depends on
    how many seeds it stands on.
    """
    name = experiment.name
    ours = []
    for label, config in experiment.ablated().items():
        selection = select(out, name, PUBLISHED, config.to_dict(), experiment.revision)
        if selection.runs and selection.data == main.data:
            same = {seed: values for seed, values in main.metrics().items() if seed in selection.runs}
            verdicts = {group.name: group.verdict for group in compare(published, same).groups}
            entry = {**_results_of(published, selection), "same_seeds": verdicts}
            entry["seeds"] = {
                seed: {name: value for name, value in values.items() if name in published.metrics()}
                for seed, values in entry["seeds"].items()
            }
            entry["comparison"]["conditional"] = []  # only verdicts on rows are held against those of an ablation
            digest = next(iter(selection.runs.values()))[1].digest
            main.others.pop(digest, None)  # told of here, so not left out
            ours.append({"label": label, "changes": config.changes(), "origin": "here", **entry})
    labels = {entry["label"] for entry in ours}
    theirs = [
        {**entry, "origin": "the reference"}
        for entry in reference.get("variants", [])
        if entry["label"] in experiment.ablations.keys() - labels
        and reference.get("revision") == experiment.revision
        and (not main.runs or dict(main.data) == reference.get("data"))
    ]
    return ours + theirs
