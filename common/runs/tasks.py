"""Tasks: the computations of the suite, each of which results in one record."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import AUTO, Source
from common.data.stand_ins import is_stand_in, stand_in_of
from common.detectors.detector import CLASSICAL_GROUP
from common.detectors.registry import can_score, detector_named, names_in
from common.errors import RecordError
from common.experiment import Experiment
from common.files import digest_of
from common.runs import records
from common.runs.records import Record


@dataclass(frozen=True)
class Task:
    """One computation and the location of its record.

    A task is a run of an experiment, the results that all its seeds share, or a detector on the split of a run.

    Attributes:
        experiment: the experiment.
        config: its hyperparameters.
        protocol: "published" or "held_out".
        seed: seed of the run; `None` for the results that all seeds share (`Experiment.once`).
        out: folder that contains `runs/`.
        source: real data or stand-in. Default: real data if they can be obtained.
        detector: name of the detector to fit and score on the split of this run. Default: none, run the experiment.
    """

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int | None
    out: Path
    source: Source = AUTO
    detector: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the task; if this process uses a stand-in, the other one does so without searching again."""
        decided = self.data and all(map(is_stand_in, self.data.values()))
        source = replace(self.source, mode="stand-in") if decided else self.source
        return Task, (self.experiment, self.config, self.protocol, self.seed, self.out, source, self.detector)

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.experiment.name

    @property
    def is_run(self) -> bool:
        """True for a run of the experiment itself, false for a detector and for results that all seeds share."""
        return self.detector is None and self.seed is not None

    @property
    def is_training(self) -> bool:
        """True for a run, and for a detector that is trained as a network."""
        return self.is_run or (self.detector is not None and detector_named(self.detector).trained)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify config, protocol, data and revision."""
        content = {"config": self.config.to_dict(), "protocol": self.protocol, "data": self.data}
        return digest_of({**content, "revision": self.experiment.revision})[:12]

    @property
    def data(self) -> dict[str, str]:
        """The name of the data set with its digest or the name of its stand-in; empty if the experiment reads none."""
        return _identify(self.experiment.dataset, self.source)

    @property
    def stand_in(self) -> str | None:
        """The name of the stand-in; `None` for real data."""
        return stand_in_of(self.data)

    @property
    def revision(self) -> int:
        """The revision of the code of the experiment or the detector."""
        return self.experiment.revision if self.detector is None else detector_named(self.detector).revision

    @property
    def folder(self) -> Path:
        """The folder of the record."""
        below = records.digest_folder(self.out, self.name, self.protocol, self.digest)
        if self.detector is not None:
            below = records.detector_folder(below, self.detector)
        return records.seed_folder(below, self.seed)

    @property
    def shared(self) -> "Task | None":
        """The task for the results that all seeds share; `None` if the experiment has none or this is no run."""
        return replace(self, seed=None) if self.is_run and self.experiment.once is not None else None

    def finished(self) -> Record | None:
        """Read the record; `None` unless it is undamaged, finished and of the current revision."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        return record if record.status == records.OK and record.revision == self.revision else None


def detector_tasks(tasks: Iterable[Task], names: Sequence[str] | None = None) -> list[Task]:
    """List the detector tasks for the splits of some runs; a detector that does not depend on the seed occurs once.

    Args:
        tasks: the runs.
        names: names of the detectors; those that cannot score the samples of an experiment are left out. Default: the
            classical ones.
    """
    wanted: dict[Task, None] = {}
    for task in tasks:
        for name in names_in(CLASSICAL_GROUP) if names is None else names:
            if can_score(name, task.experiment):
                seed = task.seed if varies_by_seed(task.experiment, task.protocol, name) else 0
                wanted[replace(task, detector=name, seed=seed)] = None
    # The trainings of a method follow each other, so that they share what was compiled.
    return sorted(wanted, key=lambda task: task.detector or "" if task.is_training else "")


def varies_by_seed(experiment: Experiment, protocol: str, detector: str) -> bool:
    """Check if the scores of a detector depend on the seed, by its own randomness or by that of the split."""
    return detector_named(detector).random or protocol in experiment.split_by_seed


@functools.cache
def _identify(dataset: str | None, source: Source) -> dict[str, str]:
    return {} if dataset is None else {dataset: datasets.identify(dataset, source)}
