"""Replace standard streams that are closed or cannot be written."""

import os
import sys
from pathlib import Path


def open_missing_streams() -> None:
    """Open the standard streams that were closed before the program began, as by `>&-`, on the null device.

    Otherwise the next file that is opened, perhaps a record, would get the number of the missing stream, and libraries
    and child processes would write their messages into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115  open until the program ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def discard_output() -> None:
    """Send further output to the null device, so that Python's attempt to write the rest at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
