"""Published numbers against ours, and methods against each other: pure functions of numbers."""
