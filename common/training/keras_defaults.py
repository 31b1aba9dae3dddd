"""Layers and optimizer of Keras with the defaults that the sources relied on written out.

A later version of Keras with other defaults then still builds the published models.
"""

from typing import Any

from common.training.keras import start_keras

INITIALIZERS: dict[str, Any] = {"kernel_initializer": "glorot_uniform", "bias_initializer": "zeros"}


def dense(units: int, activation: str = "linear", **settings: Any) -> Any:
    """Make a dense layer.

    Args:
        units: width of the layer.
        activation: name of the activation function. Default: "linear".
        settings: further settings of the layer, such as its name.
    """
    return start_keras().layers.Dense(units, activation, **INITIALIZERS, **settings)


def lstm(units: int, *, return_sequences: bool, activation: Any = "tanh", recurrent_activation: Any = "sigmoid") -> Any:
    """Make an LSTM layer, unrolled over its time steps: the same formulas in less time, with other rounding.

    Args:
        units: width of the layer.
        return_sequences: true for the outputs of all time steps, false for those of the last one.
        activation: activation function. Default: "tanh".
        recurrent_activation: function of the gates. Default: "sigmoid".
    """
    return start_keras().layers.LSTM(
        units,
        activation=activation,
        recurrent_activation=recurrent_activation,
        recurrent_initializer="orthogonal",
        unit_forget_bias=True,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=return_sequences,
        unroll=True,
        **INITIALIZERS,
    )


def adam(learning_rate: float) -> Any:
    """Make an Adam optimizer."""
    return start_keras().optimizers.Adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
