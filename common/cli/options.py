"""The options of the command line, and their help."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from common.config import add_options
from common.data.datasets import MODES
from common.errors import ConfigError
from common.experiment import PROTOCOLS, PUBLISHED, Experiment, load_experiment
from common.files import REPORTS

DESCRIPTION = (
    "Published autoencoder anomaly-detection experiments: run them, report, compare with the published numbers."
)

# A command takes its options and returns the exit status.
Command = Callable[[argparse.Namespace], int]
# The experiments that there are: for each name the path of its module, in reading order.
Known = Mapping[str, str]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors go the way of all errors: one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def parse(arguments: list[str], commands: Mapping[str, Command], known: Known) -> argparse.Namespace:
    """Parse a command line.

    Args:
        arguments: without the program's name.
        commands: for each command's name the function that runs it; its docstring is the command's help.
        known: the experiments that there are.

    Returns:
        The options, among them `command`, the function to call, `known`, and `chosen`, the experiment of `run`.

    Raises:
        ConfigError: something unknown, missing or impossible; the message is one line.
    """
    # The options of `run` are those of its experiment, so the experiment must be known before they can be parsed.
    chosen = None
    if arguments[:1] == ["run"] and (name := _experiment_among(arguments[1:], known)):
        require_known(name, known)
        chosen = load_experiment(known[name])
    options = _parser(chosen, commands, known).parse_args(arguments)
    options.chosen, options.known = chosen, known
    return options


def _experiment_among(arguments: list[str], known: Known) -> str | None:
    for argument in arguments:
        if argument in known:
            return argument
    parser = _Parser(prog="python -m experiments run", add_help=False, allow_abbrev=False)
    parser.add_argument("experiment", nargs="?")
    _add_run_options(parser, "", PUBLISHED)
    name: str | None = parser.parse_known_args(arguments)[0].experiment
    return name


def require_known(name: str, known: Known) -> None:
    """Refuse a name that no experiment has, with the nearest one that there is.

    Raises:
        ConfigError: there is no such experiment.
    """
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are: {', '.join(known)}"
    raise ConfigError(f"there is no experiment {name!r}; {hint}")


def _parser(chosen: Experiment | None, commands: Mapping[str, Command], known: Known) -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m experiments", description=DESCRIPTION, allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    command = _command(subparsers, "list", commands)

    command = _command(subparsers, "run", commands)
    command.add_argument("experiment", help=", ".join(known))
    _add_run_options(command, "the seeds to run, as 0 1 2 or 0-19 (default: 0)", PUBLISHED)
    command.add_argument("--dry-run", action="store_true", help="only list what would run and what is cached")
    command.add_argument("--detectors", action="store_true", help="also the classical detectors on the same samples")
    command.add_argument("--ablate", action="store_true", help="also run the configs that change one thing each")
    command.add_argument(
        "--tensorboard", action="store_true", help="also log each run that trains, into tensorboard/ beside its record"
    )
    if chosen is not None:
        add_options(command, chosen.config)

    command = _command(subparsers, "report", commands)
    _add_run_options(command, "the seeds to run where they are missing (default: 0 1 2)", "both")
    command.add_argument(
        "--experiments", nargs="+", choices=tuple(known), metavar="NAME", help="which ones (default: all)"
    )
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    command.add_argument("--no-run", action="store_true", help="run nothing, report what is there")
    command.add_argument(
        "--reference",
        action="store_true",
        help="20 seeds and ablations, into reports/reference and README.md",
    )

    command = _command(subparsers, "compare", commands)
    command.add_argument("experiments", nargs="*", help="which ones, number by number (default: all, row by row)")
    command.add_argument("--against", type=Path, metavar="DIR", help="a report to compare with instead of the sources")
    command.add_argument("--all", action="store_true", help="with --against, list identical metrics too")
    command.add_argument("--json", action="store_true", help="for machines")
    _add_out(command)

    command = _command(subparsers, "fetch", commands)
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion_mnist, processminer (default: all)")
    command.add_argument("--data-dir", type=Path, metavar="DIR", help="where to put them (default: data/raw/)")
    return parser


def _command(subparsers: Any, name: str, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    description = commands[name].__doc__
    command: argparse.ArgumentParser = subparsers.add_parser(
        name, help=description, description=description, allow_abbrev=False
    )
    command.add_argument("--debug", action="store_true", help="show where an error comes from")
    command.set_defaults(command=commands[name])
    return command


def _add_run_options(command: argparse.ArgumentParser, seeds_help: str, protocol: str) -> None:
    command.add_argument("--seeds", nargs="+", type=_seed_range, metavar="N", help=seeds_help)
    command.add_argument(
        "--protocol",
        choices=(*PROTOCOLS, "both"),
        default=protocol,
        help=f"what the source did, or an honest evaluation of the same model (default: {protocol})",
    )
    command.add_argument(
        "--jobs",
        type=_at_least_one,
        default=cores(),
        metavar="N",
        help="runs side by side, each in a process of its own (default: as many as there are cores)",
    )
    command.add_argument("--dask", metavar="ADDRESS", help="run on the workers of this Dask cluster instead")
    command.add_argument("--fresh", action="store_true", help="run again what is finished")
    command.add_argument("--quiet", action="store_true", help="say nothing but what failed")
    command.add_argument("--verbose", action="store_true", help="a line per epoch, and tracebacks")
    command.add_argument(
        "--data",
        choices=MODES,
        default="auto",
        help="real data, stand-ins, or stand-ins where the real ones cannot be had (default: auto)",
    )
    command.add_argument("--data-dir", type=Path, metavar="DIR", help="where to look for data before all other places")
    _add_out(command)


def _add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out",
        type=Path,
        default=REPORTS,
        metavar="DIR",
        help="where runs and reports are (default: reports/)",
    )


def cores() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _at_least_one(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"jobs are a whole number from 1. Received: {text!r}")
    return int(text)


def _seed_range(text: str) -> list[int]:
    """`3` or `0-19`."""
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0, or a range as 0-19. Received: {text!r}")
    return list(range(first, last + 1))
