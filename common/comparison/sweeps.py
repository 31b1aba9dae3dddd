"""Compare the classes of a data set: each is the normal one in turn, with all other classes as anomalies."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.comparison.standings import Standings
from common.data.stand_ins import stand_in_of

Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The AUROCs of every pair of classes in the held-out protocol.

    Attributes:
        classes: the classes of the data set.
        names: their names.
        normals: the classes that were the normal one.
        pair: the normal and the anomalous class of the source.
        seeds: the seeds of all these runs.
        aurocs: by method, the source's main method first, and seed, the AUROC of each normal class (row, in the order
            of `normals`) against each class (column, in the order of `classes`); `None` for a class against itself. A
            method without randomness has one seed.
        boards: by normal class, the ranking of all methods against all other classes; empty without detectors.
        data: the name of the data set and its sha256 digest or the name of its stand-in.
        commits: the commits of the suite that the runs were made with.
        made_from: digest of everything that decides these results.
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    normals: tuple[int, ...]
    pair: tuple[int, int]
    seeds: tuple[int, ...]
    aurocs: Mapping[str, Mapping[int, Matrix]]
    boards: Mapping[int, Standings] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    commits: tuple[str, ...] = ()
    made_from: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose pairs are shown, the source's main method first."""
        return tuple(self.aurocs)

    @property
    def stand_in(self) -> str | None:
        """The name of the stand-in that the runs used; `None` for real data."""
        return stand_in_of(self.data)

    def name_of(self, one: int) -> str:
        """Give the name of a class."""
        return self.names[self.classes.index(one)]

    def mean_of(self, method: str) -> NDArray[np.float64]:
        """Average the AUROCs of a method over its seeds, shape `(normals, classes)`; NaN for a class against itself."""
        return np.asarray(np.mean([_numbers(matrix) for matrix in self.aurocs[method].values()], axis=0))


@dataclass(frozen=True)
class Rank:
    """The rank of the source's pair among all pairs, 1 for the highest AUROC.

    Attributes:
        ranks: its rank in each seed.
        pairs: number of pairs.
        auroc: its mean AUROC.
    """

    ranks: tuple[int, ...]
    pairs: int
    auroc: float

    @property
    def middle(self) -> float:
        """The median rank over the seeds."""
        return float(np.median(self.ranks))

    @property
    def third(self) -> int:
        """The third of the pairs that the median rank lies in: 0 for the easiest, 2 for the hardest."""
        return math.ceil(3 * self.middle / self.pairs) - 1


def rank_of_pair(sweep: Sweep, method: str) -> Rank | None:
    """Rank the source's pair among all pairs by the AUROC of a method; `None` if its normal class was not run."""
    normal, anomaly = sweep.pair
    if normal not in sweep.normals:
        return None
    row, column = sweep.normals.index(normal), sweep.classes.index(anomaly)
    matrices = [_numbers(matrix) for matrix in sweep.aurocs[method].values()]
    ranks = tuple(1 + int(np.sum(matrix > matrix[row, column])) for matrix in matrices)
    pairs = int(np.isfinite(matrices[0]).sum())
    return Rank(ranks, pairs, float(np.mean([matrix[row, column] for matrix in matrices])))


def worst_anomalies(sweep: Sweep, method: str) -> list[tuple[int, int]]:
    """Count for how many normal classes each class has the lowest mean AUROC of a method.

    Returns:
        Pairs of class and count, the largest count first; classes that are never the worst are left out.
    """
    worst = np.nanargmin(sweep.mean_of(method), axis=1)
    counts = Counter(sweep.classes[column] for column in worst)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _numbers(matrix: Matrix) -> NDArray[np.float64]:
    return np.array([[np.nan if value is None else value for value in row] for row in matrix])
