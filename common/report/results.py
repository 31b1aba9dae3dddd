"""The results of a report as dataclasses, and their file, results.json."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.comparison.associations import Associations
from common.comparison.prediction import Value
from common.comparison.published import Published, Source, read_published
from common.comparison.standings import Standings
from common.comparison.sweeps import Sweep
from common.comparison.verdicts import NEXT_REFERENCE, NOT_RUN, Comparison, compare, summarise
from common.data.stand_ins import is_own
from common.errors import SuiteError
from common.experiment import HELD_OUT, PUBLISHED, Experiment
from common.files import from_plain, to_plain
from common.papers.isolation_forest import Rebuilt

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its path within the report, and its caption."""

    file: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """The sections of the docstring of an experiment's module, as Markdown."""

    title: str
    source: str = ""
    claim: str = ""
    method: str = ""
    deviations: str = ""
    protocols: str = ""


def describe(docstring: str, data: str | None = None) -> Description:
    """Split the docstring of an experiment into its sections.

    A section begins with its name and a colon at the margin; the following lines of its text are indented by four
    spaces, and the first one is treated as if it were too.

    Args:
        docstring: the docstring.
        data: names of the experiment and of a user's own data, on which the title would be wrong. Default: `None`.
    """
    title, _, body = docstring.partition("\n")
    sections = {
        name.lower(): textwrap.dedent(" " * 4 + text.lstrip(" ")).strip()
        for name, text in re.findall(r"^(\w+):[ \n](.*?)(?=^\S|\Z)", body, flags=re.MULTILINE | re.DOTALL)
    }
    title = f"The model of {data}" if data else title.strip().rstrip(".")
    return from_plain({"title": title, **sections}, Description)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment in which some of the runs were made, as described by `runs.environment.describe`.

    Attributes:
        seeds: the seeds of these runs.
        commits: the commits of the suite that they were made with.
    """

    python: str = "unknown"
    versions: Mapping[str, str] = field(default_factory=dict)
    system: str = "unknown"
    processor: str = "unknown"
    device: str = "unknown"
    threads: int | None = None
    onednn: bool | None = None
    seeds: tuple[int, ...]
    commits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of one experiment with one config in one protocol.

    Attributes:
        seeds: metrics of the finished runs by seed; `None` for an undefined metric.
        undefined: for each seed, the reason for each undefined metric.
        failed: the reason why a seed is not finished, by seed.
        seconds: duration of each finished run.
        environments: the environments of the finished runs.
        data: the name of the data set and its sha256 digest or the name of its stand-in; empty if none is read.
        stand_in: the name of the stand-in; `None` for real data.
        others: number of finished runs of other configs, other data or older code, by their digest.
        damaged: description of every record of the experiment that cannot be read.
    """

    seeds: Mapping[int, Mapping[str, Value]]
    undefined: Mapping[int, Mapping[str, str]]
    failed: Mapping[int, str]
    seconds: Mapping[int, float]
    environments: tuple[Environment, ...]
    data: Mapping[str, str]
    stand_in: str | None
    others: Mapping[str, int]
    damaged: tuple[str, ...]

    def by_seed(self, metric: str) -> dict[int, float]:
        """Collect the defined values of a metric by seed."""
        found = ((seed, metrics.get(metric)) for seed, metrics in self.seeds.items())
        return {seed: float(value) for seed, value in found if value is not None}

    def values(self, metric: str) -> list[float]:
        """Collect the defined values of a metric over the seeds."""
        return [*self.by_seed(metric).values()]


@dataclass(frozen=True, kw_only=True)
class ProtocolRuns(Runs):
    """The runs of the default config in one protocol.

    Attributes:
        figures: the figures drawn from one of the runs, then those drawn from all of them.
        figure_seed: the seed of that run; `None` without figures.
    """

    figures: tuple[Figure, ...] = ()
    figure_seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ablation(Runs):
    """The runs of an ablation in the published protocol.

    Attributes:
        label: title of the ablation.
        changes: the changed fields of the config.
        origin: "here" for runs of this machine, or "the reference".
        comparison: the verdicts over these runs.
    """

    label: str
    changes: Mapping[str, Any]
    origin: str
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class SweepResults(Sweep):
    """The sweep over all classes, with its figures."""

    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FurtherResults:
    """The methods beyond the classical detectors: those that authors announced, and those of PyOD.

    Attributes:
        boards: by protocol, the ranking of these methods and of the source's method that learns without labels.
        data: name of the data set and its digest, or the name of its stand-in.
        stand_in: name of the stand-in; `None` for real data.
        commits: commits of the code that they were run with.
        figures: figures drawn from the trained ones.
        made_from: digest of everything that decides these results, as computed by `collect.recipe`.
    """

    boards: Mapping[str, Standings]
    data: Mapping[str, str]
    stand_in: str | None
    commits: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    made_from: str = ""


@dataclass(frozen=True, kw_only=True)
class ExperimentResults(ProtocolRuns):
    """The results of one experiment: its runs in the published protocol, and everything derived from all its runs.

    Attributes:
        comparison: the verdicts on the published numbers.
        description: the sections of the module's docstring.
        source: the source.
        headline: name of the metric that the source is quoted for, if it printed one.
        not_published: metrics that the source does not give, with the reason.
        protocols: the runs of the other protocols.
        standings: the ranking of all methods by protocol; `None` if no detector was run.
        own_data: true if every held-out seed has its own data.
        revision: revision of the experiment.
        config: the default config.
        separation: metrics that may explain the spread of a published number; `None` if the source names none.
        beside: for each row, other metrics whose spread is shown beside its own.
        variants: the ablations.
        overview: the figure of all published numbers against ours.
        made_from: digest of everything that decides these results, as computed by `collect.recipe`.
        sweep: the sweep over all classes; `None` if it was not run.
        outdated: true for results of an older revision of the experiment, which wait to be made anew.
        further: the methods beyond the classical detectors; `None` if none was run.
        announced: what the author of the source names as next steps, by the title of ours.
    """

    comparison: Comparison
    description: Description
    source: Source
    headline: str | None
    not_published: Mapping[str, str]
    protocols: Mapping[str, ProtocolRuns]
    standings: Mapping[str, Standings | None]
    own_data: bool
    revision: int
    config: Mapping[str, Any]
    separation: Associations | None
    beside: Mapping[str, tuple[str, ...]]
    variants: tuple[Ablation, ...]
    overview: tuple[Figure, ...]
    made_from: str = ""
    sweep: SweepResults | None = None
    outdated: bool = False
    further: FurtherResults | None = None
    announced: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_of_user(self) -> bool:
        """True for runs on a user's own data."""
        return is_own(self.data)

    @property
    def by_protocol(self) -> dict[str, ProtocolRuns]:
        """The runs by protocol, the published one first."""
        return {PUBLISHED: self, **self.protocols}

    @property
    def ranked(self) -> set[str]:
        """The methods in all rankings."""
        boards = [*self.standings.values()]
        boards += self.further.boards.values() if self.further else ()
        boards += self.sweep.boards.values() if self.sweep else ()
        return {row.method for board in boards if board is not None for row in board.rows}

    @property
    def held_out(self) -> ProtocolRuns | None:
        """The held-out runs; `None` if the report leaves them out."""
        return self.protocols.get(HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The content of results.json.

    Attributes:
        experiments: the results of each experiment, in the order of the report.
        detectors: title of each classical detector, and its settings other than the defaults.
        detectors_not_run: methods that a source names and that are not run, with the reason.
        rebuilt: the column of a paper that is rebuilt; `None` if it was not run.
        schema: version of this format.
    """

    experiments: Mapping[str, ExperimentResults]
    detectors: Mapping[str, str]
    detectors_not_run: Mapping[str, str]
    rebuilt: Rebuilt | None = None
    schema: int = SCHEMA

    @property
    def are_of_user(self) -> bool:
        """True for runs on a user's own data."""
        return bool(self.experiments) and all(entry.is_of_user for entry in self.experiments.values())


# The parts of what a reference report has of an experiment, each made by itself.
MAIN, SWEEP, FURTHER = "runs", "sweep", "announced methods"
PARTS = (MAIN, SWEEP, FURTHER)


def part_of(entry: ExperimentResults, part: str) -> ExperimentResults | SweepResults | FurtherResults | None:
    """Give a part of the results of an experiment; `None` if it was not run."""
    return {MAIN: entry, SWEEP: entry.sweep, FURTHER: entry.further}[part]


def commits_of(part: ExperimentResults | SweepResults | FurtherResults) -> list[str]:
    """List the commits that the runs of a part of a report were made with."""
    if isinstance(part, ExperimentResults):
        return sorted({commit for one in part.environments for commit in one.commits})
    return [*part.commits]


def require_complete(
    results: Results,
    made: Mapping[str, Iterable[Experiment]],
    seeds: Sequence[int],
    sweep_seeds: Sequence[int],
    further_seeds: Mapping[str, int],
) -> None:
    """Check that new parts of a reference have all seeds, with all detectors, on real data.

    Args:
        results: the reference.
        made: by part, the experiments for which it is new; runs need both protocols, sweeps all classes.
        seeds: seeds of the runs.
        sweep_seeds: seeds of the sweeps.
        further_seeds: number of seeds of the methods beyond the classical detectors, by protocol.

    Raises:
        SuiteError: something is missing.
    """
    problems = {}
    for name in (one.name for one in made[MAIN]):
        entry = results.experiments[name]
        for protocol, runs in entry.by_protocol.items():
            found = runs.stand_in or _missing(seeds, runs.seeds, entry.standings.get(protocol))
            problems[f"{name} ({protocol})"] = found
    for experiment in made[SWEEP]:
        sweep = results.experiments[experiment.name].sweep
        place = f"{experiment.name} (sweep)"
        if sweep is None or sweep.normals != experiment.sweep:
            problems[place] = "not all classes were run"
            continue
        lacking = [_missing(sweep_seeds, sweep.seeds, sweep.boards.get(normal)) for normal in sweep.normals]
        problems[place] = sweep.stand_in or "; ".join(filter(None, lacking))
    for experiment in made[FURTHER]:
        further = results.experiments[experiment.name].further
        for protocol, count in further_seeds.items():
            board = further.boards.get(protocol) if further else None
            found = (further.stand_in if further else None) or _missing(
                range(count), board.seeds if board else (), board
            )
            problems[f"{experiment.name} ({FURTHER}, {protocol})"] = found
    for place, problem in problems.items():
        if problem:
            raise SuiteError(f"the reference stays as it is: {place} is not complete ({problem})")


def _missing(expected: Iterable[int], seeds: Iterable[int], board: Standings | None) -> str:
    """Say which seeds or detectors some runs lack; empty if none."""
    absent = sorted({*expected} - {*seeds})
    if absent:
        return f"seeds {' '.join(map(str, absent))} missing"
    return "all detectors: not run" if board is None else ", ".join(board.missing)


def verdicts_of(published: Published, runs: Runs) -> Comparison:
    """Give the verdicts on all published numbers and claims over some runs."""
    return compare(published, runs.seeds, [*runs.failed], bool(runs.stand_in))


def judged(results: Results) -> Results:
    """Give all verdicts of a report anew, from its seeds and the published numbers and rules of today.

    Rows whose numbers its runs have not computed wait for new runs.
    """
    return replace(results, experiments={name: _judged(name, entry) for name, entry in results.experiments.items()})


def _judged(name: str, entry: ExperimentResults) -> ExperimentResults:
    published = read_published(name)
    compared = verdicts_of(published, entry)
    groups = tuple(
        replace(group, verdict=NEXT_REFERENCE) if group.verdict == NOT_RUN else group for group in compared.groups
    )
    return replace(
        entry,
        comparison=replace(compared, groups=groups, summary=summarise(groups)),
        source=published.source,
        headline=published.headline,
        not_published=published.not_published,
        beside={group.name: group.beside for group in published.groups if group.beside},
        announced=published.announced,
        variants=tuple(replace(one, comparison=verdicts_of(published, one)) for one in entry.variants),
    )


def as_json(results: Results) -> bytes:
    """Encode results as the content of results.json."""
    return json.dumps(to_plain(results), separators=(",", ":"), allow_nan=False).encode()


def read_results(folder: Path) -> Results:
    """Read the results.json of a report.

    Raises:
        SuiteError: the file is missing, damaged or of another schema version.
    """
    path = folder / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise SuiteError(f"{path} has schema version {content['schema']}, this suite reads version {SCHEMA}")
        return from_plain(content, Results)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SuiteError(f"{path} holds no results of a report: {what}") from error
