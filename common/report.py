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
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import figures, markdown, records
from common.errors import RecordError, SuiteError
from common.published import Published, read_published
from common.records import Record, Selection
from common.runner import Experiment, import_experiment, name_of
from common.separation import separate
from common.verdicts import compare

SCHEMA = 1
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"

Results = dict[str, Any]


def collect(experiments: Iterable[Experiment], out: Path, reference: Path) -> Results:
    """Gather what the records in `out` say about each experiment.

    Args:
        experiments: which ones, in the order of the report.
        out: where `runs/` is.
        reference: a folder with the reference's results.json. Ablations that were not run here are taken from there.

    Returns:
        What results.json holds: plain data, `experiments` by name.
    """
    known = read_results(reference)["experiments"] if (reference / "results.json").exists() else {}
    collected = {}
    for experiment in experiments:
        name = name_of(experiment)
        selection = records.select(out, name, "published", experiment.Config().to_dict(), experiment.REVISION)
        published = read_published(name)
        collected[name] = {
            **_results_of(published, selection),
            "description": describe(experiment.__doc__ or ""),
            "source": asdict(published.source),
            "not_published": dict(published.not_published),
            "protocol": "published",
            "revision": experiment.REVISION,
            "config": experiment.Config().to_dict(),
            "separation": _separation(experiment, selection),
            "beside": {group: list(metrics) for group, metrics in getattr(experiment, "BESIDE", {}).items()},
            "variants": _variants(experiment, published, out, selection, known.get(name, {})),
            "others": selection.others,
            "damaged": selection.damaged,
        }
    return {"schema": SCHEMA, "experiments": collected}


def write(results: Results, out: Path, folder: Path) -> Path:
    """Write README.md, results.json and figures/ into a folder.

    The figures of an experiment are those of its first seed that shows what the source shows. What is not part of this
    report is removed from figures/.

    Args:
        results: of `collect`; the names of the figures are added to it.
        out: where `runs/` is, for the saved arrays.
        folder: of the report.

    Returns:
        The path of README.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".drawing-") as drawing:
        for name, entry in results["experiments"].items():
            entry |= _draw(import_experiment(name), entry, out, Path(drawing))
        # Exchanged when all are drawn, so that an interruption leaves the old report with its pictures.
        (Path(drawing) / "figures").mkdir(exist_ok=True)
        shutil.rmtree(folder / "figures", ignore_errors=True)
        (Path(drawing) / "figures").rename(folder / "figures")
    records.write_atomically(
        folder / "results.json", json.dumps(results, separators=(",", ":"), allow_nan=False).encode()
    )
    path = folder / "README.md"
    records.write_atomically(path, markdown.report(results).encode())
    return path


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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path} holds no results of a report: {error}") from error
    return results


def readme_with_verdicts(text: str, results: Results) -> str:
    """The project's README with a fresh verdict table between its markers.

    Raises:
        SuiteError: the markers are missing.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SuiteError(f"README.md must hold {BEGIN} and {END} once each, around the verdict table")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{markdown.verdict_table(results)}\n{END}{tail}"


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
    kept = {seed: _worth_keeping(values, published) for seed, values in selection.metrics().items()}
    return {
        "seeds": {str(seed): values for seed, values in kept.items()},
        "undefined": {str(seed): dict(record.undefined) for seed, (_, record) in selection.runs.items()},
        "failed": {str(seed): error for seed, error in sorted(selection.failed.items())},
        "seconds": {str(seed): record.durations["total"] for seed, (_, record) in sorted(selection.runs.items())},
        "environments": _environments(record for _, record in selection.runs.values()),
        "data": dict(selection.data),
        "stand_in": selection.stand_in,
        "comparison": asdict(compare(published, kept, sorted(selection.failed), bool(selection.stand_in))),
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
        group["commits"] = sorted({*group["commits"], str(record.environment.get("commit"))})
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
        selection = records.select(out, name, "published", config.to_dict(), experiment.REVISION)
        if selection.runs and selection.data == main.data:
            same = {seed: values for seed, values in main.metrics().items() if seed in selection.runs}
            verdicts = {group.name: group.verdict for group in compare(published, same).groups}
            entry = {**_results_of(published, selection), "same_seeds": verdicts}
            entry["seeds"] = {
                seed: {name: value for name, value in values.items() if name in published.metrics()}
                for seed, values in entry["seeds"].items()
            }
            entry["comparison"]["conditional"] = []  # only verdicts on rows are held against those of an ablation
            ours.append({"label": label, "changes": config.changes(), "origin": "here", **entry})
    labels = {entry["label"] for entry in ours}
    theirs = [
        {**entry, "origin": "the reference"}
        for entry in reference.get("variants", [])
        if entry["label"] not in labels
        and reference.get("revision") == experiment.REVISION
        and (not main.runs or dict(main.data) == reference.get("data"))
    ]
    return ours + theirs


def _by_what_the_source_shows(comparison: Mapping[str, Any], selection: Selection) -> list[int]:
    """The seeds in the order in which to draw from them: first those that meet the source's conditions."""
    met = [set(given["seeds"]) for given in comparison["conditional"]]
    return sorted(selection.runs, key=lambda seed: (not all(seed in seeds for seeds in met), seed))


def _draw(experiment: Experiment, entry: dict[str, Any], out: Path, folder: Path) -> dict[str, Any]:
    """Draw the figures of an experiment; return their files, relative to the report, their captions and their seed."""
    name = name_of(experiment)
    selection = records.select(out, name, "published", entry["config"], entry["revision"])
    published = read_published(name)
    overview, drawings, drawn_from = [], [], None
    with figures.style():
        if selection.runs and not selection.stand_in and any(group.obtained == "one run" for group in published.groups):
            overview.append(figures.published_against_ours(published, selection.metrics()))
        for seed in _by_what_the_source_shows(entry["comparison"], selection):
            run_folder, record = selection.runs[seed]
            try:
                drawings = experiment.draw(records.read_arrays(run_folder, record))
            except RecordError:
                continue
            drawn_from = seed
            break
        return {
            "overview": [_saved(drawing, folder, name) for drawing in overview],
            "figures": [_saved(drawing, folder, name) for drawing in drawings],
            "figure_seed": drawn_from,
        }


def _saved(drawing: figures.Drawing, folder: Path, experiment: str) -> dict[str, str]:
    path = figures.save(drawing, folder / "figures" / experiment)
    return {"file": path.relative_to(folder).as_posix(), "caption": drawing.caption}
