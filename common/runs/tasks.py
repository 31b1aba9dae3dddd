"""What there is to run: the contract of an experiment, and tasks, each of which leaves one record.

Experiments are known here only by their contract, so that neither TensorFlow nor a network is needed to test a runner.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from common import figures
from common.config import BaseConfig
from common.data import datasets
from common.data.datasets import AUTO, Source
from common.detectors.classical import DETECTORS, Inputs
from common.errors import RecordError
from common.runs import records
from common.runs.records import Record, Result


class Experiment(Protocol):
    """What an experiment module offers.

    Three things more it may offer, looked for by name. `run_once(splits, config) -> Result` is what does not depend on
    the seed; it is computed once for all seeds of a config and becomes part of the result of each. `SEPARATES` is a
    metric and a tuple of others; the report tells which of these go with the first over the seeds. `BESIDE` names, for
    a printed row, metrics whose spread over the seeds tells where that of the row comes from.
    """

    __name__: str
    __doc__: str | None
    Config: type[BaseConfig]
    REVISION: int
    # The protocols in which each seed has its own split, so that a detector must be fitted anew for each.
    SPLIT_BY_SEED: tuple[str, ...]
    # The source's methods, and the name of the array that holds their scores of the test samples; the first is the one
    # that the detectors are held against.
    METHODS: Mapping[str, str]
    # Metrics that mean something in the published protocol alone: what their names begin with.
    PUBLISHED_ONLY: tuple[str, ...]
    # The figures of a held-out run that tell more than those of a published one.
    HELD_OUT_FIGURES: tuple[str, ...]
    DATASETS: tuple[str, ...]
    ABLATIONS: Mapping[str, Mapping[str, Any]]

    def load(self, config: Any, source: Source) -> Any:
        """The experiment's data, not yet split."""

    def split(self, data: Any, config: Any, protocol: str, seed: int) -> Any:
        """The named splits."""

    def detector_inputs(self, splits: Any, config: Any) -> Inputs:
        """What the classical detectors are given, and what they are scored on."""

    def run(self, splits: Any, config: Any, seed: int) -> Result:
        """Train, score, decide."""

    def draw(self, arrays: figures.Arrays) -> list[figures.Drawing]:
        """The figures of the source."""


def import_experiment(name: str) -> Experiment:
    """Import an experiment by name. Its module imports nothing heavy."""
    return importlib.import_module(f"experiments.{name}")  # type: ignore[return-value]


def name_of(experiment: Experiment) -> str:
    """The name of an experiment: that of its module."""
    return experiment.__name__.rpartition(".")[2]


@dataclass(frozen=True)
class Task:
    """One run that somebody wants: what, with which settings, which seed, and where its record belongs.

    With `detector`, it is that classical detector under the split of this experiment, protocol and seed.
    """

    experiment: Experiment
    config: BaseConfig
    protocol: str
    seed: int
    out: Path
    source: Source = AUTO
    detector: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A task travels to another process without its experiment, a module, which is imported there by name.

        A stand-in that was decided on here goes along: nobody there looks for the data, and complains, once more.
        """
        decided = self.data and all(what.startswith(records.STAND_IN) for what in self.data.values())
        source = replace(self.source, mode="stand-in") if decided else self.source
        parts = (self.config, self.protocol, self.seed, self.out, source, self.detector)
        return _task_of, (self.experiment.__name__, *parts)

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return name_of(self.experiment)

    @property
    def digest(self) -> str:
        """What the run depends on besides its seed, in twelve digits."""
        return records.digest_of(self.config.to_dict(), self.protocol, self.data, self.experiment.REVISION)

    @property
    def data(self) -> dict[str, str]:
        """The digest of every data set that the run reads, or what stands in for it."""
        return _identify(self.experiment.DATASETS, self.source)

    @property
    def stand_in(self) -> str | None:
        """What stands in for the real data, if anything does."""
        return records.stand_in_of(self.data)

    @property
    def revision(self) -> int:
        """Of the code that computes it."""
        return self.experiment.REVISION if self.detector is None else DETECTORS[self.detector].revision

    @property
    def folder(self) -> Path:
        """Where its record belongs."""
        if self.detector is None:
            return records.run_folder(self.out, self.name, self.protocol, self.digest, self.seed)
        return records.detector_folder(self.out, self.name, self.protocol, self.digest, self.detector, self.seed)

    def finished(self) -> Record | None:
        """The record, if there is one that says ok."""
        try:
            record = records.read_record(self.folder)
        except RecordError:
            return None
        return record if record.status == records.OK and record.revision == self.revision else None

    @property
    def once_folder(self) -> Path:
        """Where the record of what it shares with other seeds belongs."""
        return records.once_folder(self.out, self.name, self.protocol, self.digest)


def _task_of(module: str, *parts: Any) -> Task:
    return Task(importlib.import_module(module), *parts)  # type: ignore[arg-type]


def detector_tasks(tasks: Iterable[Task]) -> list[Task]:
    """The classical detectors under the splits of some runs, each once where it does not depend on the seed."""
    wanted = {
        replace(
            task, detector=name, seed=task.seed if varies_by_seed(task.experiment, task.protocol, name) else 0
        ): None
        for task in tasks
        for name in DETECTORS
    }
    return list(wanted)


def varies_by_seed(experiment: Experiment, protocol: str, detector: str) -> bool:
    """Whether a detector gives other scores for other seeds, for its own sake or for that of the split."""
    return DETECTORS[detector].random or protocol in experiment.SPLIT_BY_SEED


@functools.cache
def _identify(names: tuple[str, ...], source: Source) -> dict[str, str]:
    return datasets.identify(names, source)
