"""What several tests share: small data, small runs, experiments that fail on purpose."""
