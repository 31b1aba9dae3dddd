"""The main function of the command line: it prints errors as one line, and returns the exit status."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from common.errors import SuiteError
from common.runs import interruption

FAILED, REFUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def main(arguments: Sequence[str] | None, experiments: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        arguments: arguments without the program's name; `None` for those of `sys.argv`.
        experiments: the module path of each experiment by its name, in reading order.

    Returns:
        The exit status: 0, 1 when a run failed or an exact or derived number differs, 2 for usage and input, 130 after
        an interruption, 143 after a termination.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        # Imported here, so that an interruption of the imports is handled too.
        from common.cli.commands import COMMANDS
        from common.cli.options import parse

        options = parse(given, COMMANDS, experiments)
        return int(options.command(options))

    return status_of(command, debug="--debug" in given)


def status_of(command: Callable[[], int], debug: bool = False) -> int:
    """Call a command; if an error or a signal ends it, print one line.

    Args:
        command: function that returns an exit status, 0 or 1.
        debug: true to print the traceback of an error too. Default: false.

    Returns:
        That status, or 2 for an error that the user can correct, 130 after an interruption, 143 after a termination.
    """
    open_missing_streams()
    try:
        with interruption.raised():
            try:
                return command()
            finally:
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe.
        discard_output()
        return 0
    except (SuiteError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_in_one_line(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            discard_output()
        return REFUSED
    except KeyboardInterrupt as ended:
        print("interrupted; finished runs are kept, the same command goes on from there", file=sys.stderr)
        return TERMINATED if isinstance(ended, interruption.Terminated) else INTERRUPTED


def end(status: int) -> NoReturn:
    """End the program with the exit status of its command.

    An interrupted training leaves TensorFlow's threads and kernels in any state, and taking the interpreter down below
    them can crash. By then every record is written and every worker process has been told to end, so after an
    interruption the process ends at once.

    Args:
        status: the exit status.
    """
    if status in (INTERRUPTED, TERMINATED):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory {error}".rstrip()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


# Standard streams that are closed or cannot be written.


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
