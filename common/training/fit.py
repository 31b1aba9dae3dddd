"""Seeds, threads, and fit with its epochs compiled: one way to train for every experiment.

TensorFlow is imported here and nowhere else first, because two things must happen before it starts: the number of
threads is fixed, and its start-up messages are kept off stderr.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.training.keras import start_keras

# Steps of a training from which on XLA repays the seconds that it takes to compile one.
WORTH_XLA = 1000

Progress = Callable[[int, int, float], None]
_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)
_log_folder: ContextVar[Path | None] = ContextVar("log_folder", default=None)
_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextlib.contextmanager
def report_epochs_to(progress: Progress) -> Iterator[None]:
    """Within this context, `fit` calls `progress(epoch, epochs, loss)` at the end of every epoch, counted from 1."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


@contextlib.contextmanager
def log_to(folder: Path | None) -> Iterator[None]:
    """Within this context, `fit` writes loss and metrics of every epoch as TensorBoard event files.

    Args:
        folder: `train/` and `validation/` are made in it; `None` for no log.
    """
    token = _log_folder.set(folder)
    try:
        yield
    finally:
        _log_folder.reset(token)


@contextlib.contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Within this context, add up the seconds spent in `fit`, as `fit`, and outside it in `reconstruct`, as `score`."""
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    """Count the time in here as `what`, and nothing in here as anything else."""
    seconds = _seconds.get()
    token = _seconds.set(None)
    started = time.perf_counter()
    try:
        yield
    finally:
        _seconds.reset(token)
        if seconds is not None:
            seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - started


def report_epoch(epoch: int, epochs: int, loss: float) -> None:
    """Tell whoever listens (see `report_epochs_to`) that an epoch has ended."""
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
    on_epoch_end: Callable[[], None] | None = None,
    validation: NDArray[np.float32] | None = None,
    patience: int | None = None,
    callbacks: Sequence[Any] = (),
) -> dict[str, list[float]]:
    """Train an autoencoder to give back its inputs: what Keras' own `fit` does, with each epoch one compiled function.

    For layers this small, fetching a batch costs as much as a step. So the steps are Keras' own, `model.train_step`,
    but their batches are gathered inside the compiled epoch. The weights are those of `fit`, bit for bit; for a model
    compiled with `jit_compile=True`, whose steps XLA merges into fewer passes over the weights, up to rounding.

    Args:
        model: a compiled Keras model. With `jit_compile=True`, XLA compiles its steps, if they are `WORTH_XLA` many.
        inputs: what it is to reconstruct, shape `(samples, ...)`.
        epochs: passes over the inputs, each in a new order; the last batch may be a partial one.
        batch_size: samples of one step.
        seed: of the order.
        on_epoch_end: called after every epoch.
        validation: what it is scored on after every epoch, shape `(samples, ...)`; the history gets `val_loss`.
        patience: stop once `val_loss` has not improved for so many epochs, and keep the weights of the last epoch, as
            `keras.callbacks.EarlyStopping` does unless told otherwise. Needs `validation`. Default: never stop early.
        callbacks: further Keras callbacks; they are told of epochs, not of batches.

    Returns:
        Keras' history: for the loss (penalties included) and every compiled metric one number an epoch.

    Raises:
        FloatingPointError: a loss is not finite any more.
    """
    if patience is not None and validation is None:
        raise ValueError(f"Stopping early needs validation data to watch. Received: patience={patience}")
    history = start_keras().callbacks.History()
    stopping = [] if patience is None else [start_keras().callbacks.EarlyStopping("val_loss", patience=patience)]
    told = start_keras().callbacks.CallbackList(
        # The history is behind those that write into the logs.
        [_progress_callback(epochs, on_epoch_end), *stopping, *_log_callbacks(), *callbacks, history],
        model=model,
        epochs=epochs,
        steps=-(-len(inputs) // batch_size),
        verbose=0,
    )
    with _timed("fit"):
        worth_xla = len(inputs) // batch_size * epochs >= WORTH_XLA
        train = _compiled_epoch(model, inputs, batch_size, model.jit_compile and worth_xla)
        validate = _compiled_validation(model, validation)
        model.stop_training = False
        told.on_train_begin()
        for epoch, order in enumerate(_orders(len(inputs), epochs, seed)):
            told.on_epoch_begin(epoch)
            logs = train(order)
            logs |= {f"val_{name}": value for name, value in validate().items()}
            _require_finite(logs, epoch)
            told.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model.optimizer.finalize_variable_values(model.trainable_variables)
        told.on_train_end()
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _progress_callback(epochs: int, on_epoch_end: Callable[[], None] | None) -> Any:
    """Tells whoever wants to know that an epoch has ended."""

    def after(epoch: int, logs: dict[str, float]) -> None:
        if on_epoch_end is not None:
            on_epoch_end()
        report_epoch(epoch + 1, epochs, logs["loss"])

    return start_keras().callbacks.LambdaCallback(on_epoch_end=after)


def _require_finite(logs: Mapping[str, float], epoch: int) -> None:
    for name, value in logs.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{name} is {value} after epoch {epoch + 1}; a lower learning rate may help")


def _orders(samples: int, epochs: int, seed: int) -> Any:
    """For every epoch the indices of all samples, in the order in which `fit` would be fed from a shuffle buffer."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(samples)
    return indices.shuffle(samples, seed=seed, reshuffle_each_iteration=True).batch(samples).repeat(epochs)


def _compiled_epoch(
    model: Any, inputs: NDArray[np.float32], batch_size: int, xla: bool
) -> Callable[[Any], dict[str, float]]:
    """A function that trains one epoch in a given order, and gives the loss and metrics of the epoch."""
    import tensorflow as tf

    samples = tf.constant(inputs)
    # XLA wants to know all shapes, so the partial batch goes through a function of its own; compiled without XLA, since
    # a single step would cost seconds to save microseconds.
    looped = len(inputs) - len(inputs) % batch_size if xla else len(inputs)
    # A function that makes variables is traced twice, so they are all made here.
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(samples[:1], samples[:1], samples[:1])
    model.compute_metrics(samples[:1], samples[:1], samples[:1])

    def step(indices: Any) -> None:
        batch = tf.gather(samples, indices)
        model.train_step((batch, batch))

    @tf.function(jit_compile=xla)  # type: ignore[untyped-decorator]
    def batches(order: Any) -> None:
        for start in tf.range(0, looped, batch_size):
            step(tf.slice(order, [start], [batch_size]) if xla else order[start : start + batch_size])

    @tf.function  # type: ignore[untyped-decorator]
    def partial_batch(order: Any) -> None:
        step(order[looped:])

    def train_epoch(order: Any) -> dict[str, float]:
        model.reset_metrics()
        batches(order)
        if looped < len(inputs):
            partial_batch(order)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    return train_epoch


def _compiled_validation(model: Any, inputs: NDArray[np.float32] | None) -> Callable[[], dict[str, float]]:
    """A function that gives loss and metrics of these inputs, all as one batch; of none, nothing."""
    import tensorflow as tf

    if inputs is None:
        return dict
    samples = tf.constant(inputs)

    @tf.function  # type: ignore[untyped-decorator]
    def test() -> Any:
        return model.test_step((samples, samples))

    def validate() -> dict[str, float]:
        model.reset_metrics()
        return {name: float(value) for name, value in test().items()}

    return validate


def _log_callbacks() -> list[Any]:
    """What writes the TensorBoard log, if one is asked for.

    Keras' own callback needs the package `tensorboard`, which only the reader of a log should need. So the scalars are
    written with what TensorFlow has, under the names and in the folders that Keras' callback uses.
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
    """What the model makes of its inputs, in one batch, without the overhead of `predict`."""
    with _timed("score"):
        return np.asarray(model(inputs, training=False))


def layer_arrays(model: Any, prefix: str = "layer") -> dict[str, NDArray[Any]]:
    """The layers of a Functional model without branches, as small arrays: what `figures.model_graph` draws.

    Returns:
        `<prefix>_names` with the class of each layer and of what it wraps, `<prefix>_shapes` with its output shape as
        text, the batch axis left out, and `<prefix>_parameters` with its number of weights; each of shape `(layers,)`.
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
