"""Training with Keras (and, for one ablation, PyTorch): seeds, threads, and the compiled epoch."""
