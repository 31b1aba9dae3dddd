"""Read and check the published numbers, data/published/<experiment>.toml.

The files contain every number as printed, its place in the source, how it was obtained, and the tolerance that was
fixed before the first run. data/README.md explains all fields.
"""

from __future__ import annotations

import math
import operator
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from common.errors import PublishedError
from common.files import ROOT

PUBLISHED = ROOT / "data" / "published"

OBTAINED = ("exact", "one run", "context")
SCALES = ("linear", "log", "logit")
_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Source:
    """The publication that contains the numbers."""

    title: str
    author: str
    address: str
    date: str
    framework: str
    document: str
    summary: str


@dataclass(frozen=True)
class Group:
    """One printed row or curve, whose numbers get one verdict.

    Attributes:
        name: name of the row.
        title: title for tables.
        obtained: "exact", "one run" or "context".
        where: place in the source.
        how: how the source computed the numbers.
        numbers: the printed text by metric name.
        free: the metrics that determine the others.
        scale: scale of the prediction interval: "linear", "log" or "logit".
        cases: number of cases that a rate is a fraction of. Default: unknown.
        tolerance: largest half-width of the prediction interval that counts as reproduced.
        relative: true if the tolerance is a fraction of the published number. Default: false, it is in its own units.
        why: reason for the tolerance.
        beside: other metrics whose spread over our seeds is shown beside that of this row.
        separates: metrics that may explain the spread of the first free number.
        address: address of the page, if it is not that of the source; empty if it is unknown.
    """

    name: str
    title: str
    obtained: str
    where: str
    how: str
    numbers: Mapping[str, str]
    free: tuple[str, ...] = ()
    scale: str = "linear"
    cases: int | None = None
    tolerance: float | None = None
    relative: bool = False
    why: str = ""
    beside: tuple[str, ...] = ()
    separates: tuple[str, ...] = ()
    address: str | None = None

    def tolerance_of(self, metric: str) -> float | None:
        """Compute the tolerance of one number in its own units."""
        if self.tolerance is None or not self.relative:
            return self.tolerance
        return self.tolerance * abs(float(self.numbers[metric]))


@dataclass(frozen=True)
class Claim:
    """A claim of the source as inequalities between metrics, or a metric and a number, which must all hold.

    A condition has the same form; it describes something visible in the source that holds in only some of our seeds.

    Attributes:
        name: name of the claim.
        text: the claim in words.
        where: place in the source.
        holds: the inequalities, such as "a.auroc > b.auroc".
    """

    name: str
    text: str
    where: str
    holds: tuple[str, ...]

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
        sides = {side for inequality in self.holds for side in inequality.split()[::2]}
        return {side for side in sides if not _is_decimal(side)}


@dataclass(frozen=True)
class Published:
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
        headline: the metric that the source is quoted for; `None` if it printed none.
    """

    experiment: str
    source: Source
    settings: Mapping[str, Any]
    groups: tuple[Group, ...]
    claims: tuple[Claim, ...]
    conditions: tuple[Claim, ...] = ()
    not_published: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)
    headline: str | None = None

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
        return _parse(experiment, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise PublishedError(f"{path.name}: {what}") from error


def _parse(experiment: str, content: Mapping[str, Any]) -> Published:
    _require_keys(
        "the file",
        content,
        {"source", "headline", "settings", "groups", "claims", "conditions", "not_published", "not_run"},
    )
    groups = tuple(_group(entry) for entry in content["groups"])
    _require_unique("group", [group.name for group in groups])
    # A metric may have several context numbers.
    judged = [group for group in groups if group.obtained != "context"]
    _require_unique("metric", [metric for group in judged for metric in group.numbers])
    claims = tuple(_claim("claim", entry) for entry in content.get("claims", ()))
    _require_unique("claim", [claim.name for claim in claims])
    conditions = tuple(_claim("condition", entry) for entry in content.get("conditions", ()))
    _require_unique("condition", [condition.name for condition in conditions])
    headline = content.get("headline")
    if headline is not None and not any(headline in group.numbers for group in judged):
        raise ValueError(f"headline must be one of the numbers that have a verdict. Received: {headline!r}")
    source = Source(**content["source"])
    _require_texts("source", vars(source).values())
    if not source.address.startswith("https://"):
        raise ValueError(f"source: address must begin with https://. Received: {source.address!r}")
    for table in ("not_published", "not_run"):
        _require_texts(table, dict(content.get(table, {})).values())
    return Published(
        experiment,
        source,
        dict(content.get("settings", {})),
        groups,
        claims,
        conditions,
        dict(content.get("not_published", {})),
        dict(content.get("not_run", {})),
        headline,
    )


def _group(entry: Mapping[str, Any]) -> Group:
    name = str(entry["name"])
    lists = {field: tuple(entry.get(field, ())) for field in ("free", "beside", "separates")}
    group = Group(**{**entry, **lists})
    place = f"group {name!r}"
    _require_texts(place, (group.title, group.where, group.how, group.why, group.scale, group.address or ""))
    _require_texts(place, (*group.free, *group.beside, *group.separates))
    if group.obtained not in OBTAINED:
        raise ValueError(f"{place}: obtained is one of {', '.join(OBTAINED)}. Received: {group.obtained!r}")
    for metric, printed in group.numbers.items():
        if not isinstance(printed, str) or not _is_decimal(printed):
            raise ValueError(f"{place}: {metric} must be the printed decimal as text. Received: {printed!r}")
    if not group.numbers:
        raise ValueError(f"{place} has no numbers")
    if group.address and not group.address.startswith("https://"):
        raise ValueError(f"{place}: address must begin with https:// or be empty. Received: {group.address!r}")
    if group.obtained == "one run":
        _check_one_run(place, group)
    elif group.beside or group.separates:
        raise ValueError(f"{place}: only a one-run group has `beside` or `separates`")
    return group


def _check_one_run(place: str, group: Group) -> None:
    if not group.free or not set(group.free) <= set(group.numbers):
        raise ValueError(f"{place}: free must name one or more of its numbers. Received: {list(group.free)}")
    if group.scale not in SCALES:
        raise ValueError(f"{place}: scale is one of {', '.join(SCALES)}. Received: {group.scale!r}")
    if group.tolerance is None or group.tolerance <= 0 or not group.why:
        raise ValueError(f"{place}: a one-run group needs a tolerance above 0, and in `why` the reason for it")
    if group.cases is not None and group.cases < 1:
        raise ValueError(f"{place}: cases must be at least 1. Received: {group.cases}")


def _claim(what: str, entry: Mapping[str, Any]) -> Claim:
    claim = Claim(**{**entry, "holds": tuple(entry["holds"])})
    _require_texts(what, (claim.name, claim.text, claim.where, *claim.holds))
    if not claim.holds:
        raise ValueError(f"{what} {claim.name!r} has no inequality")
    for inequality in claim.holds:
        if not re.fullmatch(r"\S+ (>|>=|<|<=) \S+", inequality):
            raise ValueError(f"{what} {claim.name!r}: expected 'left > right'. Received: {inequality!r}")
    return claim


def _side(text: str, metrics: Mapping[str, float | int | None]) -> float | None:
    return float(text) if _is_decimal(text) else metrics.get(text)


def _is_decimal(text: str) -> bool:
    try:
        return math.isfinite(float(Decimal(text)))
    except (InvalidOperation, OverflowError):
        return False


def _require_texts(place: str, values: Iterable[Any]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{place}: expected text. Received: {value!r}")


def _require_keys(place: str, mapping: Mapping[str, Any], known: set[str]) -> None:
    unknown = set(mapping) - known
    if unknown:
        raise ValueError(f"{place} has an unknown entry: {', '.join(sorted(unknown))}")


def _require_unique(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} named twice: {', '.join(repeated)}")
