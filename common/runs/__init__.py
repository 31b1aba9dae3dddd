"""Runs and their records: which are missing, how they are computed, what they leave on disk."""
