"""Stand-ins for data sets that cannot be obtained: synthetic data, generated in memory with a fixed seed.

They have the shapes, types and labels of the real data and contain anomalies to detect, but results on them must not be
compared with published numbers.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from common.data.images import Images
from common.data.paper_machine import SENSORS, Table

SEED = 20260101
# Recorded with every run on a stand-in. Raise the number in a name when the generated data change.
NAMES = {
    "mnist": "scikit-learn's bundled digits, scaled and shifted (1)",
    "fashion_mnist": "drawn sandals and sneakers (1)",
    "processminer": "generated paper machine (1)",
}
# Prefix that marks a stand-in wherever the digest of a data set is expected.
STAND_IN = "stand-in: "
# Prefix that marks the digest of a user's own data there.
OWN = "own: "
TRAIN_PER_CLASS, TEST_PER_CLASS = 6000, 1000
SANDAL, SNEAKER = 5, 7


def is_stand_in(digest: str) -> bool:
    """Check if the digest of a data set, as stored in a record, is the name of a stand-in."""
    return digest.startswith(STAND_IN)


def stand_in_of(data: Mapping[str, str]) -> str | None:
    """Name the data that a run used in place of the source's: stand-ins, or a user's own; `None` for the source's."""
    own = [f"own data: {name}" for name, digest in data.items() if digest.startswith(OWN)]
    return ", ".join([*own, *filter(is_stand_in, data.values())]) or None


def is_own(data: Mapping[str, str]) -> bool:
    """Check if the data of a run are a user's own."""
    return any(digest.startswith(OWN) for digest in data.values())


def draw(name: str) -> Images | Table:
    """Generate the stand-in for a data set, the same every time."""
    if name == "processminer":
        return draw_paper_machine()
    return draw_digits() if name == "mnist" else draw_fashion()


# Digits.


def draw_digits() -> Images:
    """Generate handwritten digits from scikit-learn's, in three sizes and shifted by up to 3 pixels.

    Each of the ten classes has 6000 training and 1000 test images. A tenth of scikit-learn's digits is reserved for the
    test images, so that no original digit occurs in both parts.
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(SEED)
    digits, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))
    digits, labels = digits[order].reshape(-1, 8, 8), labels[order]
    cut = len(digits) // 10
    x_train, y_train = _vary_digits(digits[cut:], labels[cut:], TRAIN_PER_CLASS, rng)
    x_test, y_test = _vary_digits(digits[:cut], labels[:cut], TEST_PER_CLASS, rng)
    return Images(x_train, y_train, x_test, y_test)


def _vary_digits(
    digits: np.ndarray, labels: np.ndarray, per_class: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    y = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
    chosen = np.empty(len(y), np.int64)
    for label in range(10):
        chosen[y == label] = rng.choice(np.flatnonzero(labels == label), per_class)
    sizes = np.stack([_enlarge(digits, size) for size in (18, 20, 22)])
    images = sizes[rng.integers(3, size=len(y)), chosen]
    shifts = rng.integers(-3, 4, (len(y), 2))
    for shift in itertools.product(range(-3, 4), repeat=2):
        shifted = np.all(shifts == shift, axis=1)
        images[shifted] = np.roll(images[shifted], shift, axis=(1, 2))
    return images, y


def _enlarge(digits: np.ndarray, size: int) -> np.ndarray:
    """Enlarge 8 x 8 digits with values 0 to 16 by linear interpolation, and centre them in 28 x 28 uint8 images."""
    positions = np.linspace(0, 7, size)
    weights = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(8)))
    margin = (28 - size) // 2
    enlarged = np.zeros((len(digits), 28, 28), np.uint8)
    middle = slice(margin, margin + size)
    enlarged[:, middle, middle] = np.rint(weights @ digits @ weights.T * (255 / 16))
    return enlarged


# Clothes.


def draw_fashion() -> Images:
    """Generate sandals (label 5) and sneakers (label 7) as silhouettes with noise; the other classes are absent.

    Each of the two classes has 6000 training and 1000 test images.
    """
    rng = np.random.default_rng(SEED)
    return Images(*_draw_shoes(TRAIN_PER_CLASS, rng), *_draw_shoes(TEST_PER_CLASS, rng))


def _draw_shoes(per_class: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = rng.permutation(np.repeat(np.array([SANDAL, SNEAKER], np.uint8), per_class))
    sole, upper = _silhouettes(len(y), rng)
    brightness = rng.uniform(0.4, 1, (len(y), 1, 1)).astype(np.float32)
    # A sandal has the same outline as a sneaker, but only the sole and some straps of the upper.
    straps = _straps(len(y), rng) | (y == SNEAKER)[:, None, None]
    shoe = np.where(sole, 0.8 * brightness, np.where(upper & straps, brightness, 0))
    noise = rng.standard_normal(shoe.shape, np.float32) * 0.1
    return (255 * np.clip(shoe * (1 + noise), 0, 1)).astype(np.uint8), y


def _silhouettes(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Generate masks of the sole and of the upper of each shoe, toe at the left: two boolean `(count, 28, 28)`."""
    along = np.arange(28, dtype=np.float32)[None, None, :] / 27
    height = 21 - np.arange(28, dtype=np.float32)[None, :, None]
    toe, heel, instep = (
        rng.uniform(low, high, (count, 1, 1)).astype(np.float32) for low, high in ((3, 6), (9, 13), (0.3, 0.6))
    )
    thickness = rng.uniform(1, 4, (count, 1, 1)).astype(np.float32)
    top = toe + (heel - toe) / (1 + np.exp(-12 * (along - instep)))
    return (height >= 0) & (height < thickness), (height >= thickness) & (height < top)


def _straps(count: int, rng: np.random.Generator) -> np.ndarray:
    along, down = np.arange(28)[None, None, :], np.arange(28)[None, :, None]
    period, width, offset = (rng.integers(*limits, (count, 1, 1)) for limits in ((7, 12), (2, 5), (0, 12)))
    slope = rng.integers(-1, 2, (count, 1, 1))
    return np.asarray((along + slope * down + offset) % period < width)


# The paper machine.

_ROWS = 18398
_BREAKS = 124
_FACTORS = 6
_WARNING_ROWS = 6


def draw_paper_machine() -> Table:
    """Generate a paper machine: a row every two minutes with gaps, correlated sensors, and 124 breaks in 18398 rows.

    A few sensors deviate increasingly over the last rows before a break. As in the real table, `x28` is the grade of
    paper, which changes seldom, and `x61` is a switch that is hardly ever on.
    """
    rng = np.random.default_rng(SEED)
    y = np.zeros(_ROWS, np.int64)
    # One break in each stretch of equal length, at a random row but not among its first ones, so that breaks lie apart.
    stretch = _ROWS // _BREAKS
    breaks = np.arange(_BREAKS) * stretch + rng.integers(2 * _WARNING_ROWS, stretch, _BREAKS)
    y[breaks] = 1
    return Table(_draw_times(breaks, rng), y, _draw_sensors(breaks, rng))


def _draw_times(breaks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Generate times at steps of two minutes, with a random gap of up to an hour after each break."""
    steps = np.full(_ROWS, 2)
    steps[0] = 0
    after = breaks[breaks + 1 < _ROWS] + 1
    steps[after] += 2 * rng.integers(0, 30, len(after))
    return np.datetime64("1999-05-01T00:00:00", "s") + np.cumsum(steps) * np.timedelta64(60, "s")


def _draw_sensors(breaks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    common_course = _drift(_FACTORS, 0.995, rng) @ rng.normal(0, 1, (_FACTORS, len(SENSORS)))
    x: np.ndarray = common_course + 0.3 * _drift(len(SENSORS), 0.9, rng)
    affected = rng.normal(0, 0.5, len(SENSORS)) * (rng.random(len(SENSORS)) < 0.2)
    for ahead in range(_WARNING_ROWS):
        x[breaks - ahead] += affected * (1 - ahead / _WARNING_ROWS)
    x *= np.exp(rng.normal(0, 1.5, len(SENSORS)))
    x[:, SENSORS.index("x28")] = rng.choice([82.0, 84, 96, 118, 139], _ROWS // 400 + 1).repeat(400)[:_ROWS]
    x[:, SENSORS.index("x61")] = rng.random(_ROWS) < 0.001
    return x


def _drift(columns: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Generate autoregressive series of variance 1: each row is `memory` times the row before plus Gaussian noise."""
    new = rng.standard_normal((_ROWS, columns)) * np.sqrt(1 - memory**2)
    new[0] = rng.standard_normal(columns)
    for row in range(1, _ROWS):
        new[row] += memory * new[row - 1]
    return np.asarray(new)
