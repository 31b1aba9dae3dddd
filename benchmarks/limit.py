"""How near a training comes to the limit of the machine: its arithmetic, and parts of an epoch measured alone.

The limit is the rate at which NumPy multiplies two large single-precision matrices. The arithmetic of a training is
that of the matrix products of its layers: a product of an (n, k) and a (k, m) matrix takes 2 n k m operations; a layer
needs one product forward, one for the gradient of its weights and, unless it is the first, one for that of its inputs.
A convolution counts as the product of its windows with its kernel. Biases, activations, the loss and the optimizer are
left out.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Measurement
from benchmarks.problems import load_problem
from benchmarks.rows import MEASURED_EPOCHS
from common.training.fit import fit
from common.training.keras import seeded, start_keras

Mark = Callable[[str], None]
Work = Callable[[Mark], object]

# Names of what is measured in `prepare`.
PEAK_ONE_THREAD, PEAK_ALL_THREADS, PRODUCTS, DESCENT = "peak, one thread", "peak", "products", "gradient descent"
_SETUP = "setup"
# Side of the matrices whose product gives the peak rate, and number of repetitions, of which the fastest counts.
SIDE, REPETITIONS = 2048, 10


class Product(NamedTuple):
    """The matrix products of one layer in a forward pass, of shapes `(rows, inner)` and `(inner, columns)`.

    Attributes:
        layer: class of the layer.
        rows: rows for each sample of a batch.
        inner: length of the sums.
        columns: columns.
        times: number of such products, one after the other.
    """

    layer: str
    rows: int
    inner: int
    columns: int
    times: int

    @property
    def operations(self) -> int:
        """Number of multiplications and additions for one sample."""
        return 2 * self.rows * self.inner * self.columns * self.times


def products(model: Any) -> list[Product]:
    """List the matrix products of a forward pass of a built Keras model without branches, in their order.

    Raises:
        TypeError: a layer has weights, but is none of the layers that the experiments use.
    """
    return list(_products(model))


def _products(model: Any) -> Iterator[Product]:
    for layer in model.layers:
        wrapped = getattr(layer, "layer", layer)
        positions = int(np.prod(layer.output.shape[1:-1])) if not hasattr(layer, "layers") else 0
        match type(wrapped).__name__:
            case "Functional" | "Sequential":
                yield from _products(layer)
            case "Dense" as name:
                inner, columns = wrapped.kernel.shape
                yield Product(name, positions, inner, columns, times=1)
            case "LSTM" as name:
                steps = layer.input.shape[1]
                for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
                    inner, columns = kernel.shape
                    yield Product(name, 1, inner, columns, steps)
            case "Conv2D" as name:
                *window, channels, filters = layer.kernel.shape
                yield Product(name, positions, int(np.prod(window)) * channels, filters, times=1)
            case "Conv2DTranspose" as name:
                *window, filters, channels = layer.kernel.shape
                inputs = int(np.prod(layer.input.shape[1:-1]))
                yield Product(name, inputs, channels, int(np.prod(window)) * filters, times=1)
            case name if layer.weights:
                raise TypeError(f"the arithmetic of the layer {name} is not known")


def training_operations(layers: Sequence[Product], samples: int, validated: int = 0) -> int:
    """Count the operations of one epoch.

    Args:
        layers: the products of a forward pass.
        samples: number of training samples.
        validated: number of samples that are evaluated after the epoch. Default: 0.
    """
    forward = sum(layer.operations for layer in layers)
    return samples * (3 * forward - layers[0].operations) + validated * forward


def multiply(layers: Sequence[Product], samples: int, batch_size: int, validated: int = 0) -> None:
    """Compute nothing but the products of an epoch, in NumPy, on matrices of the same sizes."""
    if validated:
        _multiply(_matrices(layers, validated), forward_only=True)
    batch = _matrices(layers, batch_size)
    for _ in range(samples // batch_size):
        _multiply(batch)
    if samples % batch_size:
        _multiply(_matrices(layers, samples % batch_size))


Matrices = list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]


def _matrices(layers: Sequence[Product], batch_size: int) -> Matrices:
    """Make inputs, weights and gradients of outputs for each layer."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return generator.random(shape, dtype=np.float32)

    return [
        (times, draw(batch_size * rows, inner), draw(inner, columns), draw(batch_size * rows, columns))
        for _, rows, inner, columns, times in layers
    ]


def _multiply(matrices: Matrices, forward_only: bool = False) -> None:
    for number, (times, inputs, weights, gradients) in enumerate(matrices):
        for _ in range(times):
            inputs @ weights
            if not forward_only:
                inputs.T @ gradients
                if number > 0:
                    gradients @ weights.T


def prepare(name: str) -> Work:
    """Return the function to be timed for an experiment, for `benchmarks.child`.

    It marks the end of every multiplication of two large matrices, with one thread and with all; of every epoch of
    bare products; and of every epoch of a training by gradient descent instead of Adam, on one thread.
    """
    from threadpoolctl import threadpool_limits

    keras = start_keras()
    problem = load_problem(name)
    batch_size, samples = problem.config.batch_size, len(problem.inputs)
    validated = 0 if problem.validation is None else len(problem.validation)

    def work(mark: Mark) -> None:
        large = np.ones((SIDE, SIDE), np.float32)
        for label, threads in ((PEAK_ONE_THREAD, 1), (PEAK_ALL_THREADS, os.cpu_count())):
            with threadpool_limits(threads):
                large @ large
                mark(_SETUP)
                for _ in range(REPETITIONS):
                    large @ large
                    mark(label)
        with seeded(0):
            model = problem.build()
            layers = products(model)
            mark(_SETUP)
            for _ in range(MEASURED_EPOCHS[name]):
                multiply(layers, samples, batch_size, validated)
                mark(PRODUCTS)
            # Small steps, so that the loss stays finite; their size does not change the time.
            descent = keras.optimizers.SGD(1e-6)
            model.compile(optimizer=descent, loss=model.loss, jit_compile=model.jit_compile)
            fit(
                model,
                problem.inputs,
                epochs=MEASURED_EPOCHS[name],
                batch_size=batch_size,
                seed=0,
                validation=problem.validation,
                on_epoch_end=lambda: mark(DESCENT),
            )

    return work


class Limit(NamedTuple):
    """The limit of the machine for one experiment.

    Attributes:
        layer: class of the layers with most operations.
        operations: operations of one epoch.
        peak_one_thread: operations per second of a product of two large matrices, on one thread.
        peak: the same on all threads.
        products: seconds of the products of an epoch alone, on one thread.
        descent: seconds of an epoch of gradient descent, on one thread.
    """

    layer: str
    operations: int
    peak_one_thread: float
    peak: float
    products: float
    descent: float


def limit_of(name: str, measured: Measurement) -> Limit:
    """Compute the limit for an experiment at its published settings from the marks of `prepare`.

    The fastest of several measurements counts, since other work on the machine can only slow them.
    """
    problem = load_problem(name)
    layers = products(problem.build())
    validated = 0 if problem.validation is None else len(problem.validation)
    seconds = {label: [cost.seconds for cost in costs] for label, costs in measured.epochs.items()}
    return Limit(
        layer=max(layers, key=lambda product: product.operations).layer,
        operations=training_operations(layers, len(problem.inputs), validated),
        peak_one_thread=2 * SIDE**3 / min(seconds[PEAK_ONE_THREAD]),
        peak=2 * SIDE**3 / min(seconds[PEAK_ALL_THREADS]),
        products=min(seconds[PRODUCTS]),
        descent=min(seconds[DESCENT][1:]),  # the first epoch includes compiling
    )
