"""Training with Keras, and with PyTorch for one ablation: seeds, threads, and compiled epochs."""
