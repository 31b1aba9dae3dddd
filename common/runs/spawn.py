"""Start worker processes that do not import the main module of the program that starts them."""

import sys
import types
from multiprocessing.context import SpawnContext, SpawnProcess


class Process(SpawnProcess):
    """A new Python process without the main module of this program.

    Python would execute that module again in the new process. That fails if the program was read from standard input,
    and repeats the whole program if it is a script without `if __name__ == "__main__"`. Runs need only modules that
    are imported by their path.
    """

    def start(self) -> None:
        """Start the process."""
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class Context(SpawnContext):
    """The start method "spawn", for `Process`: a copy of this process would lack the threads that TensorFlow began."""

    Process = Process  # type: ignore[assignment]
