"""The experiments, in the order in which the report tells them."""

EXPERIMENTS = (
    "mnist_conv_ae",
    "fashion_latent_ocsvm",
    "rare_event_lstm_ae",
    "curves_dense_ae",
    "mnist_dense_ae",
)
