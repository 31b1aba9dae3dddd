"""Scores, thresholds and metrics: what turns reconstruction errors into numbers."""
