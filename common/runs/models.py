"""Save a trained model beside its record, and rebuild it from there.

`model.npz` holds plain arrays: the weights in the order of Keras, what else was fitted, and the threshold. The model is
rebuilt by the code of its experiment, so no code is ever read from a record. `model.keras` is the same model for other
programs; nothing here reads it, since Keras' loader has had several holes in its safe mode.
"""

import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, RecordError
from common.experiment import LABELS, Experiment, Result, Trained
from common.runs import records
from common.runs.records import KERAS, MODEL, Record, seed_of
from common.training.reuse import autoencoder_of

_WEIGHT, _FITTED = "weight.", "fitted."
# The rule whose threshold is saved, if a run has several: the only one that promises a rate of false alarms.
_PREFERRED = "percentile"


class Saved(NamedTuple):
    """What a record holds of a trained model.

    Attributes:
        experiment: the experiment.
        trained: the model but for its layers (`models` is `None`), which `rebuilt` makes.
        weights: the weights in the order of Keras.
        threshold: scores strictly above it are flagged; `None` if the run set none.
        rule: name of its rule; empty without a threshold.
        reading: how the data were read, as in `common.own.data.Reading`, as JSON.
    """

    experiment: Experiment
    trained: Trained
    weights: Sequence[NDArray[Any]]
    threshold: float | None
    rule: str
    reading: str


def require_savable(experiment: Experiment, config: Any) -> None:
    """Check that a model of this experiment can be saved.

    Raises:
        ConfigError: it cannot, and why.
    """
    if experiment.prepare is None or experiment.score is None:
        raise ConfigError(f"{experiment.name} says not how further samples are scored, so no model can be saved")
    if getattr(config, "framework", "keras") != "keras":
        raise ConfigError("--save-model saves models of Keras only; leave --framework out")


def files_of(experiment: Experiment, trained: Trained, result: Result, reading: str) -> dict[str, bytes]:
    """Encode a trained model as the files beside its record, by their names.

    Args:
        experiment: the experiment.
        trained: the model.
        result: the results of its run, among them the thresholds.
        reading: how the data were read, as JSON.
    """
    scored = next(array for method, array in experiment.methods.items() if not method.endswith(LABELS))
    decided = {one.rule: one.threshold for one in result.decisions if one.scores == scored}
    rule = next((one for one in decided if one.endswith(_PREFERRED)), next(iter(decided), ""))
    arrays: dict[str, Any] = {
        f"{_WEIGHT}{number:03d}": weight for number, weight in enumerate(autoencoder_of(trained.models).get_weights())
    }
    arrays |= {f"{_FITTED}{name}": array for name, array in trained.fitted.items()}
    arrays |= {"rule": rule, "threshold": decided.get(rule, np.nan), "reading": reading}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    return {MODEL: content.getvalue(), KERAS: _as_keras_file(autoencoder_of(trained.models))}


def _as_keras_file(autoencoder: Any) -> bytes:
    from common.training.keras import start_keras

    # A model of its own, since optimizer and metrics of a training may be of classes that other programs lack.
    plain = start_keras().Model(autoencoder.inputs, autoencoder.outputs, name=autoencoder.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KERAS
        plain.save(path)
        return path.read_bytes()


def read_saved(folder: Path, known: Mapping[str, Experiment]) -> Saved:
    """Read the model beside a record.

    Args:
        folder: folder of the run.
        known: the experiments by name.

    Raises:
        RecordError: record or model are missing, damaged, or of another version of the suite.
    """
    record = records.read_record(folder)
    if record.status != records.OK or record.model_sha256 is None:
        raise RecordError(f"{folder} holds no model; run it again with --save-model")
    if record.experiment not in known:
        raise RecordError(f"{folder} is a record of {record.experiment}, which this suite does not have")
    experiment = known[record.experiment]
    if record.revision != experiment.revision:
        raise RecordError(
            f"{folder} was made by revision {record.revision} of {experiment.name}, and this suite has revision "
            f"{experiment.revision}; run it again with --save-model"
        )
    arrays = records.read_model(folder, record)
    weights = [arrays[name] for name in sorted(arrays) if re.fullmatch(rf"{re.escape(_WEIGHT)}\d+", name)]
    fitted = {name.removeprefix(_FITTED): array for name, array in arrays.items() if name.startswith(_FITTED)}
    try:
        threshold, rule, reading = float(arrays["threshold"]), str(arrays["rule"]), str(arrays["reading"])
        trained = Trained(None, _config_of(record, experiment), fitted, seed_of(record))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise RecordError(f"{folder / MODEL} is no model of {experiment.name}: {error}") from error
    return Saved(experiment, trained, weights, None if np.isnan(threshold) else threshold, rule, reading)


def _config_of(record: Record, experiment: Experiment) -> Any:
    return experiment.config(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in record.config.items()}
    )


def rebuilt(saved: Saved, shape: tuple[int, ...]) -> Trained:
    """Build the model for samples of this shape, and give it the saved weights.

    Raises:
        RecordError: the weights are those of another model.
    """
    models = saved.experiment.build(saved.trained.config, shape)
    autoencoder = autoencoder_of(models)
    expected, found = ([weight.shape for weight in weights] for weights in (autoencoder.get_weights(), saved.weights))
    if expected != found or not all(_finite(weight) for weight in saved.weights):
        raise RecordError(f"the saved weights are not those of {saved.experiment.name} for samples of shape {shape}")
    autoencoder.set_weights(saved.weights)
    return saved.trained._replace(models=models)


def _finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())
