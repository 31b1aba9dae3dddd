"""The first screen of the page: for each source a card with a picture, its claim, and three answers."""

import base64
import io
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.comparison import verdicts
from common.comparison.leaderboard import BETTER, WORSE
from common.comparison.sweeps import rank_of_pair
from common.experiment import HELD_OUT, PUBLISHED
from common.page.plots import mood
from common.page.text import figure
from common.report import conclusions
from common.report.explorable import CURVE, FEATURES, Explorable, Samples, ScoredRun
from common.report.results import ExperimentResults, SweepResults

# Width and height of the drawings, in SVG units, and the number of parts that a long series of scores is drawn in.
WIDTH, HEIGHT, BINS = 300, 90, 150


class Answer(NamedTuple):
    """An answer: the question, one or two words, their colour, the numbers behind them, and the part that says why."""

    question: str
    word: str
    mood: str
    numbers: str
    part: str = ""


class Card(NamedTuple):
    """A card of the first screen.

    Attributes:
        target: identity of the section that it leads to.
        title: its title.
        picture: HTML of its picture; empty if there is none.
        caption: what the picture shows.
        claim: the claim of the source in one sentence.
        answers: the answers.
        samples: true if samples can be looked at in the section.
        warning: what a reader must know first; empty if nothing.
    """

    target: str
    title: str
    picture: Any
    caption: str
    claim: str
    answers: list[Answer]
    samples: bool = False
    warning: str = ""


def card(name: str, entry: ExperimentResults, explored: Mapping[str, Explorable]) -> Card:
    """Make the card of a source."""
    picture, caption = _picture(explored.get(HELD_OUT) or explored.get(PUBLISHED))
    warning = f"Not the real data: these runs saw {entry.stand_in}. Nothing is compared." if entry.stand_in else ""
    title, claim, samples = entry.description.title, _sentence(entry.description.claim), bool(picture)
    if entry.is_of_user:
        warning, claim = f"{str(entry.stand_in).capitalize()}. Nothing is compared with published numbers.", ""
        return Card(name, title, picture, caption, claim, [_needed(entry)], samples, warning)
    answers = [_reproduced(entry), _holds_up(entry), _needed(entry)]
    return Card(name, title, picture, caption, claim, answers, samples, warning)


def sweep_card(name: str, sweep: SweepResults, figures: Mapping[str, bytes]) -> Card:
    """Make the card of a sweep over all classes."""
    first, *others = sweep.methods
    rank = rank_of_pair(sweep, first)
    answers = []
    if rank is not None:
        word = ("an easy pair", "a middling pair", "a hard pair")[rank.third]
        pair = " against ".join(map(sweep.name_of, sweep.pair))
        said = f"{pair}: rank {rank.middle:g} of {rank.pairs}"
        answers.append(Answer("Was the source's pair typical?", word, "", said))
    means = sweep.mean_of(first)
    below, known = int(np.sum(means < 0.5)), int(np.isfinite(means).sum())
    word = f"{below or 'no'} pair{'' if below == 1 else 's'}"
    answers.append(Answer("Worse than chance?", word, "bad" if below else "good", f"of {known}, for the {first}"))
    for other in others:
        higher = int(np.sum(sweep.mean_of(other) > means))
        answers.append(Answer(f"Is the {other} higher?", f"on {higher}", "", f"of {known} pairs"))
    shown = sweep.figures[0] if sweep.figures else None
    picture = figure(figures[shown.file], shown.caption) if shown and shown.file in figures else ""
    claim = "Each class in turn is the normal one, and each other class the anomaly."
    warning = f"Not the real data: these runs saw {sweep.stand_in}." if sweep.stand_in else ""
    return Card(
        f"{name}-sweep", f"Every class in turn: {name}", picture, "AUROC of each pair", claim, answers, warning=warning
    )


def _sentence(text: str) -> str:
    """Give the first sentence of a text."""
    return re.split(r"(?<=[.?!])\s+(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]


# The answers.


def _reproduced(entry: ExperimentResults) -> Answer:
    question = "Reproduced?"
    if entry.stand_in or not entry.seeds:
        return Answer(question, "not compared" if entry.stand_in else "not run", "", "")
    found = [group.verdict for group in entry.comparison.groups if group.obtained in ("exact", "one run")]
    known = (verdicts.EXACT, verdicts.REPRODUCED, verdicts.WITHIN_SPREAD, verdicts.DIFFERS)
    judged = [verdict for verdict in found if verdict in known or verdicts.lies_outside(verdict)]
    closely = sum(mood(verdict) == "good" for verdict in judged)
    differing = sum(mood(verdict) == "bad" for verdict in judged)
    if not judged:
        failing = any(2 * claim.holds < claim.n for claim in entry.comparison.claims)
        word = "no verdict yet" if found else "not all claims" if failing else "no number printed"
        return Answer(question, word, "bad" if failing else "", _claims(entry), "published")
    word = "yes" if closely == len(judged) else "no" if differing == len(judged) else "in part"
    loosely = len(judged) - closely - differing
    numbers = f"{closely} of {len(judged)} printed rows agree closely"
    numbers += f", {loosely} {verdicts.WITHIN_SPREAD}" if loosely else ""
    numbers += f", {differing} differ{'s' if differing == 1 else ''}" if differing else ""
    numbers += f"; {claims}" if (claims := _claims(entry)) else ""
    if any(group.provisional for group in entry.comparison.groups):
        numbers += f"; provisional, since {entry.comparison.n_seeds} seeds are few"
    return Answer(question, word, "good" if word == "yes" else "bad" if differing else "", numbers, "published")


def _claims(entry: ExperimentResults) -> str:
    """Say in how many seeds the claims hold that the source makes in words or by a figure; empty without claims."""
    claims = [claim for claim in entry.comparison.claims if claim.n]
    if not claims:
        return ""
    weakest = min(claims, key=lambda claim: claim.holds / claim.n)
    words = "the claim in words holds" if len(claims) == 1 else f"all {len(claims)} claims in words hold"
    if weakest.holds < weakest.n:
        which = "the claim" if len(claims) == 1 else f"the weakest of {len(claims)} claims, “{weakest.text}”,"
        return f"{which} holds in {weakest.holds} of {weakest.n} seeds"
    return f"{words} in every seed"


def _holds_up(entry: ExperimentResults) -> Answer:
    question, finding = "Holds up without leaks?", conclusions.holds_up(entry)
    if finding is None:
        return Answer(question, "not run", "", "")
    numbers = (
        f"AUROC of ours: {finding.published.auroc:.3f} in the source's protocol, {finding.held_out.auroc:.3f} held out"
    )
    return Answer(question, finding.verdict, mood(finding.verdict), numbers, "held-out")


def _needed(entry: ExperimentResults) -> Answer:
    question, rows = "Was an autoencoder needed?", conclusions.detectors(entry)
    if not rows or any(row.standing == verdicts.NEXT_REFERENCE for row in rows):
        return Answer(question, "not run", "", "")
    better = [row for row in rows if row.standing == BETTER]
    worse = sum(row.standing == WORSE for row in rows)
    if better:
        word, numbers = (
            "no",
            f"{len(better)} of {len(rows)} classical detectors {'is' if len(better) == 1 else 'are'} better, ",
        )
        numbers += f"the highest {better[0].method} with {better[0].auroc:.3f}"
    else:
        word = "yes" if worse == len(rows) else "not shown"
        numbers = (
            f"none of {len(rows)} classical detectors is better, {worse or 'none'} {'are' if worse > 1 else 'is'} worse"
        )
    board = entry.standings[HELD_OUT]
    reference = board.reference_row if board else None
    if reference and conclusions.learns_from_labels(reference):
        numbers += "; it learns from labels, they do not"
    numbers += ", held out"
    if reference and conclusions.at_chance(reference):
        above = len(conclusions.above_chance(rows))
        numbers += "; it is itself not shown to be better than chance, "
        numbers += f"{above or 'none'} of them {'are' if above > 1 else 'is'}"
    return Answer(question, word, {"yes": "good", "no": "bad"}.get(word, ""), numbers, "detectors")


# The pictures.


def _picture(explored: Explorable | None) -> tuple[Any, str]:
    """Draw what a source is about, and say what the picture shows; both empty if nothing is known."""
    if explored is None or explored.samples is None:
        return "", ""
    samples = explored.samples
    run = explored.runs[samples.seed]
    if samples.kind == FEATURES:
        return _scores_in_order(
            run
        ), f"Highest scores of {BINS} successive parts of the time, held out, logarithmic; ticks: parts with anomalies"
    chosen = _typical(samples, run)
    inputs, outputs = _numbers(samples, samples.inputs)[chosen], _numbers(samples, samples.reconstructions)[chosen]
    which = " and ".join(name for name in ("a normal sample", "an anomaly")[: len(chosen)])
    if samples.kind == CURVE:
        return _curves(inputs, outputs), f"Input and reconstruction of {which}"
    return _images(inputs, outputs), f"Input, reconstruction and their difference, of {which}"


def _typical(samples: Samples, run: ScoredRun) -> list[int]:
    """Choose the normal sample with the middle score and the anomaly with the highest one, as far as there are any."""
    scores, chosen = np.frombuffer(run.scores, "<f8"), []
    for label, rank in (("0", 0.5), ("1", 1.0)):
        of_class = [i for i, index in enumerate(samples.indices) if run.labels[index] == label]
        if of_class:
            ranked = sorted(of_class, key=lambda i: scores[samples.indices[i]])
            chosen.append(ranked[round(rank * (len(ranked) - 1))])
    return chosen


def _numbers(samples: Samples, stored: bytes) -> NDArray[np.float64]:
    return np.frombuffer(stored, np.uint8).reshape(-1, *samples.shape).astype(float)


def _images(inputs: NDArray[np.float64], outputs: NDArray[np.float64]) -> Any:
    from markupsafe import Markup
    from PIL import Image

    rows = [np.hstack([x, y, np.abs(x - y)]) for x, y in zip(inputs, outputs, strict=True)]
    content = io.BytesIO()
    Image.fromarray(np.vstack(rows).astype(np.uint8)).save(content, format="png", optimize=True)
    encoded = base64.b64encode(content.getvalue()).decode()
    return Markup(f'<img class="pixels" src="data:image/png;base64,{encoded}" alt="">')


def _curves(inputs: NDArray[np.float64], outputs: NDArray[np.float64]) -> Any:
    lines, width = [], WIDTH / len(inputs)
    for column, both in enumerate(zip(inputs, outputs, strict=True)):
        for values, name in zip(both, ("input", "reconstruction"), strict=True):
            x = column * width + np.linspace(4, width - 4, len(values))
            lines.append(_line(x, HEIGHT - 4 - values * (HEIGHT - 8) / 255, name))
    return _drawing(lines)


def _scores_in_order(run: ScoredRun) -> Any:
    """Draw the scores on a logarithmic scale, the highest of each part, with a tick for every part with an anomaly."""
    parts = np.array_split(np.frombuffer(run.scores, "<f8"), BINS)
    labels = np.array_split(np.array([*run.labels]) == "1", BINS)
    heights = np.log10([max(part.max(initial=0.0), 1e-12) for part in parts])
    low, high = np.quantile(heights, [0.0, 1.0])
    x = np.linspace(4, WIDTH - 4, len(parts))
    y = HEIGHT - 16 - (heights - low) * (HEIGHT - 20) / ((high - low) or 1)
    ticks = "".join(f"M{at:.1f} {HEIGHT - 12}v10" for at, part in zip(x, labels, strict=True) if part.any())
    return _drawing([_line(x, y, "input"), f'<path class="reconstruction" d="{ticks}"/>'])


def _line(x: NDArray[np.float64], y: NDArray[np.float64], name: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="{name}" points="{points}"/>'


def _drawing(elements: list[str]) -> Any:
    from markupsafe import Markup

    return Markup(f'<svg class="drawn" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(elements)}</svg>')
