"""Eager PyTorch: the same models with PyTorch's own defaults, in the usual training loop.

The batches are slices of one shuffled tensor. The sources in PyTorch load them with a `DataLoader`, which takes longer,
so the comparison favours PyTorch. So do two things that PyTorch's own loop and layers do not have: the penalty of
rare_event_dense_ae, and ReLU in the LSTM layers of rare_event_relu_lstm_ae, where tanh stands.
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.problems import Problem, load_problems
from common.training import pytorch

Mark = Callable[[str], None]
Work = Callable[[Mark], object]


def installed() -> bool:
    """Return `True` if PyTorch is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


def prepare(row: str, epochs: Mapping[str, int], threads: int | None) -> Work:
    """Return the function to be timed for a row; `threads` limits its threads (default: PyTorch's own choice)."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    problems = load_problems(row)

    def train_all(mark: Mark) -> None:
        for problem in problems:
            name = problem.experiment.name
            train(name, problem, epochs[name], functools.partial(mark, f"{name}:{problem.seed}"))

    return train_all


def train(experiment: str, problem: Problem, epochs: int, on_epoch_end: Callable[[], None]) -> Any:
    """Build and train a model, and return it."""
    import torch

    config = problem.config
    model = BUILDERS[experiment]()
    validation = None if problem.validation is None else _tensor(problem.validation)

    def after_epoch() -> None:
        if validation is not None:
            with torch.no_grad():
                torch.nn.functional.mse_loss(model(validation), validation).item()
        on_epoch_end()

    rates = {"learning_rate": config.learning_rate, "weight_decay": getattr(config, "weight_decay", 0.0)}
    steps = {"epochs": epochs, "batch_size": config.batch_size}
    pytorch.fit(model, _tensor(problem.inputs), **rates, **steps, on_epoch_end=after_epoch)
    return model


def _tensor(array: Any) -> Any:
    """Convert samples to a tensor; images get PyTorch's order of axes, channels first."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.permute(0, 3, 1, 2).contiguous() if tensor.ndim == 4 else tensor


def conv_autoencoder() -> Any:
    """Build the model of mnist_conv_ae; shapes are the same, the padding at the borders is PyTorch's."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 2, 7),
        nn.ConvTranspose2d(2, 64, 7),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 7, stride=2, padding=3, output_padding=1),
    )


def latent_autoencoder() -> Any:
    """Build the model of fashion_latent_ocsvm."""
    from torch import nn

    return _stack([784, 128, 64, 32, 2, 32, 64, 128, 784], [nn.ReLU] * 7 + [nn.Sigmoid])


def curves_autoencoder() -> Any:
    """Build the model of curves_dense_ae."""
    from torch import nn

    return _stack([256, 128, 64, 16, 4, 16, 64, 128, 256], [lambda: nn.LeakyReLU(0.2)] * 8)


def digits_autoencoder() -> Any:
    """Build the model of mnist_dense_ae."""
    from torch import nn

    activations = [nn.ReLU, nn.ReLU, nn.Identity, nn.ReLU, nn.ReLU, nn.Tanh]
    return _stack([784, 256, 128, 64, 128, 256, 784], activations)


def sensors_autoencoder() -> Any:
    """Build the model of rare_event_dense_ae."""
    from torch import nn

    return _stack([59, 32, 16, 16, 32, 59], [nn.ReLU] * 4 + [nn.Identity])


def _stack(widths: list[int], activations: list[Callable[[], Any]]) -> Any:
    from torch import nn

    layers = []
    for number, activation in enumerate(activations):
        layers += [nn.Linear(widths[number], widths[number + 1]), activation()]
    return nn.Sequential(*layers)


def lstm_autoencoder() -> Any:
    """Build the model of both experiments with LSTM layers, with PyTorch's own."""
    from torch import nn

    class LSTMAutoencoder(nn.Module):  # type: ignore[misc]
        """Encoder, its last output repeated for every step, decoder, and one linear layer applied to every step."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.LSTM(inputs, units, batch_first=True) for inputs, units in ((59, 32), (32, 16), (16, 16), (16, 32))
            )
            self.output = nn.Linear(32, 59)

        def forward(self, windows: Any) -> Any:
            """Reconstruct windows."""
            first, second, third, fourth = self.layers
            x = second(first(windows)[0])[0]
            x = x[:, -1:].expand(-1, windows.shape[1], -1)
            return self.output(fourth(third(x)[0])[0])

    return LSTMAutoencoder()


BUILDERS: Mapping[str, Callable[[], Any]] = {
    "mnist_conv_ae": conv_autoencoder,
    "fashion_latent_ocsvm": latent_autoencoder,
    "rare_event_lstm_ae": lstm_autoencoder,
    "rare_event_dense_ae": sensors_autoencoder,
    "rare_event_relu_lstm_ae": lstm_autoencoder,
    "curves_dense_ae": curves_autoencoder,
    "mnist_dense_ae": digits_autoencoder,
}
