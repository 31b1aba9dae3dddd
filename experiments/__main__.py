"""`python -m experiments`: the command line, from its arguments to its exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.cli.main import status_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line, without the program's name; `sys.argv` unless given.

    Returns:
        The exit status: 0, 1 when a run failed or an exact number differs, 2 for usage and input, 130 after an
        interruption, 143 after a termination.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        # Imported here, where an interruption is already told in one line.
        from common.cli.commands import COMMANDS
        from common.cli.options import parse

        options = parse(given, COMMANDS)
        return int(options.command(options))

    return status_of(command, debug="--debug" in given)


if __name__ == "__main__":
    sys.exit(main())
