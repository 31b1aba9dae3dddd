"""Optional parts: a test that needs one is skipped without it, but fails if `ALL_OPTIONAL` is set, as it is in CI."""

import importlib
import os

import pytest


def lacking(part):
    (pytest.fail if os.environ.get("ALL_OPTIONAL") else pytest.skip)(f"{part} is not installed")


def package(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return lacking(f"the optional package {name}")
