import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.images import Images, choose_normal, choose_scored
from common.errors import DataError
from common.experiment import REST


def images_of(y_train, y_test):
    x_train, x_test = (np.zeros((len(labels), 28, 28), np.uint8) for labels in (y_train, y_test))
    return Images(x_train, np.array(y_train, np.uint8), x_test, np.array(y_test, np.uint8))


@given(st.lists(st.integers(0, 4), min_size=5, max_size=40), st.sampled_from([0, 1, 2, 3, REST]))
def test_normal_images_come_first_and_both_kinds_keep_their_order(classes, anomaly):
    classes = [*range(5), *classes]
    indices, labels, found = choose_scored(images_of(range(5), classes), 4, anomaly)
    normal = [index for index, one in enumerate(classes) if one == 4]
    anomalous = [index for index, one in enumerate(classes) if (one != 4 if anomaly == REST else one == anomaly)]
    assert indices.tolist() == normal + anomalous
    assert labels.tolist() == [0] * len(normal) + [1] * len(anomalous)
    assert found.tolist() == [classes[index] for index in indices]


@pytest.mark.parametrize(("normal", "anomaly", "missing"), [(0, 2, "2"), (2, 0, "2"), (2, 3, "2"), (0, "good", "good")])
def test_a_class_without_test_images_is_named(normal, anomaly, missing):
    images = images_of([0, 1, 2], [0, 1, 3])
    told = f"no test images of class {missing}; its classes are 0, 1, 2 in training, 0, 1, 3 in the test$"
    with pytest.raises(DataError, match=told):
        choose_scored(images, normal, anomaly)


def test_a_normal_class_without_training_images_is_named():
    with pytest.raises(DataError, match="no training images of class 3; its classes are"):
        choose_normal(images_of([0, 1, 2], [0, 1, 3]), 3)


def test_without_labels_all_images_are_taken():
    images = images_of([0, 1], [0, 1])._replace(y_train=None, y_test=None)
    assert choose_normal(images, 7) is images.x_train
    scored = choose_scored(images, 7, REST)
    assert scored.classes is None and scored.labels.tolist() == [0, 0] and scored.indices.tolist() == [0, 1]
