"""Entry point of `python -m experiments`: the command line with the experiments of this package."""

import sys
from collections.abc import Sequence

from common.cli import main as command_line
from experiments import EXPERIMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line with the experiments of this package.

    Args:
        arguments: command-line arguments without the program's name. Default: those of `sys.argv`.

    Returns:
        The exit status.
    """
    return command_line.main(arguments, EXPERIMENTS)


if __name__ == "__main__":
    sys.exit(main())
