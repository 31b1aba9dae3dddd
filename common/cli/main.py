"""The command line from its arguments to its exit status: the one place where errors become a line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from common.errors import SuiteError
from common.runs import interruption

FAILED, REFUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def main(arguments: Sequence[str] | None, experiments: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        arguments: of the command line, without the program's name; `None` for `sys.argv`.
        experiments: the experiments that there are: for each name the path of its module, in reading order.

    Returns:
        The exit status: 0, 1 when a run failed or an exact number differs, 2 for usage and input, 130 after an
        interruption, 143 after a termination.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        # Imported here, where an interruption already ends in one line.
        from common.cli.commands import COMMANDS
        from common.cli.options import parse

        options = parse(given, COMMANDS, experiments)
        return int(options.command(options))

    return status_of(command, debug="--debug" in given)


def status_of(command: Callable[[], int], debug: bool = False) -> int:
    """Call a command, and say in one line what has ended it, if anything has.

    Args:
        command: gives its own exit status, 0 or 1.
        debug: also print where an error comes from.

    Returns:
        That status, or 2 for an error that the user can mend, 130 after an interruption, 143 after a termination.
    """
    try:
        with interruption.raised():
            return command()
    except BrokenPipeError:
        # The reader of our output has seen enough of it; nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SuiteError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_in_one_line(error)}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as ended:
        print("interrupted; finished runs are kept, the same command goes on from there", file=sys.stderr)
        return TERMINATED if isinstance(ended, interruption.Terminated) else INTERRUPTED


def _in_one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory {error}".rstrip()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
