"""The notebooks' own way: plain Keras on arrays, loops over images and windows, files parsed anew every time.

The code is written from a description of the sources, not copied from them. For the two sources in PyTorch it is the
plain Keras notebook that a reader would write. Layers and settings are the published ones. Everything else is a default
of Keras: threads, the steps of `fit`, the batches of `predict`. Three things on which the sources also spend time are
left out, which favours the notebooks: progress bars, TensorBoard logs, and figures (one source draws a hundred box
plots).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.problems import Problem, load_problem
from common.data import datasets

Mark = Callable[[str], None]
Work = Callable[[Mark], object]


def prepare(row: str, epochs: Mapping[str, int], threads: int | None) -> Work:
    """Return the function to be timed for a row; `threads` limits its threads (default: TensorFlow's own choice)."""
    if row.startswith("end_to_end:"):
        experiment = row.partition(":")[2]
        return lambda mark: NOTEBOOKS[experiment](epochs[experiment], lambda: mark(experiment))
    if row == "windows":
        import openpyxl  # noqa: F401
        import pandas  # noqa: F401
        import sklearn.model_selection
        import sklearn.preprocessing  # noqa: F401

        return lambda mark: scaled_windows()
    keras = start_keras(threads)
    if row == "scoring":
        from benchmarks.ours import images_to_score

        model, images = conv_autoencoder(keras)[1], images_to_score()
        return lambda mark: score(model, images)
    problem = load_problem(row)
    return lambda mark: train(row, problem, epochs[row], lambda: mark(row))


def start_keras(threads: int | None = None) -> Any:
    """Import Keras as a notebook does."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    if threads:
        from threadpoolctl import threadpool_limits

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        threadpool_limits(threads)
    tf.constant(0)
    import keras

    return keras


# The models.


def conv_autoencoder(keras: Any) -> tuple[Any, Any]:
    """Build encoder and autoencoder of mnist_conv_ae."""
    layers = keras.layers
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(2, 7),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((1, 1, 2)),
            layers.Conv2DTranspose(64, 7, activation="relu"),
            layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 7, strides=2, padding="same"),
        ]
    )
    model = keras.Model(encoder.inputs[0], decoder(encoder.outputs[0]))
    model.compile(optimizer="adam", loss="mean_squared_error")
    return encoder, model


def latent_autoencoder(keras: Any) -> tuple[Any, Any]:
    """Build encoder and autoencoder of fashion_latent_ocsvm."""
    dense = keras.layers.Dense
    encoder = keras.Sequential([keras.Input((784,)), *(dense(units, activation="relu") for units in (128, 64, 32, 2))])
    decoder = [*(dense(units, activation="relu") for units in (32, 64, 128)), dense(784, activation="sigmoid")]
    model = keras.Sequential([encoder, *decoder])
    model.compile(optimizer="adam", loss="mean_squared_error")
    return encoder, model


def lstm_autoencoder(keras: Any, activation: str = "tanh", learning_rate: float = 1e-3) -> Any:
    """Build the model of rare_event_lstm_ae with default LSTM layers, which loop over the time steps."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5, 59)),
            layers.LSTM(32, activation, return_sequences=True),
            layers.LSTM(16, activation),
            layers.RepeatVector(5),
            layers.LSTM(16, activation, return_sequences=True),
            layers.LSTM(32, activation, return_sequences=True),
            layers.TimeDistributed(layers.Dense(59)),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model


def relu_lstm_autoencoder(keras: Any) -> Any:
    """Build the model of rare_event_relu_lstm_ae, likewise."""
    return lstm_autoencoder(keras, "relu", 1e-4)


def sensors_autoencoder(keras: Any) -> Any:
    """Build the model of rare_event_dense_ae."""
    dense, penalty = keras.layers.Dense, keras.regularizers.L1(1e-3)
    first = dense(32, "relu", activity_regularizer=penalty)
    others = [dense(16, "relu"), dense(16, "relu"), dense(32, "relu"), dense(59)]
    model = keras.Sequential([keras.Input((59,)), first, *others])
    model.compile(optimizer="adam", loss="mean_squared_error", metrics=["accuracy"])
    return model


def curves_autoencoder(keras: Any) -> Any:
    """Build the model of curves_dense_ae."""
    layers: list[Any] = [keras.Input((256,))]
    for units in (128, 64, 16, 4, 16, 64, 128, 256):
        layers += [_decaying_dense(keras, units), keras.layers.LeakyReLU(negative_slope=0.2)]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    return model


def digits_autoencoder(keras: Any) -> Any:
    """Build the model of mnist_dense_ae."""
    shapes = ((256, "relu"), (128, "relu"), (64, None), (128, "relu"), (256, "relu"), (784, "tanh"))
    model = keras.Sequential([keras.Input((784,)), *(_decaying_dense(keras, *shape) for shape in shapes)])
    model.compile(optimizer=keras.optimizers.Adam(3e-4), loss="mse")
    return model


def _decaying_dense(keras: Any, units: int, activation: str | None = None) -> Any:
    decay = keras.regularizers.L2(1e-5 / 2)
    return keras.layers.Dense(units, activation, kernel_regularizer=decay, bias_regularizer=decay)


def build(experiment: str, keras: Any) -> Any:
    """Build the compiled autoencoder of an experiment."""
    builders = {
        "mnist_conv_ae": lambda keras: conv_autoencoder(keras)[1],
        "fashion_latent_ocsvm": lambda keras: latent_autoencoder(keras)[1],
        "rare_event_lstm_ae": lstm_autoencoder,
        "rare_event_dense_ae": sensors_autoencoder,
        "rare_event_relu_lstm_ae": relu_lstm_autoencoder,
        "curves_dense_ae": curves_autoencoder,
        "mnist_dense_ae": digits_autoencoder,
    }
    return builders[experiment](keras)


def train(experiment: str, problem: Problem, epochs: int, on_epoch_end: Callable[[], None]) -> Any:
    """Build and train a model, and return it."""
    keras = start_keras()
    model = build(experiment, keras)
    fit(model, problem.inputs, epochs, problem.config.batch_size, on_epoch_end, problem.validation)
    return model


def fit(
    model: Any,
    inputs: np.ndarray,
    epochs: int,
    batch_size: int,
    on_epoch_end: Callable[[], None],
    validation: np.ndarray | None = None,
) -> Any:
    """Train a model by a plain `fit` on arrays."""
    import keras

    return model.fit(
        inputs,
        inputs,
        epochs=epochs,
        batch_size=batch_size,
        validation_data=None if validation is None else (validation, validation),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch_end())],
        verbose=0,
    )


# Scoring image by image.


def score(model: Any, images: np.ndarray) -> np.ndarray:
    """Compute the error of one image after the other, each as a batch of its own."""
    errors = []
    for number in range(len(images)):
        image = images[number].reshape(1, 28, 28, 1)
        errors.append(model.evaluate(image, image, verbose=0))
    return np.array(errors)


# Windows row by row.


def scaled_windows(rows_before: int = 5, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Make scaled windows from the .xlsx file.

    Args:
        rows_before: number of rows before a break that become positive.
        seed: seed of the random split.

    Returns:
        Normal training windows, validation windows and their labels, test windows and their labels, and normal
        validation windows.
    """
    x, y = make_windows(*shift_labels(read_table(), rows_before))
    return split_and_scale(x, y, seed)


def read_table() -> Any:
    """Parse the whole sheet, without a cache."""
    import pandas

    return pandas.read_excel(workbook(), engine="openpyxl")


def workbook() -> Any:
    """Find the .xlsx file of the paper machine.

    Raises:
        FileNotFoundError: there is no .xlsx file, for example only a .csv.
    """
    for found in datasets.find("processminer"):
        for path in sorted(found.parent.glob("*.xlsx")):
            return path
    raise FileNotFoundError("the .xlsx of the paper machine is not here, and reading it is what is measured")


def shift_labels(table: Any, rows_before: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return the sensors and the shifted labels of the rows without a break."""
    before = table["y"].copy()
    for rows in range(1, rows_before + 1):
        before = before + table["y"].shift(-rows).fillna(0)
    before[before > 0] = 1
    kept = table["y"] != 1
    sensors = table.drop(columns=["time", "y", "x28", "x61"])
    return sensors[kept].to_numpy(), before[kept].to_numpy()


def make_windows(rows: np.ndarray, labels: np.ndarray, steps: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Cut windows as lists of rows, filled in two loops; the first two rows are skipped, as in the source."""
    windows, window_labels = [], []
    for start in range(2, len(rows) - steps + 1):
        window = []
        for step in range(steps):
            window.append(rows[[start + step], :])
        windows.append(window)
        window_labels.append(labels[start + steps - 1])
    return np.squeeze(np.array(windows)), np.array(window_labels)


def split_and_scale(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Split windows at random twice, and scale them by the last rows of the normal training windows."""
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=seed)
    x_train, x_validation, y_train, y_validation = train_test_split(x_train, y_train, test_size=0.2, random_state=seed)
    normal = x_train[y_train == 0]
    scaler = StandardScaler().fit(last_rows(normal))
    normal_validation = x_validation[y_validation == 0]
    for part in (normal, x_validation, normal_validation, x_test):
        for number in range(len(part)):
            part[number] = scaler.transform(part[number])
    return normal, x_validation, y_validation, x_test, y_test, normal_validation


def last_rows(windows: np.ndarray) -> np.ndarray:
    """Copy the last row of every window, one by one."""
    rows = np.empty((windows.shape[0], windows.shape[2]))
    for number in range(len(windows)):
        rows[number] = windows[number, -1]
    return rows


# The whole notebooks, without their figures.


def mnist_conv_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of mnist_conv_ae: train, compute codes, score image by image."""
    keras = start_keras()
    images = read_images("mnist")
    sevens, test_sevens, test_fives = (
        x[y == digit].reshape(-1, 28, 28, 1) / 255.0
        for x, y, digit in (
            (images.x_train, images.y_train, 7),
            (images.x_test, images.y_test, 7),
            (images.x_test, images.y_test, 5),
        )
    )
    encoder, model = conv_autoencoder(keras)
    fit(model, sevens, epochs, 32, on_epoch_end)
    encoder.predict(test_sevens[np.random.choice(len(test_sevens), 1000)], verbose=0)
    encoder.predict(test_fives[np.random.choice(len(test_fives), 50)], verbose=0)
    for image in (test_sevens[:1], test_fives[:1]):
        model.predict(image, verbose=0)
        model.evaluate(image, image, verbose=0)
    score(model, np.concatenate([test_sevens[:200], test_fives[:200]]))


def fashion_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run both notebooks of fashion_latent_ocsvm: a one-class SVM on the pixels, and one on the code."""
    from sklearn.metrics import classification_report, roc_auc_score
    from sklearn.svm import OneClassSVM

    keras = start_keras()
    images = read_images("fashion_mnist")
    sandals = images.x_train[images.y_train == 5].reshape(-1, 784) / 255
    tests = [images.x_test[images.y_test == label].reshape(-1, 784) / 255 for label in (5, 7)]
    x_test, y_test = np.concatenate(tests), np.repeat([1, -1], [len(part) for part in tests])
    encoder, model = latent_autoencoder(keras)
    for on_code in (False, True):
        x, scored = sandals, x_test
        if on_code:
            fit(model, sandals, epochs, 32, on_epoch_end)
            x, scored = (np.asarray(encoder(part)) for part in (sandals, x_test))
        svm = OneClassSVM().fit(x)
        roc_auc_score(y_test, svm.decision_function(scored))
        classification_report(y_test, svm.predict(scored), zero_division=0)


def rare_event_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of rare_event_lstm_ae, with a fixed number of epochs instead of early stopping."""
    from sklearn import metrics

    keras = start_keras()
    normal, x_validation, y_validation, x_test, y_test, normal_validation = scaled_windows()
    model = lstm_autoencoder(keras)
    fit(model, normal, epochs, 128, on_epoch_end, normal_validation)
    errors = [
        np.mean((last_rows(x) - last_rows(model.predict(x, verbose=0))) ** 2, axis=1) for x in (x_validation, x_test)
    ]
    precision, recall, thresholds = metrics.precision_recall_curve(y_validation, errors[0])
    equal = [number for number, pair in enumerate(zip(precision, recall, strict=True)) if pair[0] == pair[1]]
    threshold = thresholds[min(equal[0], len(thresholds) - 1)]
    metrics.confusion_matrix(y_test, [1 if error > threshold else 0 for error in errors[1]])
    metrics.roc_curve(y_test, errors[1])


def rare_event_dense_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of rare_event_dense_ae, without the files of its checkpoints."""
    from sklearn import metrics
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    keras = start_keras()
    x, y = shift_labels(read_table(), 2)
    x_train, x_test, y_train, _ = train_test_split(x, y, test_size=0.2, random_state=123)
    x_train, x_validation, y_train, y_validation = train_test_split(x_train, y_train, test_size=0.2, random_state=123)
    scaler = StandardScaler().fit(x_train[y_train == 0])
    normal, validation, test = map(scaler.transform, (x_train[y_train == 0], x_validation, x_test))
    model = sensors_autoencoder(keras)
    fit(model, normal, epochs, 128, on_epoch_end, validation[y_validation == 0])
    errors, _ = (np.mean((part - model.predict(part, verbose=0)) ** 2, axis=1) for part in (validation, test))
    metrics.precision_recall_curve(y_validation, errors)
    metrics.confusion_matrix(y_validation, [1 if error > 0.4 else 0 for error in errors])
    metrics.roc_curve(y_validation, errors)


def rare_event_relu_lstm_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of rare_event_relu_lstm_ae."""
    from sklearn import metrics

    keras = start_keras()
    normal, x_validation, y_validation, x_test, y_test, normal_validation = scaled_windows(2, 123)
    model = relu_lstm_autoencoder(keras)
    fit(model, normal, epochs, 64, on_epoch_end, normal_validation)
    errors = [
        np.mean((last_rows(x) - last_rows(model.predict(x, verbose=0))) ** 2, axis=1) for x in (x_validation, x_test)
    ]
    metrics.precision_recall_curve(y_validation, errors[0])
    metrics.confusion_matrix(y_test, [1 if error > 0.3 else 0 for error in errors[1]])
    metrics.roc_curve(y_test, errors[1])


def curves_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of curves_dense_ae: three methods on curves, the autoencoder, two forests on its residuals."""
    from sklearn.ensemble import IsolationForest, RandomForestClassifier
    from sklearn.metrics import classification_report
    from sklearn.model_selection import train_test_split
    from sklearn.svm import OneClassSVM

    keras = start_keras()
    generator = np.random.RandomState(42)
    normal, anomalous = draw_curves(generator, 2000), draw_curves(generator, 200, second_peak=True)
    x_validation = np.concatenate([draw_curves(generator, 100, second_peak=True), draw_curves(generator, 100)])
    y_validation = np.repeat([1, 0], 100)
    x_train, x_test, y_train, y_test = train_test_split(
        np.concatenate([normal, anomalous]), np.repeat([0, 1], [2000, 200]), test_size=0.2, random_state=42
    )
    for method in (
        OneClassSVM(nu=200 / 2200),
        IsolationForest(n_estimators=100, contamination=200 / 2200, max_features=100, n_jobs=-1),
        RandomForestClassifier(n_estimators=100, max_features=100, n_jobs=-1),
    ):
        classification_report(y_validation, method.fit(x_train, y_train).predict(x_validation), zero_division=0)

    model = curves_autoencoder(keras)

    def score_test_curves() -> None:
        np.mean((model.predict(x_test, verbose=0) - x_test) ** 2, axis=1)
        on_epoch_end()

    fit(model, x_train[y_train == 0].astype(np.float32), epochs, 32, score_test_curves)
    residuals = [x - model.predict(x, verbose=0) for x in (x_test, x_validation)]
    histograms = [
        np.array([np.histogram(row, bins=10, range=(-0.3, 0.3))[0] for row in residual]) for residual in residuals
    ]
    for forest, (train_part, scored) in (
        (RandomForestClassifier(max_features=100), residuals),
        (RandomForestClassifier(n_estimators=10), histograms),
    ):
        classification_report(y_validation, forest.fit(train_part, y_test).predict(scored), zero_division=0)


def draw_curves(generator: np.random.RandomState, count: int, second_peak: bool = False) -> np.ndarray:
    """Draw bell curves in a loop, in the order of the source's draws."""
    grid = np.linspace(0, 1, 256)
    curves = np.zeros((count, 256))
    for widths, height in (((0.05, 0.5), 1.0), ((0.01, 0.05), 0.12))[: 1 + second_peak]:
        means, deviations = generator.uniform(0.1, 0.9, count), generator.uniform(*widths, count)
        for number in range(count):
            bell = np.exp(-((grid - means[number]) ** 2) / (2 * deviations[number] ** 2))
            curves[number] += bell * height / bell.max()
    return curves


def mnist_dense_notebook(epochs: int, on_epoch_end: Callable[[], None]) -> None:
    """Run the notebook of mnist_dense_ae: train on ones, and score the ones and nines of the test set."""
    keras = start_keras()
    images = read_images("mnist")
    ones = scale_to_tanh(images.x_train[images.y_train == 1])
    tests = scale_to_tanh(images.x_test[np.isin(images.y_test, (1, 9))])
    model = digits_autoencoder(keras)
    fit(model, ones, epochs, 16, on_epoch_end)
    np.abs(tests / 2 - model.predict(tests, verbose=0) / 2).sum(axis=1)


def scale_to_tanh(images: np.ndarray) -> np.ndarray:
    """Flatten images and scale their pixels to [-1, 1]."""
    return np.asarray((images.reshape(len(images), 784).astype(np.float32) / 255 - 0.5) / 0.5)


def read_images(name: str) -> Any:
    """Read the files anew, as Keras' `load_data` does; use a stand-in if there are none."""
    from common.data.images import read_images as read

    files = datasets.find(name)
    return read(files) if files else datasets.load(name)


NOTEBOOKS: dict[str, Callable[[int, Callable[[], None]], None]] = {
    "mnist_conv_ae": mnist_conv_notebook,
    "fashion_latent_ocsvm": fashion_notebook,
    "rare_event_lstm_ae": rare_event_notebook,
    "rare_event_dense_ae": rare_event_dense_notebook,
    "rare_event_relu_lstm_ae": rare_event_relu_lstm_notebook,
    "curves_dense_ae": curves_notebook,
    "mnist_dense_ae": mnist_dense_notebook,
}
