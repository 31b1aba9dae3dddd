"""Train a Keras autoencoder with compiled epochs, report its progress, and score samples with it.

TensorFlow is started by `start_keras` and never imported before that, because the number of threads must be fixed and
its start-up messages suppressed first.
"""

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.experiment import Scores, Trained
from common.training.keras import run_seed, start_keras
from common.training.reuse import autoencoder_of

# Largest number of samples that are evaluated at once; more take memory and no less time.
MOST_AT_ONCE = 16_384
# Number of training steps from which on XLA saves more time than its compilation takes.
WORTH_XLA = 1000

T = TypeVar("T")
Progress = Callable[[int, int, float], None]
_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)
_log_folder: ContextVar[Path | None] = ContextVar("log_folder", default=None)
_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextlib.contextmanager
def _set(variable: ContextVar[T], value: T) -> Iterator[T]:
    """Give a variable a value within this context."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


def report_epochs_to(progress: Progress) -> AbstractContextManager[Any]:
    """Make `fit` call `progress(epoch, epochs, loss)` after every epoch within this context; epochs count from 1."""
    return _set(_progress, progress)


def log_to(folder: Path | None) -> AbstractContextManager[Any]:
    """Make `fit` write loss and metrics of every epoch to TensorBoard event files within this context.

    Args:
        folder: folder in which `train/` and `validation/` are created; `None` for no log.
    """
    return _set(_log_folder, folder)


def stopwatch() -> AbstractContextManager[Any]:
    """Measure the seconds spent in `fit` (key "fit") and in `reconstruct` outside `fit` (key "score").

    Returns:
        A context manager that gives a dict of the seconds by key, summed over all calls within the context.
    """
    return _set(_seconds, {})


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    """Add the time spent in this context to the stopwatch under the key `what`, ignoring nested timers."""
    seconds, started = _seconds.get(), time.perf_counter()
    try:
        with _set(_seconds, None):
            yield
    finally:
        if seconds is not None:
            seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - started


def report_epoch(epoch: int, epochs: int, loss: float) -> None:
    """Report the end of an epoch to the function set by `report_epochs_to`, if any.

    Args:
        epoch: number of the epoch, counted from 1.
        epochs: number of epochs of the training.
        loss: training loss of the epoch.
    """
    progress = _progress.get()
    if progress is not None:
        progress(epoch, epochs, loss)


def fit(
    model: Any,
    inputs: NDArray[np.float32],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    parts: int = 1,
    on_epoch_end: Callable[[], None] | None = None,
    validation: NDArray[np.float32] | None = None,
    validation_batch_size: int | None = None,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> dict[str, list[float]]:
    """Train an autoencoder to reconstruct its inputs, like `model.fit`, but with each epoch one compiled function.

    For small layers, fetching a batch takes as long as a step, so the batches are gathered inside the compiled epoch.
    The weights are those of `model.fit`, bit for bit; with `jit_compile=True`, up to rounding.

    Args:
        model: a compiled Keras model. With `jit_compile=True`, XLA compiles trainings of `WORTH_XLA` steps or more.
        inputs: training samples, shape `(samples, ...)`.
        epochs: number of passes over the inputs, each in a new order.
        batch_size: samples per step; the last batch of an epoch may be smaller.
        seed: seed of the shuffling.
        parts: number of equal parts that every full batch is cut into. Each is computed by one thread, several at a
            time where the run has several threads, and their gradients are averaged in a fixed order. So the weights
            depend on the number of parts, by rounding alone, and not on the number of threads. Batches of a size that
            is no multiple of it stay whole. Default: 1.
        on_epoch_end: called after every epoch. Default: nothing.
        validation: samples for `val_loss` in the history, shape `(samples, ...)`. Default: none.
        validation_batch_size: number of validation samples that are evaluated at once. It changes the result only where
            a loss is no mean over samples. Default: `MOST_AT_ONCE`.
        patience: number of epochs without improvement of `val_loss` after which training stops; the weights of the last
            epoch are kept, as by `keras.callbacks.EarlyStopping`. Needs `validation`. Default: never stop early.
        callbacks: further Keras callbacks; they are called for epochs, not for batches.

    Returns:
        Keras' history: one number per epoch for the loss (penalties included) and for every compiled metric.

    Raises:
        FloatingPointError: a loss became infinite or NaN.
        ValueError: `patience` without `validation`.
    """
    if patience is not None and validation is None:
        raise ValueError(f"Stopping early needs validation data to watch. Received: patience={patience}")
    history = start_keras().callbacks.History()
    # The history comes last, so that it records the values that other callbacks add to the logs.
    every = [*_own_callbacks(epochs, on_epoch_end, patience), *callbacks, history]
    steps = -(-len(inputs) // batch_size)
    all_callbacks = start_keras().callbacks.CallbackList(every, model=model, epochs=epochs, steps=steps, verbose=0)
    with _timed("fit"):
        worth_xla = len(inputs) // batch_size * epochs >= WORTH_XLA
        parts = parts if batch_size % parts == 0 else 1
        compiled = _compiled(model, inputs, batch_size, parts, model.jit_compile and worth_xla)
        train, validate = _training(compiled, inputs), _validation(compiled, validation, validation_batch_size)
        model.stop_training = False
        all_callbacks.on_train_begin()
        for epoch, order in enumerate(_orders(len(inputs), epochs, seed)):
            all_callbacks.on_epoch_begin(epoch)
            logs = train(order)
            logs |= {f"val_{name}": value for name, value in validate().items()}
            _require_finite(logs, epoch)
            all_callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model.optimizer.finalize_variable_values(model.trainable_variables)
        all_callbacks.on_train_end()
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _own_callbacks(epochs: int, on_epoch_end: Callable[[], None] | None, patience: int | None) -> list[Any]:
    """Make the callbacks for progress, early stopping and the TensorBoard log, in this order."""

    def after(epoch: int, logs: dict[str, float]) -> None:
        if on_epoch_end is not None:
            on_epoch_end()
        report_epoch(epoch + 1, epochs, logs["loss"])

    callbacks = start_keras().callbacks
    stopping = [] if patience is None else [callbacks.EarlyStopping("val_loss", patience=patience)]
    return [callbacks.LambdaCallback(on_epoch_end=after), *stopping, *_log_callbacks()]


def _require_finite(logs: Mapping[str, float], epoch: int) -> None:
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{name} is {value} after epoch {epoch + 1}; a lower learning rate may help")


def _orders(samples: int, epochs: int, seed: int) -> Any:
    """Make a data set of shuffled sample indices, one element per epoch.

    The order is the same as when `model.fit` reads from a `tf.data` shuffle buffer as large as the data set, in a
    process whose global seed is that of the run. `Dataset.shuffle` itself would read the global seed, which other
    threads may set, so the operation behind it gets both seeds directly.
    """
    import tensorflow as tf

    # As in `tf.random`, seeds are taken modulo this number, and two zeros, which mean no seed, are avoided.
    largest = 2**31 - 1
    first, second = run_seed(seed) % largest, seed % largest
    shuffled = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(tf.data.Dataset.range(samples)),
        buffer_size=samples,
        seed=first,
        seed2=second if first or second else largest,
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        output_types=[tf.int64],
        output_shapes=[()],
        reshuffle_each_iteration=True,
    )
    return tf.data.experimental.from_variant(shuffled, tf.TensorSpec((), tf.int64)).batch(samples).repeat(epochs)


@dataclass(frozen=True)
class _Compiled:
    """The compiled epoch of a model, kept for the next training of this model with samples of the same shape.

    Attributes:
        model: the model.
        settings: everything else that is compiled in: shape of the variable for the samples, batch size, number of
            parts of a batch, and XLA.
        samples: variable for the training samples; rows beyond their number are zero and never used.
        batches: function that trains on all full batches, or without XLA and parts on all.
        partial_batch: function that trains on one batch.
        test: function that evaluates the model on samples, as one batch.
    """

    model: Any
    settings: tuple[tuple[int, ...], int, int, bool]
    samples: Any
    batches: Callable[[Any, Any], None]
    partial_batch: Callable[[Any], None]
    test: Callable[[Any], Mapping[str, Any]]


# Only the last one is kept. It holds the model, so a key that identifies the model is never reused while it exists.
_last: list[_Compiled] = []


def _compiled(model: Any, inputs: NDArray[np.float32], batch_size: int, parts: int, xla: bool) -> _Compiled:
    """Compile the epochs of a training, or return the functions of the last training if they are the same."""
    # Trainings with slightly different numbers of samples share a compiled function: XLA needs static shapes, so the
    # samples are padded to a multiple of a power of two.
    step = 1 << max(0, len(inputs).bit_length() - 4) if xla else 1
    capacity = -(-len(inputs) // step) * step
    settings = ((capacity, *inputs.shape[1:]), batch_size, parts, xla)
    if not (_last and _last[0].model is model and _last[0].settings == settings):
        _last.clear()
        gc.collect()  # models contain reference cycles
        _last.append(_compile(model, *settings))
    return _last[0]


def _compile(model: Any, shape: tuple[int, ...], batch_size: int, parts: int, xla: bool) -> _Compiled:
    import tensorflow as tf

    samples = tf.Variable(tf.zeros(shape))
    # A tf.function that creates variables is traced twice, so all variables are created beforehand.
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(samples[:1], samples[:1], model(samples[:1], training=False))
    model.compute_metrics(samples[:1], samples[:1], samples[:1])

    def step(indices: Any) -> None:
        batch = tf.gather(samples, indices)
        model.train_step((batch, batch))

    def step_by_parts(indices: Any) -> None:
        _train_step_by_parts(model, tf.split(tf.gather(samples, indices), parts))

    @tf.function(jit_compile=xla)  # type: ignore[untyped-decorator]
    def batches(order: Any, end: Any) -> None:
        for start in tf.range(0, end, batch_size):
            if parts > 1:
                step_by_parts(tf.slice(order, [start], [batch_size]))
            else:
                step(tf.slice(order, [start], [batch_size]) if xla else order[start : start + batch_size])

    @tf.function  # type: ignore[untyped-decorator]
    def partial_batch(order: Any) -> None:
        step(order)

    @tf.function  # type: ignore[untyped-decorator]
    def test(inputs: Any) -> Any:
        return model.test_step((inputs, inputs))

    return _Compiled(model, (shape, batch_size, parts, xla), samples, batches, partial_batch, test)


def _train_step_by_parts(model: Any, parts: Sequence[Any]) -> None:
    """Make one training step, like `model.train_step`, from the gradients of equal parts of a batch.

    The parts do not depend on each other until their gradients are averaged, so TensorFlow computes several at a time.
    """
    import tensorflow as tf

    gradients, losses, outputs = [], [], []
    for inputs in parts:
        with tf.GradientTape() as tape:
            outputs.append(model(inputs, training=True))
            losses.append(model.compute_loss(inputs, inputs, outputs[-1], training=True))
        gradients.append(tape.gradient(losses[-1], model.trainable_weights))
    averaged = [tf.add_n(of_one) / len(parts) for of_one in zip(*gradients, strict=True)]
    model.optimizer.apply(averaged, model.trainable_weights)
    batch = tf.concat(parts, axis=0)
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(tf.add_n(losses) / len(parts), sample_weight=tf.shape(batch)[0])
    model.compute_metrics(batch, batch, tf.concat(outputs, axis=0))


def _training(compiled: _Compiled, inputs: NDArray[np.float32]) -> Callable[[Any], dict[str, float]]:
    """Make a function that trains one epoch in a given order of the samples and returns its loss and metrics."""
    import tensorflow as tf

    shape, batch_size, parts, xla = compiled.settings
    padding = [(0, shape[0] - len(inputs))]
    compiled.samples.assign(np.pad(inputs, padding + [(0, 0)] * (inputs.ndim - 1)))
    # Compiling a single step by XLA takes seconds and saves microseconds, so the partial batch has its own function.
    full = len(inputs) - len(inputs) % batch_size
    looped = tf.constant(full if xla or parts > 1 else len(inputs))

    def train_epoch(order: Any) -> dict[str, float]:
        compiled.model.reset_metrics()
        compiled.batches(tf.pad(order, padding), looped)
        if looped < len(inputs):
            compiled.partial_batch(order[looped:])
        return {name: float(value) for name, value in compiled.model.get_metrics_result().items()}

    return train_epoch


def _validation(
    compiled: _Compiled, inputs: NDArray[np.float32] | None, batch_size: int | None
) -> Callable[[], dict[str, float]]:
    """Make a function that returns loss and metrics of the inputs, batch by batch; an empty dict without inputs."""
    import tensorflow as tf

    if inputs is None:
        return dict
    size = batch_size or min(len(inputs), MOST_AT_ONCE)
    batches = [tf.constant(inputs[start : start + size]) for start in range(0, len(inputs), size)]

    def validate() -> dict[str, float]:
        compiled.model.reset_metrics()
        for batch in batches:
            metrics = compiled.test(batch)
        return {name: float(value) for name, value in metrics.items()}

    return validate


def _log_callbacks() -> list[Any]:
    """Make the callback that writes the TensorBoard log, if `log_to` has set a folder.

    Keras' own callback needs the package `tensorboard`, which should be needed only to view a log. So the scalars are
    written with TensorFlow alone, under the same names and in the same folders as by Keras' callback.
    """
    folder = _log_folder.get()
    if folder is None:
        return []
    import tensorflow as tf

    writers = {part: tf.summary.create_file_writer(str(folder / part)) for part in ("train", "validation")}
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")

    def write(epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            with writers["validation" if name.startswith("val_") else "train"].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, tf.constant(value, tf.float32), step=epoch, metadata=metadata)

    def close(logs: dict[str, float] | None) -> None:
        for writer in writers.values():
            writer.close()

    return [start_keras().callbacks.LambdaCallback(on_epoch_end=write, on_train_end=close)]


def reconstruct(model: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the outputs of a model for inputs, `MOST_AT_ONCE` at a time, without the overhead of `predict`."""
    with _timed("score"):
        starts = range(0, max(len(inputs), 1), MOST_AT_ONCE)
        outputs = [np.asarray(model(inputs[start : start + MOST_AT_ONCE], training=False)) for start in starts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def reconstruction_scores(trained: Trained, samples: NDArray[Any]) -> Scores:
    """Score samples by their mean squared reconstruction error: `score` of an experiment with this score."""
    reconstructed = reconstruct(autoencoder_of(trained.models), samples.astype(np.float32))
    errors = np.square(samples - reconstructed).reshape(len(samples), -1)
    return Scores(errors.mean(axis=1), errors)


def layer_arrays(model: Any, prefix: str = "layer") -> dict[str, NDArray[Any]]:
    """Describe the layers of a Functional model without branches as arrays for `figures.model_graph`.

    Args:
        model: a Functional Keras model.
        prefix: prefix of the array names. Default: "layer".

    Returns:
        Three arrays of shape `(layers,)`: `<prefix>_names`, the class of each layer, with that of a wrapped layer in
        parentheses; `<prefix>_shapes`, its output shape as text, without the batch axis; and `<prefix>_parameters`,
        its number of weights.
    """
    return {
        f"{prefix}_names": np.array([_layer_name(layer) for layer in model.layers]),
        f"{prefix}_shapes": np.array([" x ".join(map(str, layer.output.shape[1:])) for layer in model.layers]),
        f"{prefix}_parameters": np.array([layer.count_params() for layer in model.layers]),
    }


def _layer_name(layer: Any) -> str:
    name = type(layer).__name__
    wrapped = getattr(layer, "layer", None)
    return name if wrapped is None else f"{name}({_layer_name(wrapped)})"
