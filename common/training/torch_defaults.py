"""What PyTorch does by default and Keras does not, for sources that were written in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.training.keras import start_keras


def dense(inputs: Any, units: int, *, activation: str = "linear", initializer: str = "pytorch") -> Any:
    """Apply a new dense layer that starts as PyTorch's `Linear`.

    Args:
        inputs: Keras tensor, shape `(batch, features)`.
        units: width of the layer.
        activation: of the layer.
        initializer: "pytorch", weights and biases uniform in +-1/sqrt(features), or "keras", Keras' own default.

    Returns:
        The layer's outputs, shape `(batch, units)`.
    """
    keras = start_keras()
    initializers: dict[str, Any] = {"kernel_initializer": "glorot_uniform", "bias_initializer": "zeros"}
    if initializer == "pytorch":
        limit = 1 / np.sqrt(inputs.shape[-1])
        initializers = {name: keras.initializers.RandomUniform(-limit, limit) for name in initializers}
    return keras.layers.Dense(units, activation=activation, **initializers)(inputs)


def adam(learning_rate: float, *, weight_decay: float) -> Any:
    """Keras' Adam with the weight decay of `torch.optim.Adam(weight_decay=...)` and its epsilon of 1e-8.

    Args:
        learning_rate: of Adam.
        weight_decay: this factor times the weight is added to the gradient, of weights and biases alike. Keras' own
            `weight_decay` is the decoupled kind and would be another method. An L2 penalty of half the factor has the
            same gradient, but is part of the loss, which the sources print without it.
    """
    keras = start_keras()

    class CoupledDecayAdam(keras.optimizers.Adam):  # type: ignore[misc, name-defined]
        """Adam that sees the decay as part of the gradient."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient + weight_decay * variable, variable, learning_rate)

    return CoupledDecayAdam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def mean_of_batch_means(inputs: Any, reconstructions: Any) -> Any:
    """Squared error of a batch as one number: as a metric of Keras it weighs each batch alike, a partial one too.

    That is how a training loop averages what it prints.
    """
    keras = start_keras()
    return keras.ops.mean(keras.ops.square(inputs - reconstructions))
