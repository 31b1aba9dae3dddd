"""What the experiments share: training, metrics, records, the comparison and the report.

One rule holds everywhere: a higher score means more anomalous, and the anomaly is the positive class (label 1).
"""
