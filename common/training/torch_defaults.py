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
    """Make a Keras optimizer with the steps of `torch.optim.Adam(weight_decay=...)`, whose defaults are written out.

    It differs from Keras' Adam in two ways. Epsilon is added to the root of the second moment after that moment is
    corrected for its bias, in Keras before; this matters in the first steps, where gradients are tiny. And the decay is
    added to the gradient. Keras' own `weight_decay` is decoupled (AdamW), which is another method; an L2 penalty of
    half the factor has the same gradient, but would be added to the reported loss, which in PyTorch does not contain
    it.

    Args:
        learning_rate: learning rate of the Adam optimizer.
        weight_decay: this factor times the weight is added to the gradient, for weights and biases.
    """
    keras = start_keras()
    ops = keras.ops

    class PyTorchAdam(keras.optimizers.Adam):  # type: ignore[misc, name-defined]
        """Adam with the steps of PyTorch."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            first, second = self._momentums[index], self._velocities[index]
            gradient = gradient + weight_decay * variable
            self.assign_add(first, (gradient - first) * (1 - self.beta_1))
            self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
            step = ops.cast(self.iterations + 1, variable.dtype)
            size = learning_rate / (1 - ops.power(self.beta_1, step))
            root = ops.sqrt(second) / ops.sqrt(1 - ops.power(self.beta_2, step)) + self.epsilon
            self.assign_sub(variable, size * first / root)

    return PyTorchAdam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


def mean_of_batch_means(inputs: Any, reconstructions: Any) -> Any:
    """Compute the mean squared error of a batch as one number, for use as a Keras metric.

    Keras then averages over the batches with equal weights, also for a smaller last batch, as a hand-written PyTorch
    training loop does.
    """
    keras = start_keras()
    return keras.ops.mean(keras.ops.square(inputs - reconstructions))
