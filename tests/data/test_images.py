import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.images import Images, choose_scored
from common.errors import DataError
from common.experiment import REST


def images_of(y_train, y_test):
    x = np.zeros((1, 28, 28), np.uint8)
    return Images(x, np.array(y_train, np.uint8), x, np.array(y_test, np.uint8))


@given(st.lists(st.integers(0, 4), min_size=5, max_size=40), st.sampled_from([0, 1, 2, 3, REST]))
def test_normal_images_come_first_and_both_kinds_keep_their_order(classes, anomaly):
    classes = [*range(5), *classes]
    indices, labels, found = choose_scored(images_of(range(5), classes), 4, anomaly)
    normal = [index for index, one in enumerate(classes) if one == 4]
    anomalous = [index for index, one in enumerate(classes) if (one != 4 if anomaly == REST else one == anomaly)]
    assert indices.tolist() == normal + anomalous
    assert labels.tolist() == [0] * len(normal) + [1] * len(anomalous)
    assert found.tolist() == [classes[index] for index in indices]


@pytest.mark.parametrize(("normal", "anomaly", "missing"), [(0, 2, "2"), (2, 0, "2"), (3, REST, "3"), (2, 3, "2, 3")])
def test_a_class_without_images_is_named(normal, anomaly, missing):
    images = images_of([0, 1, 2], [0, 1, 3])
    with pytest.raises(DataError, match=f"no training and test images of class {missing}$"):
        choose_scored(images, normal, anomaly)
