"""Train an autoencoder in PyTorch, to check if a deviation from a source is due to the framework.

All experiments use Keras. If a source used PyTorch and its number is not reproduced, the same data, settings and seeds
can be trained with PyTorch instead. PyTorch is an optional requirement.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import SuiteError
from common.training.fit import report_epoch
from common.training.surroundings import THREADS


def generator(seed: int) -> Any:
    """Make a random generator of PyTorch for one run, which nothing else in the process draws from.

    Args:
        seed: seed of the run.

    Raises:
        SuiteError: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise SuiteError("PyTorch is not installed, and --framework pytorch needs it: pip install torch") from error
    return torch.Generator().manual_seed(seed)


def dense_autoencoder(features: int, units: Sequence[int], *, negative_slope: float, generator: Any) -> Any:
    """Build a stack of linear layers, each followed by LeakyReLU, with PyTorch's own initialisation.

    PyTorch is set to the suite's number of threads.

    Args:
        features: number of values of a sample.
        units: width of every layer, including the output layer.
        negative_slope: negative slope of every LeakyReLU.
        generator: random generator of the run, from which the weights are drawn.
    """
    import torch

    torch.set_num_threads(THREADS)
    layers: list[Any] = []
    for fan_in, fan_out in zip([features, *units], units, strict=False):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, fan_in, fan_out)
        # As PyTorch does, but from the generator of the run: `Linear` itself draws from the global one.
        torch.nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=generator)
        torch.nn.init.uniform_(linear.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        layers += [linear, torch.nn.LeakyReLU(negative_slope)]
    return torch.nn.Sequential(*layers)


def fit(
    model: Any,
    inputs: Any,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    epochs: int,
    batch_size: int,
    on_epoch_end: Callable[[], None],
    generator: Any = None,
) -> list[float]:
    """Train an autoencoder with the squared error and Adam, in the usual loop over batches.

    Args:
        model: a PyTorch module.
        inputs: training samples, as a float32 tensor or array whose first axis is that of the samples.
        learning_rate: learning rate of the Adam optimizer.
        weight_decay: weight decay of PyTorch's Adam optimizer: this factor times the weight is added to the gradient.
            Default: none.
        epochs: number of passes over the inputs, each in a new order.
        batch_size: samples per step; the last batch of an epoch may be smaller.
        on_epoch_end: called after every epoch.
        generator: random generator from which the order of the samples is drawn. Default: PyTorch's global one.

    Returns:
        For each epoch the sum over its batches of the mean squared error.
    """
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    tensor = torch.as_tensor(inputs)
    losses = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in tensor[torch.randperm(len(tensor), generator=generator)].split(batch_size):
            loss = torch.nn.functional.mse_loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
        on_epoch_end()
        report_epoch(epoch, epochs, total)
    return losses


def reconstruct(model: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the outputs of a model for all inputs in one batch."""
    import torch

    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(inputs)).numpy())
