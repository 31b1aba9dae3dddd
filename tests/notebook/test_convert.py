"""Notebooks are the modules: their cells have the text of the module, and give the numbers of its runs."""

import ast
import sys
import types
from types import SimpleNamespace

import nbformat
import pytest

from common.cli.notebook import execute, tidied
from common.data.datasets import Source
from common.errors import SuiteError
from common.experiment import HELD_OUT, PROTOCOLS, PUBLISHED, load_experiment
from common.files import REPORTS
from common.notebook import steps as called
from common.notebook.convert import MOST_LINES, Module, notebook, steps
from common.runs import records, runner
from common.runs.tasks import Task
from experiments import EXPERIMENTS
from experiments.__main__ import main
from tests.helpers import optional
from tests.helpers.tiny import SMALL, Silent

ALL = {name: load_experiment(module) for name, module in EXPERIMENTS.items()}
NOTEBOOKS = REPORTS / "reference" / "notebooks"


def module_of(source):
    return Module(SimpleNamespace(name="made_up", source_code=lambda: source.encode()))


def code_of(made):
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", ALL)
def test_run_is_straight(name):
    module = Module(ALL[name])
    assert module.problems() == []
    assert max(len(step.splitlines()) for step in steps(module)) <= MOST_LINES


STRAIGHT = '''"""Title."""
import math


def helper(x):
    return x


def run(models, splits, config, seed):
    """Run."""
    a = helper(1)

    # About b.
    b = a
    if b:
        c = b
    for d in range(3):
        b += d

    return b


EXPERIMENT = 1
'''


def test_steps_end_at_blank_lines_and_blocks_stand_alone():
    module = module_of(STRAIGHT)
    assert module.problems() == []
    assert steps(module) == [
        "a = helper(1)",
        "# About b.\nb = a",
        "if b:\n    c = b",
        "for d in range(3):\n    b += d",
        "result = b",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("    b = a\n", "    b = a\n    if b:\n        return a\n"), "no return at its end, or another one"),
        (("    return b\n", "    b = 1\n"), "no return at its end, or another one"),
        (("    b = a\n", "    b = lambda: a\n"), "a function or class within"),
        (("    b = a\n", "    def b():\n        pass\n"), "a function or class within"),
        (("    b = a\n", "    helper = a\n"), "the name helper is bound again"),
        (("    b = a\n", "    for math in ():\n        pass\n"), "the name math is bound again"),
        (("    b = a\n", "    show = a\n"), "the name show is bound again"),
        (("    b = a\n", "    b = a\n" * 16), "a step of more than 15 lines"),
        (("    b = a\n", "    b = EXPERIMENT\n"), "the module uses its EXPERIMENT"),
    ],
)
def test_what_cannot_be_unrolled_is_named(change, problem):
    assert any(found.startswith(problem) for found in module_of(STRAIGHT.replace(*change)).problems())


@pytest.mark.parametrize("name", ALL)
def test_every_line_of_the_module_is_in_the_notebook_once(name):
    experiment = ALL[name]
    made = notebook(experiment, experiment.config(), PUBLISHED, 0)
    nbformat.validate(made)
    text = "\n".join(code_of(made))
    left_out = ("EXPERIMENT", "run")
    for node in Module(experiment).tree.body[1:]:
        named = getattr(node, "name", None) or getattr(getattr(node, "targets", [None])[0], "id", None)
        if named not in left_out and "__main__" not in ast.unparse(node):
            assert text.count(ast.get_source_segment(experiment.source_code().decode(), node)) == 1, named
    body = "\n".join(steps(Module(experiment)))
    run = [
        line.strip().replace("return ", "result = ")
        for line in Module(experiment).text(*lines_of_run(experiment)).splitlines()
    ]
    assert [line.strip() for line in body.splitlines() if line.strip()] == [line for line in run if line]
    assert "program(" not in text and "EXPERIMENT" not in text


def lines_of_run(experiment):
    run = Module(experiment).run
    return run.body[1].lineno, run.end_lineno


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_figures_are_those_of_the_protocol(name, protocol):
    experiment = ALL[name]
    made = notebook(experiment, experiment.config(), protocol, 3)
    wanted = experiment.figures if protocol == PUBLISHED else experiment.held_out_figures
    shown = [code for code in code_of(made) if code.startswith("show(")]
    assert [code.partition("(arrays)")[0].rpartition(".")[2].removeprefix("show(") for code in shown] == [
        draw.__name__ for draw in wanted
    ]
    assert any(f'protocol, seed = "{protocol}", 3' in code for code in code_of(made))


@pytest.fixture
def shown(monkeypatch):
    """What the cells show; and the run that they begin is ended."""
    found = []
    monkeypatch.setattr(called, "show", lambda captioned: found.append(captioned.name))
    monkeypatch.setattr(called, "compare", lambda *arguments: found.append(called.comparison(*arguments)))
    yield found
    called._run.close()


def run_cells(made, name):
    """Run the code cells one after the other in one namespace, as a kernel does."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    flags = 0
    try:
        for number, code in enumerate(code_of(made)):
            flags |= "from __future__ import annotations" in code and __import__("__future__").annotations.compiler_flag
            exec(compile(code, f"cell {number}", "exec", flags), vars(module))
    finally:
        del sys.modules[name]
    return vars(module)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("mnist_conv_ae", HELD_OUT),
        ("fashion_latent_ocsvm", HELD_OUT),
        ("rare_event_lstm_ae", PUBLISHED),
        ("rare_event_lstm_ae", HELD_OUT),
        ("curves_dense_ae", PUBLISHED),
        ("mnist_dense_ae", PUBLISHED),
        ("mnist_dense_ae", HELD_OUT),
    ],
)
def test_the_cells_give_the_metrics_of_the_run(name, protocol, tmp_path, shown, capsys):
    experiment, source = ALL[name], Source("stand-in")
    config = experiment.config(**SMALL[name])
    seed = 1
    (record,) = runner.execute([Task(experiment, config, protocol, seed, tmp_path, source)], Silent())
    made = notebook(experiment, config, protocol, seed, source)
    values, undefined = records.flatten(run_cells(made, f"notebook_of_{name}")["metrics"])
    assert values == record.metrics
    assert undefined == record.undefined
    assert "] loss" in capsys.readouterr().out
    assert len(shown) == 1 + len(experiment.figures if protocol == PUBLISHED else experiment.held_out_figures)
    assert shown[-1].startswith("| printed together | number |" if protocol == PUBLISHED else "| number |")


def test_rows_of_exact_numbers_are_one_line_and_claims_say_what_is_tested():
    text = called.comparison("rare_event_lstm_ae", PUBLISHED, {})
    assert "| Table: the first five rows after the curve shift | all 100 numbers | - | - | - | - | exact |" in text
    assert text.count("| `head.") == 0
    row = next(line for line in text.splitlines() if "`break_even.recall`" in line)
    assert row.count(" to ") == 2 and "(±" in row
    assert "(`break_even.test.anomaly.precision > data.test_positive_rate`): in 20 of 20 seeds." in text
    assert "(18 inequalities): in " not in text
    assert "(17 inequalities): in " in called.comparison("mnist_dense_ae", PUBLISHED, {})


def test_a_kernel_gives_the_metrics_of_the_run_byte_for_byte(tmp_path):
    for package in ("nbclient", "ipykernel"):
        optional.package(package)
    name = "curves_dense_ae"
    experiment, config = ALL[name], ALL[name].config(**SMALL[name])
    (record,) = runner.execute([Task(experiment, config, PUBLISHED, 1, tmp_path)], Silent())
    made = notebook(experiment, config, PUBLISHED, 1)
    made.cells.append(nbformat.v4.new_code_cell("import json\nprint(json.dumps(metrics))", id="metrics"))
    execute(made, tmp_path)
    assert made.cells[-1].outputs[0].text == f"{__import__('json').dumps(record.metrics)}\n"
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == len(experiment.figures)
    # Nothing but the bar of progress is printed, and of that the last state.
    printed = [output.text for output in outputs if output.output_type == "stream"][:-1]
    assert len(printed) == 1 and printed[0].startswith("epoch 2 of 2 [####")


def test_a_failing_cell_is_one_line(tmp_path):
    for package in ("nbclient", "ipykernel"):
        optional.package(package)
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    with pytest.raises(SuiteError, match="a cell of the notebook failed: ZeroDivisionError: division by zero"):
        execute(made, tmp_path)


def test_a_bar_is_kept_in_its_last_state():
    stream = nbformat.v4.new_output
    outputs = [stream("stream", name="stdout", text=text) for text in ("a\n\r1 of 3", "\r2 of 3", "\r3 of 3\nb\n")]
    (output,) = tidied(outputs)
    assert output.text == "a\n3 of 3\nb\n"


def test_the_command_writes_a_notebook(tmp_path, capsys):
    file = tmp_path / "made.ipynb"
    assert main(["notebook", "curves_dense_ae", "--epochs", "2", "--protocol", HELD_OUT, "--out", str(file)]) == 0
    made = nbformat.read(file, as_version=4)
    assert any("config = Config(epochs=2)" in code for code in code_of(made))
    assert capsys.readouterr().out == f"notebook: {file}\n"


def test_without_jupyter_the_message_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    arguments = ["notebook", "curves_dense_ae", "--execute", "--out", str(tmp_path / "made.ipynb")]
    assert main(arguments) == 2
    assert "--execute needs nbclient and ipykernel" in capsys.readouterr().err
    assert not (tmp_path / "made.ipynb").exists()


@pytest.mark.parametrize("name", ALL)
def test_the_committed_notebook_is_that_of_the_module(name):
    committed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    made = notebook(ALL[name], ALL[name].config(), PUBLISHED, 0)
    assert [(cell.cell_type, cell.source) for cell in committed.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ], "run `make notebooks`"
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < 500_000
    pictures = [
        output
        for cell in committed.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == len(ALL[name].figures)
