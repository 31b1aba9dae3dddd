from dataclasses import replace

import numpy as np
import pytest

from common.cli.main import main as command_line
from common.data import datasets
from common.data.datasets import Source
from common.data.images import Images
from common.files import REPORTS
from common.papers import isolation_forest
from common.papers.isolation_forest import contrast_normalised, count_exact, forest_aurocs, judge, printed, rebuild
from common.report import markdown
from common.report.results import read_results
from experiments import EXPERIMENTS


def digits(n_train=20, n_test=5):
    """Noisy images of ten classes, each with a bright square in a place of its own."""
    generator = np.random.default_rng(0)
    labels = [np.repeat(np.arange(10, dtype=np.uint8), n) for n in (n_train, n_test)]
    pixels = [generator.integers(0, 60, (len(of), 28, 28), dtype=np.uint8) for of in labels]
    for images, of in zip(pixels, labels, strict=True):
        for image, label in zip(images, of, strict=True):
            image[2 * label : 2 * label + 8, 2 * label : 2 * label + 8] = 200
    return Images(pixels[0], labels[0], pixels[1], labels[1])


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setattr(isolation_forest, "TREES", 10)
    monkeypatch.setattr(isolation_forest, "SAMPLES_OF_A_TREE", 16)


@pytest.fixture
def small(monkeypatch):
    images = digits()

    def load(name, source):
        assert (name, source.mode) == ("mnist", "real")  # A stand-in is refused.
        return images

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(datasets, "identify", lambda name, source: "a digest")
    return images


@pytest.fixture(scope="module")
def reference():
    return read_results(REPORTS / "reference").rebuilt


def test_contrast_is_normalised_image_by_image():
    images = digits().x_train
    rows = contrast_normalised(images)
    assert rows.shape == (len(images), 784) and rows.dtype == np.float64
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(rows).mean(axis=1), 1)
    one = images[3].astype(float).ravel()
    np.testing.assert_allclose(rows[3], (one - one.mean()) / np.mean(np.abs(one - one.mean())))


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_contrast_and_brightness_do_not_matter(factor):
    images = digits().x_train.astype(float)
    np.testing.assert_allclose(contrast_normalised(images), contrast_normalised(factor * images + 7))


def test_the_forest_tells_a_shifted_class_and_nothing_from_the_same_one():
    generator = np.random.default_rng(1)
    train, normal, shifted = (generator.normal(shift, 1, (300, 8)) for shift in (0, 0, 4))
    anomalous = np.repeat([False, True], 300)
    assert min(forest_aurocs(train, np.concatenate([normal, shifted]), anomalous, [0, 1])) > 0.8
    same = generator.normal(0, 1, (300, 8))
    assert max(abs(auroc - 0.5) for auroc in forest_aurocs(train, np.concatenate([normal, same]), anomalous, [0])) < 0.1


def test_seeds_decide_and_the_scaling_does_not():
    images = digits()
    train, test = (contrast_normalised(x) for x in (images.x_train[images.y_train == 3], images.x_test))
    once, again, other = (forest_aurocs(train, test, images.y_test != 3, [seed]) for seed in (0, 0, 1))
    assert once == again != other
    scaled = forest_aurocs(train / 10 + 1, test / 10 + 1, images.y_test != 3, [0])
    assert scaled == pytest.approx(once, abs=0.02)


def test_the_column_has_every_digit_and_seed_and_changes_its_digest_with_them(small):
    seen = []
    column = rebuild(Source(), (3, 4), seen.append)
    assert seen == [*range(10)] == [*column.aurocs]
    assert {len(aurocs) for aurocs in column.aurocs.values()} == {2}
    ones = contrast_normalised(small.x_train[small.y_train == 1])
    assert column.extremes[1] == (ones.min(), ones.max())
    assert column.made_from == isolation_forest.recipe(Source(), (3, 4)) != isolation_forest.recipe(Source(), (3, 5))


def test_the_command_prints_every_row(small, capsys):
    assert command_line(["paper", "--seeds", "0-1"], EXPERIMENTS) == 0
    text = capsys.readouterr().out
    assert "isolation forests on digit 9, 10 of 10" in text and text.count("+-") == 20
    assert "smallest value after contrast normalisation: 0 of 10 equal" in text


def test_one_seed_has_no_spread(small, capsys):
    assert command_line(["paper", "--seeds", "0"], EXPERIMENTS) == 2
    assert "needs two seeds or more" in capsys.readouterr().err


def test_the_reference_has_the_column_with_all_seeds_on_real_data(reference):
    assert reference.seeds == isolation_forest.SEEDS
    assert {len(aurocs) for aurocs in reference.aurocs.values()} == {len(reference.seeds)}
    assert count_exact(reference) == {exact.name: (10, 10) for exact in printed()[0].exact}
    assert not [row for row in judge(reference) if row.verdict.startswith("differs")]


def test_the_section_follows_from_the_column(reference):
    text = markdown.rebuilt(reference)
    assert "10 of 10 numbers are equal to the printed ones" in text and "| 5 | 85.5 +- 0.8 |" in text
    other = replace(reference, extremes={**reference.extremes, 4: (0.0, 12.683235701611533)})
    assert "9 of 10 numbers" in markdown.rebuilt(other)
    shifted = {digit: tuple(auroc - 0.05 for auroc in aurocs) for digit, aurocs in reference.aurocs.items()}
    assert "10 differs (lower)" in markdown.rebuilt(replace(reference, aurocs=shifted))
    assert markdown.rebuilt(None) == ""
