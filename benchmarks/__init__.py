"""How fast the suite is, against the notebooks' own way and against eager PyTorch: `python -m benchmarks`."""
