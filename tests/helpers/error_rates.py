"""Simulated sources and rankings: how often a number of our own distribution is said to differ, an interval wrong.

A long simulation, with a standard error of at most 0.2 %:

    python -m tests.helpers.error_rates
"""

import argparse
import math
from statistics import NormalDist

import numpy as np

from common.comparison.leaderboard import BETTER, WORSE, Scored, leaderboard
from common.comparison.published import Group
from common.comparison.standings import FEWEST_ANOMALIES
from common.comparison.statistics import mean_interval, skewed_mean_interval
from common.comparison.verdicts import CHANCE_OUTSIDE, FIRM_SEEDS, judge_group

# Trials after which the standard error of a rate of `CHANCE_OUTSIDE` is 0.2 %.
TRIALS = math.ceil(CHANCE_OUTSIDE * (1 - CHANCE_OUTSIDE) / 0.002**2)


def rare_mode(probability):
    """Normal values, and with some probability others far above them, a hundred standard deviations apart."""
    return lambda rng, size: rng.normal(0, 1, size) + 100 * (rng.random(size) < probability)


NUMBERS = {
    "normal": lambda rng, size: rng.normal(0, 1, size),
    "exponential": lambda rng, size: rng.exponential(1, size),
    "log-normal on a linear scale": lambda rng, size: np.exp(rng.normal(0, 1, size)),
    "t with 3 degrees of freedom": lambda rng, size: rng.standard_t(3, size),
    "two modes, 30 % and 70 %": lambda rng, size: np.where(rng.random(size) < 0.3, -5, 5) + rng.normal(0, 1, size),
    **{f"a second mode of {percent} %": rare_mode(percent / 100) for percent in (2, 3, 4, 5, 6, 8, 10)},
}


def counts(rng, shape, size):
    """Hits of 100, with rates of three shapes."""
    if shape == "normal":
        rates = rng.normal(0.7, 0.06, size)
    elif shape == "skewed":
        rates = 1 - 0.05 * rng.exponential(1, size)
    else:
        rates = np.where(rng.random(size) < 0.3, rng.normal(0.3, 0.03, size), rng.normal(0.8, 0.03, size))
    return np.clip(np.round(rates * 100), 0, 100).astype(int)


def report_metrics(hits, rejections, name="m"):
    """The seven numbers of a classification report over 100 + 100 cases, from their two counts."""
    fp, fn = 100 - rejections, 100 - hits
    return {
        f"{name}.normal.precision": rejections / (rejections + fn) if rejections + fn else None,
        f"{name}.normal.recall": rejections / 100,
        f"{name}.normal.f1": 2 * rejections / (2 * rejections + fn + fp) if rejections else 0.0,
        f"{name}.anomaly.precision": hits / (hits + fp) if hits + fp else None,
        f"{name}.anomaly.recall": hits / 100,
        f"{name}.anomaly.f1": 2 * hits / (2 * hits + fn + fp) if hits else 0.0,
        f"{name}.accuracy": (hits + rejections) / 200,
    }


def a_number(rng, shape, seeds):
    """A published number with many digits, and our seeds from the same distribution."""
    *ours, published = NUMBERS[shape](rng, seeds + 1)
    return one_run({"a": f"{published:.6f}"}), {seed: {"a": value} for seed, value in enumerate(ours)}


def a_report(rng, shape, seeds):
    """A published classification report, rounded to two digits, and ours from the same distribution."""
    pairs = zip(counts(rng, shape, seeds + 1), counts(rng, shape, seeds + 1), strict=True)
    *ours, published = (report_metrics(hits, rejections) for hits, rejections in pairs)
    printed = {name: f"{value:.2f}" for name, value in published.items() if value is not None}
    group = one_run(printed, free=["m.normal.recall", "m.anomaly.recall"], scale="logit", cases=100)
    return group, dict(enumerate(ours))


def a_curve(rng, shape, seeds):
    """A published loss curve of five epochs, and ours, whose epochs are correlated."""
    steps = {
        "normal": lambda size: rng.normal(0, 0.3, size),
        "skewed": lambda size: rng.exponential(0.5, size),
        "two modes": lambda size: np.where(rng.random(size) < 0.3, 1.2, 0) + rng.normal(0, 0.1, size),
    }
    names = [f"loss.epoch_{epoch:03d}" for epoch in range(1, 6)]
    levels = 0.02 * np.exp(steps[shape](seeds + 1))
    *ours, published = levels[:, None] * np.exp(rng.normal(0, 0.1, (seeds + 1, len(names))))
    printed = {name: f"{value:.4f}" for name, value in zip(names, published, strict=True)}
    return one_run(printed, scale="log"), {
        seed: dict(zip(names, curve, strict=True)) for seed, curve in enumerate(ours)
    }


ROWS = ("normal", "skewed", "two modes")
CASES = [
    *((f"number, {shape}", a_number, shape) for shape in NUMBERS),
    *((f"report, {shape}", a_report, shape) for shape in ROWS),
    *((f"curve, {shape}", a_curve, shape) for shape in ROWS),
]


def one_run(numbers, free=None, scale="linear", cases=None, tolerance=1e9):
    """A printed row of one run."""
    return Group("g", "g", "one run", "", "", numbers, tuple(free or numbers), scale, cases, tolerance, False, "why")


def false_alarms(draw, shape, trials, seeds=FIRM_SEEDS, random_state=0):
    """The fraction of sources from our own distribution that are said to differ."""
    rng = np.random.default_rng(random_state)
    return sum(judge_group(*draw(rng, shape, seeds)).verdict.startswith("differs") for _ in range(trials)) / trials


# Standard deviations of the noise of test samples, which all seeds share, of seeds, and of both together.
NOISES = {
    "test samples dominate": (1.0, 0.1, 0.2),
    "seeds dominate": (0.1, 0.8, 0.7),
    "the interaction dominates": (0.1, 0.1, 1.0),
}


def a_ranking(rng, noise, seeds, methods=4, samples=60, distance=1.5):
    """Scores of equally good methods over some seeds on one test set."""
    of_samples, of_seeds, of_both = noise
    labels = np.arange(samples) % 2
    shared = {f"method {i}": rng.normal(0, of_samples, samples) for i in range(methods)}
    ranking = {}
    for seed in range(seeds):
        scores = {
            method: effects + labels * rng.normal(distance, of_seeds) + rng.normal(0, of_both, samples)
            for method, effects in shared.items()
        }
        ranking[seed] = Scored(labels, np.arange(samples), scores)
    return ranking


def true_auroc(noise, distance=1.5):
    """The expected AUROC of a method of `a_ranking`: the chance that an anomaly scores above a normal sample."""
    of_samples, of_seeds, of_both = noise
    return NormalDist(sigma=math.sqrt(2 * (of_samples**2 + of_both**2) + of_seeds**2)).cdf(distance)


def coverage(noise, trials, seeds=FIRM_SEEDS, replicates=400, random_state=0):
    """The fraction of the intervals of AUROCs that hold the truth, and of those of differences, on one test set."""
    rng, truth = np.random.default_rng(random_state), true_auroc(noise)
    aurocs, differences = [], []
    while len(aurocs) < trials:
        for row in leaderboard(a_ranking(rng, noise, seeds), "method 0", replicates):
            low, high = row.auroc_interval
            aurocs.append(low <= truth <= high)
            if row.difference_interval is not None:
                low, high = row.difference_interval
                differences.append(low <= 0 <= high)
    return np.mean(aurocs), np.mean(differences)


def coverage_of_own_test_sets(noise, trials, seeds=FIRM_SEEDS, random_state=0, samples=60, distance=1.5):
    """Likewise, with a test set for each seed, so that the noise of samples is drawn for each."""
    of_samples, of_seeds, of_both = noise
    rng, truth = np.random.default_rng(random_state), true_auroc(noise)

    def draw_aurocs():
        normal, anomalous = rng.normal(0, math.hypot(of_samples, of_both), (2, seeds, samples // 2))
        anomalous += rng.normal(distance, of_seeds, (seeds, 1))
        return np.mean(anomalous[:, :, None] > normal[:, None, :], axis=(1, 2))

    held = []
    for _ in range(trials):
        ours, other = draw_aurocs(), draw_aurocs()
        (low, high), (fell, rose) = skewed_mean_interval(ours), mean_interval(other - ours)
        held.append((low <= truth <= high, fell <= 0 <= rose))
    return np.mean(held, axis=0)


def false_rankings(anomalies, trials, replicates=400, random_state=0):
    """How often one of two random scores is said to be better, with so many anomalies among the test samples."""
    rng, told = np.random.default_rng(random_state), 0
    labels = np.repeat([0, 1], [300, anomalies])
    for _ in range(trials):
        scored = Scored(labels, np.arange(len(labels)), {name: rng.normal(size=len(labels)) for name in "ab"})
        rows = leaderboard({0: scored}, "a", replicates=replicates)
        told += any(row.standing in (BETTER, WORSE) for row in rows)
    return told / trials


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seeds", type=int, default=FIRM_SEEDS, help="seeds of ours (default: %(default)s)")
    options = parser.parse_args()
    for title, draw, shape in CASES:
        rate = false_alarms(draw, shape, options.trials, options.seeds)
        error = math.sqrt(rate * (1 - rate) / options.trials)
        print(f"{title}: {rate:.2%} +- {error:.2%}", flush=True)
    coverages = {"one test set": coverage, "a test set for each seed": coverage_of_own_test_sets}
    for of_what, covered in coverages.items():
        for title, noise in NOISES.items():
            of_auroc, of_difference = covered(noise, options.trials, options.seeds)
            print(f"coverage, {of_what}, {title}: AUROC {of_auroc:.1%}, difference {of_difference:.1%}", flush=True)
    for anomalies in (1, 2, 3, 5, FEWEST_ANOMALIES, 2 * FEWEST_ANOMALIES):
        print(f"false rankings with {anomalies} anomalies: {false_rankings(anomalies, 400):.1%}", flush=True)
