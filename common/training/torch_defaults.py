"""Defaults of PyTorch that differ from those of Keras, for sources that used PyTorch."""

from typing import Any

import numpy as np

from common.training.keras import start_keras


def dense(inputs: Any, units: int, *, activation: str = "linear", initializer: str = "pytorch") -> Any:
    """Apply a new dense layer that is initialised like PyTorch's `Linear`.

    Args:
        inputs: Keras tensor, shape `(batch, features)`.
        units: width of the layer.
        activation: name of the activation function. Default: "linear".
        initializer: "pytorch" for weights and biases uniform in +-1/sqrt(features), or "keras" for Keras' defaults.
            Default: "pytorch".

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
    """Make a Keras Adam optimizer with the weight decay of `torch.optim.Adam(weight_decay=...)` and its epsilon, 1e-8.

    Args:
        learning_rate: learning rate of the Adam optimizer.
        weight_decay: this factor times the weight is added to the gradient, for weights and biases. Keras' own
            `weight_decay` is decoupled (AdamW), which is another method. An L2 penalty of half the factor has the same
            gradient, but would be added to the reported loss, which in PyTorch does not contain it.
    """
    keras = start_keras()

    class CoupledDecayAdam(keras.optimizers.Adam):  # type: ignore[misc, name-defined]
        """Adam with the weight decay added to the gradient."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient + weight_decay * variable, variable, learning_rate)

    return CoupledDecayAdam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def mean_of_batch_means(inputs: Any, reconstructions: Any) -> Any:
    """Compute the mean squared error of a batch as one number, for use as a Keras metric.

    Keras then averages over the batches with equal weights, also for a smaller last batch, as a hand-written PyTorch
    training loop does.
    """
    keras = start_keras()
    return keras.ops.mean(keras.ops.square(inputs - reconstructions))
