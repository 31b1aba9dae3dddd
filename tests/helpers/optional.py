"""Optional parts: a test that needs one is skipped without it, but fails if `ALL_OPTIONAL` is set, as it is in CI.

`MAY_LACK` names the part that is excepted from this.
"""

import importlib
import os

import pytest


def lacking(part):
    required = os.environ.get("ALL_OPTIONAL") and part != os.environ.get("MAY_LACK")
    (pytest.fail if required else pytest.skip)(f"{part} is not installed")


def package(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return lacking(f"the optional package {name}")
