"""The two protocols that every experiment runs in, and what they share.

`published` is what the source did, leaks included and named. `held_out` is the same model, evaluated honestly: nothing
is fitted or chosen on what is scored. Each experiment's `split` and docstring say what that means for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PUBLISHED, HELD_OUT = "published", "held_out"
PROTOCOLS = (PUBLISHED, HELD_OUT)

# The part of the normal training samples that `held_out` keeps back from training, to fit thresholds on.
HELD_BACK = 0.2
# The false-positive rate that `held_out` asks of a threshold fitted on them.
FALSE_POSITIVE_RATE = 0.05


def hold_back(samples: NDArray[Any], seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Keep the part `HELD_BACK` of the samples, drawn at random, back from training.

    Args:
        samples: normal training samples, shape `(samples, ...)`.
        seed: of the draw. Where the data are the same for every run, so is this: what does not train on a seed, such as
            a deterministic detector, then needs computing but once.

    Returns:
        The samples to train on and those held back, both in their first order.
    """
    drawn = np.zeros(len(samples), dtype=bool)
    count = round(HELD_BACK * len(samples))
    drawn[np.random.default_rng(seed).choice(len(samples), count, replace=False)] = True
    return samples[~drawn], samples[drawn]
