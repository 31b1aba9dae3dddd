"""Records and published numbers -> the report.

`collect` turns records into plain data (`results.json`), and everything else is a function of that data and of the
saved arrays: the Markdown page, the figures, the verdict table of the project's README. Nothing here trains anything.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.comparison.associations import separate
from common.comparison.published import Published, read_published
from common.comparison.standings import standings
from common.comparison.verdicts import compare
from common.detectors.classical import DETECTORS, NOT_RUN, Detector
from common.errors import SuiteError
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED
from common.report import figures as pictures
from common.report import held_out as markdown_held_out
from common.report import markdown
from common.report import tables as tidy
from common.report.explore import explorable
from common.report.page import render
from common.runs import records
from common.runs.records import Record
from common.runs.selection import Selection, select
from common.runs.tasks import Experiment, import_experiment, name_of

SCHEMA = 1

Results = dict[str, Any]


def collect(
    experiments: Iterable[Experiment], out: Path, reference: Path, protocols: Sequence[str] = PROTOCOLS
) -> Results:
    """Gather what the records in `out` say about each experiment.

    Args:
        experiments: which ones, in the order of the report.
        out: where `runs/` is.
        reference: a folder with the reference's results.json. Ablations that were not run here are taken from there.
        protocols: which ones to tell of; the published one is always there, since it is what the verdicts are on.

    Returns:
        What results.json holds: plain data, `experiments` by name.
    """
    known = read_results(reference)["experiments"] if (reference / "results.json").exists() else {}
    collected = {}
    for experiment in experiments:
        name = name_of(experiment)
        selections = {protocol: _select(experiment, protocol, out) for protocol in (PUBLISHED, *protocols)}
        selection = selections[PUBLISHED]
        published = read_published(name)
        collected[name] = {
            **_results_of(published, selection),
            "description": describe(experiment.__doc__ or ""),
            "source": asdict(published.source),
            "headline": published.headline,
            "not_published": dict(published.not_published),
            "protocols": {
                protocol: _runs_of(published, found, experiment.PUBLISHED_ONLY)
                for protocol, found in selections.items()
                if protocol != PUBLISHED
            },
            "standings": {
                protocol: standings(experiment, protocol, found, out) for protocol, found in selections.items()
            },
            "own_data": HELD_OUT in experiment.SPLIT_BY_SEED,
            "revision": experiment.REVISION,
            "config": experiment.Config().to_dict(),
            "separation": _separation(experiment, selection),
            "beside": {group: list(metrics) for group, metrics in getattr(experiment, "BESIDE", {}).items()},
            "variants": _variants(experiment, published, out, selection, known.get(name, {})),
        }
    detectors = {detector.title: _detector_note(detector) for detector in DETECTORS.values()}
    return {"schema": SCHEMA, "experiments": collected, "detectors": detectors, "detectors_not_run": NOT_RUN}


def _select(experiment: Experiment, protocol: str, out: Path) -> Selection:
    return select(out, name_of(experiment), protocol, experiment.Config().to_dict(), experiment.REVISION)


def _detector_note(detector: Detector) -> str:
    limit = "" if detector.fit_limit is None else f"fitted on at most {detector.fit_limit} training samples"
    return "; ".join(part for part in (detector.note, limit) if part)


def write(results: Results, out: Path, folder: Path, page: bool = True) -> Path:
    """Write README.md, results.json and figures/ into a folder, and for readers index.html and the tidy tables.

    What is not part of this report is removed from figures/. Two reports into one folder wait for each other.

    Args:
        results: of `collect`; the names of the figures are added to it.
        out: where `runs/` is, for the saved arrays.
        folder: of the report.
        page: whether to write index.html, results.csv and results.xlsx, too.

    Returns:
        The path of README.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with records.alone_in(folder):
        return _write(results, out, folder, page)


def _write(results: Results, out: Path, folder: Path, page: bool) -> Path:
    with tempfile.TemporaryDirectory(dir=folder, prefix=records.TEMPORARY) as drawing:
        for name, entry in results["experiments"].items():
            _draw(name, entry, out, Path(drawing))
        # Exchanged when all are drawn, so that an interruption leaves the old report with its pictures.
        (Path(drawing) / "figures").mkdir(exist_ok=True)
        shutil.rmtree(folder / "figures", ignore_errors=True)
        (Path(drawing) / "figures").rename(folder / "figures")
    records.write_atomically(
        folder / "results.json", json.dumps(results, separators=(",", ":"), allow_nan=False).encode()
    )
    path = folder / "README.md"
    records.write_atomically(path, markdown.report(results).encode(errors="backslashreplace"))
    if page:
        html = render(results, _explorable(results, out), folder)
        records.write_atomically(folder / "index.html", html.encode(errors="backslashreplace"))
        tables = {"results.csv": tidy.as_csv(results), "results.xlsx": tidy.as_xlsx(results)}
        records.write_together({folder / name: content for name, content in tables.items()})
    return path


def _explorable(results: Results, out: Path) -> dict[str, dict[str, Any]]:
    """By experiment and protocol the scores that a reader of the page may set a threshold on."""
    return {
        name: {
            protocol: explorable(import_experiment(name), _select(import_experiment(name), protocol, out))
            for protocol in (PUBLISHED, *entry["protocols"])
        }
        for name, entry in results["experiments"].items()
    }


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


def readme_with_tables(text: str, results: Results) -> str:
    """The project's README with fresh tables between its markers.

    Raises:
        SuiteError: the markers are missing.
    """
    tables = {"glance": markdown_held_out.page_one(results), "verdicts": markdown.verdict_table(results)}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SuiteError(f"README.md must hold {begin} and {end} once each, around a generated table")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    return text


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


def _separation(experiment: Experiment, selection: Selection) -> dict[str, Any] | None:
    """What goes with a metric over the seeds, for an experiment whose SEPARATES names that metric and the others."""
    separates: tuple[str, tuple[str, ...]] | None = getattr(experiment, "SEPARATES", None)
    if separates is None:
        return None
    target, metrics = separates
    return {"target": target, "rows": [asdict(row) for row in separate(selection.metrics(), target, metrics)]}


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
    name = name_of(experiment)
    ours = []
    for label, changes in experiment.ABLATIONS.items():
        config = experiment.Config(**changes)
        selection = select(out, name, PUBLISHED, config.to_dict(), experiment.REVISION)
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
        if entry["label"] in experiment.ABLATIONS.keys() - labels
        and reference.get("revision") == experiment.REVISION
        and (not main.runs or dict(main.data) == reference.get("data"))
    ]
    return ours + theirs


def _draw(name: str, entry: dict[str, Any], out: Path, folder: Path) -> None:
    """Draw the figures of an experiment into `folder/figures/`, and note their files and captions in its entry."""
    experiment = import_experiment(name)
    selections = {protocol: _select(experiment, protocol, out) for protocol in (PUBLISHED, *entry["protocols"])}
    for protocol, (overview, drawn, seed) in pictures.draw(experiment, entry, selections, out).items():
        place = Path("figures", name) if protocol == PUBLISHED else Path("figures", name, protocol)
        told = {"figures": [_saved(picture, folder, place) for picture in drawn], "figure_seed": seed}
        if protocol == PUBLISHED:
            entry |= {"overview": [_saved(picture, folder, place) for picture in overview], **told}
        else:
            entry["protocols"][protocol] |= told


def _saved(picture: pictures.Picture, folder: Path, place: Path) -> dict[str, str]:
    (folder / place).mkdir(parents=True, exist_ok=True)
    file = place / f"{picture.name}.png"
    (folder / file).write_bytes(picture.png)
    return {"file": file.as_posix(), "caption": picture.caption}
