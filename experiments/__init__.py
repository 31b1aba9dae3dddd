"""Names of the experiments in the order of the report, and the path of each module."""

NAMES = (
    "mnist_conv_ae",
    "fashion_latent_ocsvm",
    "rare_event_lstm_ae",
    "rare_event_dense_ae",
    "rare_event_relu_lstm_ae",
    "curves_dense_ae",
    "mnist_dense_ae",
)
EXPERIMENTS = {name: f"{__name__}.{name}" for name in NAMES}
