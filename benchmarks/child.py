"""One measurement in its own process, printed as JSON.

    python -m benchmarks.child ROW WAY EPOCHS       a way of a row; EPOCHS is JSON, the number by experiment
    python -m benchmarks.child growth NAME FACTOR   an entry of the growth table, at FACTOR times its published size
    python -m benchmarks.child limit NAME ""        the parts of an epoch of an experiment, and the machine's peak rate

Imports and loading of arrays come before the clock starts. In rows that measure whole processes, the parent process
takes the time and includes them.
"""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.measure import time_work

MODULES = {"notebook": "notebooks", "ours": "ours", "pytorch": "pytorch"}


def prepare(row: str, way: str, argument: str) -> Callable[[Callable[[str], None]], Any]:
    """Import modules and load arrays, and return the function to be timed."""
    if row == "growth":
        from benchmarks import growth

        return growth.prepare(way, int(argument))
    if row == "limit":
        from benchmarks import limit

        return limit.prepare(way)
    module, _, one_thread = way.partition(", ")
    prepare_row = importlib.import_module(f"benchmarks.{MODULES[module]}").prepare
    work: Callable[[Callable[[str], None]], Any] = prepare_row(row, json.loads(argument), 1 if one_thread else None)
    return work


if __name__ == "__main__":
    print(json.dumps(asdict(time_work(prepare(*sys.argv[1:])))))
