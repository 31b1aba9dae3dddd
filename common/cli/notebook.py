"""Implement the command `notebook`: make the notebook of an experiment, and execute it if wanted."""

import argparse
import re
from pathlib import Path
from typing import Any

from common.config import from_options
from common.data.datasets import Source
from common.errors import ConfigError, SuiteError
from common.files import write_atomically
from common.notebook.convert import notebook


def notebook_command(options: argparse.Namespace) -> int:
    """Make the notebook, and write it.

    Raises:
        ConfigError: executing needs packages that are not installed.
        SuiteError: a cell has raised an exception.
    """
    experiment = options.chosen
    config = from_options(experiment.config, options)
    source = Source(options.data, options.data_dir)
    made = notebook(experiment, config, options.protocol, options.seed, source)
    path: Path = options.out or Path(f"{experiment.name}.ipynb")
    if options.execute:
        execute(made, path.parent)
    import nbformat

    write_atomically(path, nbformat.writes(made).encode())  # type: ignore[no-untyped-call]
    print(f"notebook: {path}")
    return 0


def execute(made: Any, folder: Path) -> None:
    """Run all cells of a notebook, whose outputs are added to it.

    Args:
        made: the notebook.
        folder: folder in which its kernel runs.

    Raises:
        ConfigError: a package is missing.
        SuiteError: a cell has raised an exception.
    """
    try:
        import ipykernel  # noqa: F401  nbclient starts it by the name of its kernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as error:
        raise ConfigError(
            "--execute needs nbclient and ipykernel, which are in the extra `notebook`: "
            'pip install "autoencoder-reproductions[notebook]"'
        ) from error
    place = {"metadata": {"path": str(folder.resolve())}}
    # It would warn that its port is not encrypted, which listens on this machine only.
    quiet = ["--IPKernelApp.log_level=40"]
    try:
        NotebookClient(made, kernel_name="python3", timeout=None, resources=place, extra_arguments=quiet).execute()
    except CellExecutionError as error:
        raise SuiteError(f"a cell of the notebook failed: {error.ename}: {error.evalue}") from error
    except RuntimeError as error:
        raise SuiteError(f"the kernel of the notebook failed: {error}") from error
    for cell in made.cells:
        # When a cell was executed says nothing about it, and would be another line to review.
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = tidied(cell.outputs)


def tidied(outputs: list[Any]) -> list[Any]:
    """Join what was printed piece by piece, and keep of a progress bar its last state, as a terminal shows it."""
    kept: list[Any] = []
    for output in outputs:
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r", "", output.text)
    return kept
