import numpy as np
import pytest
from sklearn.metrics import average_precision_score, classification_report, roc_auc_score

from common import figures
from common.comparison.published import read_published
from common.comparison.verdicts import judge_group
from common.data import datasets
from common.data.datasets import Images, Source
from common.errors import DataError
from common.metrics.scores import Undefined
from common.runs import records, runner
from common.runs.tasks import Task
from common.training.keras import seeded, start_keras
from experiments import fashion_latent_ocsvm as fashion
from tests.helpers.tiny import Silent

FULL = fashion.Config()
TINY = fashion.Config(epochs=2, units=(16, 8))
PUBLISHED = read_published("fashion_latent_ocsvm")


def made_up_images():
    """Noise with a bright patch that tells three classes apart: enough to train on, nothing to learn from."""
    rng = np.random.default_rng(0)

    def draw(count):
        labels = rng.permutation(np.repeat([5, 7, 1], count))
        images = rng.integers(0, 120, (len(labels), 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[label : label + 8, 4:24] += rng.integers(0, 30)
        return images.astype(np.uint8), labels.astype(np.uint8)

    return Images(*draw(150), *draw(40))


@pytest.fixture(scope="module")
def images():
    return made_up_images()


@pytest.fixture(scope="module")
def splits(images):
    return fashion.split(images, TINY, "published", seed=0)


@pytest.fixture(scope="module")
def out(images, tmp_path_factory):
    """Three finished tiny runs on the made-up images."""
    folder = tmp_path_factory.mktemp("fashion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda name, source: images)
        tasks = [Task(fashion.EXPERIMENT, TINY, "published", seed, folder) for seed in range(3)]
        outcomes = runner.execute(tasks, Silent())
    assert [record.error for record in outcomes] == [None] * 3
    return folder


@pytest.fixture(scope="module")
def runs(out):
    """By seed, the metrics of a tiny run and its arrays."""
    found = {}
    for seed in range(3):
        folder = Task(fashion.EXPERIMENT, TINY, "published", seed, out).folder
        record = records.read_record(folder)
        found[seed] = (record.metrics, records.read_arrays(folder, record))
    return found


# The data.


def test_the_normal_is_trained_on_and_normal_images_are_scored_before_anomalies(images, splits):
    assert splits.x_train.shape == (150, 784)
    assert splits.x_test.shape == (80, 784)
    assert splits.y_test.tolist() == [0] * 40 + [1] * 40
    assert np.array_equal(splits.x_train * 255, images.x_train[images.y_train == 5].reshape(150, 784))
    assert np.array_equal(splits.x_test[40:] * 255, images.x_test[images.y_test == 7].reshape(40, 784))
    assert 0 <= splits.x_train.min() < splits.x_train.max() <= 1
    other = fashion.split(images, TINY, "published", seed=7)
    assert all(np.array_equal(part, getattr(other, name)) for name, part in vars(splits).items())
    shown = [images.x_train[images.y_train == label][80] for label in (5, 7)]
    np.testing.assert_array_equal(splits.examples, shown)


@pytest.fixture(scope="module")
def real_splits():
    try:
        data = datasets.load("fashion_mnist", Source(mode="real"))
    except DataError as error:
        if "is not the published file" in str(error):
            raise
        pytest.skip(f"Fashion-MNIST is not on this machine: {error}")
    return fashion.split(data, FULL, "published", 0)


def test_the_baseline_gives_the_printed_numbers_to_the_last_digit(real_splits):
    """About 20 seconds of two support vector machines: one class against 6000 images of 784 pixels."""
    with seeded(0):
        metrics = dict(fashion.fit_baseline(real_splits, FULL).metrics)
    metrics |= fashion.count_metrics(real_splits)
    assert f"{metrics['ocsvm_pixels.auroc']:.6f}" == "0.509236"
    for group in PUBLISHED.groups:
        if group.obtained == "exact":
            assert judge_group(group, {0: metrics}).verdict == "exact", group.name


def test_the_printed_reports_follow_from_the_printed_confusion_matrices():
    printed = {name: text for group in PUBLISHED.groups for name, text in group.numbers.items()}
    for method in ("ocsvm_pixels", "ocsvm_latent"):
        tn, fp, fn, tp = (int(printed[f"{method}.{name}"]) for name in ("tn", "fp", "fn", "tp"))
        labels, flagged = np.repeat([0, 0, 1, 1], [tn, fp, fn, tp]), np.repeat([0, 1, 0, 1], [tn, fp, fn, tp])
        report = classification_report(labels, flagged, target_names=["normal", "anomaly"], digits=2, output_dict=True)
        for kind in ("normal", "anomaly"):
            for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
                assert f"{report[kind][key]:.2f}" == printed[f"{method}.{kind}.{name}"], (method, kind, name)
        assert f"{report['accuracy']:.2f}" == printed[f"{method}.accuracy"]


# Conventions.


def test_turning_labels_and_scores_round_leaves_the_auroc_but_not_the_average_precision():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, scores = rng.permutation(np.arange(30) % 3 == 0).astype(int), rng.integers(0, 9, 30)
        turned = roc_auc_score(1 - labels, -scores)
        pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
        assert roc_auc_score(labels, scores) == pytest.approx(np.mean(pairs))
        assert turned == pytest.approx(np.mean(pairs))
    assert average_precision_score(labels, scores) != pytest.approx(average_precision_score(1 - labels, -scores))


def test_higher_scores_are_more_anomalous_and_what_predict_calls_an_outlier_is_flagged(splits):
    svm = fashion.one_class_svm(splits.x_train, FULL)
    scores, flagged = fashion.svm_scores(svm, splits.x_test)
    assert np.array_equal(scores, -svm.decision_function(splits.x_test))
    assert np.array_equal(flagged, svm.predict(splits.x_test) == -1)
    assert 0 < flagged.sum() < len(flagged)


def test_the_one_class_svm_is_that_of_scikit_learns_defaults(splits):
    from sklearn.svm import OneClassSVM

    assert fashion.one_class_svm(splits.x_train, FULL).get_params() == OneClassSVM().get_params()


# The model.


def test_the_model_has_every_published_setting():
    settings = PUBLISHED.settings
    encoder, autoencoder = fashion.build_autoencoder(FULL, (784,))
    layers = autoencoder.layers[1:]
    assert [layer.units for layer in layers] == settings["model.layer_units"]
    assert [layer.activation.__name__ for layer in layers] == settings["model.layer_activations"]
    assert encoder.output_shape == (None, 2)
    assert encoder.layers[1:] == layers[:4]
    assert type(autoencoder.loss).__name__ == settings["model.loss"]
    assert type(autoencoder.optimizer).__name__ == settings["optimizer.name"]
    assert float(autoencoder.optimizer.learning_rate) == pytest.approx(settings["learning_rate"])
    assert autoencoder.optimizer.epsilon == settings["optimizer.epsilon"]


def test_what_is_written_out_are_keras_defaults():
    keras = start_keras()
    _, autoencoder = fashion.build_autoencoder(FULL, (784,))
    ours, default = autoencoder.optimizer.get_config(), keras.optimizers.Adam().get_config()
    # Keras numbers the names.
    assert ours | {"name": ""} == default | {"name": ""}
    initializers = [
        (type(layer.kernel_initializer).__name__, type(layer.bias_initializer).__name__)
        for layer in (*autoencoder.layers[1:], keras.layers.Dense(2))
    ]
    assert len(set(initializers)) == 1


def test_a_linear_code_is_an_option():
    encoder, _ = fashion.build_autoencoder(fashion.Config(code_activation="linear"), (784,))
    assert encoder.layers[-1].activation.__name__ == "linear"


# The layout of the code.


def test_a_dead_unit_is_counted_and_leaves_no_correlation():
    alive = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    labels = np.repeat([0, 1], 25)
    dead = alive * np.array([1, 0], np.float32)
    assert fashion.latent_metrics(alive, alive, labels)["latent.dead_units"] == 0
    metrics = fashion.latent_metrics(dead, dead, labels)
    assert metrics["latent.dead_units"] == 1
    assert isinstance(metrics["latent.correlation"], Undefined)
    assert metrics["latent.distance_ratio"] > 0
    metrics = fashion.latent_metrics(0 * alive, alive, labels)
    assert metrics["latent.dead_units"] == 2
    assert isinstance(metrics["latent.distance_ratio"], Undefined)


def test_the_axis_ratio_is_that_of_the_singular_values_however_the_code_is_turned():
    codes = np.random.default_rng(0).normal(size=(200, 2)) * [3.0, 0.6]
    angle = np.deg2rad(30)
    turned = codes @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + [5, 7]
    values = np.linalg.svd(turned - turned.mean(axis=0), compute_uv=False)
    assert fashion.axis_ratio(turned) == pytest.approx(values[1] / values[0])
    # Alive and useless: the second number is the first one again.
    line = np.column_stack([codes[:, 0], 2 * codes[:, 0] + 1])
    assert fashion.axis_ratio(line) == pytest.approx(0, abs=1e-7)
    assert isinstance(fashion.axis_ratio(np.ones((5, 2))), Undefined)


def test_correlation_origin_and_distance():
    train = np.array([[0, 0], [2, 1], [4, 3], [6, 4]], np.float32)
    test = np.array([[0, 0], [3, 2], [6, 4], [0, 0], [0, 0], [9, 6]], np.float32)
    metrics = fashion.latent_metrics(train, test, np.array([0, 0, 0, 1, 1, 1]))
    assert metrics["latent.correlation"] == pytest.approx(np.corrcoef(train.T)[0, 1])
    assert metrics["latent.normal_at_origin"] == pytest.approx(1 / 3)
    assert metrics["latent.anomaly_at_origin"] == pytest.approx(2 / 3)
    assert metrics["latent.distance_ratio"] == pytest.approx(1.0)


def test_distances_agree_with_scipy_and_leave_a_dead_axis_out():
    from scipy.spatial.distance import mahalanobis

    rng = np.random.default_rng(0)
    train, test = rng.random((40, 2)), rng.random((5, 2))
    inverse = np.linalg.inv(np.cov(train.T))
    expected = [mahalanobis(code, train.mean(axis=0), inverse) for code in test]
    assert fashion.mahalanobis_distances(test, train) == pytest.approx(expected)
    train[:, 1] = 0
    expected = np.abs(test[:, 0] - train[:, 0].mean()) / train[:, 0].std(ddof=1)
    assert fashion.mahalanobis_distances(test, train) == pytest.approx(expected)


# A whole run, on made-up images.


def test_golden_run(runs):
    """Values of one thread with oneDNN on; other processors round otherwise, hence the tolerances."""
    metrics, _ = runs[0]
    assert [metrics["loss.epoch_001"], metrics["loss.epoch_002"]] == pytest.approx([0.083634, 0.082989], rel=1e-3)
    assert metrics["ocsvm_latent.auroc"] == pytest.approx(0.5522, abs=0.02)
    assert metrics["ocsvm_pixels.auroc"] == pytest.approx(0.6725, abs=1e-6)
    assert [metrics[f"data.{name}"] for name in ("train_normal", "test_normal", "test_anomaly")] == [150, 40, 40]


def test_every_published_metric_is_produced(runs):
    long_enough = {f"loss.epoch_{epoch:03d}" for epoch in range(1, FULL.epochs + 1)}
    assert PUBLISHED.metrics() <= set(runs[0][0]) | long_enough


def test_seeds_change_the_code_but_not_the_baseline(runs, out):
    assert len({metrics["loss.epoch_001"] for metrics, _ in runs.values()}) == 3
    assert len({metrics["ocsvm_pixels.auroc"] for metrics, _ in runs.values()}) == 1
    once = Task(fashion.EXPERIMENT, TINY, "published", 0, out).shared
    assert once.finished().metrics["ocsvm_pixels.auroc"] == runs[0][0]["ocsvm_pixels.auroc"]


def test_the_arrays_give_the_metrics_back(runs):
    metrics, arrays = runs[0]
    labels = arrays["labels"]
    for where in ("pixels", "latent"):
        auroc = roc_auc_score(labels, arrays[f"scores_{where}"])
        assert auroc == pytest.approx(metrics[f"ocsvm_{where}.auroc"])
        assert np.sum(arrays[f"flagged_{where}"][labels == 1]) == metrics[f"ocsvm_{where}.tp"]
    assert arrays["codes"].shape == (80, 2)


def test_every_figure_of_the_source_is_drawn_from_saved_arrays(runs, tmp_path):
    with figures.style():
        drawn = [draw(runs[0][1]) for draw in fashion.EXPERIMENT.figures]
        sizes = [len(figures.png(figure)) for figure in drawn]
    assert [figure.name for figure in drawn] == ["examples", "roc", "codes"]
    assert all(figure.caption.endswith(".") for figure in drawn)
    assert max(sizes) < 100_000
