"""The experiments: their names in the order of the report, and where each is."""

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
