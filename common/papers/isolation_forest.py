"""Rebuild one column of a table: the isolation forest on MNIST of Ruff et al. (2018), one digit against the rest.

Source: L. Ruff et al., Deep One-Class Classification, ICML 2018, section 4.2 and Table 1.

Method: All training images of a digit are contrast-normalised: the mean of an image is subtracted, and the rest divided
    by the mean of its absolute values; then scaled by the smallest and the largest value that occur in them. Principal
    components that hold 95 % of the variance are kept. An isolation forest of 100 trees, each on 256 images, scores all
    10,000 test images. This is repeated for ten digits and ten seeds.

Deviations:
    1. Our seeds and our version of scikit-learn.
    2. The components are the eigenvectors of the covariance, which is exact too. The singular value decomposition that
       the paper's version of scikit-learn used does not converge for the threes here.
    3. The result is the same without the scaling, since trees split at random between the extremes of a component. It
       is computed nevertheless, for the extremes that the authors' code lists.

Nothing is fitted or chosen on test images, so there is one protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.comparison.prediction import format_as_printed
from common.data import datasets
from common.data.datasets import Source
from common.data.images import Images
from common.files import digest_of
from common.papers.means import MeanResult, judge_column
from common.papers.tables import Column, PaperTable, read_tables
from common.runs import environment
from common.training.surroundings import THREADS

TABLE, METHOD, DATASET = "mnist_one_normal_ruff_2018", "isolation forest", "mnist"
SEEDS = tuple(range(10))
REVISION = 1

KEPT_VARIANCE, TREES, SAMPLES_OF_A_TREE = 0.95, 100, 256


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """The rebuilt column.

    Attributes:
        aurocs: for each digit, the AUROC of each seed.
        extremes: for each digit, the smallest and the largest value of its contrast-normalised training images.
        seeds: the seeds.
        data: the name of the data set and its sha256 digest.
        versions: the versions of the libraries.
        commit: the commit of the suite.
        made_from: digest of everything that decides these results.
    """

    aurocs: Mapping[int, tuple[float, ...]]
    extremes: Mapping[int, tuple[float, float]]
    seeds: tuple[int, ...]
    data: Mapping[str, str]
    versions: Mapping[str, str]
    commit: str
    made_from: str


def recipe(source: Source, seeds: Sequence[int] = SEEDS) -> str:
    """Compute a digest of everything that decides the column: data, seeds, versions, and the revision of this code."""
    return digest_of([REVISION, _identify(source), list(seeds), _versions()])[:12]


def rebuild(source: Source, seeds: Sequence[int] = SEEDS, on_digit: Callable[[int], object] | None = None) -> Rebuilt:
    """Rebuild the column, which takes one to three minutes with ten seeds.

    Args:
        source: where the data set is searched. Only the real one is used.
        seeds: seeds of the forests. Default: ten.
        on_digit: called before each digit. Default: nothing is.

    Raises:
        DataError: the real data set is missing or damaged.
    """
    images: Images = datasets.load(DATASET, _real(source))
    x_test = contrast_normalised(images.x_test)
    aurocs, extremes = {}, {}
    for digit in range(10):
        if on_digit is not None:
            on_digit(digit)
        x_train = contrast_normalised(images.x_train[images.y_train == digit])
        low, high = extremes[digit] = float(x_train.min()), float(x_train.max())
        scaled_train, scaled_test = ((x - low) / (high - low) for x in (x_train, x_test))
        aurocs[digit] = forest_aurocs(scaled_train, scaled_test, images.y_test != digit, seeds)
    return Rebuilt(
        aurocs=aurocs,
        extremes=extremes,
        seeds=tuple(seeds),
        data=_identify(source),
        versions=_versions(),
        commit=str(environment.describe()["commit"] or "unknown"),
        made_from=recipe(source, seeds),
    )


def contrast_normalised(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Normalise the contrast of images, in double precision.

    The pixels are divided by 255 first. That changes the last digits of the result, which are compared.

    Args:
        images: pixels of 0 to 255, shape `(images, 28, 28)`; none is of one colour.

    Returns:
        For each image a row of mean 0 and of mean absolute value 1, shape `(images, 784)`.
    """
    rows = images.reshape(len(images), -1) / 255.0
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.abs(rows).mean(axis=1, keepdims=True))


def forest_aurocs(
    x_train: NDArray[np.float64], x_test: NDArray[np.float64], anomalous: NDArray[np.bool_], seeds: Sequence[int]
) -> tuple[float, ...]:
    """Reduce samples by principal components, and compute the AUROC of an isolation forest for each seed.

    Args:
        x_train: normal training samples, shape `(samples, features)`.
        x_test: test samples, shape `(samples, features)`.
        anomalous: true for an anomaly, shape `(test samples,)`.
        seeds: seeds of the forests.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    with threadpool_limits(THREADS):
        reduction = PCA(KEPT_VARIANCE, svd_solver="covariance_eigh").fit(x_train)
        x_train, x_test = map(reduction.transform, (x_train, x_test))
        forests = (
            IsolationForest(n_estimators=TREES, max_samples=SAMPLES_OF_A_TREE, random_state=seed).fit(x_train)
            for seed in seeds
        )
        return tuple(float(roc_auc_score(anomalous, -forest.score_samples(x_test))) for forest in forests)


def printed() -> tuple[PaperTable, Column]:
    """Read the printed column, and the table that it belongs to."""
    table = next(table for table in read_tables(DATASET) if table.name == TABLE)
    return table, next(column for column in table.columns if column.method == METHOD)


def judge(rebuilt: Rebuilt) -> list[MeanResult]:
    """Give the verdict on each row of the printed column, in its order."""
    table, column = printed()
    return judge_column(column, [[100 * auroc for auroc in rebuilt.aurocs[digit]] for digit in table.classes])


def count_exact(rebuilt: Rebuilt) -> dict[str, tuple[int, int]]:
    """Count for each kind of exact number how many are equal to the printed ones, and how many there are."""
    table, _ = printed()
    counts = {}
    for end, exact in enumerate(table.exact):
        pairs = [(rebuilt.extremes[digit][end], text) for digit, text in zip(table.classes, exact.values, strict=True)]
        counts[exact.name] = sum(format_as_printed(value, text) == text for value, text in pairs), len(pairs)
    return counts


def _real(source: Source) -> Source:
    return Source("real", source.data_dir)


def _identify(source: Source) -> dict[str, str]:
    return {DATASET: datasets.identify(DATASET, _real(source))}


def _versions() -> dict[str, str]:
    known = environment.describe()["versions"]
    return {name: known[name] for name in ("numpy", "scipy", "scikit-learn")}
