"""The cards of the first screen: their answers follow from the results, and their pictures from the samples."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.comparison import verdicts
from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, WORSE
from common.files import REPORTS
from common.page import cards, plots
from common.report import conclusions
from common.report.explorable import IMAGE, Explorable, Samples, ScoredRun
from common.report.results import read_results

REFERENCE: Path = REPORTS / "reference"


@pytest.fixture(scope="module")
def reference():
    return read_results(REFERENCE).experiments


def answers(entry):
    return {answer.question: answer for answer in cards.card("name", entry, {}).answers}


def judged(entry, *found):
    """The same source, with these verdicts on its rows."""
    (group, *_) = [one for one in entry.comparison.groups if one.obtained == "one run"]
    groups = tuple(replace(group, verdict=verdict) for verdict in found)
    return replace(entry, comparison=replace(entry.comparison, groups=groups))


@pytest.mark.parametrize(
    ("found", "word", "mood"),
    [
        ([verdicts.REPRODUCED, verdicts.REPRODUCED], "yes", "good"),
        ([verdicts.REPRODUCED, verdicts.WITHIN_SPREAD], "in part", ""),
        ([verdicts.REPRODUCED, verdicts.DIFFERS_LOWER], "in part", "bad"),
        ([verdicts.DIFFERS_LOWER, verdicts.OUTSIDE], "no", "bad"),
        ([verdicts.NEXT_REFERENCE], "no verdict yet", ""),
    ],
)
def test_reproduced_counts_the_rows(reference, found, word, mood):
    answer = answers(judged(reference["curves_dense_ae"], *found))["Reproduced?"]
    assert (answer.word, answer.mood) == (word, mood)
    if word != "no verdict yet":
        assert f"of {len(found)} printed rows" in answer.numbers


def test_the_counts_of_the_reference_are_those_of_its_rows(reference):
    for entry in reference.values():
        answer = answers(entry)["Reproduced?"]
        counted = [group.verdict for group in entry.comparison.groups if group.obtained in ("exact", "one run")]
        if counted:
            closely = sum(verdict in (verdicts.EXACT, verdicts.REPRODUCED) for verdict in counted)
            assert answer.numbers.startswith(f"{closely} of {len(counted)} printed rows")


@pytest.mark.parametrize(
    ("found", "word"),
    [([WORSE, WORSE], "yes"), ([BETTER, WORSE], "no"), ([NOT_TOLD_APART, WORSE], "not shown"), ([], "not run")],
)
def test_needed_follows_from_the_detectors(reference, monkeypatch, found, word):
    entry = reference["mnist_conv_ae"]
    row = conclusions.detectors(entry)[0]
    monkeypatch.setattr(conclusions, "detectors", lambda entry: [replace(row, standing=one) for one in found])
    assert answers(entry)["Was an autoencoder needed?"].word == word


def test_stand_ins_are_named_and_not_compared(reference):
    entry = replace(reference["mnist_conv_ae"], stand_in="made-up digits")
    assert "made-up digits" in cards.card("name", entry, {}).warning
    assert answers(entry)["Reproduced?"].word == "not compared"


def test_a_claim_is_one_sentence(reference):
    for entry in reference.values():
        claim = cards.card("name", entry, {}).claim
        assert claim.endswith(".") and entry.description.claim.split()[0] == claim.split()[0]
        assert not re.search(r"[.?!]\s+[A-Z]", claim)


def test_the_sweep_says_how_hard_the_pair_was(reference):
    sweep = reference["fashion_latent_ocsvm"].sweep
    card = cards.sweep_card("fashion_latent_ocsvm", sweep, {})
    below = int(np.nansum(sweep.mean_of(sweep.methods[0]) < 0.5))
    words = {answer.question: answer.word for answer in card.answers}
    assert words["Worse than chance?"] == f"{below} pairs"
    assert "sandal against sneaker: rank" in card.answers[0].numbers


def test_the_picture_shows_the_middle_normal_sample_and_the_highest_anomaly():
    labels, scores = "00011", np.array([3.0, 1.0, 2.0, 5.0, 9.0])
    inputs = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    samples = Samples(
        seed=0,
        kind=IMAGE,
        shape=(4, 4),
        indices=(0, 1, 2, 3, 4),
        inputs=inputs.tobytes(),
        reconstructions=np.zeros_like(inputs).tobytes(),
    )
    run = ScoredRun(scores.astype("<f8").tobytes(), labels, ())
    picture, _ = cards._picture(Explorable({0: run}, samples))
    png = base64.b64decode(re.search(r"base64,([^\"]+)", picture)[1])
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (8, 12)
    # Rows: sample 2, of the middle score, and sample 4; columns: input, reconstruction, difference.
    assert pixels[::4, ::4].tolist() == [[2, 0, 2], [4, 0, 4]]


def test_rows_of_plots_hold_the_same_numbers_as_the_tables(reference):
    for entry in reference.values():
        rows = plots.leaderboard_rows(entry)
        board = entry.standings["held_out"].rows
        assert [row.label for row in rows] == [row.method for row in board]
        assert all(f"{row.auroc:.3f}" in drawn.numbers for row, drawn in zip(board, rows, strict=True))
        positions = [drawn.plot.dots[0] for drawn in rows]
        assert positions == sorted(positions, reverse=True)
        for drawn in [*rows, *plots.published_rows(entry), *plots.protocol_rows(entry), *plots.number_rows(entry)]:
            if drawn.plot:
                within = [*drawn.plot.dots, *drawn.plot.band]
                assert all(plots.MARGIN - 0.01 <= place <= plots.WIDTH - plots.MARGIN + 0.01 for place in within)


@pytest.mark.parametrize(
    ("holding", "words"),
    [
        ([20, 20], "; all 2 claims in words hold in every seed"),
        ([20, 1, 3], "; the weakest of 3 claims, “{}”, holds in 1 of 20 seeds"),
        ([20], "; the claim in words holds in every seed"),
        ([0], "; the claim holds in 0 of 20 seeds"),
        ([], ""),
    ],
)
def test_the_weakest_claim_is_named(reference, holding, words):
    entry = judged(reference["curves_dense_ae"], verdicts.REPRODUCED)
    claim = reference["mnist_conv_ae"].comparison.claims[0]
    claims = tuple(replace(claim, holds=holds, n=20) for holds in holding)
    entry = replace(entry, comparison=replace(entry.comparison, claims=claims))
    assert answers(entry)["Reproduced?"].numbers == f"1 of 1 printed rows agree closely{words.format(claim.text)}"


def test_few_seeds_are_provisional(reference):
    entry = judged(reference["curves_dense_ae"], verdicts.REPRODUCED)
    assert "provisional" not in answers(entry)["Reproduced?"].numbers
    groups = tuple(replace(group, provisional=True) for group in entry.comparison.groups)
    few = replace(entry, comparison=replace(entry.comparison, groups=groups, n_seeds=5))
    assert answers(few)["Reproduced?"].numbers.endswith("; provisional, since 5 seeds are few")
