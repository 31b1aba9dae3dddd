import numpy as np
import pytest

from common.training import fit as fitting
from common.training import torch_defaults
from common.training.fit import fit
from common.training.keras import seeded, start_keras
from tests.helpers import optional

keras = start_keras()
INPUTS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def network(weight_decay):
    layer_inputs = keras.Input((6,))
    model = keras.Model(layer_inputs, torch_defaults.dense(torch_defaults.dense(layer_inputs, 3), 6))
    model.compile(optimizer=torch_defaults.adam(0.01, weight_decay=weight_decay), loss="mse")
    return model


def adam_of_pytorch(weights, gradients_of, steps, learning_rate=0.01, weight_decay=0.0):
    """The algorithm in the documentation of `torch.optim.Adam`, without its options, in double precision."""
    weights = [np.asarray(w, dtype=np.float64) for w in weights]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t in range(1, steps + 1):
        gradients = [g + weight_decay * w for g, w in zip(gradients_of(weights), weights, strict=True)]
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        weights = [
            w - learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
    return weights


def gradients_of_two_linear_layers(weights):
    """Of the mean squared reconstruction error of INPUTS."""
    a, b, c, d = weights
    hidden = INPUTS @ a + b
    error = 2 * (hidden @ c + d - INPUTS) / INPUTS.size
    return [INPUTS.T @ (error @ c.T), (error @ c.T).sum(axis=0), hidden.T @ error, error.sum(axis=0)]


# A decay this large turns the weights' signs round within ten steps if it is left out, doubled, or decoupled.
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_ten_steps_are_those_of_pytorchs_adam_biases_included(weight_decay, jit_compile, monkeypatch):
    monkeypatch.setattr(fitting, "WORTH_XLA", 0)
    with seeded(0):
        model = network(weight_decay)
        model.jit_compile = jit_compile
        start = model.get_weights()
        fit(model, INPUTS, epochs=10, batch_size=40, seed=0)
    expected = adam_of_pytorch(start, gradients_of_two_linear_layers, 10, weight_decay=weight_decay)
    for ours, theirs, before in zip(model.get_weights(), expected, start, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)  # single precision
        assert np.abs(ours - before).max() > 0.05


@pytest.mark.parametrize("size", [1e-3, 1e-7, 1e-9])
def test_epsilon_acts_on_the_corrected_moment_which_tiny_gradients_show(size):
    """Keras' own Adam adds it earlier, so its first step for a gradient of 1e-7 is a quarter of PyTorch's."""
    variable = keras.Variable(np.zeros(1, np.float32))
    optimizer = torch_defaults.adam(0.01, weight_decay=0.0)
    optimizer.build([variable])
    for _ in range(5):
        optimizer.apply([keras.ops.full((1,), size, "float32")])
    (expected,) = adam_of_pytorch([np.zeros(1)], lambda weights: [np.full(1, size)], 5)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4)


def test_the_reference_is_pytorch_itself():
    torch = optional.package("torch")
    with seeded(0):
        start = network(0.0).get_weights()
    layers = [torch.nn.Linear(6, 3), torch.nn.Linear(3, 6)]
    for layer, kernel, bias in zip(layers, start[::2], start[1::2], strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
    model = torch.nn.Sequential(*layers).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.3)
    inputs = torch.tensor(INPUTS, dtype=torch.float64)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), inputs).backward()
        optimizer.step()
    expected = adam_of_pytorch(start, gradients_of_two_linear_layers, 10, weight_decay=0.3)
    theirs = [part for layer in layers for part in (layer.weight.detach().numpy().T, layer.bias.detach().numpy())]
    for a, b in zip(expected, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
