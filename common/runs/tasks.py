"""Tasks: the computations of the suite, each of which results in one record."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import AUTO, Source
from common.data.sheet_breaks import of_user
from common.data.stand_ins import OWN, is_stand_in, stand_in_of
from common.detectors.detector import CLASSICAL_GROUP
from common.detectors.registry import can_score, detector_named, names_in
from common.errors import RecordError
from common.experiment import Experiment
from common.files import digest_of
from common.own.data import OwnData
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
        source: real data, a stand-in, or a user's own data. Default: real data if they can be obtained.
        detector: name of the detector to fit and score on the split of this run. Default: none, run the experiment.
        save_model: true to save the trained model of a run beside its record. Default: false.
    """

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int | None
    out: Path
    source: Source | OwnData = AUTO
    detector: str | None = None
    save_model: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the task; if this process uses a stand-in, the other one does so without searching again."""
        source = self.source
        if isinstance(source, Source) and self.data and all(map(is_stand_in, self.data.values())):
            source = replace(source, mode="stand-in")
        place = (self.experiment, self.config, self.protocol, self.seed, self.out, source)
        return Task, (*place, self.detector, self.save_model)

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
        """The name of the data with their digest or the name of a stand-in; empty if the experiment reads none."""
        return _identify(self.experiment.dataset, self.source)

    @property
    def own_data(self) -> dict[str, str] | None:
        """A user's own data, as in `data`; `None` for the data of the source, or a stand-in."""
        return self.data if isinstance(self.source, OwnData) else None

    @property
    def stand_in(self) -> str | None:
        """The name of a stand-in or of a user's own data; `None` for the data of the source."""
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
        return replace(self, seed=None, save_model=False) if self.is_run and self.experiment.once is not None else None

    def finished(self) -> Record | None:
        """Read the record; `None` unless it is undamaged, finished and of the current revision."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        if record.status != records.OK or record.revision != self.revision:
            return None
        return None if self.save_model and record.model_sha256 is None else record

    def load(self) -> Any:
        """Load the data set; `None` if the experiment reads none.

        Raises:
            DataError: the data set is missing or damaged.
        """
        if isinstance(self.source, OwnData):
            return load_own(self.source)
        return None if self.experiment.dataset is None else datasets.load(self.experiment.dataset, self.source)


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
                wanted[replace(task, detector=name, seed=seed, save_model=False)] = None
    # The trainings of a method follow each other, so that they share what was compiled.
    return sorted(wanted, key=lambda task: task.detector or "" if task.is_training else "")


def varies_by_seed(experiment: Experiment, protocol: str, detector: str) -> bool:
    """Check if the scores of a detector depend on the seed, by its own randomness or by that of the split."""
    return detector_named(detector).random or protocol in experiment.split_by_seed


def load_own(source: OwnData) -> Any:
    """Load a user's own data in the form in which `Experiment.split` takes them.

    Raises:
        DataError: they have changed since they were found.
    """
    data = source.load()
    return of_user(*data) if source.kind == "table" else data


@functools.cache
def _identify(dataset: str | None, source: Source | OwnData) -> dict[str, str]:
    if isinstance(source, OwnData):
        return {source.name: OWN + source.digest}
    return {} if dataset is None else {dataset: datasets.identify(dataset, source)}
