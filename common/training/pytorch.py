"""Train a dense autoencoder in PyTorch, to check if a deviation from a source is due to the framework.

All experiments use Keras. If a source used PyTorch and its number is not reproduced, the same data, settings and seeds
can be trained with PyTorch instead. PyTorch is an optional requirement.
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
        inputs: training samples, shape `(samples, features)`.
        units: width of every layer, including the output layer.
        negative_slope: negative slope of every LeakyReLU.
        learning_rate: learning rate of the Adam optimizer.
        weight_decay: weight decay of PyTorch's Adam optimizer: this factor times the weight is added to the gradient.
        epochs: number of passes over the inputs.
        batch_size: samples per step.
        seed: seed of initialisation and shuffling.
        on_epoch_end: called after every epoch with a function that computes reconstructions by the current weights.

    Returns:
        The function that computes reconstructions by the trained weights, shape `(samples, features)`; and for each
        epoch the sum over its batches of the mean squared error.

    Raises:
        SuiteError: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise SuiteError("PyTorch is not installed, and --framework pytorch needs it: pip install torch") from error
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    model = _dense_model(inputs.shape[1], units, negative_slope)
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


def _dense_model(features: int, units: Sequence[int], negative_slope: float) -> Any:
    import torch

    layers: list[Any] = []
    for fan_in, fan_out in zip([features, *units], units, strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.LeakyReLU(negative_slope)]
    return torch.nn.Sequential(*layers)
