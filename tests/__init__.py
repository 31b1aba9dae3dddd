"""The tests, in the rooms of common/."""
