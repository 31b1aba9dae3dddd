"""Notebooks made from the modules of the experiments, and what their cells call."""
