"""Implement the command `score`: score further samples with the saved model of a run."""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.cli.execution import kind_of
from common.data.sheet_breaks import of_user
from common.errors import ConfigError, DataError, RecordError
from common.experiment import Prepared, Scores, load_experiment
from common.own.data import Reading
from common.own.images import read_unlabelled
from common.own.pixels import SIDE
from common.own.tables import read_rows, read_table
from common.runs import models
from common.runs.models import Saved

COLUMNS = ("sample", "score", "flagged", "largest_errors")
# Number of parts of a sample that are named, those with the largest errors.
NAMED = 3


def score_command(options: argparse.Namespace) -> int:
    """Score the samples of a file, and write one row for each to a .csv file.

    Raises:
        ConfigError: the file to write exists.
        RecordError: the record holds no model, or a damaged one.
        DataError: the samples cannot be read, or do not fit the model.
    """
    if options.out.exists():
        raise ConfigError(f"{options.out} exists; choose another file with --out")
    saved = models.read_saved(options.record, {name: load_experiment(module) for name, module in options.known.items()})
    names, parts, prepared = _read(saved, options.file, options.fill)
    from common.training.keras import seeded

    with seeded(saved.trained.seed):
        trained = models.rebuilt(saved, prepared.samples.shape[1:])
        assert saved.experiment.score is not None
        scores = saved.experiment.score(trained, prepared.samples)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *_rows(names, parts, prepared, scores, saved)])
    files.write_atomically(options.out, text.getvalue().encode())
    flagged = "" if saved.threshold is None else f"{int(np.sum(scores.scores > saved.threshold))} of "
    rule = "" if saved.threshold is None else f" flagged by `{saved.rule}`, above {saved.threshold:.6g}"
    left = len(names) - len(prepared.ends)
    skipped = f"; {left} rows end no window of the model and have no score" if left else ""
    print(f"{options.out}: {flagged}{len(prepared.ends)} samples{rule}{skipped}")
    return 0


def _read(saved: Saved, path: Path, fill: str | None) -> tuple[Sequence[str], Sequence[str], Prepared]:
    """Read samples to score: the names of rows or images, the names of the parts of a sample, and the samples."""
    kind, prepare = kind_of(saved.experiment), saved.experiment.prepare
    assert prepare is not None
    if kind == "images":
        names, pixels = read_unlabelled(path)
        parts = [f"row {row + 1}, column {column + 1}" for row in range(SIDE) for column in range(SIDE)]
        return names, parts, prepare(saved.trained, pixels)
    try:
        columns = saved.trained.fitted.get("names", np.empty(0)).tolist()
        reading = Reading(**{"time": "time" if kind == "table" else None, **json.loads(saved.reading)})
        reading = Reading(time=reading.time, fill=fill or reading.fill)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the saved model does not say how its tables are read: {error}") from error
    try:
        table = read_table(path, reading, columns) if kind == "table" else None
        rows = read_rows(path, reading, columns or None) if kind == "rows" else None
    except ConfigError as error:  # the options are those of the run
        raise DataError(f"{path} has not the columns of the run: {error}") from error
    if table is not None:
        times = [str(time).replace("T", " ") for time in table.times]
        return times, columns, prepare(saved.trained, of_user(*table))
    assert rows is not None
    return [str(number) for number in range(1, len(rows.x) + 1)], rows.names.tolist(), prepare(saved.trained, rows)


def _rows(
    names: Sequence[str], parts: Sequence[str], prepared: Prepared, scores: Scores, saved: Saved
) -> Iterator[tuple[Any, ...]]:
    """Yield the values of `COLUMNS` for each sample."""
    largest = np.argsort(-scores.errors, axis=1, kind="stable")[:, :NAMED]
    for sample, (end, score) in enumerate(zip(prepared.ends, scores.scores, strict=True)):
        of_it = scores.errors[sample]
        shares = of_it[largest[sample]] / (of_it.sum() or 1.0)
        named = "; ".join(f"{parts[part]} {share:.1%}" for part, share in zip(largest[sample], shares, strict=True))
        flagged = "" if saved.threshold is None else int(score > saved.threshold)
        yield names[end], repr(float(score)), flagged, named
