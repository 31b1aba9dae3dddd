"""Read and check the published numbers, data/published/<experiment>.toml.

The files contain every number as printed, its place in the source, how it was obtained, and the tolerance that was
fixed before the first run. data/README.md explains all fields.
"""

import operator
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from common.errors import PublishedError
from common.files import ROOT, from_plain

PUBLISHED = ROOT / "data" / "published"

_DECIMAL = r"-?\d+(\.\d+)?(e-?\d+)?"
Decimal = Annotated[str, Meta(pattern=f"^{_DECIMAL}$", description="printed decimal")]
Inequality = Annotated[str, Meta(pattern=r"^\S+ (>|>=|<|<=) \S+$")]
_RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """The publication that contains the numbers."""

    title: str
    author: str
    address: Annotated[str, Meta(pattern="^https://")]
    date: str
    framework: str
    document: str
    summary: str


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """One printed row or curve, whose numbers get one verdict.

    Attributes:
        name: name of the row.
        title: title for tables.
        obtained: "exact" (printed, and follows from data and a deterministic method), "derived" (follows in the same
            way, but is printed nowhere), "one run" or "context".
        where: place in the source.
        how: how the source computed the numbers.
        numbers: the printed text by metric name.
        free: the metrics that determine the others.
        scale: scale of the prediction interval: "linear", "log" or "logit".
        cases: number of cases that a rate is a fraction of. Default: unknown.
        tolerance: largest distance from a published number to either end of the prediction interval that counts as
            reproduced.
        relative: true if the tolerance is a fraction of the published number. Default: false, it is in its own units.
        why: reason for the tolerance.
        beside: other metrics whose spread over our seeds is shown beside that of this row.
        separates: metrics that may explain the spread of the first free number.
        address: address of the page, if it is not that of the source; empty if it is unknown.
        run: which of its runs printed the row, in words, if the source gives several. Default: it gives one.
    """

    name: str
    title: str
    obtained: Literal["exact", "derived", "one run", "context"]
    where: str
    how: str
    numbers: Annotated[Mapping[str, Decimal], Meta(min_length=1)]
    free: tuple[str, ...] = ()
    scale: Literal["linear", "log", "logit"] = "linear"
    cases: Annotated[int, Meta(ge=1)] | None = None
    tolerance: Annotated[float, Meta(gt=0)] | None = None
    relative: bool = False
    why: str = ""
    beside: tuple[str, ...] = ()
    separates: tuple[str, ...] = ()
    address: Annotated[str, Meta(pattern="^(https://.*)?$")] | None = None
    run: str = ""

    def __post_init__(self) -> None:
        """Check rules that involve several fields.

        Raises:
            ValueError: a rule is broken.
        """
        if self.obtained != "one run":
            if self.beside or self.separates:
                raise ValueError(f"group {self.name!r}: only a one-run group has `beside` or `separates`")
        elif not self.free or not set(self.free) <= set(self.numbers):
            raise ValueError(f"group {self.name!r}: free must name one or more of its numbers. Received: {self.free}")
        elif self.tolerance is None or not self.why:
            raise ValueError(f"group {self.name!r}: a one-run group needs a tolerance, and in `why` the reason for it")

    @property
    def title_with_run(self) -> str:
        """The title, and which run printed the row if there are several."""
        return f"{self.title} ({self.run})" if self.run else self.title

    def tolerance_of(self, metric: str) -> float | None:
        """Compute the tolerance of one number in its own units."""
        if self.tolerance is None or not self.relative:
            return self.tolerance
        return self.tolerance * abs(float(self.numbers[metric]))


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """A claim of the source as inequalities between metrics, or a metric and a number, which must all hold.

    A condition has the same form; it describes something visible in the source that holds in only some of our seeds.

    Attributes:
        name: name of the claim.
        text: the claim in words.
        where: place in the source.
        holds: the inequalities, such as "a.auroc > b.auroc".
        reading: true if the source does not say so and it is our reading of a figure; then it is not counted.
        run: for a condition, the run of the source that shows it, as in `Group`. Default: all of them.
    """

    name: str
    text: str
    where: str
    holds: Annotated[tuple[Inequality, ...], Meta(min_length=1)]
    reading: bool = False
    run: str = ""

    def holds_in(self, metrics: Mapping[str, float | int | None]) -> bool | None:
        """Check if all inequalities hold for the metrics of one seed; `None` if a metric is undefined."""
        outcomes = []
        for inequality in self.holds:
            left, relation, right = inequality.split()
            a, b = (_side(text, metrics) for text in (left, right))
            if a is None or b is None:
                return None
            outcomes.append(_RELATIONS[relation](a, b))
        return all(outcomes)

    def metrics(self) -> set[str]:
        """Collect the names of the metrics in the inequalities."""
        sides = (side for inequality in self.holds for side in inequality.split()[::2])
        return {side for side in sides if not re.fullmatch(_DECIMAL, side)}


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The published numbers and claims of one source.

    Attributes:
        experiment: name of the experiment.
        source: the publication.
        settings: the published hyperparameters.
        groups: the printed rows and curves.
        claims: the claims in words.
        conditions: conditions that distinguish two modes of training.
        not_published: metrics of ours that the source does not give, with the reason.
        not_run: methods that the source names and that are not run, with the reason.
        announced: what the source names as its next steps, by the title of the detector that runs it here.
        headline: the metric that the source is quoted for; `None` if it printed none.
    """

    experiment: str
    source: Source
    settings: Mapping[str, Any]
    groups: tuple[Group, ...]
    claims: tuple[Claim, ...] = ()
    conditions: tuple[Claim, ...] = ()
    not_published: Mapping[str, str] = {}
    not_run: Mapping[str, str] = {}
    announced: Mapping[str, str] = {}
    headline: str | None = None

    def __post_init__(self) -> None:
        """Check rules that involve several rows.

        Raises:
            ValueError: a rule is broken.
        """
        # A metric may have several context numbers.
        judged = [group for group in self.groups if group.obtained != "context"]
        _require_unique("group", (group.name for group in self.groups))
        _require_unique("metric", (f"{metric} {group.run}".strip() for group in judged for metric in group.numbers))
        _require_unique("claim", (claim.name for claim in self.claims))
        _require_unique("condition", (condition.name for condition in self.conditions))
        if self.headline is not None and not any(self.headline in group.numbers for group in judged):
            raise ValueError(f"headline must be one of the numbers with a verdict. Received: {self.headline!r}")

    def metrics(self) -> set[str]:
        """Collect the names of all metrics that the file refers to."""
        names = {metric for group in self.groups for metric in (*group.numbers, *group.beside, *group.separates)}
        return names.union(*(claim.metrics() for claim in (*self.claims, *self.conditions)), self.not_published)


def read_published(experiment: str, folder: Path = PUBLISHED) -> Published:
    """Read and check the published numbers of one experiment.

    Args:
        experiment: name of the experiment, and of its file.
        folder: folder of the files. Default: data/published.

    Raises:
        PublishedError: the file is missing, is not TOML, or breaks a rule; the message names the file and the place.
    """
    path = folder / f"{experiment}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PublishedError(f"{path.name} cannot be read: {error}") from error
    try:
        return from_plain({"settings": {}, **content, "experiment": experiment}, Published)
    except ValueError as error:
        raise PublishedError(f"{path.name}: {error}") from error


def _side(text: str, metrics: Mapping[str, float | int | None]) -> float | None:
    return float(text) if re.fullmatch(_DECIMAL, text) else metrics.get(text)


def _require_unique(what: str, names: Iterable[str]) -> None:
    known = list(names)
    if repeated := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(f"{what} named twice: {', '.join(repeated)}")
