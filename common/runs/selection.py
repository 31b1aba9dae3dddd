"""Finds the records of an experiment and sorts them by what a report may do with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from common.data.stand_ins import stand_in_of
from common.errors import RecordError
from common.runs.records import OK, Record, read_record, seed_of


class Found(NamedTuple):
    """A run folder, and its record or what is wrong with it."""

    folder: Path
    record: Record | None
    problem: str | None


def find_records(out: Path, experiment: str) -> Iterator[Found]:
    """Every run folder of an experiment that holds a record, whole or damaged, in order of path."""
    for path in sorted((out / "runs" / experiment).glob("*/*/seed-*/record.json")):
        if not re.fullmatch(r"seed-\d{4,}", path.parent.name):
            continue
        try:
            yield Found(path.parent, read_record(path.parent), None)
        except RecordError as error:
            yield Found(path.parent, None, str(error))


@dataclass
class Selection:
    """The records of one experiment, protocol and config, sorted by what a report may do with them.

    `runs` are finished, by seed, all on the same `data`.
    `failed` tells why the other seeds are not finished; `others` counts finished runs of other configs, other data or
    older code by their digest; `damaged` names records that cannot be read.
    """

    runs: dict[int, tuple[Path, Record]] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @property
    def stand_in(self) -> str | None:
        """What stood in for the real data, if anything did."""
        return stand_in_of(self.data)

    def metrics(self) -> dict[int, Mapping[str, float | int | None]]:
        """The metrics of every finished seed."""
        return {seed: record.metrics for seed, (_, record) in sorted(self.runs.items())}


def select(out: Path, experiment: str, protocol: str, config: Mapping[str, Any], revision: int) -> Selection:
    """Find what may be compared and reported: records of this very config, made by this revision of the code.

    Runs on real data are preferred to those on stand-ins, and where the same data set came in several files, those with
    the most runs: what is reported together was made from one file.
    """
    selection = Selection()
    matching: dict[str, list[tuple[Path, Record]]] = {}
    for folder, record, problem in find_records(out, experiment):
        if record is None:
            selection.damaged.append(problem or str(folder))
        elif record.protocol != protocol:
            continue
        elif record.config == config and record.revision == revision:
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
    for digest, found in matching.items():
        if finished := sum(record.status == OK for _, record in found):
            selection.others[digest] = finished
    return selection


def _preference(found: list[tuple[Path, Record]]) -> tuple[bool, int]:
    finished = [record for _, record in found if record.status == OK]
    return bool(finished) and stand_in_of(finished[0].data) is None, len(finished)
