"""Entry point of `python -m experiments`: the command line with the experiments of this package."""

from collections.abc import Sequence
from typing import NoReturn

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


def program(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command as `main` does, and end the program with its exit status."""
    command_line.end(main(arguments))


if __name__ == "__main__":
    program()
