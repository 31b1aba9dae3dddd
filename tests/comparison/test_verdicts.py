import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from common.comparison import prediction
from common.comparison.agreement import agree
from common.comparison.prediction import Prediction, decimals_of, format_as_printed, with_ablations
from common.comparison.published import Claim, Group, Published
from common.comparison.statistics import holm, wilson_interval
from common.comparison.verdicts import compare, judge_claim, judge_given, judge_group, summarise


def one_run(numbers, free=None, scale="linear", cases=None, tolerance=1e9):
    return Group("g", "g", "one run", "", "", numbers, tuple(free or numbers), scale, cases, tolerance, False, "why")


def exact(numbers):
    return Group("e", "e", "exact", "", "", numbers)


def seeds_of(metric, values):
    return {seed: {metric: value} for seed, value in enumerate(values)}


# Exact numbers.


@pytest.mark.parametrize(
    ("value", "printed", "text"),
    [
        (0.505, "0.51", "0.51"),
        (0.845, "0.84", "0.84"),
        (6265, "6265", "6265"),
        (0.1, "0.100", "0.100"),
        (-0.5, "-1", "-0"),
    ],
)
def test_values_are_formatted_as_the_source_prints_them(value, printed, text):
    assert format_as_printed(value, printed) == text


@given(st.floats(-1e6, 1e6).filter(lambda value: value != 0), st.integers(0, 8))
def test_a_number_formatted_like_itself_is_itself(value, decimals):
    printed = f"{value:.{decimals}f}"
    assert decimals_of(printed) == decimals
    assert format_as_printed(float(printed), printed) == printed


def test_numbers_printed_with_all_their_digits_come_back():
    assert format_as_printed(0.13636363636363635, "0.13636363636363635") == "0.13636363636363635"


def test_exact_compares_texts_in_every_seed():
    assert judge_group(exact({"a": "0.51"}), seeds_of("a", [0.505, 0.505])).verdict == "exact"
    assert judge_group(exact({"a": "0.51"}), seeds_of("a", [0.505, 0.504])).verdict == "differs"
    assert judge_group(exact({"a": "0.51"}), seeds_of("a", [0.505])).verdict == "exact"
    assert judge_group(exact({"a": "0.51"}), seeds_of("a", [0.505, None])).verdict == "differs"
    assert judge_group(exact({"a": "0.51", "b": "1"}), {0: {"a": 0.51, "b": 2}}).verdict == "differs"


def test_a_failed_seed_is_shown_beside_an_exact_verdict_and_does_not_change_it():
    result = judge_group(exact({"a": "0.51"}), seeds_of("a", [0.505, 0.505]), failed=1)
    assert (result.verdict, result.n, result.missing) == ("exact", 2, 1)


# The prediction interval.


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12, unique=True))
def test_the_interval_is_that_for_one_further_observation(values):
    n, m, s = len(values), np.mean(values), np.std(values, ddof=1)
    half = scipy.stats.t.ppf(0.975, n - 1) * s * math.sqrt(1 + 1 / n)
    low, high = Prediction(values, "0.00000000", "linear", None).interval()
    assert (low, high) == pytest.approx((m - half, m + half), abs=1e-6)


@given(
    st.lists(st.floats(0.01, 0.99), min_size=3, max_size=12, unique=True), st.sampled_from(["linear", "log", "logit"])
)
def test_the_p_value_is_where_the_interval_ends(values, scale):
    printed = "0.5000000"
    predicted = Prediction(values, printed, scale, None)
    p = predicted.p_value()
    if 1e-6 < p < 0.999:
        low, high = predicted.interval(p)
        assert min(abs(low - 0.5), abs(high - 0.5)) < 1e-4


def test_the_interval_is_never_narrower_than_half_a_unit_or_half_a_case():
    same = [0.5] * 5
    assert Prediction(same, "0.50", "linear", None).interval() == pytest.approx((0.495, 0.505))
    assert Prediction(same, "0.50", "logit", 10).interval() == pytest.approx((0.45, 0.55))
    assert Prediction(same, "0.50", "linear", None).p_value() == 1.0
    assert Prediction(same, "0.52", "linear", None).p_value() == 0.0


def test_rates_at_their_ends_stay_finite_and_within_bounds():
    predicted = Prediction([0.99, 1.0, 1.0, 0.98], "1.00", "logit", 100)
    low, high = predicted.interval()
    assert 0.8 < low < 0.99 and high == 1.0
    assert predicted.p_value() > 0.05
    assert Prediction([0.0] * 4, "0.00", "logit", 100).interval() == pytest.approx((0.0, 0.005))


def test_the_scales_turn_back_to_where_they_came_from():
    for scale, value in [("linear", -3.0), ("log", 0.02), ("logit", 0.3), ("logit", 0.0), ("logit", 1.0)]:
        assert Prediction([value] * 3, "0.30", scale, 50).centre == pytest.approx(value, abs=1e-12)


def test_a_loss_interval_is_positive():
    low, high = Prediction([0.001, 0.1, 1.0], "0.5", "log", None).interval()
    assert 0 < low < high


# Groups.


def test_the_four_verdicts_on_one_run():
    ours = seeds_of("a", np.linspace(0.45, 0.55, 20))
    assert judge_group(one_run({"a": "0.50"}, tolerance=0.2), ours).verdict == "reproduced"
    assert judge_group(one_run({"a": "0.50"}, tolerance=0.01), ours).verdict == "within spread"
    assert judge_group(one_run({"a": "0.90"}, tolerance=0.2), ours).verdict == "differs (lower)"
    assert judge_group(one_run({"a": "0.10"}, tolerance=0.2), ours).verdict == "differs (higher)"


def test_a_relative_tolerance_is_a_fraction_of_the_published_number():
    group = Group("g", "g", "one run", "", "", {"a": "0.010"}, ("a",), "log", None, 0.5, True, "why")
    assert group.tolerance_of("a") == pytest.approx(0.005)


def test_too_few_seeds_give_no_verdict_and_few_a_provisional_one():
    group = one_run({"a": "0.5"})
    assert judge_group(group, {}).verdict == "not run"
    assert judge_group(group, seeds_of("a", [0.4, 0.6])).verdict == "no verdict"
    assert judge_group(group, seeds_of("a", [0.4, 0.5, 0.6])).provisional
    assert judge_group(group, seeds_of("a", np.linspace(0.4, 0.6, 19))).provisional
    assert not judge_group(group, seeds_of("a", np.linspace(0.4, 0.6, 20))).provisional


def test_missing_and_failed_seeds_are_counted():
    result = judge_group(one_run({"a": "0.5"}), seeds_of("a", [0.4, 0.5, None, 0.6]), failed=2)
    assert (result.n, result.missing) == (3, 3)


def test_a_member_that_is_never_defined_leaves_the_verdict_to_the_free_ones():
    group = one_run({"recall": "0.50", "precision": "0.60"}, free=["recall"])
    ours = {seed: {"recall": value, "precision": None} for seed, value in enumerate(np.linspace(0.45, 0.55, 9))}
    result = judge_group(group, ours)
    assert (result.verdict, result.n) == ("reproduced", 9)
    assert judge_group(group, {0: {"recall": None, "precision": None}}).verdict == "no verdict"


def test_outside_the_interval_but_inside_the_range_does_not_differ():
    two_modes = [0.1] + [0.9] * 19
    result = judge_group(one_run({"a": "0.10"}), seeds_of("a", two_modes))
    assert Prediction(two_modes, "0.10", "linear", None).p_value() < 0.05
    assert result.verdict == "reproduced"


def test_a_verdict_rests_on_the_free_quantities_alone():
    ours = {seed: {"recall": value, "f1": 10 * value} for seed, value in enumerate(np.linspace(0.45, 0.55, 20))}
    for printed in ("5.0", "9.0"):
        result = judge_group(one_run({"recall": "0.50", "f1": printed}, free=["recall"], tolerance=0.2), ours)
        assert [member.verdict for member in result.members] == ["reproduced", "follows"]
        assert result.members[1].p_value is None and result.members[1].interval is not None
        assert result.verdict == "reproduced"
    # Holm's correction counts the free ones alone.
    alone = judge_group(one_run({"recall": "0.58"}), ours).members[0].p_value
    beside = judge_group(one_run({"recall": "0.58", "f1": "5.0"}, free=["recall"]), ours).members[0].p_value
    both = judge_group(one_run({"recall": "0.58", "f1": "5.0"}), ours).members[0].p_value
    assert 2 * alone == 2 * beside == both


def test_reproduced_needs_the_whole_interval_within_the_tolerance_of_the_published_number():
    ours = seeds_of("a", np.linspace(0.45, 0.55, 20))
    low, high = judge_group(one_run({"a": "0.50"}), ours).members[0].interval
    for printed in ("0.50", "0.54"):
        reach = max(float(printed) - low, high - float(printed))
        assert judge_group(one_run({"a": printed}, tolerance=reach + 1e-9), ours).verdict == "reproduced"
        assert judge_group(one_run({"a": printed}, tolerance=reach - 1e-9), ours).verdict == "within spread"


def test_a_printed_number_is_tested_at_the_end_of_its_rounding_that_is_nearer_to_us():
    values = np.linspace(0.45, 0.55, 20)

    def p_value(printed):
        return Prediction(values, printed, "linear", None).p_value()

    assert p_value("0.60") == pytest.approx(p_value("0.5950000"), rel=1e-4)
    assert p_value("0.6") == pytest.approx(p_value("0.5500000"), rel=1e-4)
    assert p_value("0.6000000") < p_value("0.60") < p_value("0.6")
    assert p_value("0.5") == 1.0
    for printed, outside in {"0.55": False, "0.6": False, "0.56": True, "0.44": True, "0.4": False}.items():
        assert Prediction(values, printed, "linear", None).outside_range() == outside


@pytest.mark.parametrize(("printed", "cases", "meant"), [("0.69", 100, 0.69), ("0.87", 231, None), ("0.33", 3, 1 / 3)])
def test_where_one_count_alone_is_printed_so_it_is_tested_exactly(printed, cases, meant):
    # 200 and 201 of 231 are both printed 0.87, so the end of the rounding that is nearer counts.
    values = np.linspace(0.4, 0.5, 20) if meant != 1 / 3 else np.linspace(0.6, 0.8, 20)
    found = prediction._nearest(printed, cases, float(np.mean(values)))
    assert found == (pytest.approx(float(printed) - 0.005) if meant is None else meant)


def test_below_twenty_seeds_a_number_outside_is_not_said_to_differ():
    group = one_run({"a": "0.90"})
    assert judge_group(group, seeds_of("a", np.linspace(0.45, 0.55, 19))).verdict == "outside so far"
    assert judge_group(group, seeds_of("a", np.linspace(0.45, 0.55, 20))).verdict == "differs (lower)"


def test_derived_numbers_are_shown_and_tested_and_not_counted():
    group = Group("d", "d", "derived", "", "", {"a": "0.51"})
    agreeing, other = (judge_group(group, seeds_of("a", [value])) for value in (0.505, 0.52))
    assert (agreeing.verdict, other.verdict) == ("agrees", "differs")
    summary = summarise([agreeing, other])
    assert (summary.exact, summary.exact_groups, summary.one_run_groups) == (0, 0, 0)


def test_a_group_of_many_numbers_is_not_many_chances():
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 0.1, 20)
    outside_alone = np.mean(values) + 2.4 * np.std(values, ddof=1) * math.sqrt(1 + 1 / 20)
    names = [f"m{i}" for i in range(10)]
    ours = {seed: dict.fromkeys(names, value) for seed, value in enumerate(values)}
    printed = dict.fromkeys(names, "0.50") | {"m0": f"{max(outside_alone, max(values) + 0.01):.2f}"}
    assert judge_group(one_run({"m0": printed["m0"]}), ours).verdict == "differs (lower)"
    assert judge_group(one_run(printed), ours).verdict == "reproduced"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_the_step_down_procedure(p_values):
    adjusted = holm({str(i): p for i, p in enumerate(p_values)})
    for alpha in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[i] * (len(p_values) - rank) > alpha:
                break
            rejected.add(str(i))
        assert {name for name, p in adjusted.items() if p <= alpha} == rejected


def test_the_summary_counts_groups_and_what_chance_would_do():
    ours = seeds_of("a", np.linspace(0.45, 0.55, 10))
    groups = [
        judge_group(one_run({"a": "0.50"}), ours),
        judge_group(one_run({"a": "0.90"}), ours),
        judge_group(exact({"a": "0.50"}), seeds_of("a", [0.5])),
        judge_group(one_run({"absent": "0.90"}), {}),
    ]
    summary = summarise(groups)
    assert (summary.exact, summary.exact_groups) == (1, 1)
    assert (summary.outside, summary.one_run_groups, summary.expected_outside) == (1, 2, pytest.approx(0.13))


def test_stand_ins_are_compared_with_nothing():
    group = exact({"a": "0.50"})
    published = Published("e", None, {}, (group, one_run({"b": "0.5"})), (Claim("c", "c", "", ("a > 0",)),))
    comparison = compare(published, {seed: {"a": 0.5, "b": 0.5 + seed / 100} for seed in range(10)}, stand_in=True)
    assert {result.verdict for result in comparison.groups} == {"stand-in data"}
    assert [member.interval for result in comparison.groups for member in result.members] == [None, None]
    assert comparison.claims == ()
    assert (comparison.summary.exact_groups, comparison.summary.one_run_groups) == (0, 0)
    assert comparison.groups[1].members[0].mean == pytest.approx(0.545)


# Claims.


def test_claims_are_counted_seed_by_seed():
    claim = Claim("c", "c", "", ("a > b", "a >= 0.5"), reading=True)
    seeds = {0: {"a": 0.6, "b": 0.1}, 1: {"a": 0.4, "b": 0.1}, 2: {"a": 0.6, "b": 0.7}, 3: {"a": 0.6, "b": None}}
    result = judge_claim(claim, seeds, failed=1)
    assert (result.holds, result.n, result.missing, result.reading) == (1, 3, 2, True)
    assert result.interval == wilson_interval(1, 3)
    assert judge_claim(claim, {}).interval is None


def test_a_condition_judges_the_one_run_groups_over_the_seeds_that_meet_it():
    condition = Claim("alive", "alive", "", ("dead < 1",))
    alive = np.linspace(0.7, 0.8, 9)
    seeds = {seed: {"dead": 0, "a": value, "b": 1} for seed, value in enumerate(alive)}
    seeds |= {9: {"dead": 1, "a": 0.2, "b": 1}, 10: {"dead": 1, "a": 0.3, "b": 1}, 11: {"dead": None, "a": 0.9, "b": 1}}
    groups = [one_run({"a": "0.74"}, tolerance=0.1), exact({"b": "1"})]
    given = judge_given(condition, groups, seeds, failed=1)
    assert given.seeds == tuple(range(9))
    assert given.metrics == ("dead",)
    assert (given.condition.holds, given.condition.n, given.condition.missing) == (9, 11, 2)
    assert given.condition.interval == wilson_interval(9, 11)
    (group,) = given.groups
    assert group == judge_group(groups[0], seeds_of("a", alive))
    assert group.verdict == "reproduced"
    assert judge_group(groups[0], seeds).verdict == "within spread"


def test_a_condition_that_one_run_shows_says_nothing_of_the_rows_of_another():
    row = one_run({"a": "0.5"})
    rows = [structs.replace(row, run="June"), structs.replace(row, name="h", run="July")]
    seeds = {seed: {"dead": 0, "a": 0.5} for seed in range(3)}
    condition = Claim("alive", "alive", "", ("dead < 1",), run="July")
    assert [group.name for group in judge_given(condition, rows, seeds).groups] == ["h"]
    anywhere = structs.replace(condition, run="")
    assert [group.title for group in judge_given(anywhere, rows, seeds).groups] == ["g (June)", "g (July)"]


def test_a_row_is_not_judged_while_one_of_its_free_numbers_is_computed_nowhere():
    row = one_run({"a": "0.5", "b": "0.5"})
    assert judge_group(row, seeds_of("a", [0.4, 0.5, 0.6])).verdict == "not run"
    assert judge_group(structs.replace(row, free=("a",)), seeds_of("a", [0.4, 0.5, 0.6])).verdict == "reproduced"


def test_a_comparison_gives_both_readings_of_every_condition():
    conditions = (Claim("alive", "alive", "", ("dead < 1",)), Claim("dead", "dead", "", ("dead >= 1",)))
    published = Published("e", None, {}, (one_run({"a": "0.5"}),), (), conditions)
    alive, dead = compare(published, {seed: {"dead": 0, "a": 0.5} for seed in range(3)}).conditional
    assert (alive.condition.holds, alive.groups[0].verdict) == (3, "reproduced")
    assert (dead.condition.holds, dead.groups[0].verdict, dead.groups[0].n) == (0, "not run", 0)
    assert compare(Published("e", None, {}, (), ()), {}).conditional == ()


@given(st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_agrees_with_scipy(case):
    successes, trials = case
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_interval_refuses_the_impossible():
    with pytest.raises(ValueError, match="Received: 3 of 2"):
        wilson_interval(3, 2)


# This machine against the reference.


def test_identical_runs_agree_and_rounding_is_told_from_difference():
    reference = {seed: {"a": 1.0 + seed, "b": 2.0 + seed, "c": 3.0, "d": 4.0} for seed in range(4)}
    ours = {seed: {"a": 1.0 + seed, "b": (2.0 + seed) * (1 + 1e-9), "c": 9.0, "d": None} for seed in range(4)}
    verdicts = {row.metric: row.verdict for row in agree(reference, ours)}
    assert verdicts == {"a": "identical", "b": "equal to rounding", "c": "differs", "d": "defined on one side only"}
    shifted = {seed + 100: {"c": 3.0 * (1 + 1e-9)} for seed in ours}
    (row,) = [row for row in agree(reference, shifted) if row.metric == "c"]
    assert row.verdict == "equal to rounding"


@given(st.integers(0, 10_000))
def test_two_samples_of_one_distribution_are_compared_by_welch(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, 6), rng.normal(0.5, 2, 9)
    (row,) = agree({i: {"m": v} for i, v in enumerate(a)}, {100 + i: {"m": v} for i, v in enumerate(b)})
    p = scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
    assert row.verdict == ("differs" if p < 0.05 else "not told apart")


# Another network of the source, which is an ablation here.


def test_numbers_of_an_ablation_stand_beside_those_of_the_same_seed():
    printed = {"loss", "a_larger_one.loss", "a_larger_one.auroc"}
    seeds = {0: {"loss": 1.0}, 1: {"loss": 2.0}}
    ablated = {
        "a larger one": {1: {"loss": 0.5, "auroc": 0.9, "epochs": 3}, 7: {"loss": 0.1}},
        "another": {0: {"loss": 4.0}},
    }
    found = with_ablations(seeds, ablated, printed)
    assert found == {0: {"loss": 1.0}, 1: {"loss": 2.0, "a_larger_one.loss": 0.5, "a_larger_one.auroc": 0.9}}
    assert seeds == {0: {"loss": 1.0}, 1: {"loss": 2.0}}
    assert with_ablations(seeds, {}, printed) == seeds
