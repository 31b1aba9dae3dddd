"""Sentences that follow from numbers: each rule at its edges, on made-up results."""

from dataclasses import replace

import pytest

from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, REFERENCE, WORSE
from common.comparison.standings import Standing, Standings
from common.comparison.verdicts import Comparison, Summary
from common.report import conclusions
from common.report import held_out as held_out_sections
from common.report.results import Description, ExperimentResults, ProtocolRuns, Results
from tests.helpers.made_up import made_up

SOURCE = "autoencoder of the source"


def row(method, auroc, interval=None, standing=NOT_TOLD_APART, ours=False, seeds_above_chance=3):
    return Standing(
        method=method,
        seeds=3,
        auroc=auroc,
        auroc_interval=interval or (auroc - 0.02, auroc + 0.02),
        auroc_spread=0.01,
        seeds_above_chance=seeds_above_chance,
        average_precision=auroc / 2,
        fpr_at_95_recall=1 - auroc,
        difference=None if standing == REFERENCE else 0.1,
        difference_interval=None if standing == REFERENCE else (0.05, 0.15),
        p_value=None if standing == REFERENCE else 0.01,
        standing=standing,
        ours=ours,
        fit_seconds=12.34,
        score_seconds=None,
    )


def board(*rows, missing=None):
    rows = tuple(sorted(rows, key=lambda row: -row.auroc))
    return Standings(SOURCE, 100, 0.1, 100, (0, 1, 2), rows, missing or {})


def entry(published=(0.9, None), held_out=(0.9, None), detectors=(), seeds=None, published_seeds=None, **changes):
    summary = made_up(Summary, exact=1, exact_groups=2)
    fields = {
        "seeds": published_seeds or {0: {}},
        "config": {"epochs": 200},
        "description": Description(title="t", protocols="1. Published: leaks. Held out: does not."),
        "comparison": made_up(Comparison, summary=summary),
        "protocols": {"held_out": held_out_runs(seeds or {})},
        "standings": {
            "published": board(row(SOURCE, *published, REFERENCE, True), *detectors),
            "held_out": board(row(SOURCE, *held_out, REFERENCE, True), *detectors),
        },
    }
    return made_up(ExperimentResults, **(fields | changes))


def held_out_runs(seeds, **changes):
    return made_up(ProtocolRuns, seeds=seeds, **changes)


def page_one(**entries):
    return held_out_sections.page_one(made_up(Results, experiments=entries))


@pytest.mark.parametrize(
    ("published", "held_out", "verdict"),
    [
        ((0.90, None), (0.90, (0.88, 0.92)), conclusions.HOLDS_UP),
        ((0.90, None), (0.89, (0.87, 0.91)), conclusions.HOLDS_UP),
        ((0.90, None), (0.99, (0.98, 1.00)), conclusions.HOLDS_UP),
        # A published AUROC that is not known well makes it an open question.
        ((0.90, (0.80, 0.98)), (0.89, (0.87, 0.91)), conclusions.OPEN),
        ((0.95, None), (0.75, (0.55, 0.91)), conclusions.OPEN),
        ((0.90, None), (0.80, (0.75, 0.84)), conclusions.WEAKER),
        ((0.945, (0.87, 0.98)), (0.86, (0.84, 0.89)), conclusions.OPEN),
        # So does an interval that reaches from chance to what was published.
        ((0.90, None), (0.85, (0.49, 0.97)), conclusions.OPEN),
        ((0.70, (0.51, 0.8)), (0.43, (0.30, 0.60)), conclusions.OPEN),
        ((0.90, (0.8, 0.95)), (0.55, (0.50, 0.60)), conclusions.FAILS),
        ((0.70, (0.51, 0.8)), (0.35, (0.30, 0.40)), conclusions.FAILS),
        ((0.55, (0.45, 0.6)), (0.55, (0.45, 0.65)), conclusions.NOT_SHOWN),
        ((0.55, (0.45, 0.6)), (0.60, (0.58, 0.62)), conclusions.HOLDS_UP),
    ],
)
def test_whether_a_method_holds_up_follows_from_its_intervals(published, held_out, verdict):
    finding = conclusions.holds_up(entry(published, held_out))
    assert finding.verdict == verdict
    assert f"{published[0]:.3f}" in finding.sentence and f"{held_out[0]:.3f}" in finding.sentence


def test_the_interval_of_a_change_is_that_of_two_independent_numbers():
    low, high = conclusions.gap_interval(row("m", 0.9, (0.86, 0.93)), row("m", 0.8, (0.77, 0.84)))
    assert (low, high) == pytest.approx((-0.1 - (0.03**2 + 0.03**2) ** 0.5, -0.1 + (0.04**2 + 0.04**2) ** 0.5))
    # Of normal estimates it is the usual interval.
    low, high = conclusions.gap_interval(row("m", 0.9, (0.87, 0.93)), row("m", 0.8, (0.76, 0.84)))
    assert (low, high) == pytest.approx((-0.15, -0.05))


def test_seeds_on_both_sides_of_chance_are_counted():
    agreeing = entry((0.55, (0.45, 0.6)), (0.55, (0.45, 0.65)))
    assert "seeds" not in conclusions.holds_up(agreeing).sentence
    mixed = board(row(SOURCE, 0.55, (0.45, 0.65), REFERENCE, True, seeds_above_chance=2))
    split = replace(agreeing, standings={**agreeing.standings, "held_out": mixed})
    assert "0.450 to 0.650; above 0.5 in 2 of 3 seeds" in conclusions.holds_up(split).sentence
    assert "(0.450 to 0.650), above 0.5 in 2 of 3 seeds |" in page_one(e=split)


def test_without_runs_in_one_protocol_nothing_is_concluded():
    lacking = entry(standings={"published": entry().standings["published"], "held_out": None})
    assert conclusions.holds_up(lacking) is None
    assert conclusions.holds_up(entry(data={"mnist": "another file"})) is None
    assert conclusions.detector_sentence(lacking) == ""
    assert conclusions.detectors(lacking) == []


def test_the_detectors_are_counted_by_how_they_stand():
    rows = [
        row("a", 0.95, standing=BETTER),
        row("b", 0.97, standing=BETTER),
        row("c", 0.5, standing=WORSE),
        row("d", 0.9),
    ]
    sentence = conclusions.detector_sentence(entry(detectors=rows))
    assert sentence == (
        f"Of 4 detectors 2 are better than the {SOURCE} (AUROC 0.900); the highest is b with 0.970. 1 is worse, 1 is "
        "not told apart from it."
    )
    rows = [
        row("c", 0.5, standing=WORSE),
        row("d", 0.9),
        row("another of the source", 0.99, standing=BETTER, ours=True),
    ]
    sentence = conclusions.detector_sentence(entry(detectors=rows))
    assert sentence.startswith(
        f"Of 2 detectors none is shown to be better than the {SOURCE} (AUROC 0.900); the highest is d with 0.900."
    )


def test_a_threshold_is_told_by_what_was_intended_and_what_came_out():
    seeds = {
        0: {"rule.threshold": 1.0, "rule.intended_rate": 0.05, "rule.test.fp": 6, "rule.test.tn": 94,
              "rule.test.anomaly.recall": 0.5},
        1: {"rule.threshold": 1.0, "rule.intended_rate": 0.05, "rule.test.fp": 10, "rule.test.tn": 90,
              "rule.test.anomaly.recall": 0.7},
        2: {"rule.threshold": None, "rule.intended_rate": None, "rule.test.fp": None, "rule.test.tn": None,
              "rule.test.anomaly.recall": None},
    }  # fmt: skip
    assert conclusions.rules(held_out_runs(seeds)) == ["rule"]
    assert conclusions.threshold_sentences(held_out_runs(seeds)) == [
        "`rule`, meant to flag 5% of normal samples, flags 8.0% (6.0% to 10.0% over 2 seeds) of the normal test "
        "samples and 60.0% (50.0% to 70.0% over 2 seeds) of the anomalies."
    ]
    same = dict.fromkeys((0, 1), seeds[0])
    assert "flags 6.0% of the normal" in conclusions.threshold_sentences(held_out_runs(same))[0]


def test_a_break_even_at_zero_is_told():
    seeds = {seed: {"b.threshold": 1.0, "b.degenerate": int(seed < 2), "b.recall": 0.0} for seed in range(3)}
    assert conclusions.threshold_sentences(held_out_runs(seeds)) == [
        "`b` is degenerate in 2 of 3 seeds: on the samples that it was fitted on, precision equals recall only where "
        "both are zero."
    ]
    seeds = {0: {"b.threshold": 1.0, "b.degenerate": 0}}
    assert conclusions.threshold_sentences(held_out_runs(seeds)) == []


def test_the_seed_with_the_lowest_loss_on_held_back_samples_is_picked():
    seeds = {0: {"held_back.loss": 0.3}, 1: {"held_back.loss": 0.2}, 2: {"held_back.loss": None}}
    assert conclusions.picked_seed(entry(seeds=seeds)) == (1, "held_back.loss")
    assert conclusions.picked_seed(entry(seeds={0: {"held_back.loss": 0.3}})) is None
    assert conclusions.picked_seed(entry(seeds=seeds, own_data=True)) is None


def medians(train, validation, test, score="score"):
    names = (f"{score}.{part}_normal_median" for part in ("train", "validation", "test"))
    return dict(zip(names, (train, validation, test), strict=True))


def test_drift_is_told_as_how_many_times_the_error_has_grown():
    def sentences(metrics):
        return conclusions.drift_sentences(entry(), held_out_runs({0: metrics}))

    assert "1 in the test period, 10.0 times that of training" in sentences(medians(0.1, 2.0, 1.0))[0]
    assert "changes over time" in sentences(medians(1.0, 1.9, 50.0))[0]
    assert "stays within twice that of training" in sentences(medians(0.1, 0.15, 0.12))[0]
    assert sentences({}) == []


def test_the_sensors_that_drift_are_named_and_what_is_left_without_them():
    seeds = {
        seed: {
            **medians(0.1, 2.0, 1.0),
            **medians(0.1, 0.3, 0.2, "without_sensors"),
            "drift.validation_sensor": 43,
            "drift.validation_share": 0.7,
            "drift.test_sensor": (19, 19, 7)[seed],
            "drift.test_share": (0.8, 0.9, 0.3)[seed],
            "without_sensors.auroc": (0.5, 0.55, 0.6)[seed],
            "training.epochs": (10, 12, 14)[seed],
        }
        for seed in range(3)
    }
    published = {0: {"training.epochs": 100}, 1: {"training.epochs": 200}}
    _, sensors, without, epochs = conclusions.drift_sentences(entry(published_seeds=published), held_out_runs(seeds))
    assert "70% from x43 in validation (in 3 of 3 seeds) and 85% from x19 in the test period (in 2 of 3" in sensors
    assert "medians of 0.1, 0.3 and 0.2, and an AUROC of 0.550 (0.500 to 0.600 over the seeds)." in without
    assert epochs == (
        "Training took 12 epochs (10 to 14; all 200 in 0 of 3 seeds); in the published protocol 150 epochs (100 to "
        "200; all 200 in 1 of 2 seeds)."
    )


def test_page_one_says_of_each_source_whether_it_is_reproduced_holds_up_and_is_beaten():
    good = entry((0.9, None), (0.9, (0.88, 0.92)), [row("nearest neighbours", 0.95, standing=BETTER)])
    empty = entry(standings={})
    page = page_one(good=good, empty=empty)
    reproduced = "1 of 2 exact; no row from a single run"
    assert f"| `good` | {reproduced} | **holds up**: {SOURCE}, AUROC 0.900, held out 0.900 (0.880 to 0.920)" in page
    better = "1 of 1, the highest nearest neighbours (0.950)"
    assert f"| published protocol: {better}; held out: {better} |" in page
    assert f"| `empty` | {reproduced} | not run | not run |" in page
    other = replace(good, data={"mnist": "another file"})
    assert "| not compared: the protocols used different data |" in page_one(o=other)
    stand_in = replace(good, protocols={"held_out": held_out_runs({}, stand_in="stand-in: digits")})
    assert page_one(good=stand_in).count("(stand-in data)") == 2


def test_a_method_that_learns_from_labels_is_said_to_beside_detectors_that_do_not():
    method = "forest (labels)"
    boards = {
        protocol: Standings(
            method, 100, 0.1, 100, (0, 1, 2), (row(method, 0.9, None, REFERENCE, True), row("knn", 0.8))
        )
        for protocol in ("published", "held_out")
    }
    labelled = entry(standings=boards)
    assert "forest (labels), AUROC 0.900" in page_one(one=labelled)
    assert "held out: none of 1 (they learn without labels, it does not) |" in page_one(one=labelled)
    assert conclusions.detector_sentence(labelled).endswith("(labels) learns from labels; no detector does.")
    later = {
        name: replace(board, rows=(board.rows[0], replace(board.rows[1], standing="with the next reference")))
        for name, board in boards.items()
    }
    assert page_one(one=entry(standings=later)).endswith("held out: with the next reference |")
    assert "comes with the next reference." in conclusions.detector_sentence(entry(standings=later))


def drifting(sensor, share, test):
    return {
        "score.train_normal_median": 0.1,
        "score.validation_normal_median": 0.2,
        "score.test_normal_median": test,
        "drift.test_sensor": sensor,
        "drift.test_share": share,
    }


def test_sources_on_one_table_are_told_together():
    table = {"machine": "abc"}
    first = entry(held_out=(0.45, None), seeds={0: drifting(3, 0.5, 0.4), 1: drifting(3, 0.7, 0.4)}, data=table)
    second = entry(held_out=(0.6, None), seeds={0: drifting(3, 0.25, 0.3)}, data=table)
    elsewhere = entry(seeds={0: drifting(3, 0.5, 0.4)}, data={"other": "abc"})
    known = {"first": first, "second": second, "elsewhere": elsewhere}
    told = conclusions.on_the_same_data("first", known)
    assert told == (
        "2 sources use this table. Held out, their AUROCs are `first` 0.450 (0.430 to 0.470), `second` 0.600 (0.580 to "
        "0.620); 1 of them is shown to be better than chance. In this order, the median error of normal samples in the "
        "test period is 4.0, 3.0 times that of training, and the largest part of their mean error is 60% from x3, 25% "
        "from x3. They agree on the sensor that moves the errors most."
    )
    assert conclusions.on_the_same_data("second", known) == told
    assert told in held_out_sections.sections("second", second, known)
    other = replace(second, protocols={"held_out": held_out_runs({0: drifting(5, 0.25, 0.3)})})
    assert conclusions.on_the_same_data("first", known | {"second": other}).endswith(
        "They do not agree on the sensor that moves the errors most."
    )
    assert conclusions.on_the_same_data("elsewhere", known) == ""
    assert conclusions.on_the_same_data("first", {"first": first}) == ""


def test_the_sections_name_every_method_and_what_is_missing():
    rows = (row(SOURCE, 0.9, None, REFERENCE, True), row("nearest neighbours", 0.95, standing=BETTER))
    missing = {"k-means: not run": (3, 4), "svm: did not converge": (7,)}
    full = entry(seeds={0: {}}, standings={"held_out": board(*rows, missing=missing)})
    text = held_out_sections.sections("full", full, {})
    assert "1. Published: leaks." in text
    assert f"**{SOURCE}** | 0.900 (0.880 to 0.920) | - |  |" in text
    assert "nearest neighbours | 0.950 (0.930 to 0.970) | +0.100 (+0.050 to +0.150) | better |" in text
    assert "- Left out: k-means: not run (seeds 3-4).\n- Left out: svm: did not converge (seeds 7)." in text
