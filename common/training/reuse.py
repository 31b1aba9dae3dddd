"""Reuse a compiled model for further seeds: it gets the initial state of a freshly built one."""

from collections.abc import Callable, Hashable
from typing import Any


class LastModel:
    """The last model that was built in this process.

    Tracing and compiling a training takes up to half of its time. A model that is trained again with another seed keeps
    what was compiled (see `fit`), but starts with the weights of a model that was built for this seed, so the results
    are the same as in a process of its own.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._models: Any = None

    def get(self, key: Hashable, build: Callable[[], Any]) -> Any:
        """Build a model, or give the last one the initial state of a new one.

        Args:
            key: everything that is compiled in: experiment, config, protocol and shape of the samples.
            build: `Experiment.build`, called without arguments. It is called in both cases, since it draws the initial
                weights from the random generators.

        Returns:
            The compiled model, or the named tuple of models that contains it.
        """
        fresh = build()
        if key == self._key and self._models is not None:
            _copy_state(autoencoder_of(fresh), autoencoder_of(self._models))
        else:
            self._key, self._models = key, fresh
        return self._models


def autoencoder_of(models: Any) -> Any:
    """Give the compiled model of what `Experiment.build` returns: itself, or that of a named tuple of models."""
    return getattr(models, "autoencoder", models)


def _copy_state(source: Any, target: Any) -> None:
    """Copy weights, states of random generators and the state of the optimizer to a model of the same structure."""
    for model in (source, target):
        model.optimizer.build(model.trainable_variables)
    pairs = [(source.variables, target.variables), (source.optimizer.variables, target.optimizer.variables)]
    for sources, targets in pairs:
        for variable, other in zip(sources, targets, strict=True):
            other.assign(variable)
