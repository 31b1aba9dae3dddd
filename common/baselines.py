"""The classical detectors that every experiment is held against."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray


class Inputs(NamedTuple):
    """What a detector is fitted on and what it scores, shape `(samples, features)`, training samples normal only.

    `groups` numbers what is resampled together in a bootstrap; `code_size` is that of the autoencoder's code.
    """

    x_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    groups: NDArray[Any]
    code_size: int


DETECTORS: dict[str, Any] = {}


def detect(name: str, inputs: Inputs, seed: int) -> Any:
    """Fit one detector and score the test samples."""
    raise KeyError(name)
