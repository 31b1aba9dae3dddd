"""The dense autoencoder in PyTorch, for sources that were written in it.

Our experiments are Keras. Where a number of such a source does not come out, this tells a difference of framework from
a difference of anything else: the same data, settings and seeds, trained by the framework that the source used. PyTorch
is an optional requirement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import SuiteError
from common.training.fit import report_epoch
from common.training.keras import THREADS

Reconstruct = Callable[[NDArray[np.floating]], NDArray[np.float32]]


def train_dense_autoencoder(
    inputs: NDArray[np.float32],
    units: Sequence[int],
    *,
    negative_slope: float,
    learning_rate: float,
    weight_decay: float,
    epochs: int,
    batch_size: int,
    seed: int,
    on_epoch_end: Callable[[Reconstruct], None],
) -> tuple[Reconstruct, list[float]]:
    """Train a stack of linear layers, each followed by LeakyReLU, with PyTorch's own defaults.

    Args:
        inputs: what it is to reconstruct, shape `(samples, features)`.
        units: width of every layer, the output included.
        negative_slope: of every LeakyReLU.
        learning_rate: of Adam.
        weight_decay: of Adam, PyTorch's kind: added to the gradient.
        epochs: passes over the inputs.
        batch_size: samples of one step.
        seed: of initialisation and shuffling.
        on_epoch_end: called after every epoch with the model so far.

    Returns:
        The trained model as a function of arrays, and for each epoch the sum of the batch means of the squared error.

    Raises:
        SuiteError: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise SuiteError("PyTorch is not installed, and --framework pytorch needs it: pip install torch") from error
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    widths = [inputs.shape[1], *units]
    layers: list[Any] = []
    for fan_in, fan_out in zip(widths, units, strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.LeakyReLU(negative_slope)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    tensor = torch.from_numpy(inputs)

    def reconstruct(samples: NDArray[np.floating]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(samples.astype(np.float32))).numpy())

    losses = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in tensor[torch.randperm(len(tensor))].split(batch_size):
            loss = torch.nn.functional.mse_loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
        on_epoch_end(reconstruct)
        report_epoch(epoch, epochs, total)
    return reconstruct, losses
