"""The layout of the code: rooms on one stair, no experiment known below its module, nothing that shadows a library."""

import ast
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from common.files import ROOT
from experiments import EXPERIMENTS

# From the top down; a module imports from its own room and from those below it.
STAIR = (
    "cli",
    "notebook",
    "page",
    "report",
    "papers",
    "comparison",
    "runs",
    "detectors",
    "figures",
    "own",
    "data",
    "training",
    "experiment",
    "metrics",
    "config",
    "files",
    "errors",
)
MODULES = sorted((ROOT / "common").rglob("*.py"))
MOST_MODULES, MOST_LINES = 10, 350


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree, package):
    """Dotted paths of all that a module imports, whatever the form of the statement and wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from common import files` names a module, `from common.files import ROOT` a thing in one.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def docstrings_of(tree):
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    return [
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
    ]


def room_of(dotted):
    return dotted.split(".")[1]


def climbs(path, tree):
    """The imports of a module of common/ that go up the stair."""
    relative = path.relative_to(ROOT).with_suffix("")
    own = STAIR.index(relative.parts[1]) if relative.parts[1] in STAIR else len(STAIR)
    package = ".".join(relative.parts[:-1])
    found = [name for name in imports_of(tree, package) if name.split(".")[0] == "common" and "." in name]
    return [name for name in found if room_of(name) not in STAIR or STAIR.index(room_of(name)) < own]


def strings_of(tree):
    """The texts in a module that are no docstrings."""
    known = set(map(id, docstrings_of(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in known:
            yield node.value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_goes_up_the_stair(path):
    assert climbs(path, tree_of(path)) == []


def test_an_import_that_goes_up_is_seen_in_every_form():
    path = ROOT / "common" / "runs" / "made_up.py"
    for line in (
        "from common.page.render import render",
        "from common import report",
        "from ..page import render",
        "import common.cli.main",
        "def f():\n    from common.comparison import verdicts",
    ):
        assert climbs(path, ast.parse(line)), line
    assert not climbs(path, ast.parse("from common import files\nfrom common.data import images\nimport json"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_common_knows_no_experiment(path):
    text, tree = path.read_text(encoding="utf-8"), tree_of(path)
    assert not [name for name in EXPERIMENTS if name in text]
    assert not [name for name in imports_of(tree, "") if name.split(".")[0] == "experiments"]
    # A module path is handed to it; `python -m experiments` in a message and a key of results.json are none.
    assert not [text for text in strings_of(tree) if re.search(r"\bexperiments\.\w", text)]


def test_rooms_and_modules_are_small():
    for room in (ROOT / "common").iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert room.name in STAIR
            assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES
    for path in [*MODULES, *(ROOT / "experiments").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        docstrings = [doc.value.splitlines() for doc in docstrings_of(tree_of(path))]
        told = sum(bool(line.strip()) for lines in docstrings for line in lines)
        assert sum(bool(line.strip()) for line in text.splitlines()) - told <= MOST_LINES, path


def test_every_module_says_what_it_is_for():
    for path in [*MODULES, *(ROOT / "experiments").glob("*.py")]:
        assert ast.get_docstring(tree_of(path)), path


def test_the_folder_of_the_experiments_shadows_no_library():
    """`python experiments/NAME.py` puts that folder first on the path."""
    stems = {path.stem for path in (ROOT / "experiments").iterdir() if path.name != "__pycache__"}
    assert stems == {"__init__", "__main__", *EXPERIMENTS}
    assert not stems & sys.stdlib_module_names


def test_the_experiments_are_listed_once_and_in_order():
    assert [Path(*module.split(".")).name for module in EXPERIMENTS.values()] == list(EXPERIMENTS)
    assert all(a != b for a, b in pairwise(EXPERIMENTS))
