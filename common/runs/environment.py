"""The environment of a run, stored with its record: package versions, processor, threads and commit."""

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from common.files import IS_CHECKOUT, ROOT
from common.training import surroundings
from common.training.keras import threads

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas", "torch", "pyod")
# Environment variables with these beginnings choose between kernels that round differently, as other processors do.
KERNELS = ("NPY_", "OPENBLAS_", "MKL_", "BLIS_", "ATEN_", "OMP_")


def describe() -> dict[str, Any]:
    """Describe everything about this process and machine that may influence a result, and the commit of the code."""
    return {**_machine(), **surroundings.settings(), "threads": threads()}


def cores() -> int:
    """Count the processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0",
        "kernel_variables": _kernel_variables(),
        "commit": _commit(),
    }


def _kernel_variables() -> dict[str, str]:
    """Collect the environment variables that choose kernels, except the numbers of threads, which are limited to 1."""
    found = sorted(name for name in os.environ if name.startswith(KERNELS) and not name.endswith("_NUM_THREADS"))
    return {name: os.environ[name] for name in found}


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
    # A copy without `.git` may lie within the repository of another project.
    if not (IS_CHECKOUT and (ROOT / ".git").exists()):
        return None
    # The checkout may belong to another user, as in a container; variables such as GIT_DIR name other repositories.
    command = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}"]
    command += ["describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    variables["GIT_CEILING_DIRECTORIES"] = str(ROOT.parent)
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "timeout": 10, "env": variables}
    try:
        return subprocess.run(command, **options).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
