"""Find the records of an experiment, and select those that a report may use."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from common.data.stand_ins import is_own, stand_in_of
from common.errors import RecordError
from common.experiment import PUBLISHED, Experiment
from common.runs.records import OK, Record, read_record, seed_of


class Found(NamedTuple):
    """The folder of a run with its record, or if that is damaged, with a description of the problem."""

    folder: Path
    record: Record | None
    problem: str | None


def find_records(out: Path, experiment: str) -> Iterator[Found]:
    """Yield every run folder of an experiment that has a record, damaged ones included, in order of path."""
    for path in sorted((out / "runs" / experiment).glob("*/*/seed-*/record.json")):
        if not re.fullmatch(r"seed-\d{4,}", path.parent.name):
            continue
        try:
            yield Found(path.parent, read_record(path.parent), None)
        except RecordError as error:
            yield Found(path.parent, None, str(error))


@dataclass
class Selection:
    """The records of one experiment and protocol, sorted by their use in a report.

    Attributes:
        runs: folder and record of every finished run by seed, all with the selected config and on the same data.
        data: the data set of these runs, as in their records.
        failed: the reason why a seed is not finished, by seed.
        others: number of finished runs of other configs, other data or older code, by their digest.
        damaged: description of every record of the experiment that cannot be read, in any protocol.
    """

    runs: dict[int, tuple[Path, Record]] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @property
    def stand_in(self) -> str | None:
        """The name of the stand-in that the runs used; `None` for real data."""
        return stand_in_of(self.data)

    def metrics(self) -> dict[int, Mapping[str, float | int | None]]:
        """Collect the metrics of every finished seed."""
        return {seed: record.metrics for seed, (_, record) in sorted(self.runs.items())}


def select(
    found: Iterable[Found],
    protocol: str,
    config: Mapping[str, Any],
    revision: int,
    data: Mapping[str, str] | None = None,
) -> Selection:
    """Select the records of an experiment that may be reported: those of one config and one revision of the code.

    All selected runs used the same data. If there are runs on several versions of the data, real data are preferred to
    stand-ins, then the version with the most finished runs. Runs on a user's own data are selected on request only.

    Args:
        found: the records of the experiment, as returned by `find_records`.
        protocol: "published" or "held_out".
        config: hyperparameters, as returned by `BaseConfig.to_dict`.
        revision: revision of the experiment.
        data: a user's own data, as in the records. Default: those of the source, or a stand-in.
    """
    selection = Selection(data=data or {})
    matching: dict[str, list[tuple[Path, Record]]] = {}
    for folder, record, problem in found:
        if record is None:
            selection.damaged.append(problem or str(folder))
        elif record.protocol != protocol:
            continue
        elif record.config == config and record.revision == revision and _fits(record, data):
            matching.setdefault(record.digest, []).append((folder, record))
        elif record.status == OK:
            selection.others[record.digest] = selection.others.get(record.digest, 0) + 1
    if matching:
        chosen = max(matching, key=lambda digest: _preference(matching[digest]))
        for folder, record in matching.pop(chosen):
            if record.status == OK:
                selection.runs[seed_of(record)] = (folder, record)
                selection.data = record.data
            else:
                selection.failed[seed_of(record)] = record.error or record.status
    for digest, left_out in matching.items():
        if finished := sum(record.status == OK for _, record in left_out):
            selection.others[digest] = finished
    return selection


def select_ablations(found: Sequence[Found], experiment: Experiment, main: Selection) -> dict[str, Selection]:
    """Select the runs of each ablation in the published protocol that used the same data as the main runs.

    Args:
        found: the records of the experiment.
        experiment: the experiment.
        main: the selected runs with the published settings.

    Returns:
        The selected runs by title of the ablation, without ablations that have no finished run.
    """
    selections = {
        title: select(found, PUBLISHED, config.to_dict(), experiment.revision)
        for title, config in experiment.ablated().items()
    }
    return {title: one for title, one in selections.items() if one.runs and one.data == main.data}


def _fits(record: Record, data: Mapping[str, str] | None) -> bool:
    return not is_own(record.data) if data is None else record.data == data


def _preference(found: list[tuple[Path, Record]]) -> tuple[bool, int]:
    finished = [record for _, record in found if record.status == OK]
    return bool(finished) and stand_in_of(finished[0].data) is None, len(finished)
