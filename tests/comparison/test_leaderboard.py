from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from common.comparison import leaderboard as module
from common.comparison.leaderboard import BETTER, NOT_TOLD_APART, REFERENCE, WORSE, Scored, leaderboard
from common.comparison.statistics import skewed_mean_interval


def auroc(labels, scores):
    """By counting pairs; None without both classes."""
    anomalous, normal = scores[labels == 1][:, None], scores[labels == 0]
    return np.mean((anomalous > normal) + 0.5 * (anomalous == normal)) if anomalous.size and normal.size else None


def mean(values):
    known = [value for value in values if value is not None]
    return np.mean(known) if known else None


def plain_intervals(seeds, method, reference, replicates, random_state):
    """The intervals of AUROC and difference, from samples that are laid out anew for each replicate."""
    numbers = np.unique(np.concatenate([scored.groups for scored in seeds.values()]))
    order = sorted(seeds)
    group_draws, seed_draws = (np.random.default_rng([random_state, stream]) for stream in (0, 1))
    own, differences = [], []
    for _ in range(replicates):
        groups = numbers[group_draws.integers(len(numbers), size=len(numbers))]
        values = {method: [], reference: []}
        for place in seed_draws.integers(len(order), size=len(order)):
            scored = seeds[order[place]]
            samples = np.concatenate([np.flatnonzero(scored.groups == group) for group in groups])
            for name, found in values.items():
                has = name in scored.scores
                found.append(auroc(scored.labels[samples], scored.scores[name][samples]) if has else None)
        pairs = zip(values[method], values[reference], strict=True)
        own.append(mean(values[method]))
        differences.append(mean([None if None in (a, b) else a - b for a, b in pairs]))
    return [np.percentile([x for x in found if x is not None], [2.5, 97.5]) for found in (own, differences)]


def noisy(seed, strengths, samples=60, groups=None, first_group=0, ties=False):
    """A test set and one method a strength: the label times the strength, plus noise of its own."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % 3 == 0
    noise = {name: random.normal(size=samples) for name in strengths}
    scores = {name: strength * labels + noise[name] for name, strength in strengths.items()}
    if ties:
        scores = {name: np.round(values) for name, values in scores.items()}
    return Scored(labels.astype(int), first_group + np.arange(samples) % (groups or samples), scores)


def by_method(rows):
    return {row.method: row for row in rows}


@st.composite
def experiments(draw):
    """Seeds with few samples, tied scores, overlapping groups, and methods that lack seeds."""
    seeds = {}
    for seed in range(draw(st.integers(1, 3))):
        samples = draw(st.integers(2, 12))
        vector = st.lists(st.integers(0, 3), min_size=samples, max_size=samples)
        labels = np.array(draw(vector)) % 2
        labels[:2] = 0, 1
        groups = np.array(draw(vector)) + draw(st.sampled_from([0, 2, 10]))
        methods = ["a", "b"] if seed == 0 else draw(st.sampled_from([["a"], ["b"], ["a", "b"], []]))
        seeds[seed] = Scored(labels, groups, {name: np.array(draw(vector), float) for name in methods})
    return seeds


@pytest.mark.parametrize("dense", [0, 64])
@settings(max_examples=20, deadline=None)
@given(seeds=experiments(), random_state=st.integers(0, 9))
def test_intervals_agree_with_samples_laid_out_anew(dense, seeds, random_state):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_DENSE", dense)
        patched.setattr(module, "_CHUNK", 7)
        row = by_method(leaderboard(seeds, "b", replicates=20, random_state=random_state))["a"]
    own, difference = plain_intervals(seeds, "a", "b", 20, random_state)
    assert row.auroc_interval == pytest.approx(own, abs=1e-6)
    assert row.difference_interval == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("groups", [None, 12])
def test_larger_test_sets_agree_too(groups, ties):
    strengths = {"a": 1.0, "b": 0.5}
    seeds = {seed: noisy(seed, strengths, 300, groups, first_group=seed * 5, ties=ties) for seed in range(2)}
    row = by_method(leaderboard(seeds, "b", replicates=20, random_state=3))["a"]
    own, difference = plain_intervals(seeds, "a", "b", 20, 3)
    assert row.auroc_interval == pytest.approx(own, abs=1e-6)
    assert row.difference_interval == pytest.approx(difference, abs=1e-6)


def test_points_are_means_over_the_seeds_of_a_method():
    seeds = {seed: noisy(seed, {"a": 1.0, "b": 0.5}) for seed in range(4)}
    seeds[2] = replace(seeds[2], scores={"b": seeds[2].scores["b"]})
    rows = by_method(leaderboard(seeds, "b", replicates=10))
    aurocs = {name: [auroc(s.labels, s.scores[name]) for s in seeds.values() if name in s.scores] for name in "ab"}
    assert (rows["a"].seeds, rows["b"].seeds) == (3, 4)
    for name, values in aurocs.items():
        assert rows[name].auroc == pytest.approx(np.mean(values))
        assert rows[name].auroc_spread == pytest.approx(np.std(values, ddof=1))
    common = [a - b for a, b in zip(aurocs["a"], np.delete(aurocs["b"], 2), strict=True)]
    assert rows["a"].difference == pytest.approx(np.mean(common))


def test_all_three_metrics_are_those_of_a_single_test_set():
    scored = Scored(np.array([0, 0, 0, 0, 1, 1]), np.arange(6), {"m": np.array([1.0, 2, 3, 4, 3.5, 5])})
    (row,) = leaderboard({7: scored}, "m", replicates=50)
    assert (row.auroc, row.average_precision, row.fpr_at_95_recall) == pytest.approx((7 / 8, (1 + 2 / 3) / 2, 1 / 4))
    assert (row.seeds, row.auroc_spread, row.difference, row.difference_interval) == (1, None, None, None)
    assert (row.seeds_above_chance, row.p_value) == (1, None)
    assert row.standing == REFERENCE


def test_identical_methods_differ_by_exactly_nothing():
    seeds = {seed: noisy(seed, {"a": 1.0}, ties=True) for seed in range(3)}
    # The twin ranks alike on another scale.
    seeds = {k: replace(s, scores={**s.scores, "twin": np.exp(s.scores["a"]).round(9)}) for k, s in seeds.items()}
    row = by_method(leaderboard(seeds, "a", replicates=100))["twin"]
    assert (row.difference, row.difference_interval, row.standing) == (0, (0, 0), NOT_TOLD_APART)


def test_the_best_comes_first_and_what_is_clear_is_told():
    strengths = {"worse": -1.0, "middle": 1.0, "best": 3.0}
    rows = leaderboard({seed: noisy(seed, strengths, 300) for seed in range(5)}, "middle", replicates=200)
    standings = [("best", BETTER), ("middle", REFERENCE), ("worse", WORSE)]
    assert [(row.method, row.standing) for row in rows] == standings
    assert all(row.auroc_interval[0] < row.auroc < row.auroc_interval[1] for row in rows)


def test_equal_methods_come_by_name():
    scores = np.array([0.0, 1.0, 1.0])
    scored = Scored(np.array([0, 1, 0]), np.arange(3), {"b": scores, "c": scores, "a": scores})
    assert [row.method for row in leaderboard({0: scored}, "c", replicates=20)] == ["a", "b", "c"]


def test_pairing_tells_apart_what_separate_intervals_do_not():
    random = np.random.default_rng(0)
    labels = np.arange(200) % 2
    shared = labels + random.normal(size=200)
    better = shared + 0.1 * labels + 0.01 * random.normal(size=200)
    rows = by_method(leaderboard({0: Scored(labels, np.arange(200), {"a": better, "b": shared})}, "b"))
    assert rows["a"].auroc_interval[0] < rows["b"].auroc_interval[1]
    assert rows["a"].standing == BETTER


def test_equally_good_methods_are_mostly_not_told_apart(monkeypatch):
    # The points take most of the time, and the standing comes from the interval alone.
    points = {"auroc": 0.5, "average_precision": 0.5, "fpr_at_95_recall": 0.5}
    monkeypatch.setattr(module, "detection_metrics", lambda labels, scores: points)
    told_apart = 0
    for case in range(100):
        seeds = {seed: noisy(1000 + 3 * case + seed, {"a": 1.0, "b": 1.0}, 90) for seed in range(3)}
        (row,) = (row for row in leaderboard(seeds, "b", replicates=100) if row.method == "a")
        told_apart += row.standing != NOT_TOLD_APART
    assert told_apart <= 15


def test_a_standing_is_corrected_for_how_many_methods_are_asked_about():
    random = np.random.default_rng(1)
    labels = np.arange(200) % 2
    reference = labels + random.normal(size=200)
    scores = {"reference": reference, "a": reference + 0.1 * labels + 0.25 * random.normal(size=200)}
    alone = by_method(leaderboard({0: Scored(labels, np.arange(200), scores)}, "reference"))["a"]
    assert alone.standing == BETTER and 0.001 < alone.p_value < 0.05
    others = {f"noise {k}": reference + 0.2 * random.normal(size=200) for k in range(40)}
    rows = by_method(leaderboard({0: Scored(labels, np.arange(200), scores | others)}, "reference"))
    assert rows["a"].difference_interval == alone.difference_interval
    assert rows["a"].difference_interval[0] > 0
    assert rows["a"].standing == NOT_TOLD_APART and rows["a"].p_value > 0.05


def test_standings_do_not_hang_on_the_draws():
    strengths = {"worse": 0.2, "reference": 1.0, "twin": 1.0, "better": 1.8}
    seeds = {seed: noisy(seed, strengths, 200) for seed in range(3)}
    found = {
        tuple((row.method, row.standing) for row in leaderboard(seeds, "reference", random_state=state))
        for state in range(5)
    }
    assert len(found) == 1


def test_the_p_value_counts_replicates_on_the_other_side_of_zero():
    assert module._p_value(np.array([1.0] * 19)) == pytest.approx(2 / 20)
    assert module._p_value(np.array([1.0] * 18 + [-1.0])) == pytest.approx(4 / 20)
    assert module._p_value(np.array([-1.0] * 17 + [0.0, 1.0])) == pytest.approx(6 / 20)
    assert module._p_value(np.zeros(9)) == 1


def test_copies_within_a_group_add_no_certainty():
    single = {seed: noisy(seed, {"a": 1.0, "b": 0.5}, 50) for seed in range(2)}
    copied = {
        seed: Scored(
            *(np.repeat(x, 20) for x in (s.labels, s.groups)), {m: np.repeat(v, 20) for m, v in s.scores.items()}
        )
        for seed, s in single.items()
    }
    for once, often in zip(leaderboard(single, "b"), leaderboard(copied, "b"), strict=True):
        assert often.auroc_interval == pytest.approx(once.auroc_interval, abs=1e-6)
    pretended = {seed: replace(s, groups=np.arange(1000)) for seed, s in copied.items()}
    widths = [np.ptp(by_method(leaderboard(x, "b"))["a"].auroc_interval) for x in (copied, pretended)]
    assert widths[1] < widths[0] / 2


def test_different_test_sets_say_more_than_the_same_one_again():
    def width(shared):
        seeds = {k: noisy(k, {"a": 1.0}, 60, first_group=0 if shared else 60 * k) for k in range(10)}
        if shared:
            seeds = dict.fromkeys(range(10), seeds[0])
        return np.ptp(leaderboard(seeds, "a")[0].auroc_interval)

    assert width(shared=False) < 0.7 * width(shared=True)


def test_methods_without_a_common_seed_are_not_compared():
    seeds = {0: noisy(0, {"a": 3.0}), 1: noisy(1, {"b": 0.0})}
    row = by_method(leaderboard(seeds, "b", replicates=50))["a"]
    assert (row.seeds, row.difference, row.difference_interval, row.standing) == (1, None, None, NOT_TOLD_APART)


def test_the_draws_follow_from_the_random_state_alone(monkeypatch):
    seeds = {seed: noisy(seed, {"a": 1.0, "b": 0.5}) for seed in range(3)}
    rows = leaderboard(seeds, "a", replicates=100)
    assert leaderboard(seeds, "a", replicates=100, random_state=1) != rows
    monkeypatch.setattr(module, "_CHUNK", 9)
    assert leaderboard(dict(reversed(seeds.items())), "a", replicates=100) == rows


def test_scores_shared_by_seeds_are_computed_once(monkeypatch):
    ranked = []
    monkeypatch.setattr(module, "_Ranking", lambda *args, made=module._Ranking: ranked.append(1) or made(*args))
    seeds = {seed: noisy(0, {"a": 1.0, "b": 0.5}) for seed in range(4)}
    leaderboard(seeds, "a", replicates=10)
    assert len(ranked) == 2


def test_what_cannot_be_ranked_is_refused():
    scored = noisy(0, {"a": 1.0, "b": 1.0})
    with pytest.raises(ValueError, match=r"one of the methods \[a, b\]. Received: 'c'"):
        leaderboard({0: scored}, "c")
    with pytest.raises(ValueError, match=r"one of the methods \[\]. Received: 'c'"):
        leaderboard({}, "c")
    with pytest.raises(ValueError, match="replicate"):
        leaderboard({0: scored}, "a", replicates=0)
    broken = {**scored.scores, "b": np.where(np.arange(60) == 4, np.nan, 0)}
    with pytest.raises(ValueError, match=r"Seed 3, b: scores must be finite. Received: 1 .* nan at index 4"):
        leaderboard({3: replace(scored, scores=broken)}, "a")
    with pytest.raises(ValueError, match=r"Seed 3, a: expected scores of shape \(60,\). Received: \(2,\)"):
        leaderboard({3: replace(scored, scores={"a": np.zeros(2)})}, "a")
    with pytest.raises(ValueError, match=r"both must occur. Received: \[0\]"):
        leaderboard({3: replace(scored, labels=np.zeros(60, int))}, "a")
    with pytest.raises(ValueError, match="groups must be whole numbers"):
        leaderboard({3: replace(scored, groups=np.arange(60.0))}, "a")
    with pytest.raises(ValueError, match="vectors of one length"):
        leaderboard({3: replace(scored, groups=np.arange(3))}, "a")


def test_too_few_groups_for_any_replicate_are_refused():
    scored = Scored(np.array([0, 1]), np.arange(2), {"a": np.array([0.0, 1.0])})
    states = [state for state in range(20) if len(set(np.random.default_rng([state, 0]).integers(2, size=2))) == 1]
    with pytest.raises(ValueError, match="None of 1 replicates contains both classes"):
        leaderboard({0: scored}, "a", replicates=1, random_state=states[0])


# A test set of its own for every seed.


def own_sets(rng, seeds, samples=60, shift=1.0, of_seeds=0.0, better=0.0):
    """Scores of two methods on test sets that no two seeds share; the mean shift of anomalies varies with the seed."""
    labels = np.repeat([0, 1], samples // 2)
    drawn = {}
    for seed in range(seeds):
        common = rng.normal(0, 1, samples) + (shift + of_seeds * rng.normal()) * labels
        scores = {"ours": common + 0.5 * rng.normal(0, 1, samples), "other": common + better * labels}
        scores["other"] = scores["other"] + 0.5 * rng.normal(0, 1, samples)
        drawn[seed] = Scored(labels, np.arange(samples) + seed * samples, scores)
    return drawn


def test_with_a_test_set_for_each_seed_intervals_and_tests_are_students():
    seeds = own_sets(np.random.default_rng(0), 6, better=0.3)
    rows = {row.method: row for row in leaderboard(seeds, "ours", students_t=True)}
    ours, other = (
        [sklearn.metrics.roc_auc_score(one.labels, one.scores[method]) for one in seeds.values()]
        for method in ("ours", "other")
    )
    assert rows["other"].auroc_interval == pytest.approx(skewed_mean_interval(other))
    paired = scipy.stats.ttest_rel(other, ours)
    assert rows["other"].difference_interval == pytest.approx(tuple(paired.confidence_interval()))
    assert rows["other"].p_value == pytest.approx(paired.pvalue)


@pytest.mark.parametrize(("samples", "of_seeds"), [(30, 0.0), (200, 1.0)], ids=["of samples", "of seeds"])
def test_intervals_over_seeds_cover_the_truth_where_the_noise_of_either_dominates(samples, of_seeds):
    rng, trials = np.random.default_rng(1), 1000

    def aurocs(seeds):
        drawn = own_sets(rng, seeds, samples, 1.0, of_seeds).values()
        return [auroc(one.labels, one.scores["ours"]) for one in drawn]

    truth, covered = np.mean(aurocs(20_000)), 0
    for _ in range(trials):
        low, high = skewed_mean_interval(aurocs(20))
        covered += low <= truth <= high
    assert 0.92 <= covered / trials <= 0.97


def test_holms_correction_is_over_each_family_by_itself():
    seeds = {seed: noisy(seed, {"ours": 2, "a": 1, "b": 1.4, "c": 1.2}) for seed in range(3)}
    together = by_method(leaderboard(seeds, "ours"))
    apart = by_method(leaderboard(seeds, "ours", families={"c": "another"}))
    alone = by_method(leaderboard({seed: without(scored, "a", "b") for seed, scored in seeds.items()}, "ours"))
    pair = by_method(leaderboard({seed: without(scored, "c") for seed, scored in seeds.items()}, "ours"))
    assert apart["c"].p_value == alone["c"].p_value < together["c"].p_value
    assert [apart[name].p_value for name in "ab"] == [pair[name].p_value for name in "ab"]


def without(scored, *methods):
    return replace(scored, scores={name: values for name, values in scored.scores.items() if name not in methods})
