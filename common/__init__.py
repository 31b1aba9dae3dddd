"""The code that all experiments share: data, training, metrics, records, comparison and report.

Everywhere, a higher score means more anomalous, and the anomaly is the positive class (label 1).
"""
