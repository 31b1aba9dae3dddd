"""Convert the module of an experiment to a notebook that runs it step by step.

The notebook has the text of the module: its docstring, a cell for each definition, and then the body of `run`, whose
cells end at its blank lines, so that every variable can be looked at. It can be unrolled since `run` is straight: it
has one return, at its end, no function within, and binds no name of the module again.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from common.config import BaseConfig
from common.data.datasets import AUTO, Source
from common.errors import SuiteError
from common.experiment import HELD_OUT, Experiment
from common.report.results import describe

MOST_LINES = 15  # of a cell that is a step of the run
Cell = tuple[str, str]  # its kind and its text
CALLED = ("begin", "compare", "show")  # by other cells than those of the module


class Module:
    """The source code of a module, and where its parts lie.

    Args:
        experiment: the experiment that the module defines.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        text = experiment.source_code().decode()
        self.lines = text.splitlines()
        self.tree = ast.parse(text)

    def text(self, first: int, last: int, indented: int = 0) -> str:
        """Give lines, counted from 1, without the blank ones around them and without their indentation."""
        return "\n".join(line[indented:] for line in self.lines[first - 1 : last]).strip("\n")

    @property
    def run(self) -> ast.FunctionDef:
        """The function `run` of the module."""
        return next(node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")

    def problems(self) -> list[str]:
        """Say what keeps `run` from being unrolled; empty if nothing does."""
        body, known = self.run.body, {*_bound(self.tree.body), *CALLED}
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        nodes = [node for statement in body for node in ast.walk(statement)]
        found = ["a function or class within"] * any(isinstance(node, inner) for node in nodes)
        returns = [node for node in nodes if isinstance(node, ast.Return)]
        found += ["no return at its end, or another one"] * (len(returns) != 1 or returns[0] is not body[-1])
        found += [f"the name {name} is bound again" for name in sorted({*_bound(body)} & known)]
        names = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        found += ["the module uses its EXPERIMENT"] * (names.count("EXPERIMENT") > 1)
        long = [step for step in steps(self) if len(step.splitlines()) > MOST_LINES]
        return found + [f"a step of more than {MOST_LINES} lines: {step.splitlines()[0]}" for step in long]


def notebook(experiment: Experiment, config: BaseConfig, protocol: str, seed: int, source: Source = AUTO) -> Any:
    """Make the notebook of an experiment.

    Args:
        experiment: the experiment.
        config: the hyperparameters.
        protocol: "published" or "held_out".
        seed: seed of the run.
        source: where the data come from. Default: real data if they can be obtained.

    Returns:
        A notebook of nbformat, without outputs. It needs this suite to be installed.

    Raises:
        SuiteError: `run` cannot be unrolled.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    module = Module(experiment)
    if problems := module.problems():
        raise SuiteError(f"run of {experiment.name} cannot be unrolled: {'; '.join(problems)}")
    parts = [*_introduction(experiment), *_definitions(module), *_run(module, config, protocol, seed, source)]
    make: Mapping[str, Any] = {"markdown": new_markdown_cell, "code": new_code_cell}
    cells = [make[kind](text, id=f"cell-{number:03d}") for number, (kind, text) in enumerate(parts)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=cells, metadata=metadata)  # type: ignore[no-untyped-call]


def _introduction(experiment: Experiment) -> Iterator[Cell]:
    """Give the docstring of the module as Markdown."""
    told = describe(experiment.docstring)
    yield "markdown", f"# {told.title}"
    for heading in ("source", "claim", "method", "deviations", "protocols"):
        if text := getattr(told, heading):
            between = "\n\n" if text.startswith("1.") else " "  # A list needs a blank line before it.
            yield "markdown", f"**{heading.capitalize()}.**{between}{text}"


def _definitions(module: Module) -> Iterator[Cell]:
    """Give the definitions of the module, each below its section: imports and constants together, the others alone."""
    end, group = module.tree.body[0].end_lineno or 0, None
    for node in module.tree.body[1:]:
        start = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        section, comments = _comments(module.lines[end : start - 1])
        alone = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if group is not None and (section or alone):
            yield "code", module.text(group, end)
            group = None
        end = node.end_lineno or start
        if section:
            # What follows `run` in the module are the functions that it calls.
            yield "markdown", f"## {section}" + (": the functions that it uses" if _is_run(node) else "")
        if _is_run(node) or _is_of_the_suite(node):
            continue
        if alone:
            yield "code", module.text(start - comments, end)
        elif group is None:
            group = start - comments
    if group is not None:
        yield "code", module.text(group, end)


def _comments(gap: list[str]) -> tuple[str, int]:
    """Give the heading of a section in the lines before a definition, and the number of the lines that belong to it.

    A heading is a comment with a blank line after it.
    """
    belonging = next((count for count, line in enumerate(reversed(gap)) if not line.strip()), len(gap))
    heading = [line for line in gap[: len(gap) - belonging] if line.strip()]
    return " ".join(re.sub("^# ?", "", line) for line in heading).rstrip("."), belonging


def _is_run(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "run"


def _is_of_the_suite(node: ast.stmt) -> bool:
    """Check if a statement declares the experiment for the suite, or is the program."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXPERIMENT"
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def _run(module: Module, config: BaseConfig, protocol: str, seed: int, source: Source) -> Iterator[Cell]:
    """Give the run as steps, its figures, and the published numbers beside it."""
    experiment, (models, *_) = module.experiment, [argument.arg for argument in module.run.args.args]
    told = 'A step a cell. For `protocol = "held_out"` (Protocols, above) run all cells again from that one on.'
    yield "markdown", f"## The run, step by step\n\n{told}"
    settings = ", ".join(f"{name}={getattr(config, name)!r}" for name in config.changes())
    folder = source.data_dir and str(source.data_dir)
    place = "" if source == AUTO else f", datasets.Source({source.mode!r}, {folder!r})"
    load = "None" if experiment.dataset is None else f'datasets.load("{experiment.dataset}"{place})'
    yield "code", f"from common.data import datasets\nfrom common.notebook.steps import {', '.join(CALLED)}"
    yield "code", f'config = Config({settings})\nprotocol, seed = "{protocol}", {seed}\nbegin(seed)'
    yield "code", f"data = {load}\nsplits = split(data, config, protocol, seed)"
    yield "code", f"{models} = {experiment.build.__name__}(config, splits.x_train.shape[1:])"
    yield from (("code", step) for step in steps(module))
    merged = "metrics, arrays = dict(result.metrics), dict(result.arrays)"
    if experiment.once is not None:
        yield "markdown", "What does not depend on the seed:"
        merged = (
            f"once = {experiment.once.__name__}(splits, config)\n"
            "metrics, arrays = {**once.metrics, **result.metrics}, {**once.arrays, **result.arrays}"
        )
    yield "code", merged
    yield "markdown", "## The figures"
    for draw in experiment.held_out_figures if protocol == HELD_OUT else experiment.figures:
        place = "" if draw.__module__ == experiment.module else f"{draw.__module__.rpartition('.')[2]}."
        yield "code", f"show({place}{draw.__name__}(arrays))"
    yield "markdown", "## This run beside the published numbers, and beside 20 seeds"
    yield "code", f'compare("{experiment.name}", protocol, metrics)'


def steps(module: Module) -> list[str]:
    """Cut the body of `run` at its blank lines; the return becomes an assignment to `result`."""
    body = module.run.body[1:] if ast.get_docstring(module.run) else module.run.body
    found, start, blocks = [], body[0].lineno, (ast.If, ast.For, ast.With)
    for node, after in zip_longest(body, body[1:]):
        end = node.end_lineno or node.lineno
        if after is None or not module.lines[end].strip() or isinstance(node, blocks) or isinstance(after, blocks):
            found.append(re.sub(r"^return ", "result = ", module.text(start, end, 4), flags=re.MULTILINE))
            start = end + 1  # A comment belongs to what follows it.
    return found


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind, those within their blocks included, but not those within functions."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
            continue
        for one in ast.walk(node):
            if isinstance(one, ast.alias):
                yield (one.asname or one.name).split(".")[0]
            elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                yield one.id
