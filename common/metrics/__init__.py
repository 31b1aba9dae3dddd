"""Anomaly scores, thresholds, and the metrics computed from them."""
