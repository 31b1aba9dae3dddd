"""Tasks: what there is to compute, each of which leaves one record."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import AUTO, Source
from common.data.stand_ins import is_stand_in, stand_in_of
from common.detectors.registry import DETECTORS
from common.errors import RecordError
from common.experiment import Experiment
from common.files import digest_of
from common.runs import records
from common.runs.records import Record


@dataclass(frozen=True)
class Task:
    """One computation and the place of its record: an experiment, its settings, a protocol, and a seed.

    Attributes:
        experiment: which.
        config: its hyperparameters.
        protocol: "published" or "held_out".
        seed: of the run; `None` for what all seeds share (`Experiment.once`).
        out: the folder that `runs/` is in.
        source: where the data come from.
        detector: the name of a detector that is fitted and scored under the split of this run instead.
    """

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int | None
    out: Path
    source: Source = AUTO
    detector: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process with the decision for a stand-in, so that it is not made and reported twice."""
        decided = self.data and all(map(is_stand_in, self.data.values()))
        source = replace(self.source, mode="stand-in") if decided else self.source
        return Task, (self.experiment, self.config, self.protocol, self.seed, self.out, source, self.detector)

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.experiment.name

    @property
    def is_run(self) -> bool:
        """Whether it is a run of the experiment itself: no detector, and nothing that the seeds share."""
        return self.detector is None and self.seed is not None

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name everything the run depends on besides its seed."""
        content = {
            "config": self.config.to_dict(),
            "protocol": self.protocol,
            "data": self.data,
            "revision": self.experiment.revision,
        }
        return digest_of(content)[:12]

    @property
    def data(self) -> dict[str, str]:
        """The digest of the data set that the run reads, or the name of its stand-in; empty where it reads none."""
        return _identify(self.experiment.dataset, self.source)

    @property
    def stand_in(self) -> str | None:
        """The stand-in for the real data, if there is one."""
        return stand_in_of(self.data)

    @property
    def revision(self) -> int:
        """The revision of the code that computes it."""
        return self.experiment.revision if self.detector is None else DETECTORS[self.detector].revision

    @property
    def folder(self) -> Path:
        """The folder of its record."""
        below = records.digest_folder(self.out, self.name, self.protocol, self.digest)
        if self.detector is not None:
            below = records.detector_folder(below, self.detector)
        return records.seed_folder(below, self.seed)

    @property
    def shared(self) -> Task | None:
        """The task that computes what this run shares with other seeds, if its experiment has such a part."""
        return replace(self, seed=None) if self.is_run and self.experiment.once is not None else None

    def finished(self) -> Record | None:
        """Read the record, if there is one that says ok."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        return record if record.status == records.OK and record.revision == self.revision else None


def detector_tasks(tasks: Iterable[Task]) -> list[Task]:
    """List the detectors under the splits of some runs, each once where it does not depend on the seed."""
    wanted = {
        replace(
            task, detector=name, seed=task.seed if varies_by_seed(task.experiment, task.protocol, name) else 0
        ): None
        for task in tasks
        for name in DETECTORS
    }
    return list(wanted)


def varies_by_seed(experiment: Experiment, protocol: str, detector: str) -> bool:
    """Tell if a detector gives other scores for other seeds, by a seed of its own or by that of the split."""
    return DETECTORS[detector].random or protocol in experiment.split_by_seed


@functools.cache
def _identify(dataset: str | None, source: Source) -> dict[str, str]:
    return {} if dataset is None else {dataset: datasets.identify(dataset, source)}
