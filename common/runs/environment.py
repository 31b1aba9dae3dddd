"""The environment of a run, stored with its record: package versions, processor, threads and commit."""

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from common.files import IS_CHECKOUT, ROOT
from common.training.keras import THREADS

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas", "torch")


@functools.cache
def describe() -> dict[str, Any]:
    """Describe everything about this machine that may influence a result, and the commit of the code."""
    return {
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": "CPU",
        "threads": THREADS,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0",
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str | None:
    """Read the commit of the checkout, marked "-dirty" if tracked files were changed; `None` outside a checkout."""
    if not IS_CHECKOUT:
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
