"""Tables on wide and on narrow terminals, in colour and without."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.cli import tables as terminal


def shown(width, **options):
    out = Console(width=width, file=io.StringIO(), highlight=False, markup=False, **options)
    table = Table(title="a title")
    for heading in ("metric", "published", "verdict"):
        table.add_column(heading)
    table.add_row("break_even.recall", "0.136", Text("reproduced", "green"))
    table.add_row("[b]markup[/b]", "-", "")
    terminal.show(out, table)
    return out.file.getvalue()


@pytest.mark.parametrize("width", [30, 60, terminal.NARROW - 1])
def test_a_narrow_terminal_gets_lines_that_fit(width):
    lines = [line.rstrip() for line in shown(width).splitlines()]
    assert all(len(line) <= width for line in lines)
    assert lines[0] == "a title"
    assert lines[1] == "break_even.recall"
    assert " ".join(" ".join(lines[2:-2]).split()).startswith("published 0.136, verdict reproduced")
    assert "[b]markup[/b]" in lines


def test_a_wide_terminal_gets_a_table():
    text = shown(terminal.NARROW)
    assert "┃" in text
    assert "reproduced" in text


@pytest.mark.parametrize("width", [50, 120])
def test_without_colour_there_is_none(width, monkeypatch):
    assert "\x1b[32m" in shown(width, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown(width, force_terminal=True, color_system="standard")


def test_a_pipe_is_wide_enough_for_a_table():
    assert terminal.console().width == terminal.PIPE_WIDTH > terminal.NARROW
