"""Runs of experiments: find the missing ones, compute them, and read and write their records."""
