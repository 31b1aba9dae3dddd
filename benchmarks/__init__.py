"""Benchmarks: the speed of the suite against the notebooks' own way and eager PyTorch, by `python -m benchmarks`."""
