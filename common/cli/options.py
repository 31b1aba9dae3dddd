"""Define and parse the options of the command line."""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from common.config import add_options
from common.data.datasets import MODES
from common.detectors.detector import ANNOUNCED_GROUP, CLASSICAL_GROUP
from common.detectors.registry import names_of
from common.errors import ConfigError
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED, Experiment, load_experiment
from common.files import REPORTS, folder_named
from common.own.reading import FILLS
from common.runs.environment import cores

DESCRIPTION = (
    "Published autoencoder anomaly-detection experiments: run them, report, compare with the published numbers."
)
DRY_RUN_HELP = "only list which runs are missing and which are finished"
DETECTORS_HELP = (
    "also run detectors on the same samples: the classical ones, or those named after an equals sign, such as "
    "=classical,announced or =vae,knn,pyod:ECOD"
)
FILL_HELP = "missing values: take the value of the row before, or leave the row out (default: they are an error)"
SCORES_HELP = "the .csv file to write, which must not exist yet (default: scores.csv)"
OUT_HELP = "folder of runs and reports (default: reports/)"
# Limits that are told in the help and in error messages. A list of more seeds would take more memory than runs do.
LARGEST_SEED, MOST_SEEDS, MOST_JOBS = 999_999_999, 10_000, 9_999
SEEDS_FORM = f"whole numbers from 0 to {LARGEST_SEED}, or ranges of at most {MOST_SEEDS} as 0-19"

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
        commands: function of each command by its name.
        known: module paths of the experiments by name.

    Returns:
        The options, and in addition `command`, the function of the command; `known`; and `chosen`, the experiment of
        `run`, `sweep` or `notebook`, or `None`.

    Raises:
        ConfigError: an option is unknown, missing or invalid.
    """
    # `run` has the options of its experiment, so the experiment must be found before they are parsed. It is moved
    # to the front, since an option with several values, such as `--seeds 0 1`, would take it as one of them. So it is
    # for `sweep` and `notebook`.
    chosen = None
    # The word after `--detectors` may be the experiment, so its value stands behind an equals sign.
    arguments = [f"--detectors={CLASSICAL_GROUP}" if one == "--detectors" else one for one in arguments]
    if arguments[:1] in (["run"], ["sweep"], ["notebook"]):
        place = _place_of_experiment(arguments, known)
        if place is not None:
            name = arguments[place]
            require_known(name, known)
            chosen = load_experiment(known[name])
            arguments = [arguments[0], name, *arguments[1:place], *arguments[place + 1 :]]
        elif not {"-h", "--help"} & set(arguments):
            raise ConfigError(f"the following arguments are required: experiment, one of {', '.join(known)}")
    options = _parser(chosen, commands, known).parse_args(arguments)
    options.chosen, options.known = chosen, known
    return options


def _place_of_experiment(arguments: list[str], known: Known) -> int | None:
    """Find the position of the experiment among the arguments: a known name, or else the first other word.

    The value of an option is none, such as a folder that is called like an experiment. The hyperparameters are not
    known yet, so a word after an option that is not in `_add_options_of_run` is taken only if it is a known name.
    """
    parser = _Parser(add_help=False)
    _add_switch(parser, "--debug", "")
    _add_options_of_run(parser)
    switches = {option for action in parser._actions for option in action.option_strings if action.nargs == 0}
    single = {option for action in parser._actions for option in action.option_strings if action.nargs is None}
    places = [
        place
        for place in range(1, len(arguments))
        if re.match(r"[A-Za-z]", arguments[place]) and arguments[place - 1] not in single
    ]
    named = [place for place in places if arguments[place] in known]
    words = [place for place in places if not arguments[place - 1].startswith("-") or arguments[place - 1] in switches]
    return next(iter([*named, *words]), None)


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

    # The docstrings of the commands would be missing under the option -OO of Python.
    _command(subparsers, "list", commands, "List the experiments and their sources.")

    command = _command(subparsers, "run", commands, "Run one experiment for some seeds.")
    command.add_argument("experiment", help=", ".join(known))
    _add_options_of_run(command)
    if chosen is not None:
        add_options(command, chosen.config)

    described = "Make each class the normal one in turn and all others anomalies, in the held-out protocol."
    command = _command(subparsers, "sweep", commands, described)
    command.add_argument("experiment", help="an experiment on images")
    _add_run_options(command, f"the seeds to run: {SEEDS_FORM} (default: 0-4)")
    _add_switch(command, "--dry-run", DRY_RUN_HELP)
    _add_detectors(command)

    described = "Make a Jupyter notebook of an experiment, which runs it step by step."
    command = _command(subparsers, "notebook", commands, described)
    command.add_argument("experiment", help=", ".join(known))
    _add_options_of_notebook(command)
    if chosen is not None:
        add_options(command, chosen.config)

    command = _command(subparsers, "report", commands, "Run what is missing, then write the report.")
    _add_options_of_report(command, known)

    command = _command(
        subparsers, "compare", commands, "Compare our runs with the published numbers, or with a reference report."
    )
    shown = "experiments to show with all numbers (default: all experiments, with one number of each row)"
    command.add_argument("experiments", nargs="*", help=shown)
    _add_folder(command, "--against", "folder of a report to compare with, instead of the published numbers")
    _add_switch(command, "--all", "with --against, also list identical metrics")
    _add_switch(command, "--json", "print JSON")
    _add_folder(command, "--out", OUT_HELP, REPORTS)

    described = "Rebuild a column of a paper: the isolation forest of Ruff et al. (2018), a digit against the rest."
    command = _command(subparsers, "paper", commands, described)
    seeds = f"the seeds of the forests: {SEEDS_FORM} (default: 0-9)"
    command.add_argument("--seeds", nargs="+", action="extend", type=_seed_range, metavar="N", help=seeds)
    _add_folder(command, "--data-dir", "folder to search for data first")

    described = "Score further samples with the saved model of a run, and write them to a .csv file."
    _add_options_of_score(_command(subparsers, "score", commands, described))

    command = _command(
        subparsers, "fetch", commands, "Download the missing data sets, and verify those that are present."
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="mnist, fashion_mnist, processminer (default: all)")
    _add_folder(command, "--data-dir", "folder for the files (default: data/raw/)")
    return parser


def _command(subparsers: Any, name: str, commands: Mapping[str, Command], description: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = subparsers.add_parser(
        name, help=description, description=description, allow_abbrev=False
    )
    _add_switch(command, "--debug", "print the traceback of an error")
    command.set_defaults(command=commands[name])
    return command


def _add_options_of_run(command: argparse.ArgumentParser) -> None:
    _add_run_options(command, f"the seeds to run: {SEEDS_FORM} (default: 0)", PUBLISHED, own=True)
    _add_switch(command, "--dry-run", DRY_RUN_HELP)
    _add_detectors(command)
    _add_switch(command, "--save-model", "also save the trained model beside the record, for the command `score`")
    _add_switch(command, "--ablate", "also run the ablations, which change one thing each")
    _add_switch(command, "--tensorboard", "also write a TensorBoard log of each run to tensorboard/ beside its record")


def _add_options_of_notebook(command: argparse.ArgumentParser) -> None:
    protocols = f"the evaluation of the source, or one without leaks, of the same model (default: {PUBLISHED})"
    command.add_argument("--protocol", choices=PROTOCOLS, default=PUBLISHED, help=protocols)
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="the seed of the run (default: 0)")
    file = "file to write (default: NAME.ipynb in this folder)"
    command.add_argument("--out", type=_folder, metavar="FILE", help=file)
    _add_switch(command, "--execute", "also run all its cells; needs the extra `notebook`")
    _add_data_options(command)


def _add_options_of_report(command: argparse.ArgumentParser, known: Known) -> None:
    seeds = f"the seeds to report: {SEEDS_FORM}; missing ones are run (default: 0 1 2)"
    _add_run_options(command, seeds, "both", own=True)
    for name, of in (("--normal", "the normal class"), ("--anomaly", "the anomalous class, or rest")):
        command.add_argument(name, metavar="X", default=argparse.SUPPRESS, help=f"{of} of your own images")
    reported = "experiments to report (default: all)"
    names: dict[str, Any] = {"nargs": "+", "action": "extend", "choices": tuple(known), "metavar": "NAME"}
    command.add_argument("--experiments", **names, help=reported)
    both = f"{CLASSICAL_GROUP},{ANNOUNCED_GROUP}"
    detectors = f"detectors to run on the same samples, those that are trained over few seeds (default: ={both})"
    _add_detectors(command, detectors, names_of(both.split(",")))
    _add_switch(command, "--open", "open the page in the browser")
    _add_switch(command, "--no-run", "run nothing; report only finished runs")
    reference = (
        "make what has changed of reports/reference, with all seeds, ablations and sweeps, and the tables of README.md"
    )
    _add_switch(command, "--reference", reference)
    again = "with --reference: run nothing, and judge its seeds again by the published numbers and rules of today"
    _add_switch(command, "--judge-again", again)


def _add_options_of_score(command: argparse.ArgumentParser) -> None:
    record = "folder of a run that was made with --save-model"
    command.add_argument("record", type=_folder, metavar="RECORD", help=record)
    scored = "an image, a folder of images, an .npz file, or a table, as the run read its data"
    command.add_argument("file", type=_folder, metavar="FILE", help=scored)
    command.add_argument("--fill", choices=FILLS, help=FILL_HELP)
    command.add_argument("--out", type=_folder, default=Path("scores.csv"), metavar="FILE", help=SCORES_HELP)


def _add_run_options(
    command: argparse.ArgumentParser, seeds_help: str, protocol: str | None = None, own: bool = False
) -> None:
    """Add the options of a command that runs tasks.

    Args:
        command: parser of the command.
        seeds_help: help text of `--seeds`.
        protocol: default of `--protocol`; `None` leaves that option out.
        own: true if it also takes a user's own data. Default: false.
    """
    command.add_argument("--seeds", nargs="+", action="extend", type=_seed_range, metavar="N", help=seeds_help)
    if protocol is not None:
        protocols = f"the evaluation of the source, or one without leaks, of the same model (default: {protocol}"
        protocols += f"; on your own data {HELD_OUT})" if own else ")"
        command.add_argument("--protocol", choices=(*PROTOCOLS, "both"), help=protocols)
        command.set_defaults(default_protocol=protocol)
    jobs = f"number of parallel processes, 1 to {MOST_JOBS} (default: number of cores)"
    command.add_argument("--jobs", type=_number_of_jobs, default=cores(), metavar="N", help=jobs)
    dask = "address of a Dask scheduler whose workers execute the runs instead"
    command.add_argument("--dask", type=_address, metavar="ADDRESS", help=dask)
    _add_switch(command, "--fresh", "run finished runs again")
    _add_switch(command, "--quiet", "print only failures")
    _add_switch(command, "--verbose", "print a line for each epoch, and tracebacks")
    _add_data_options(command, own)
    _add_folder(command, "--out", OUT_HELP, REPORTS)


def _add_data_options(command: argparse.ArgumentParser, own: bool = False) -> None:
    data = "real data, stand-ins, or stand-ins only if real data cannot be obtained (default: auto)"
    if own:
        data += "; or the path of your own data (./real for a folder of such a name)"
        named = f"{{{','.join(MODES)},PATH}}"
        command.add_argument("--data", type=_data, default="auto", metavar=named, help=data)
        _add_reading_options(command)
    else:
        command.add_argument("--data", choices=MODES, default="auto", help=data)
    _add_folder(command, "--data-dir", "folder to search for data first")


def _add_reading_options(command: argparse.ArgumentParser) -> None:
    """Add the options for reading a user's own data. Their defaults are suppressed, so that given ones are known."""
    group = command.add_argument_group("your own data, with --data PATH")
    columns: dict[str, Any] = {"metavar": "COLUMN", "default": argparse.SUPPRESS}
    group.add_argument("--time", **columns, help="column of times, for the experiments on the paper machine")
    group.add_argument("--label", **columns, help="column of labels, 1 for an event or anomaly (default: no labels)")
    group.add_argument("--drop", nargs="+", action="extend", **columns, help="columns to leave out")
    group.add_argument("--fill", choices=FILLS, default=argparse.SUPPRESS, help=FILL_HELP)


def _data(text: str) -> str | Path:
    """Parse `--data`: one of the modes, or a path."""
    return text if text in MODES else _folder(text)


def _add_detectors(
    command: argparse.ArgumentParser, described: str = DETECTORS_HELP, default: tuple[str, ...] = ()
) -> None:
    command.add_argument("--detectors", type=_detectors, default=default, metavar="=NAMES", help=described)


def _detectors(text: str) -> tuple[str, ...]:
    """Parse groups and names of detectors, separated by commas."""
    try:
        return names_of(filter(None, text.split(",")))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_switch(command: argparse.ArgumentParser, flag: str, description: str) -> None:
    command.add_argument(flag, action="store_true", help=description)


def _add_folder(command: argparse.ArgumentParser, flag: str, description: str, default: Path | None = None) -> None:
    command.add_argument(flag, type=_folder, default=default, metavar="DIR", help=description)


def _folder(text: str) -> Path:
    try:
        return folder_named(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _address(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the address must not be empty; an example is tcp://127.0.0.1:8786")
    return text


def _number_of_jobs(text: str) -> int:
    if not re.fullmatch(r"\d{1,20}", text) or not 1 <= int(text) <= MOST_JOBS:
        raise argparse.ArgumentTypeError(f"jobs are a whole number from 1 to {MOST_JOBS}. Received: {text!r}")
    return int(text)


def _seed_range(text: str) -> range:
    """Parse a seed or a range of seeds, such as `3` or `0-19`."""
    match = re.fullmatch(r"(\d{1,20})(?:-(\d{1,20}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= LARGEST_SEED or last - first >= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"seeds are {SEEDS_FORM}. Received: {text!r}")
    return range(first, last + 1)


def _seed(text: str) -> int:
    """Parse a single seed."""
    seeds = _seed_range(text)
    if len(seeds) > 1:
        raise argparse.ArgumentTypeError(f"a notebook has one seed. Received: {text!r}")
    return seeds[0]
