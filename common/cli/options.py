"""Define and parse the options of the command line."""

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
OUT_HELP = "folder of runs and reports (default: reports/)"

# Function of a command: takes the options, returns the exit status.
Command = Callable[[argparse.Namespace], int]
# The module path of each experiment by its name, in reading order.
Known = Mapping[str, str]


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises `ConfigError` instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def parse(arguments: list[str], commands: Mapping[str, Command], known: Known) -> argparse.Namespace:
    """Parse a command line.

    Args:
        arguments: arguments without the program's name.
        commands: function of each command by its name; its docstring is the help text.
        known: module paths of the experiments by name.

    Returns:
        The options, and in addition `command`, the function of the command; `known`; and `chosen`, the experiment of
        `run`, or `None`.

    Raises:
        ConfigError: an option is unknown, missing or invalid.
    """
    # `run` has the options of its experiment, so the experiment must be found before they are parsed.
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
    """Check that there is an experiment of this name.

    Raises:
        ConfigError: there is none; the message suggests the most similar name.
    """
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are: {', '.join(known)}"
    raise ConfigError(f"there is no experiment {name!r}; {hint}")


def _parser(chosen: Experiment | None, commands: Mapping[str, Command], known: Known) -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m experiments", description=DESCRIPTION, allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    _command(subparsers, "list", commands)

    command = _command(subparsers, "run", commands)
    command.add_argument("experiment", help=", ".join(known))
    _add_run_options(command, "the seeds to run, as 0 1 2 or 0-19 (default: 0)", PUBLISHED)
    _add_switch(command, "--dry-run", "only list which runs are missing and which are finished")
    _add_switch(command, "--detectors", "also run the classical detectors on the same samples")
    _add_switch(command, "--ablate", "also run the ablations, which change one thing each")
    _add_switch(command, "--tensorboard", "also write a TensorBoard log of each run to tensorboard/ beside its record")
    if chosen is not None:
        add_options(command, chosen.config)

    command = _command(subparsers, "report", commands)
    _add_run_options(command, "the seeds to report; missing ones are run (default: 0 1 2)", "both")
    reported = "experiments to report (default: all)"
    command.add_argument("--experiments", nargs="+", choices=tuple(known), metavar="NAME", help=reported)
    _add_switch(command, "--open", "open the page in the browser")
    _add_switch(command, "--no-run", "run nothing; report only finished runs")
    reference = "run 20 seeds and all ablations, and write reports/reference and the tables of README.md"
    _add_switch(command, "--reference", reference)
    again = "with --reference: run nothing, and judge its seeds again by the published numbers and rules of today"
    _add_switch(command, "--judge-again", again)

    command = _command(subparsers, "compare", commands)
    shown = "experiments to show with all numbers (default: all experiments, with one number of each row)"
    command.add_argument("experiments", nargs="*", help=shown)
    _add_folder(command, "--against", "folder of a report to compare with, instead of the published numbers")
    _add_switch(command, "--all", "with --against, also list identical metrics")
    _add_switch(command, "--json", "print JSON")
    _add_folder(command, "--out", OUT_HELP, REPORTS)

    command = _command(subparsers, "fetch", commands)
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion_mnist, processminer (default: all)")
    _add_folder(command, "--data-dir", "folder for the files (default: data/raw/)")
    return parser


def _command(subparsers: Any, name: str, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    description = commands[name].__doc__
    command: argparse.ArgumentParser = subparsers.add_parser(
        name, help=description, description=description, allow_abbrev=False
    )
    _add_switch(command, "--debug", "print the traceback of an error")
    command.set_defaults(command=commands[name])
    return command


def _add_run_options(command: argparse.ArgumentParser, seeds_help: str, protocol: str) -> None:
    command.add_argument("--seeds", nargs="+", type=_seed_range, metavar="N", help=seeds_help)
    protocols = f"the evaluation of the source, or one without leaks, of the same model (default: {protocol})"
    command.add_argument("--protocol", choices=(*PROTOCOLS, "both"), default=protocol, help=protocols)
    jobs = "number of parallel processes (default: number of cores)"
    command.add_argument("--jobs", type=_at_least_one, default=cores(), metavar="N", help=jobs)
    dask = "address of a Dask scheduler whose workers execute the runs instead"
    command.add_argument("--dask", metavar="ADDRESS", help=dask)
    _add_switch(command, "--fresh", "run finished runs again")
    _add_switch(command, "--quiet", "print only failures")
    _add_switch(command, "--verbose", "print a line for each epoch, and tracebacks")
    data = "real data, stand-ins, or stand-ins only if real data cannot be obtained (default: auto)"
    command.add_argument("--data", choices=MODES, default="auto", help=data)
    _add_folder(command, "--data-dir", "folder to search for data first")
    _add_folder(command, "--out", OUT_HELP, REPORTS)


def _add_switch(command: argparse.ArgumentParser, flag: str, description: str) -> None:
    command.add_argument(flag, action="store_true", help=description)


def _add_folder(command: argparse.ArgumentParser, flag: str, description: str, default: Path | None = None) -> None:
    command.add_argument(flag, type=Path, default=default, metavar="DIR", help=description)


def cores() -> int:
    """Count the processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _at_least_one(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"jobs are a whole number from 1. Received: {text!r}")
    return int(text)


def _seed_range(text: str) -> list[int]:
    """Parse a seed or a range of seeds, such as `3` or `0-19`."""
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0, or a range as 0-19. Received: {text!r}")
    return list(range(first, last + 1))
