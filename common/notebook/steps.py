"""What the cells of a notebook call: begin a run, show a figure, and compare with published numbers."""

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from common import figures
from common.comparison.published import read_published
from common.comparison.verdicts import EXACT, GroupResult, MemberResult
from common.experiment import PUBLISHED
from common.files import REPORTS
from common.metrics.scores import Metric
from common.report.conclusions import shortened, spread_of
from common.report.markdown import how_to_read
from common.report.markup import number, plain, table
from common.report.results import read_results
from common.runs import records
from common.training.fit import report_epochs_to
from common.training.keras import seeded
from common.training.surroundings import remove_deciding_variables, require_defaults

WIDTH = 30
# Rows of more numbers are shown as one line if all are exact.
MOST_EXACT = 10
# A claim of more inequalities is shown with their number.
MOST_INEQUALITIES = 5

_run = contextlib.ExitStack()


def begin(seed: int) -> None:
    """Seed everything that a run draws from, as `python -m experiments run` does, and show the progress of training.

    It holds until the next call.

    Args:
        seed: seed of the run.

    Raises:
        SuiteError: this process has set a library otherwise than by default.
    """
    require_defaults()
    remove_deciding_variables()
    _run.close()
    _run.enter_context(seeded(seed))
    _run.enter_context(report_epochs_to(_show_progress))


def _show_progress(epoch: int, epochs: int, loss: float) -> None:
    done = round(WIDTH * epoch / epochs)
    sys.stdout.write(f"\repoch {epoch} of {epochs} [{'#' * done}{'.' * (WIDTH - done)}] loss {loss:.4g}")
    sys.stdout.write("\n" if epoch == epochs else "")
    sys.stdout.flush()


def show(captioned: figures.CaptionedFigure) -> None:
    """Show a figure as the report does, with its caption."""
    from IPython.display import Image, Markdown, display

    display(Image(figures.png(captioned)), Markdown(f"*{captioned.caption}*"))  # type: ignore[no-untyped-call]


def compare(experiment: str, protocol: str, metrics: Mapping[str, Metric]) -> None:
    """Show the numbers of one run beside the published ones, and beside the runs of the reference report.

    Args:
        experiment: name of the experiment.
        protocol: protocol of the run. In the held-out one all numbers of the run are shown, but those of single epochs.
        metrics: metrics of the run.
    """
    from IPython.display import Markdown, display

    display(Markdown(comparison(experiment, protocol, metrics)))  # type: ignore[no-untyped-call]


def comparison(experiment: str, protocol: str, metrics: Mapping[str, Metric]) -> str:
    """Write what `compare` shows, as Markdown."""
    values, _ = records.flatten(metrics)
    entry = read_results(REPORTS / "reference").experiments[experiment]
    runs = entry.by_protocol[protocol]
    seeds = f"{len(runs.seeds)} seeds of the suite, mean (range)"

    def unprinted(names: Iterable[str]) -> str:
        rows = [[f"`{name}`", plain(values.get(name)), _spread(runs.values(name), None)] for name in names]
        return table(["number", "this run", seeds], rows)

    if protocol != PUBLISHED:
        return unprinted(name for name in values if ".epoch_" not in name)
    rows = []
    for group in entry.comparison.groups:
        same = [member for member in group.members if member.verdict == EXACT]
        if len(same) == len(group.members) > MOST_EXACT:
            rows.append([group.title, f"all {len(same)} numbers", "-", "-", "-", "-", EXACT])
        elif group.obtained != "context":
            rows += [_row(group, member, values, runs.values(member.metric)) for member in group.members]
    headings = [
        "printed together",
        "number",
        "source",
        "this run",
        seeds,
        "95 % interval of a run (tolerance)",
        "verdict",
    ]
    tests = {claim.name: claim.holds for claim in read_published(experiment).claims}
    told = [
        f"- {claim.text} ({_in_words(tests[claim.name])}): in {claim.holds} of {claim.n} seeds."
        for claim in entry.comparison.claims
    ]
    parts = [table(headings, rows), how_to_read()]
    parts += ["Numbers that the source does not give, or only in figures:", unprinted(entry.not_published)]
    parts += ["The claims, as inequalities between numbers of a run:", "\n".join(told)] if told else []
    return "\n\n".join(parts)


def _row(
    group: GroupResult, member: MemberResult, values: Mapping[str, float | int | None], ours: list[float]
) -> list[str]:
    """Write the row of a number: the published one, that of this run, and those of the reference with their verdict."""
    expected = spread_of(member, member.interval) if member.interval else "-"
    if member.interval and member.tolerance is not None:
        expected += f" (±{number(member.tolerance, member.printed)})"
    printed = shortened(member.printed) + (" (from its code)" if group.obtained == "derived" else "")
    return [
        group.title, f"`{member.metric}`", printed, number(values.get(member.metric), member.printed),
        _spread(ours, member.printed), expected, f"{member.verdict}{_of_row(group, member)}",
    ]  # fmt: skip


def _in_words(inequalities: Sequence[str]) -> str:
    few = len(inequalities) <= MOST_INEQUALITIES
    return f"`{' and '.join(inequalities)}`" if few else f"{len(inequalities)} inequalities"


def _of_row(group: GroupResult, member: MemberResult) -> str:
    """Name the verdict of the row, if it is another than that of the number."""
    return "" if group.verdict == member.verdict else f" (its row: {group.verdict})"


def _spread(values: list[float], printed: str | None) -> str:
    if not values:
        return "-"
    numbers = fmean(values), min(values), max(values)
    texts = [plain(value) if printed is None else number(value, printed) for value in numbers]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"
