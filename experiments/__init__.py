"""Names of the experiments in the order of the report, and the path of each module."""

EXPERIMENTS = {
    name: f"{__name__}.{name}"
    for name in (
        "mnist_conv_ae",
        "fashion_latent_ocsvm",
        "rare_event_lstm_ae",
        "curves_dense_ae",
        "mnist_dense_ae",
    )
}
