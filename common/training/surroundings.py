"""Keep settings that a user made for other programs away from the runs, and read the settings that are in force.

Environment variables, configuration files and earlier calls in the same program can change what TensorFlow, Keras,
scikit-learn, NumPy, pandas and PyTorch compute. Libraries that are imported here get their default settings. A process
in which they were set differently before computes no runs (`differences`).
"""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import SuiteError

# Number of threads of a kernel of TensorFlow and of NumPy's BLAS. It is fixed because results round differently with
# other numbers, and 1 because several kernels at a time use several cores better than one kernel with several threads.
THREADS = 1

# The settings of Keras and TensorFlow in every run; `settings` reads those in force.
SETTINGS: Mapping[str, Any] = {
    "backend": "tensorflow",
    "device": "CPU",
    "kernel_threads": THREADS,
    "float_type": "float32",
    "dtype_policy": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "eager_functions": False,
}

# Environment variables with these beginnings change what TensorFlow, XLA, oneDNN, Keras and scikit-learn compute.
_DECIDING = ("TF_", "XLA_", "ONEDNN_", "DNNL_", "KERAS_", "SKLEARN_")
# Exceptions: what is logged, the folder of Keras' downloads, and the backend, which is among the settings.
_HARMLESS = (
    *("TF_CPP_", "KERAS_HOME", "KERAS_BACKEND"),
    # Terraform's variables have the same beginning as TensorFlow's.
    *("TF_CLI_", "TF_CLOUD_", "TF_DATA_DIR", "TF_IGNORE", "TF_IN_AUTOMATION", "TF_INPUT", "TF_LOG", "TF_PLUGIN_"),
    *("TF_REATTACH_", "TF_REGISTRY_", "TF_STATE_", "TF_TOKEN_", "TF_VAR_", "TF_WORKSPACE"),
)

# NumPy was imported before this module and may have been set up by the program that calls the suite.
_NUMPY = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_SKLEARN = {
    "assume_finite": False,
    "working_memory": 1024,
    "pairwise_dist_chunk_size": 256,
    "enable_cython_pairwise_dist": True,
    "array_api_dispatch": False,
    "transform_output": "default",
    "enable_metadata_routing": False,
    "skip_parameter_validation": False,
}


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Let libraries that are imported within this context start with their default settings.

    Environment variables that decide results are removed for good, since TensorFlow reads some of them late. Keras'
    and Matplotlib's configuration files are hidden. So is `MPLBACKEND`: Matplotlib cannot be imported if it names a
    backend that is not installed, as in a shell of Jupyter. Afterwards Matplotlib has the user's backend, if it exists.
    """
    remove_deciding_variables()
    with tempfile.TemporaryDirectory() as empty, contextlib.ExitStack() as stack:
        hidden = {"KERAS_HOME": empty}
        if "matplotlib" not in sys.modules and (spec := importlib.util.find_spec("matplotlib")):
            defaults = Path(str(spec.origin)).parent / "mpl-data"
            hidden |= {"MATPLOTLIBRC": str(defaults), "MPLBACKEND": "agg"}
            # A file in the current folder would precede it.
            if Path("matplotlibrc").exists():
                stack.enter_context(contextlib.chdir(defaults))
        before = {name: os.environ.get(name) for name in hidden}
        os.environ.update(hidden)
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value
    if before.get("MPLBACKEND") and "matplotlib" in sys.modules:
        with contextlib.suppress(ValueError):
            sys.modules["matplotlib"].rcParams["backend"] = before["MPLBACKEND"]


def remove_deciding_variables() -> None:
    """Remove environment variables that change results, before the libraries that read them are imported."""
    for name in _deciding_variables():
        del os.environ[name]


def _deciding_variables() -> list[str]:
    return [name for name in os.environ if name.startswith(_DECIDING) and not name.startswith(_HARMLESS)]


def settings() -> dict[str, Any]:
    """Read the settings of Keras and TensorFlow in this process; if they were not imported yet, what they will be."""
    keras = sys.modules.get("keras")
    if keras is None:
        return dict(SETTINGS)
    found = {
        "backend": keras.config.backend(),
        "float_type": keras.config.floatx(),
        "dtype_policy": keras.config.dtype_policy().name,
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
    }
    if found["backend"] == "tensorflow":
        import tensorflow as tf

        threading = tf.config.threading
        found |= {
            "device": "GPU" if tf.config.get_visible_devices("GPU") else "CPU",
            "kernel_threads": threading.get_intra_op_parallelism_threads(),
            "eager_functions": tf.config.functions_run_eagerly() or not tf.executing_eagerly(),
        }
    return {**SETTINGS, **found}


def require_defaults() -> None:
    """Check that this process has no settings under which a run would give other results.

    Raises:
        SuiteError: it has; the message names them.
    """
    if set_otherwise := differences():
        raise SuiteError(
            "a run needs the default settings of its libraries, and this process has others: "
            f"{', '.join(set_otherwise)}; call the suite before them, or as a program of its own"
        )


def differences() -> list[str]:
    """List the settings of this process under which a run would give other results than in a process of its own.

    Returns:
        A short text for each, such as "float_type float64"; empty if runs can be computed in this process.
    """
    pairs = [*_pairs(settings(), SETTINGS), *_pairs(np.geterr(), _NUMPY)]
    if "sklearn" in sys.modules:
        pairs += _pairs(sys.modules["sklearn"].get_config(), _SKLEARN)
    if "torch" in sys.modules:
        pairs += _pairs({"dtype": str(sys.modules["torch"].get_default_dtype())}, {"dtype": "torch.float32"})
    if "pandas" in sys.modules:
        pairs += _changed_pandas_options()
    if "keras" in sys.modules or "sklearn" in sys.modules:
        pairs += [(name, os.environ[name]) for name in _deciding_variables()]
    return [f"{name} {value}" for name, value in pairs]


def _pairs(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List the settings with an unexpected value; settings that this version of a library lacks are left out."""
    return [(name, found[name]) for name, value in expected.items() if name in found and found[name] != value]


def _changed_pandas_options() -> list[tuple[str, str]]:
    """List the options of pandas that are not at their default, except those for display."""
    described = sys.modules["pandas"].describe_option("^(compute|future|io|mode)", _print_desc=False) or ""
    found = re.findall(r"^(\w+\.\S+) .*?\[default: (.*?)\] \[currently: (.*?)\]", described, re.MULTILINE | re.DOTALL)
    return [(f"pandas.{name}", current) for name, default, current in found if current != default]
