"""Watch an autoencoder learn: reconstructions of a few samples after some epochs of its training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.metrics.scores import reconstruction_error

# Number of watched samples of each class.
WATCHED = 4


class Watch:
    """Function to call after every epoch, which keeps reconstructions after epochs 1, 2, 5, 10, 20, 50 and so on.

    Args:
        samples: scored samples, shape `(samples, ...)`. The first `WATCHED` of each class are watched.
        labels: their labels, shape `(samples,)`, 1 for an anomaly.
        reconstruct: computes the reconstructions of samples by the model in training.
    """

    def __init__(
        self,
        samples: NDArray[np.floating],
        labels: NDArray[np.integer],
        reconstruct: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    ) -> None:
        watched = np.concatenate([np.flatnonzero(labels == label)[:WATCHED] for label in (0, 1)])
        self._samples, self._watched, self._reconstruct = samples[watched], watched, reconstruct
        self._epoch, self._kept = 0, dict[int, NDArray[Any]]()

    def __call__(self) -> None:
        """Count an epoch, and keep its reconstructions if it is one of those to keep."""
        self._epoch += 1
        if str(self._epoch).rstrip("0") in ("1", "2", "5"):
            self._kept[self._epoch] = np.asarray(self._reconstruct(self._samples)).astype(np.float16)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give what was kept as arrays.

        Returns:
            `watched_samples`, the indices of the samples; `watched_inputs`, the samples; `watched_epochs`, the epochs;
            `watched_reconstructions`, shape `(epochs, samples, ...)`.
        """
        return {
            "watched_samples": self._watched,
            "watched_inputs": np.asarray(self._samples).astype(np.float16),
            "watched_epochs": np.array([*self._kept]),
            "watched_reconstructions": np.stack([*self._kept.values()]),
        }


class ErrorsByEpoch:
    """Function to call after every epoch, which keeps the reconstruction errors of samples.

    Args:
        samples: samples, shape `(samples, ...)`.
        reconstruct: computes the reconstructions of samples by the model in training.
        also: another function to call after every epoch.

    Attributes:
        errors: the mean squared errors of the samples by epoch, each of shape `(samples,)`.
    """

    def __init__(
        self,
        samples: NDArray[np.floating],
        reconstruct: Callable[[NDArray[np.floating]], NDArray[np.floating]],
        also: Callable[[], None],
    ) -> None:
        self.errors: list[NDArray[np.floating]] = []
        self._samples, self._reconstruct, self._also = samples, reconstruct, also

    def __call__(self) -> None:
        """Keep the errors of this epoch."""
        self.errors.append(reconstruction_error(self._samples, self._reconstruct(self._samples)))
        self._also()
