"""`python -m experiments`: hands the experiments over to the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.cli import main as command_line
from experiments import EXPERIMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line, with the experiments of this package.

    Args:
        arguments: without the program's name; `sys.argv` unless given.

    Returns:
        The exit status.
    """
    return command_line.main(arguments, EXPERIMENTS)


if __name__ == "__main__":
    sys.exit(main())
