"""The experiments, in the order in which the report tells them."""

EXPERIMENTS = ("curves_dense_ae",)
